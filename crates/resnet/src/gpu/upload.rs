//! Uploads weights to the device: a few threads read, fold and pack them while another binds the layers, and does it all where the system has
//! no thread to give.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle, available_parallelism};

use kernels::wgpu::{Device, Queue};
use kernels::{Conv2d, Conv2dWeights};

use super::read::wait;
use crate::error::Error;
use crate::network::{ConvSpec, GateSpec};
use crate::weights::WeightFile;

/// Where a convolution's weights come from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    /// A convolution with its BatchNorm.
    Folded(ConvSpec),
    /// A layer of a gate.
    Gate(GateSpec),
}

impl Source {
    /// Names the module.
    fn name(&self) -> &str {
        match self {
            Source::Folded(spec) => &spec.name,
            Source::Gate(spec) => spec.name(),
        }
    }

    /// Reads weight and bias.
    fn read(&self, file: &WeightFile) -> Result<(Vec<f32>, Vec<f32>), Error> {
        match self {
            Source::Folded(spec) => file.conv(spec).map(|folded| (folded.weight, folded.bias)),
            Source::Gate(spec) => file.gate(spec),
        }
    }

    /// Adds zeros where the convolution is planned for more channels a group than it has: photos come as red, green, blue and zero.
    fn widened(&self, weight: Vec<f32>, channels: u32) -> Vec<f32> {
        match self {
            Source::Folded(spec) if spec.in_channels / spec.groups < channels as usize => {
                let (had, taps) = (spec.in_channels / spec.groups, spec.kernel * spec.kernel);
                let zeros = (channels as usize - had) * taps;
                let outputs = weight.chunks_exact(had * taps);
                outputs.flat_map(|output| output.iter().copied().chain(std::iter::repeat_n(0.0, zeros))).collect()
            }
            _ => weight,
        }
    }
}

/// Weights, and the convolution that says how they are packed.
pub(super) struct Packing {
    pub plan: Conv2d,
    pub source: Source,
}

/// The most uploads, of a few megabytes each, that a thread doesn't wait for: the driver may be busy compiling.
const MOST_FLYING: usize = 4;

/// Packs and uploads on threads of the scope: one after the other comes out of [`Ahead::next`]. Each piece is submitted and waited for
/// a little later, so that the weights aren't in host memory all at once.
pub(super) fn upload<'scope>(
    scope: &'scope Scope<'scope, '_>,
    device: &'scope Device,
    queue: &'scope Queue,
    file: &'scope WeightFile,
    weights: &'scope [Packing],
) -> Ahead<'scope, Conv2dWeights> {
    Ahead::start(scope, weights, Builder::new, || {
        let mut flying = VecDeque::new();
        move |Packing { plan, source }: &Packing| {
            let (weight, bias) = source.read(file)?;
            let weight = source.widened(weight, plan.desc().in_channels / plan.desc().groups);
            let packed = plan.weights_in_pieces(queue, &weight, Some(&bias), || {
                flying.push_back(queue.submit([]));
                if flying.len() > MOST_FLYING {
                    flying.pop_front().map_or(Ok(()), |oldest| wait(device, oldest))
                } else {
                    Ok(())
                }
            });
            packed.map_err(|error| match error {
                // Weights are the same for every batch, so that a smaller one wouldn't help.
                Error::Kernels(source_error) => {
                    Error::Weight { name: format!("{}.weight", source.name()), source: source_error }
                }
                other => other,
            })
        }
    })
}

/// The most threads: each holds a layer in host memory. A core is left to the driver.
const MOST_THREADS: usize = 4;

/// Results for items, in their order, that threads make ahead of their use: each thread holds one until it is taken.
pub(super) struct Ahead<'scope, T> {
    /// The i-th result comes from the lane i modulo their number.
    lanes: Vec<Lane<'scope, T>>,
    taken: usize,
}

/// Who makes some of the results.
enum Lane<'scope, T> {
    Thread {
        made: Receiver<Result<T, Error>>,
        thread: ScopedJoinHandle<'scope, ()>,
    },
    /// Whoever takes them, where no thread could be had: the result of the item of this place.
    Caller(Box<dyn FnMut(usize) -> Result<T, Error> + 'scope>),
    /// Its thread has ended.
    Gone,
}

