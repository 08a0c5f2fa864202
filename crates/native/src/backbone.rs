//! The frozen network on the CPU: a pass, layer by layer, through memory that later passes use again.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use resnet::low_level::Layout;
use resnet::{Architecture, Engine, Error, ImageBytes, ImageTensor, Pending, Tap, WeightFile};

use crate::convolution::Operands;
use crate::memory::zeros;
use crate::plan::{self, Plan, Planned, Step, pixel};
use crate::pools::{self, Images};
use crate::simd::Isa;
use crate::team::Team;

/// Sizes and taps for which a [`Backbone`] is planned.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The most images of a pass, at least 1.
    pub batch: usize,
    /// Rows and columns of an image.
    pub input_size: [usize; 2],
    /// The taps to read, at least one. Layers behind the last aren't computed.
    pub taps: &'a [Tap],
}

impl Options<'_> {
    /// One image at a time goes through the stem: what it computes is the largest by far.
    fn layout(&self) -> Layout<'_> {
        let &Self { batch, input_size, taps } = self;
        Layout { batch, input_size, taps, stem_images: 1, convert: None }
    }
}

/// A frozen ResNet on the CPU's vectors: planned once, run for batch after batch.
///
/// # Numerics
/// f32 throughout (weights are folded and transformed in f64, and the averages over all pixels summed in it); within a relative 1e-4
/// of PyTorch's and of the WGSL engine's at every stage. The same images give the same bytes whatever the batch they come in and the
/// number of threads, but not with another instruction set.
///
/// # Threads
/// [`submit`](Engine::submit) computes on rayon's threads, of which `RAYON_NUM_THREADS` says how many, and is done when it returns:
/// [`Pending::wait`] only reads. Passes that are submitted at once, by several threads, have memory of their own.
///
/// # Example
/// See the [crate](crate).
pub struct Backbone {
    plan: Plan,
    batch: usize,
    input_size: [usize; 2],
    /// Memory of passes that are done.
    idle: Mutex<Vec<Memory>>,
}

/// The most parts in which the stem does a batch.
const STEM_PARTS: usize = 16;

/// What a pass works in.
struct Memory {
    buffers: Vec<Vec<f32>>,
    team: Team,
}

impl Memory {
    fn new(plan: &Plan) -> Result<Self, Error> {
        let buffers = plan.arena.buffers.iter().map(|&len| zeros("activations", len as usize, true));
        Ok(Self { buffers: buffers.collect::<Result<_, _>>()?, team: Team::new(plan.scratch())? })
    }
}

impl Backbone {
    /// Plans the network of `weights` and packs it for this CPU.
    ///
    /// The instruction set is the best that the CPU has, or the one that `REHEAD_CPU` names: `avx512`, `avx2`, `sse2` or `neon`.
    ///
    /// # Errors
    /// [`Error::Options`] for an empty batch, image or list of taps, and where `REHEAD_CPU` names what this CPU hasn't;
    /// [`Error::NoHead`] when logits are asked of a file without a head; [`Error::Memory`] where the process can't have what it takes;
    /// what reading the weights gives.
    pub fn new(weights: &WeightFile, options: &Options<'_>) -> Result<Self, Error> {
        Self::with(Isa::chosen()?, weights, options)
    }

    /// Computes the memory that it would take, in bytes; of the weights, what they take at most.
    ///
    /// # Errors
    /// As [`new`](Self::new), but for what is of the weights.
    pub fn memory_of(architecture: &Architecture, options: &Options<'_>) -> Result<resnet::Memory, Error> {
        plan::memory_of(architecture, options.layout())
    }

    pub(crate) fn with(isa: Isa, weights: &WeightFile, options: &Options<'_>) -> Result<Self, Error> {
        let &Options { batch, input_size, taps } = options;
        // Few images at a time through the stem: what it computes is the largest by far.
        let stem_images = batch.div_ceil(STEM_PARTS);
        let plan = Plan::new(isa, weights, Layout { batch, input_size, taps, stem_images, convert: None })?;
        let idle = Mutex::new(vec![Memory::new(&plan)?]);
        Ok(Self { plan, batch, input_size, idle })
    }

