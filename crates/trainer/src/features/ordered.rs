//! Runs work on many threads and hands its results over in order, with a bound on how many wait.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

/// Who works, and how far ahead.
pub(crate) struct Crew {
    /// The most threads.
    pub threads: usize,
    /// The most results that are in the making or wait to be consumed.
    pub ahead: usize,
    /// What threads are started by.
    pub builder: fn() -> Builder,
}

/// Works on every item on threads of its own and hands the results to `consume` on the calling thread, in the order of the items.
///
/// A slow consumer holds the workers back: see [`Crew::ahead`]. An item is begun as soon as a worker is free, whatever its neighbours
/// take. `worker` makes what one thread works with. Where the system has fewer threads to give, those that can be had do it all; where it
/// has none, the calling one.
///
/// # Errors
/// The first of `consume`, after which nothing more is begun.
///
/// # Panics
/// Where a worker does.
pub(crate) fn ordered<T: Sync, R: Send, E, W: FnMut(&T) -> R>(
    items: &[T],
    crew: Crew,
    worker: impl Fn() -> W + Sync,
    mut consume: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let queue = Queue { state: Mutex::new(State::new()), room: Condvar::new(), ready: Condvar::new() };
    let Crew { threads, ahead, builder } = crew;
    std::thread::scope(|scope| {
        let started = (0..threads.clamp(1, items.len().max(1))).take_while(|_| {
            let thread = builder().spawn_scoped(scope, || {
                let _stop = Stop { queue: &queue, always: false };
                let mut work = worker();
                while let Some(index) = queue.claim(items.len(), ahead.max(1)) {
                    let result = work(&items[index]);
                    queue.deliver(index, result);
                }
            });
            thread.is_ok()
        });
        if started.count() == 0 {
            let mut work = worker();
            return items.iter().try_for_each(|item| consume(work(item)));
        }
        let _stop = Stop { queue: &queue, always: true };
        for _ in items {
            // Without a result a worker has panicked, and the scope passes that on.
            let Some(result) = queue.next() else { break };
            consume(result)?;
        }
        Ok(())
    })
}

struct Queue<R> {
    state: Mutex<State<R>>,
    /// Another item may be begun.
    room: Condvar,
    /// The result that is waited for has come.
    ready: Condvar,
}

struct State<R> {
    /// How many results were consumed.
    consumed: usize,
    /// The results of the items after them, as far as these are begun.
    begun: VecDeque<Option<R>>,
    stopped: bool,
}

impl<R> State<R> {
    fn new() -> Self {
        Self { consumed: 0, begun: VecDeque::new(), stopped: false }
    }
}