impl<'scope, T: Send + 'scope> Ahead<'scope, T> {
    /// Starts threads made by `builder`. Each gets its own `work` from `start`.
    fn start<I: Sync, W>(
        scope: &'scope Scope<'scope, '_>,
        items: &'scope [I],
        builder: impl Fn() -> Builder,
        start: impl Fn() -> W,
    ) -> Self
    where
        W: FnMut(&I) -> Result<T, Error> + Send + 'scope,
    {
        let count = available_parallelism().map_or(1, usize::from).saturating_sub(1).clamp(1, MOST_THREADS);
        let lane = |lane| {
            let (sender, made) = sync_channel(0);
            let mut work = start();
            let thread = builder().spawn_scoped(scope, move || {
                for item in items.iter().skip(lane).step_by(count) {
                    // Nobody takes it: the network failed at another layer.
                    if sender.send(work(item)).is_err() {
                        return;
                    }
                }
            });
            thread.map_or_else(
                |_| {
                    let mut work = start();
                    Lane::Caller(Box::new(move |place| items.get(place).map_or_else(ended, &mut work)))
                },
                |thread| Lane::Thread { made, thread },
            )
        };
        Self { lanes: (0..count).map(lane).collect(), taken: 0 }
    }

    /// Waits for the next item's result, or makes it.
    ///
    /// # Errors
    /// What the work gave; [`Error::Panic`] with what was said, where its thread panicked.
    pub fn next(&mut self) -> Result<T, Error> {
        let place = self.taken;
        self.taken += 1;
        let count = self.lanes.len();
        let lane = &mut self.lanes[place % count];
        match lane {
            Lane::Caller(work) => return work(place),
            Lane::Thread { made, .. } => {
                if let Ok(result) = made.recv() {
                    return result;
                }
            }
            Lane::Gone => {}
        }
        match std::mem::replace(lane, Lane::Gone) {
            Lane::Thread { thread, .. } => {
                thread.join().map_or_else(|panic| Err(Error::Panic(said(panic.as_ref()))), |()| ended())
            }
            _ => ended(),
        }
    }
}

/// Makes the error of who asks for more results than there are items.
fn ended<T>() -> Result<T, Error> {
    Err(Error::Panic("no more items".to_owned()))
}

impl<T> Drop for Ahead<'_, T> {
    /// Ends the threads. One that panicked without being asked for is the consequence of an error that is on its way to the caller.
    fn drop(&mut self) {
        let lanes = self.lanes.drain(..);
        let threads: Vec<_> = lanes
            .filter_map(|lane| match lane {
                // What it would send nobody takes from here on.
                Lane::Thread { thread, made: _ } => Some(thread),
                _ => None,
            })
            .collect();
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// Extracts the message of a panic.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "nothing was said".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Takes results until one fails.
    fn run(items: &[usize], work: impl Fn(usize) -> Result<usize, Error> + Sync) -> (Vec<usize>, Option<Error>) {
        run_by(Builder::new, items, work)
    }

    /// Takes results until one fails, from threads that are made so.
    fn run_by(
        builder: impl Fn() -> Builder,
        items: &[usize],
        work: impl Fn(usize) -> Result<usize, Error> + Sync,
    ) -> (Vec<usize>, Option<Error>) {
        let work = &work;
        std::thread::scope(|scope| {
            let mut ahead = Ahead::start(scope, items, builder, || move |&item: &usize| work(item));
            let mut results = Vec::new();
            for _ in items {
                match ahead.next() {
                    Ok(result) => results.push(result),
                    Err(error) => return (results, Some(error)),
                }
            }
            (results, None)
        })
    }

    #[test]
    fn results_come_in_order() {
        let items: Vec<usize> = (0..50).collect();
        let (results, error) = run(&items, |item| Ok(item * item));
        assert!(error.is_none());
        assert_eq!(results, items.iter().map(|item| item * item).collect::<Vec<_>>());
    }

    #[test]
    fn what_has_no_thread_is_done_by_who_takes_it() {
        let items: Vec<usize> = (0..50).collect();
        let asked = AtomicUsize::new(0);
        for had in [0, 1] {
            asked.store(0, Ordering::SeqCst);
            let builder = || match asked.fetch_add(1, Ordering::SeqCst) {
                made if made < had => Builder::new(),
                _ => Builder::new().stack_size(usize::MAX / 4),
            };
            let (results, error) = run_by(builder, &items, |item| if item < 40 { Ok(item) } else { ended() });
            assert_eq!(results, items[..40]);
            assert!(matches!(error, Some(Error::Panic(_))));
        }
    }

    #[test]
    fn an_error_is_the_works_own_and_ends_it() {
        let items: Vec<usize> = (0..50).collect();
        let done = AtomicUsize::new(0);
        let (results, error) = run(&items, |item| {
            done.fetch_add(1, Ordering::SeqCst);
            if item == 3 { Err(Error::Options("the third".to_owned())) } else { Ok(item) }
        });
        assert_eq!(results, [0, 1, 2]);
        assert!(matches!(error, Some(Error::Options(text)) if text == "the third"));
        assert!(done.load(Ordering::SeqCst) <= 4 + 2 * MOST_THREADS, "what comes after it isn't packed");
    }

    #[test]
    fn a_panic_is_told_as_it_was_said() {
        for (text, say) in [("fixed words", false), ("words about 3", true)] {
            let (results, error) = run(&[0, 1, 2, 3, 4], |item| match item {
                3 if say => panic!("words about {item}"),
                3 => panic!("fixed words"),
                _ => Ok(item),
            });
            assert_eq!(results, [0, 1, 2]);
            assert_eq!(error.unwrap().to_string(), format!("backbone: a thread that packs weights panicked: {text}"));
        }
    }
}
