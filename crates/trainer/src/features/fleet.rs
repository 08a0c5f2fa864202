//! Shares batches out among several adapters: each has a thread, which takes the next batch from the one queue as soon as it has room.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use resnet::{Engine, Error, ImageBytes, ImageTensor, Pending, Tap};

use crate::error::{Error as TrainerError, Result};
use crate::threads::patiently;

/// What starts a batch on an engine.
type Submit = Box<dyn FnOnce(&dyn Engine) -> Result<Pending, Error> + Send>;

/// Where a batch's features go.
type Answer = Sender<Result<Vec<f32>, Error>>;

/// A batch on its way to an engine.
struct Job {
    submit: Submit,
    answer: Answer,
}

/// The same network on several devices, as one engine: it gives features and no other tap.
pub(super) struct Fleet {
    batch: usize,
    input_size: [usize; 2],
    width: Option<usize>,
    /// None once no more batches come.
    queue: Option<Mutex<Sender<Job>>>,
    workers: Vec<JoinHandle<()>>,
}

impl Fleet {
    /// Starts a thread for each engine. They take batches of one size, and images of one size.
    ///
    /// # Errors
    /// No thread can be had.
    pub(super) fn new(engines: Vec<Box<dyn Engine>>) -> Result<Self> {
        let of =
            |size: fn(&dyn Engine) -> usize| engines.iter().map(|engine| size(&**engine)).min().unwrap_or_default();
        let batch = of(|engine| engine.batch());
        let first = engines.first();
        let input_size = first.map_or([0; 2], |engine| engine.input_size());
        let width = first.and_then(|engine| engine.len_of(Tap::Features));
        let (sender, receiver) = channel();
        let queue = Arc::new(Mutex::new(receiver));
        let mut fleet = Self { batch, input_size, width, queue: Some(Mutex::new(sender)), workers: Vec::new() };
        for engine in engines {
            // The thread may have to be asked for again, and takes the engine only once it is there.
            let engine = Arc::new(Mutex::new(Some(engine)));
            let start = || {
                let (engine, queue) = (Arc::clone(&engine), Arc::clone(&queue));
                let take = move || engine.lock().unwrap_or_else(PoisonError::into_inner).take();
                Builder::new().spawn(move || take().into_iter().for_each(|engine| work(&*engine, &queue)))
            };
            fleet.workers.push(patiently(start).map_err(TrainerError::Thread)?);
        }
        Ok(fleet)
    }

    /// Puts a batch into the queue.
    fn send(
        &self,
        submit: impl FnOnce(&dyn Engine) -> Result<Pending, Error> + Send + 'static,
    ) -> Result<Pending, Error> {
        let (answer, said) = channel();
        let job = Job { submit: Box::new(submit), answer };
        let sent = self.queue.as_ref().map(|queue| queue.lock().unwrap_or_else(PoisonError::into_inner).send(job));
        if !matches!(sent, Some(Ok(()))) {
            return Err(ended());
        }
        let mut values: Option<Vec<f32>> = None;
        Ok(Pending::new(move |tap| {
            if tap != Tap::Features {
                return Err(Error::Options(format!("{tap:?} isn't tapped where adapters share the work")));
            }
            if values.is_none() {
                values = Some(said.recv().unwrap_or_else(|_| Err(ended()))?);
            }
            Ok(values.clone().unwrap_or_default())
        }))
    }
}

/// The answer of a thread that is no more.
fn ended() -> Error {
    Error::Panic("that of an adapter".to_owned())
}

