//! The frozen network on an adapter, as the extractor of features.

use std::sync::{Mutex, MutexGuard, PoisonError};

use resnet::{Backbone, BackboneOptions, Engine, Image, ImageTensor, Recipe, Tap, WeightFile, preprocess_into};

use crate::error::{Error, Result};
use crate::features::Extractor;
use crate::machine::device::Gpu;
use crate::machine::tune;
use crate::photos::Picture;
use crate::progress::Progress;

/// A ResNet on an adapter.
///
/// It is planned and uploaded when the first batch comes: where all features are known, none does, and where one comes, photos are
/// decoded meanwhile. Where memory doesn't suffice, it goes on with batches of half the size, down to single photos.
pub struct GpuExtractor<'a> {
    gpu: &'a Gpu,
    weights: &'a WeightFile,
    recipe: Recipe,
    tuned: Option<String>,
    progress: &'a dyn Progress,
    planned: Mutex<Planned>,
}

struct Planned {
    /// What there is room for, as far as is known.
    batch: usize,
    backbone: Option<Backbone>,
}

impl<'a> GpuExtractor<'a> {
    /// For batches of `batch` photos. `progress` is told when there is no memory for as many.
    ///
    /// # Errors
    /// The recipe can't be followed.
    pub fn new(
        gpu: &'a Gpu,
        weights: &'a WeightFile,
        recipe: &Recipe,
        batch: usize,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        recipe.check()?;
        let batch = batch.max(1);
        let mut fitting = batch;
        let tuned = loop {
            match tune::fingerprint(gpu, weights.architecture(), &options(gpu, recipe, fitting)) {
                // As extraction will find, and say.
                Err(error) if fitting > 1 && is_too_large(&error) => fitting /= 2,
                other => break other?,
            }
        };
        let planned = Mutex::new(Planned { batch, backbone: None });
        Ok(Self { gpu, weights, recipe: recipe.clone(), tuned, progress, planned })
    }

    /// What a table of measured kernels changes about the network, as a digest.
    pub fn tuned(&self) -> Option<&str> {
        self.tuned.as_deref()
    }

    fn planned(&self) -> MutexGuard<'_, Planned> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self, batch: usize) -> Result<Backbone> {
        let options = options(self.gpu, &self.recipe, batch);
        self.verdict(Backbone::new(&self.gpu.context, &self.gpu.queue, self.weights, &options))
    }

    /// The device's complaint, if there is one: an error found later is its consequence.
    fn verdict<T>(&self, outcome: Result<T, resnet::Error>) -> Result<T> {
        self.gpu.check()?;
        Ok(outcome?)
    }

    /// Works with the network, again with half the batch as long as that fails for want of memory.
    fn with_backbone<T>(&self, mut work: impl FnMut(&Backbone) -> Result<T, resnet::Error>) -> Result<T> {
        let planned = &mut *self.planned();
        let asked = planned.batch;
        let mut refused = None;
        loop {
            let backbone = planned.backbone.take().map_or_else(|| self.plan(planned.batch), Ok);
            let outcome = backbone.and_then(|backbone| {
                #[cfg(test)]
                self.gpu.pretend(backbone.batch());
                let outcome = self.verdict(work(&backbone));
                planned.backbone = Some(backbone);
                outcome
            });
            match outcome {
                Err(error) if planned.batch > 1 && is_too_large(&error) => {
                    // Before anything is freed that the device still works with.
                    self.gpu.wait()?;
                    planned.backbone = None;
                    planned.batch /= 2;
                    refused.get_or_insert(error);
                }
                outcome => {
                    if let (Ok(_), Some(error)) = (&outcome, refused) {
                        let batch = planned.batch;
                        self.progress.warn(&format!(
                            "a batch of {asked} is too large for this adapter, it goes on with {batch} (--batch {batch}): {error}"
                        ));
                    }
                    return outcome;
                }
            }
        }
    }

    /// Sends photos on their way, in as many batches as it takes.
    fn send(&self, backbone: &Backbone, inputs: &[ImageTensor]) -> Result<Vec<resnet::Pending>, resnet::Error> {
        inputs.chunks(backbone.batch()).map(|chunk| backbone.submit(chunk)).collect()
    }
}

