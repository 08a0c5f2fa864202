//! Passes images through a network, in batches that its device has memory for.

use resnet::{Engine, ImageBytes, Pending, Tap};

use crate::error::{Error, Result};
use crate::features::engines::Engines;
use crate::progress::Progress;
use crate::words::chain;

/// A network that takes images in batches.
///
/// It is planned when the first batch comes: where all features are known none comes, and where one does, photos are decoded meanwhile.
/// Where memory doesn't suffice, it is planned anew for batches of half the size, down to single images.
pub struct Extractor<'a> {
    engines: Engines<'a>,
    /// The most images that there is room for, as far as is known.
    batch: usize,
    engine: Option<Box<dyn Engine>>,
}

/// A batch on its way, with its images, should it have to be done again.
pub(super) struct Flight {
    parts: Vec<Pending>,
    images: Vec<ImageBytes>,
}

impl<'a> Extractor<'a> {
    /// Makes an extractor that takes `batch` images at once if it can, at least 1.
    pub fn new(engines: Engines<'a>, batch: usize) -> Self {
        Self { engines, batch: batch.max(1), engine: None }
    }

    /// Takes the network of an earlier extractor, which has room for as many images.
    pub(crate) fn with(self, engine: Option<Box<dyn Engine>>) -> Self {
        Self { engine, ..self }
    }

    /// Gives the network, if one was planned.
    pub(crate) fn into_engine(self) -> Option<Box<dyn Engine>> {
        self.engine
    }

    /// Gives the most images that are taken at once. It may become less.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Says how many batches keep the device at work.
    pub(super) fn flights(&self) -> usize {
        self.engine.as_ref().map_or(1, |engine| engine.flights())
    }

    /// Starts a batch; the one before may still be on its way. `progress` is warned when there is no memory for as many.
    ///
    /// # Errors
    /// The device failed, or has no memory even for a single image.
    pub(super) fn submit(&mut self, images: Vec<ImageBytes>, progress: &dyn Progress) -> Result<Flight> {
        let parts = self.with_engine(progress, |engine| send(engine, &images))?;
        Ok(Flight { parts, images })
    }

    /// Waits for a batch and gives its features, image after image, and its images.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub(super) fn wait(&mut self, flight: Flight, progress: &dyn Progress) -> Result<(Vec<f32>, Vec<ImageBytes>)> {
        let Flight { parts, images } = flight;
        let mut sent = Some(parts);
        let features = self.with_engine(progress, |engine| {
            let mut features = Vec::new();
            for mut part in sent.take().map_or_else(|| send(engine, &images), Ok)? {
                features.extend(part.wait(Tap::Features)?);
            }
            Ok(features)
        })?;
        Ok((features, images))
    }

    /// Plans an engine, with a warning where it needs one.
    fn plan(&self, progress: &dyn Progress) -> Result<Box<dyn Engine>> {
        let engine = self.engines.plan(self.batch)?;
        if let Some(warning) = self.engines.warning(self.batch) {
            progress.warn(&warning);
        }
        Ok(engine)
    }

    /// Works with the engine, again with one for half the batch as long as that fails for want of memory.
    fn with_engine<T>(
        &mut self,
        progress: &dyn Progress,
        mut work: impl FnMut(&dyn Engine) -> Result<T, resnet::Error>,
    ) -> Result<T> {
        let asked = self.batch;
        let mut refused = None;
        loop {
            let engine = self.engine.take().map_or_else(|| self.plan(progress), Ok);
            let outcome = engine.and_then(|engine| {
                let outcome = self.engines.verdict(work(&*engine));
                self.engine = Some(engine);
                outcome
            });
            match outcome {
                Err(error) if self.batch > 1 && may_fit_in_halves(&error) => {
                    self.engine = None;
                    self.batch /= 2;
                    refused.get_or_insert(error);
                }
                outcome => {
                    if let (Ok(_), Some(error)) = (&outcome, refused) {
                        let (batch, error) = (self.batch, chain(&error));
                        progress.warn(&format!(
                            "batches of {asked} photos are too large for this device, the work goes on with batches of {batch}: {error}"
                        ));
                    }
                    return outcome;
                }
            }
        }
    }
}

/// Sends images on their way, in as many batches as it takes.
fn send(engine: &dyn Engine, images: &[ImageBytes]) -> Result<Vec<Pending>, resnet::Error> {
    images.chunks(engine.batch()).map(|chunk| engine.submit_bytes(chunk)).collect()
}