/// Takes batch after batch, the next before the one before is done.
fn work(engine: &dyn Engine, queue: &Mutex<Receiver<Job>>) {
    let mut flying: Option<(Result<Pending, Error>, Answer)> = None;
    loop {
        // Who has nothing under way waits at the queue. Who has doesn't: where another waits there, it is empty.
        let next = match flying {
            Some(_) => queue.try_lock().ok().and_then(|queue| queue.try_recv().ok()),
            None => match queue.lock().unwrap_or_else(PoisonError::into_inner).recv() {
                Ok(job) => Some(job),
                Err(_) => return,
            },
        };
        let next = next.map(|Job { submit, answer }| (submit(engine), answer));
        if let Some((pending, answer)) = std::mem::replace(&mut flying, next) {
            // Who asked may have been interrupted.
            let _ = answer.send(pending.and_then(|mut pending| pending.wait(Tap::Features)));
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.queue = None;
        for worker in self.workers.drain(..) {
            // Whoever waits for a batch of a thread that panicked has been told.
            let _ = worker.join();
        }
    }
}

impl Engine for Fleet {
    fn batch(&self) -> usize {
        self.batch
    }

    fn input_size(&self) -> [usize; 2] {
        self.input_size
    }

    fn len_of(&self, tap: Tap) -> Option<usize> {
        self.width.filter(|_| tap == Tap::Features)
    }

    /// Two for each adapter, and one that is being collected.
    fn flights(&self) -> usize {
        2 * self.workers.len() + 1
    }

    fn submit(&self, images: &[ImageTensor]) -> Result<Pending, Error> {
        let images = images.to_vec();
        self.send(move |engine| engine.submit(&images))
    }

    fn submit_bytes(&self, images: &[ImageBytes]) -> Result<Pending, Error> {
        let images = images.to_vec();
        self.send(move |engine| engine.submit_bytes(&images))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::thread::{ThreadId, current, sleep};
    use std::time::Duration;

    use super::*;
    use crate::features::fake::{Fake, colours};

    fn images(count: usize) -> Vec<ImageBytes> {
        let image = |number: usize| ImageBytes {
            height: 4,
            width: 4,
            data: vec![number as u8; 48],
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        (0..count).map(image).collect()
    }

    fn expected(images: &[ImageBytes]) -> Vec<f32> {
        colours(&images.iter().map(ImageBytes::tensor).collect::<Vec<_>>())
    }

    /// Passes images through, up to `flights` batches at once, and gives the features in order.
    fn pass(fleet: &Fleet, images: &[ImageBytes]) -> Result<Vec<f32>, Error> {
        let (mut features, mut flying) = (Vec::new(), std::collections::VecDeque::new());
        for batch in images.chunks(fleet.batch()) {
            flying.push_back(fleet.submit_bytes(batch)?);
            if flying.len() > fleet.flights() {
                features.extend(flying.pop_front().unwrap().wait(Tap::Features)?);
            }
        }
        for mut pending in flying {
            features.extend(pending.wait(Tap::Features)?);
        }
        Ok(features)
    }

    #[test]
    fn all_engines_work_at_once_and_answers_keep_their_order() {
        // None goes on before all have a batch.
        let together = Arc::new(Barrier::new(3));
        let seen: Arc<Mutex<HashSet<ThreadId>>> = Arc::default();
        let engine = |_| {
            let (together, seen) = (Arc::clone(&together), Arc::clone(&seen));
            let answer = move |images: &[ImageTensor]| {
                if seen.lock().unwrap().insert(current().id()) {
                    together.wait();
                }
                Ok(colours(images))
            };
            Box::new(Fake::new(2, answer)) as Box<dyn Engine>
        };
        let fleet = Fleet::new((0..3).map(engine).collect()).unwrap();
        assert_eq!((fleet.batch(), fleet.flights(), fleet.len_of(Tap::Features)), (2, 7, Some(3)));
        let images = images(61);
        assert_eq!(pass(&fleet, &images).unwrap(), expected(&images));
        assert_eq!(seen.lock().unwrap().len(), 3);
    }

    #[test]
    fn a_slow_engine_takes_fewer_batches() {
        let counts: Arc<Mutex<[usize; 2]>> = Arc::default();
        let engine = |place: usize| {
            let counts = Arc::clone(&counts);
            let answer = move |images: &[ImageTensor]| {
                counts.lock().unwrap()[place] += 1;
                sleep(Duration::from_millis(if place == 0 { 100 } else { 1 }));
                Ok(colours(images))
            };
            Box::new(Fake::new(1, answer)) as Box<dyn Engine>
        };
        let fleet = Fleet::new((0..2).map(engine).collect()).unwrap();
        let images = images(60);
        assert_eq!(pass(&fleet, &images).unwrap(), expected(&images));
        let [slow, fast] = *counts.lock().unwrap();
        assert!(slow >= 1 && fast > 2 * slow && slow + fast == 60, "{slow} {fast}");
    }

    #[test]
    fn a_failure_is_that_of_its_batch_and_a_panic_is_told() {
        let engine = Box::new(Fake::new(1, |images: &[ImageTensor]| match images[0].data[0] {
            value if value == expected(&self::images(4)[3..])[0] => Err(Error::Options("as planned".to_owned())),
            value if value == expected(&self::images(6)[5..])[0] => panic!("as planned"),
            _ => Ok(colours(images)),
        }));
        let fleet = Fleet::new(vec![engine]).unwrap();
        let images = images(7);
        // One by one: what a thread has under way when it panics is lost with it.
        let pass = |place: usize| fleet.submit_bytes(&images[place..=place])?.wait(Tap::Features);
        assert!(pass(2).is_ok());
        assert!(pass(3).unwrap_err().to_string().contains("as planned"));
        assert!(pass(4).is_ok());
        assert!(matches!(pass(5), Err(Error::Panic(_))));
        // The only thread is gone.
        assert!(matches!(pass(6), Err(Error::Panic(_))));
    }

    #[test]
    fn other_taps_are_refused() {
        let fleet = Fleet::new(vec![Box::new(Fake::new(1, |images: &[ImageTensor]| Ok(colours(images))))]).unwrap();
        let mut pending = fleet.submit_bytes(&images(1)).unwrap();
        assert!(pending.wait(Tap::Logits).unwrap_err().to_string().contains("isn't tapped"));
        assert_eq!(pending.wait(Tap::Features).unwrap(), pending.wait(Tap::Features).unwrap());
    }
}