fn options(gpu: &Gpu, recipe: &Recipe, batch: usize) -> BackboneOptions {
    BackboneOptions { input_size: recipe.input_size, precision: gpu.precision, ..BackboneOptions::new(batch) }
}

/// Errors that a smaller batch may not have.
fn is_too_large(error: &Error) -> bool {
    use kernels::Error::{Limit, Shape};
    matches!(error, Error::OutOfMemory(_) | Error::Backbone(resnet::Error::Kernels(Limit { .. } | Shape { .. })))
}

/// A batch on its way, with its photos, should it have to be done again.
pub struct Pending {
    parts: Vec<resnet::Pending>,
    inputs: Vec<ImageTensor>,
}

impl Extractor for GpuExtractor<'_> {
    type Input = ImageTensor;
    type Pending = Pending;

    fn prepare(&self, image: &Picture, spare: Option<ImageTensor>) -> Result<ImageTensor, String> {
        let mut tensor = spare.unwrap_or_default();
        Image::new(image.width, image.height, &image.rgb)
            .and_then(|picture| preprocess_into(picture, &self.recipe, &mut tensor))
            .map_err(|error| error.to_string())?;
        Ok(tensor)
    }

    fn submit(&self, inputs: Vec<ImageTensor>) -> Result<Pending> {
        #[cfg(test)]
        self.gpu.inputs.lock().unwrap().extend(inputs.iter().map(|input| -> crate::digest::Digest {
            use sha2::Digest as _;
            sha2::Sha256::digest(bytemuck::cast_slice(&input.data)).into()
        }));
        let parts = self.with_backbone(|backbone| self.send(backbone, &inputs))?;
        Ok(Pending { parts, inputs })
    }

    fn wait(&self, Pending { parts, inputs }: Pending) -> Result<(Vec<f32>, Vec<ImageTensor>)> {
        let mut sent = Some(parts);
        let features = self.with_backbone(|backbone| {
            let parts = sent.take().map_or_else(|| self.send(backbone, &inputs), Ok)?;
            let mut features = Vec::with_capacity(inputs.len() * self.feature_len());
            for mut part in parts {
                features.extend(part.wait(Tap::Features)?);
            }
            Ok(features)
        })?;
        Ok((features, inputs))
    }

    fn feature_len(&self) -> usize {
        self.weights.architecture().features()
    }

    fn batch(&self) -> usize {
        self.planned().batch
    }
}

#[cfg(test)]
mod tests {
    use resnet::Architecture;

    use super::*;
    use crate::machine::device::{Selection, adapters, open_with};
    use crate::random::SplitMix64;
    use crate::untrained::random_weights;
    use kernels::wgpu;
    use std::sync::atomic::Ordering;

    /// Keeps warnings.
    #[derive(Default)]
    struct Warnings(Mutex<Vec<String>>);

    impl Progress for Warnings {
        fn warn(&self, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
    }

    impl Warnings {
        fn take(&self) -> Vec<String> {
            std::mem::take(&mut *self.0.lock().unwrap())
        }
    }

    fn gpu(narrow: impl FnOnce(&mut wgpu::Limits)) -> Gpu {
        let adapter = pollster::block_on(adapters(None)).into_iter().next().expect("an adapter");
        let mut limits = adapter.limits();
        narrow(&mut limits);
        pollster::block_on(open_with(adapter, limits, &Selection::default())).unwrap()
    }