impl<R> Queue<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        // Nothing that can panic happens while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for another result, and claims the next item.
    fn claim(&self, items: usize, ahead: usize) -> Option<usize> {
        let mut state = self.lock();
        loop {
            let index = state.consumed + state.begun.len();
            if state.stopped || index == items {
                return None;
            }
            if state.begun.len() < ahead {
                state.begun.push_back(None);
                return Some(index);
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn deliver(&self, index: usize, result: R) {
        let mut state = self.lock();
        let place = index - state.consumed;
        state.begun[place] = Some(result);
        if place == 0 {
            self.ready.notify_one();
        }
    }

    fn next(&self) -> Option<R> {
        let mut state = self.lock();
        loop {
            if let Some(Some(_)) = state.begun.front() {
                state.consumed += 1;
                self.room.notify_one();
                return state.begun.pop_front().flatten();
            }
            if state.stopped {
                return None;
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Wakes all who wait when a thread ends, so that nobody waits for one that is gone.
struct Stop<'a, R> {
    queue: &'a Queue<R>,
    always: bool,
}

impl<R> Drop for Stop<'_, R> {
    fn drop(&mut self) {
        if self.always || std::thread::panicking() {
            self.queue.lock().stopped = true;
            self.queue.room.notify_all();
            self.queue.ready.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn crew(threads: usize, ahead: usize) -> Crew {
        Crew { threads, ahead, builder: Builder::new }
    }

    #[test]
    fn without_threads_the_calling_one_does_it() {
        let here = std::thread::current().id();
        let crew = Crew { builder: || Builder::new().stack_size(usize::MAX / 4), ..crew(4, 7) };
        let mut got = Vec::new();
        let worker = || |&item: &usize| (item * 3, std::thread::current().id());
        let outcome: Result<(), ()> = ordered(&[1, 2, 3], crew, worker, |result| {
            got.push(result);
            Ok(())
        });
        assert_eq!((outcome, got), (Ok(()), vec![(3, here), (6, here), (9, here)]));
    }

    #[test]
    fn the_threads_that_can_be_had_do_it_all() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let two = || match ASKED.fetch_add(1, Ordering::SeqCst) {
            ..2 => Builder::new(),
            _ => Builder::new().stack_size(usize::MAX / 4),
        };
        let items: Vec<usize> = (0..100).collect();
        let mut got = Vec::new();
        let crew = Crew { builder: two, ..crew(8, 16) };
        let outcome: Result<(), ()> = ordered(
            &items,
            crew,
            || |&item: &usize| item,
            |item| {
                got.push(item);
                Ok(())
            },
        );
        assert_eq!((outcome, got, ASKED.load(Ordering::SeqCst)), (Ok(()), items.clone(), 3));
    }

    #[test]
    fn results_come_in_order_and_never_too_many() {
        let items: Vec<usize> = (0..500).collect();
        let live = AtomicUsize::new(0);
        let most = AtomicUsize::new(0);
        let mut got = Vec::new();
        let outcome: Result<(), ()> = ordered(
            &items,
            crew(4, 7),
            || {
                |&item: &usize| {
                    most.fetch_max(live.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // Every seventh is slow, so that others overtake it.
                    std::thread::sleep(Duration::from_micros(if item.is_multiple_of(7) { 900 } else { 10 }));
                    item * 3
                }
            },
            |result| {
                live.fetch_sub(1, Ordering::SeqCst);
                got.push(result);
                Ok(())
            },
        );
        assert_eq!(outcome, Ok(()));
        assert!(got.into_iter().eq(items.iter().map(|item| item * 3)));
        // One more than are at hand, which the consumer has taken and not yet counted.
        assert!((5..=8).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    }

    #[test]
    fn a_slow_item_holds_up_no_other() {
        // With barriers between chunks, three chunks of two would take the time of three slow items.
        let slow = Duration::from_millis(200);
        let start = std::time::Instant::now();
        let outcome: Result<(), ()> = ordered(
            &[true, false, false, true, true, false],
            crew(6, 6),
            || {
                |&wait: &bool| {
                    if wait {
                        std::thread::sleep(slow)
                    }
                }
            },
            |()| Ok(()),
        );
        assert_eq!(outcome, Ok(()));
        assert!(start.elapsed() < slow * 2, "{:?}", start.elapsed());
    }

    #[test]
    fn an_error_ends_it_early() {
        let begun = AtomicUsize::new(0);
        let items = [(); 1000];
        let outcome = ordered(
            &items,
            crew(3, 5),
            || |(): &()| begun.fetch_add(1, Ordering::SeqCst),
            |result| if result == 20 { Err("enough") } else { Ok(()) },
        );
        assert!(outcome.is_err());
        assert!(begun.load(Ordering::SeqCst) <= 40, "{begun:?}");
        assert_eq!(ordered(&[(); 0], crew(3, 5), || |(): &()| (), |()| Err("never")), Ok(()));
    }

    #[test]
    fn a_panic_is_passed_on_and_hangs_nobody() {
        let outcome = std::panic::catch_unwind(|| {
            ordered(
                &[0; 50],
                crew(2, 3),
                || |_: &i32| -> () { std::panic::resume_unwind(Box::new("as planned")) },
                |()| Ok::<(), ()>(()),
            )
        });
        assert!(outcome.is_err());
    }
}