/// Tells whether a smaller batch may succeed where this error came. What is wrong with a weight or an option is wrong in every batch.
fn may_fit_in_halves(error: &Error) -> bool {
    match error {
        Error::OutOfMemory(_) => true,
        Error::Backbone(error) => error.is_too_large(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kernels::{Family, Precision, wgpu};
    use resnet::{Architecture, WeightFile};

    use super::*;
    use crate::features::fake::{Fake, colours};
    use crate::machine::gpu::{Gpu, Selection, adapters, open, open_with};
    use crate::progress::Warnings;
    use crate::random::SplitMix64;
    use crate::untrained::random_weights;

    /// A device with room for batches up to some size, on which every call complains that asks for more.
    struct Device {
        room: AtomicUsize,
        complaint: Mutex<Option<Error>>,
        planned: Mutex<Vec<usize>>,
    }

    impl Device {
        fn with_room_for(room: usize) -> Self {
            Self { room: room.into(), complaint: Mutex::default(), planned: Mutex::default() }
        }

        fn engines(&self) -> Engines<'_> {
            let plan = |batch| {
                self.planned.lock().unwrap().push(batch);
                self.ask_for(batch);
                Ok(Box::new(Fake::new(batch, |images| Ok(colours(images)))) as Box<dyn Engine>)
            };
            Engines::new(plan).checked_by(|| self.complaint.lock().unwrap().take().map_or(Ok(()), Err))
        }

        fn ask_for(&self, batch: usize) {
            if batch > self.room.load(Ordering::SeqCst) {
                let what = format!("no room for {batch} photos");
                self.complaint.lock().unwrap().get_or_insert(Error::OutOfMemory(what));
            }
        }
    }

    fn pass(extractor: &mut Extractor, images: &[ImageBytes], progress: &dyn Progress) -> Result<Vec<f32>> {
        let flight = extractor.submit(images.to_vec(), progress)?;
        extractor.wait(flight, progress).map(|(features, _)| features)
    }

    fn images(size: usize) -> Vec<ImageBytes> {
        let mut random = SplitMix64(7);
        let mut image = || ImageBytes {
            height: size,
            width: size,
            data: (0..size * size * 3).map(|_| (random.bits() >> 40) as u8).collect(),
            mean: [0.5; 3],
            std: [1.0; 3],
        };
        (0..8).map(|_| image()).collect()
    }

    #[test]
    fn a_batch_is_halved_when_memory_runs_out() {
        let (images, warnings) = (images(4), Warnings::default());
        let whole = colours(&images.iter().map(ImageBytes::tensor).collect::<Vec<_>>());
        let device = Device::with_room_for(8);
        assert_eq!(pass(&mut Extractor::new(device.engines(), 8), &images, &warnings).unwrap(), whole);
        assert_eq!((&*device.planned.lock().unwrap(), warnings.take().len()), (&vec![8], 0));

        // From the start.
        let device = Device::with_room_for(3);
        let mut extractor = Extractor::new(device.engines(), 8);
        assert_eq!(pass(&mut extractor, &images, &warnings).unwrap(), whole);
        assert_eq!((extractor.batch(), &*device.planned.lock().unwrap()), (2, &vec![8, 4, 2]));
        let told = warnings.take();
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("batches of 8 photos are too large for this device"), "{told:?}");
        assert!(
            told[0].contains("goes on with batches of 2: ") && told[0].contains("no room for 8 photos"),
            "{told:?}"
        );

        // In the midst of it: two batches are on their way, and both come out.
        let device = Device::with_room_for(8);
        let mut extractor = Extractor::new(device.engines(), 8);
        let flights = [images.clone(), images.clone()].map(|images| extractor.submit(images, &warnings).unwrap());
        device.room.store(4, Ordering::SeqCst);
        device.ask_for(8);
        for flight in flights {
            assert_eq!(extractor.wait(flight, &warnings).unwrap(), (whole.clone(), images.clone()));
        }
        assert_eq!((extractor.batch(), warnings.take().len()), (4, 1));

        // Not even one.
        let device = Device::with_room_for(0);
        let error = pass(&mut Extractor::new(device.engines(), 8), &images, &warnings).unwrap_err();
        assert_eq!(error.fault(), crate::Fault::Device);
        assert!(matches!(&error, Error::OutOfMemory(what) if what == "no room for 1 photos"), "{error}");
        assert_eq!((warnings.take().len(), device.planned.lock().unwrap().len()), (0, 4));
    }

    #[test]
    fn what_is_to_be_feared_is_told_once_of_the_batch_that_is_taken() {
        let (images, warnings) = (images(4), Warnings::default());
        let whole = colours(&images.iter().map(ImageBytes::tensor).collect::<Vec<_>>());
        let device = Device::with_room_for(4);
        let engines = device.engines().warned_by(|batch| (batch > 2).then(|| format!("{batch} are many")));
        let mut extractor = Extractor::new(engines, 8);
        for _ in 0..2 {
            assert_eq!(pass(&mut extractor, &images, &warnings).unwrap(), whole);
        }
        let told = warnings.take();
        assert!(told.len() == 2 && told.contains(&"4 are many".to_owned()), "{told:?}");
    }

    #[test]
    fn an_error_that_every_batch_has_is_told_at_once() {
        let planned = AtomicUsize::new(0);
        let engines = Engines::new(|_| {
            planned.fetch_add(1, Ordering::SeqCst);
            let error = kernels::Error::Shape { op: "conv2d", message: "a weight of 70000 is beyond f16".to_owned() };
            Err(Error::from(resnet::Error::from(error)))
        });
        let error = pass(&mut Extractor::new(engines, 8), &images(4), &()).unwrap_err();
        assert!(error.to_string().contains("beyond f16"), "{error}");
        assert_eq!(planned.load(Ordering::SeqCst), 1);
    }

    fn gpu(narrow: impl FnOnce(&mut wgpu::Limits)) -> Gpu {
        let adapter = pollster::block_on(adapters(None)).into_iter().next().expect("an adapter");
        let mut limits = adapter.limits();
        narrow(&mut limits);
        pollster::block_on(open_with(adapter, limits, &Selection::default())).unwrap()
    }

    /// Opens a small network, whose file is passed through `edit`.
    fn network(edit: impl FnOnce(&mut [u8])) -> WeightFile {
        let mut bytes = random_weights(&Architecture::basic([1; 4], [4, 4, 8, 8], None), 1);
        edit(&mut bytes);
        WeightFile::from_bytes(bytes).unwrap()
    }

    #[test]
    fn a_weight_beyond_f16_is_told_at_once() {
        let weights = network(|bytes| {
            let (header, metadata) = safetensors::SafeTensors::read_metadata(bytes).unwrap();
            let at = 8 + header + metadata.info("conv1.weight").unwrap().data_offsets.0;
            bytes[at..at + 4].copy_from_slice(&1e9f32.to_le_bytes());
        });
        let selection = Selection { precision: Precision::F16, family: Some(Family::Tiled), ..Selection::default() };
        let gpu = pollster::block_on(open(&selection)).unwrap();
        let on_gpu = Engines::on(&gpu, &weights, [64, 64]);
        let planned = AtomicUsize::new(0);
        let counted = Engines::new(|batch| {
            planned.fetch_add(1, Ordering::SeqCst);
            on_gpu.plan(batch)
        });
        let error = pass(&mut Extractor::new(counted, 8), &images(64), &()).unwrap_err();
        assert!(chain(&error).contains("beyond f16"), "{error}");
        assert_eq!(planned.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_batch_fits_itself_to_the_limits_of_the_device() {
        let (weights, images) = (network(|_| ()), images(64));
        let (wide, warnings) = (gpu(|_| ()), Warnings::default());
        let through = |gpu: &Gpu| {
            let mut extractor = Extractor::new(Engines::on(gpu, &weights, [64, 64]), 8);
            pass(&mut extractor, &images, &warnings).map(|features| (features, extractor.batch()))
        };
        let (whole, batch) = through(&wide).unwrap();
        assert_eq!((batch, whole.len(), warnings.take().len()), (8, 8 * 8, 0));
        // The input alone takes 393,216 bytes.
        let narrow = gpu(|limits| limits.max_buffer_size = 300_000);
        let (parts, batch) = through(&narrow).unwrap();
        let close = |(got, want): (&f32, &f32)| (got - want).abs() <= 1e-5 * want.abs().max(1e-3);
        assert!(batch < 8 && parts.len() == whole.len() && parts.iter().zip(&whole).all(close), "{batch}");
        let told = warnings.take();
        assert!(told.len() == 1 && told[0].contains("max_buffer_size allows 300000"), "{told:?}");
        let error = through(&gpu(|limits| limits.max_buffer_size = 30_000)).unwrap_err();
        assert_eq!(error.fault(), crate::Fault::Device);
        assert!(error.to_string().contains("max_buffer_size allows 30000"), "{error}");
    }
}