    fn network() -> (WeightFile, Recipe, Vec<ImageTensor>) {
        let weights = random_weights(&Architecture::basic([1; 4], [4, 4, 8, 8], None), 1);
        let recipe = Recipe { input_size: [64, 64], ..Recipe::default() };
        let mut random = SplitMix64(7);
        let mut image = || ImageTensor {
            height: 64,
            width: 64,
            data: (0..64 * 64 * 3).map(|_| (random.bits() >> 40) as f32 / (1 << 24) as f32 - 0.5).collect(),
        };
        (WeightFile::from_bytes(weights).unwrap(), recipe, (0..8).map(|_| image()).collect())
    }

    fn close(got: &[f32], want: &[f32]) -> bool {
        got.len() == want.len()
            && got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-5 * want.abs().max(1e-3))
    }

    #[test]
    fn a_batch_halves_itself_when_memory_runs_out() {
        let (weights, recipe, images) = network();
        let (gpu, warnings) = (gpu(|_| ()), Warnings::default());
        let pass = |extractor: &GpuExtractor| {
            let pending = extractor.submit(images.clone())?;
            extractor.wait(pending).map(|(features, _)| features)
        };
        let whole = pass(&GpuExtractor::new(&gpu, &weights, &recipe, 8, &warnings).unwrap()).unwrap();
        assert_eq!((whole.len(), warnings.take().len()), (8 * 8, 0));

        // From the start.
        gpu.room.store(3, Ordering::SeqCst);
        let extractor = GpuExtractor::new(&gpu, &weights, &recipe, 8, &warnings).unwrap();
        assert!(close(&pass(&extractor).unwrap(), &whole));
        assert_eq!(extractor.batch(), 2);
        let told = warnings.take();
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("a batch of 8 is too large for this adapter, it goes on with 2 (--batch 2): "));
        assert!(told[0].contains("no room for 8 photos"), "{told:?}");

        // In the midst of it: two batches are on their way, and both come out.
        gpu.room.store(usize::MAX, Ordering::SeqCst);
        let extractor = GpuExtractor::new(&gpu, &weights, &recipe, 8, &warnings).unwrap();
        let [first, second] = [images.clone(), images.clone()].map(|images| extractor.submit(images).unwrap());
        gpu.room.store(4, Ordering::SeqCst);
        for pending in [first, second] {
            assert!(close(&extractor.wait(pending).unwrap().0, &whole));
        }
        assert_eq!((extractor.batch(), warnings.take().len()), (4, 1));

        // Not even one.
        gpu.room.store(0, Ordering::SeqCst);
        let error = pass(&GpuExtractor::new(&gpu, &weights, &recipe, 8, &warnings).unwrap()).unwrap_err();
        assert_eq!(error.fault(), crate::Fault::Device);
        assert!(error.to_string().starts_with("device: out of memory: no room for 1 photos; close"), "{error}");
        assert_eq!(warnings.take().len(), 0);
    }

    #[test]
    fn a_batch_fits_itself_to_the_limits_of_the_device() {
        let (weights, recipe, images) = network();
        let (wide, warnings) = (gpu(|_| ()), Warnings::default());
        let pass = |gpu: &Gpu| {
            let extractor = GpuExtractor::new(gpu, &weights, &recipe, 8, &warnings).unwrap();
            let pending = extractor.submit(images.clone())?;
            extractor.wait(pending).map(|(features, _)| (features, extractor.batch()))
        };
        let (whole, batch) = pass(&wide).unwrap();
        assert_eq!((batch, warnings.take().len()), (8, 0));
        // The input alone takes 393,216 bytes.
        let narrow = gpu(|limits| limits.max_buffer_size = 300_000);
        let (parts, batch) = pass(&narrow).unwrap();
        assert!(batch < 8 && close(&parts, &whole), "{batch}");
        let told = warnings.take();
        assert!(told.len() == 1 && told[0].contains("max_buffer_size allows 300000"), "{told:?}");
        let error = pass(&gpu(|limits| limits.max_buffer_size = 30_000)).unwrap_err();
        assert_eq!(error.fault(), crate::Fault::Device);
        assert!(error.to_string().contains("max_buffer_size allows 30000"), "{error}");
    }
}