    fn pass(&self, images: usize, photo: impl Fn(usize, &mut [f32]) + Sync) -> Result<Pending, Error> {
        let mut memory = match self.idle().pop() {
            Some(memory) => memory,
            None => Memory::new(&self.plan)?,
        };
        let photos = &mut memory.buffers[self.plan.arena.places[0]];
        let len = self.input_size[0] * self.input_size[1] * 3;
        memory.team.run(photos.chunks_exact_mut(len).take(images).enumerate(), |(place, to), _| photo(place, to));
        for planned in &self.plan.layers {
            self.layer(planned, images, &mut memory);
        }
        let taps = self.plan.taps.iter().map(|&(tap, tensor)| Ok((tap, self.read(tensor, images, &memory)?)));
        let taps = taps.collect::<Result<Vec<_>, Error>>()?;
        self.idle().push(memory);
        Ok(Pending::new(move |wanted| match taps.iter().find(|(tap, _)| *tap == wanted) {
            Some((_, values)) => Ok(values.clone()),
            None => Err(Error::Options(format!("{wanted:?} isn't among the taps that the backbone was made with"))),
        }))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Memory>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Computes a layer of the images that there are.
    fn layer(&self, planned: &Planned, images: usize, memory: &mut Memory) {
        let Planned { layer, step, first } = planned;
        let images = images.saturating_sub(*first).min(layer.images);
        if images == 0 {
            return;
        }
        let Plan { isa, tensors, arena, .. } = &self.plan;
        let whole = |tensor: usize| tensors[tensor].part_of.unwrap_or((tensor, 0));
        let (target, start) = whole(layer.writes);
        let mut buffer = std::mem::take(&mut memory.buffers[arena.places[target]]);
        let numbers = pixel(tensors, layer.writes);
        let len = images * layer.output[0] * layer.output[1] * numbers;
        let output = &mut buffer[start * numbers..start * numbers + len];
        let Memory { buffers, team } = memory;
        let read = |place: usize| {
            let tensor = layer.reads[place];
            let (source, start) = whole(tensor);
            let numbers = pixel(tensors, tensor);
            let rows = tensors[tensor].pixels / layer.images * images;
            &buffers[arena.places[source]][start * numbers..(start + rows) * numbers]
        };
        let [height, width, _] = layer.input;
        let input = Images { values: read(0), size: [height, width], pixel: pixel(tensors, layer.reads[0]) };
        match step {
            Step::Conv(weights) => {
                let residual = (layer.reads.len() > 1).then(|| read(1));
                let Images { values, size, pixel } = input;
                let operands = Operands { images, input: values, size, pixel, residual, output };
                self.plan.convs[*weights].run(team, operands);
            }
            Step::MaxPool(spec) => pools::max_pool(*isa, team, *spec, input, output),
            Step::AvgPool => pools::avg_pool(team, input, output),
            Step::GlobalAvgPool => pools::global_avg_pool(team, input, output),
            Step::Slide(kernel, own) => pools::slide(kernel, *own, input, output),
            Step::GatedSum => {
                pools::gated_sum(*isa, team, read(1), [input, Images { values: read(2), ..input }], output);
            }
        }
        memory.buffers[arena.places[target]] = buffer;
    }

    /// Copies a tap's values without what pads them.
    fn read(&self, tensor: usize, images: usize, memory: &Memory) -> Result<Vec<f32>, Error> {
        let tensors = &self.plan.tensors;
        let (channels, numbers) = (tensors[tensor].channels, pixel(tensors, tensor));
        let pixels = tensors[tensor].pixels / self.batch * images;
        let (source, start) = tensors[tensor].part_of.unwrap_or((tensor, 0));
        let values = &memory.buffers[self.plan.arena.places[source]][start * numbers..(start + pixels) * numbers];
        let mut tapped = Vec::new();
        let bytes = pixels as u64 * channels as u64 * 4;
        let none = |_| Error::Memory { what: "taps", bytes, of_batch: true };
        tapped.try_reserve_exact(pixels * channels).map_err(none)?;
        values.chunks_exact(numbers).for_each(|pixel| tapped.extend_from_slice(&pixel[..channels]));
        Ok(tapped)
    }
}

impl Engine for Backbone {
    fn batch(&self) -> usize {
        self.batch
    }

    fn input_size(&self) -> [usize; 2] {
        self.input_size
    }

    fn len_of(&self, tap: Tap) -> Option<usize> {
        let &(_, tensor) = self.plan.taps.iter().find(|(known, _)| *known == tap)?;
        let tensor = self.plan.tensors[tensor];
        Some(tensor.pixels / self.batch * tensor.channels)
    }

    /// Computes a pass over up to a batch of images, and is done when it returns. It costs as much as there are images.
    ///
    /// # Errors
    /// As [`Engine::check`]; [`Error::Memory`] where there is none for the taps, or for a pass beside another one.
    fn submit(&self, images: &[ImageTensor]) -> Result<Pending, Error> {
        self.check(images)?;
        self.pass(images.len(), |place, to| to.copy_from_slice(&images[place].data))
    }

    /// Does as [`submit`](Self::submit) does with photos that aren't normalised yet.
    fn submit_bytes(&self, images: &[ImageBytes]) -> Result<Pending, Error> {
        self.check_bytes(images)?;
        self.pass(images.len(), |place, to| images[place].normalise(to))
    }
}

impl fmt::Debug for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backbone")
            .field("isa", &self.plan.isa.name())
            .field("batch", &self.batch)
            .field("input_size", &self.input_size)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_known_before_it_is_taken() {
        let architecture = Architecture::basic([1; 4], [8, 8, 16, 32], None);
        let weights = WeightFile::from_bytes(testkit::formula::weights(&architecture.tensors())).unwrap();
        let options = |batch| Options { batch, input_size: [32, 32], taps: &[Tap::Features] };
        let taken = |batch| -> u64 {
            let backbone = Backbone::new(&weights, &options(batch)).unwrap();
            let memory = backbone.idle().pop().unwrap();
            memory.buffers.iter().map(|buffer| 4 * buffer.len() as u64).sum()
        };
        let said = |batch| Backbone::memory_of(&architecture, &options(batch)).unwrap();
        assert_eq!([1, 3].map(|batch| said(batch).activations), [1, 3].map(taken));
        assert!(said(1).activations < said(3).activations && said(1).weights == said(3).weights);
        assert!(said(1).weights >= 4 * architecture.parameters() as u64);
        assert!(Backbone::memory_of(&architecture, &options(0)).is_err());
    }
}
