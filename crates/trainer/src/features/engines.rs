//! Makes the engines that run a network for batches of some size, and checks their device for complaints after each call.

use std::rc::Rc;

use kernels::wgpu::{self, PollType};
use resnet::{Backbone, BackboneOptions, Engine, Error, ImageBytes, ImageTensor, Pending, Tap, WeightFile};

use crate::error::Result;
use crate::features::fleet::Fleet;
use crate::machine::device::is_hardware;
use crate::machine::heap;
use crate::machine::{Device, Gpu};

/// Makes the engines that run a network, each for batches of some size.
pub struct Engines<'a> {
    plan: Box<dyn Fn(usize) -> Result<Box<dyn Engine>> + 'a>,
    check: Box<dyn Fn() -> Result<()> + 'a>,
    warn: Box<dyn Fn(usize) -> Option<String> + 'a>,
}

impl<'a> Engines<'a> {
    /// Takes the engines that `plan` makes, given the most images of a batch.
    pub fn new(plan: impl Fn(usize) -> Result<Box<dyn Engine>> + 'a) -> Self {
        Self { plan: Box::new(plan), check: Box::new(|| Ok(())), warn: Box::new(|_| None) }
    }

    /// Adds `check`, which gives the complaints of the engines' device. It is asked after each call: a complaint is reported rather than
    /// the call's own error, which is its consequence.
    pub fn checked_by(self, check: impl Fn() -> Result<()> + 'a) -> Self {
        Self { check: Box::new(check), ..self }
    }

    /// Adds `warn`, which says what is to be feared of batches of so many images, if anything is.
    pub fn warned_by(self, warn: impl Fn(usize) -> Option<String> + 'a) -> Self {
        Self { warn: Box::new(warn), ..self }
    }

    /// Runs the network of `weights` on a device, for images of `input_size`.
    pub fn of(device: &'a Device, weights: &'a WeightFile, input_size: [usize; 2]) -> Self {
        match device {
            Device::Gpu(gpu) => Self::on(gpu, weights, input_size),
            Device::Cpu(_) => Self::new(move |batch| {
                let options = native::Options { batch, input_size, taps: &[Tap::Features] };
                heap::check(batch, input_size, &native::Backbone::memory_of(weights.architecture(), &options)?)?;
                Ok(Box::new(native::Backbone::new(weights, &options)?))
            }),
        }
    }

    /// Runs the network of `weights` on an adapter, for images of `input_size`; on all adapters that were opened with it, which share the batches.
    pub fn on(gpu: &'a Gpu, weights: &'a WeightFile, input_size: [usize; 2]) -> Self {
        let first = Self::on_one(gpu, weights, input_size);
        if gpu.others.is_empty() {
            return first;
        }
        let others = gpu.others.iter().map(|other| Self::on_one(other, weights, input_size));
        let all: Rc<[Self]> = std::iter::once(first).chain(others).collect();
        let [plan, check, warn] = [&all; 3].map(Rc::clone);
        Self {
            plan: Box::new(move |batch| {
                let engines: Result<Vec<_>> = plan.iter().map(|engines| engines.plan(batch)).collect();
                Ok(Box::new(Fleet::new(engines?)?))
            }),
            check: Box::new(move || check.iter().try_for_each(|engines| (engines.check)())),
            warn: Box::new(move |batch| warn.iter().find_map(|engines| engines.warning(batch))),
        }
    }

    /// Runs the network on this adapter alone.
    fn on_one(gpu: &'a Gpu, weights: &'a WeightFile, input_size: [usize; 2]) -> Self {
        let options =
            move |batch| BackboneOptions { input_size, precision: gpu.precision, ..BackboneOptions::new(batch) };
        let needs = move |batch| Backbone::memory_of(&gpu.context, weights.architecture(), &options(batch));
        let plan = move |batch| -> Result<Box<dyn Engine>> {
            // What can't be planned fails of itself.
            if let (false, Ok(needs)) = (is_hardware(&gpu.adapter), needs(batch)) {
                heap::check(batch, input_size, &needs)?;
            }
            let backbone = Backbone::new(&gpu.context, &gpu.queue, weights, &options(batch))?;
            Ok(Box::new(Settled { backbone, device: gpu.device.clone() }))
        };
        let warn = move |batch| heap::warning(gpu, batch, &needs(batch).ok()?);
        Self::new(plan).checked_by(|| gpu.check()).warned_by(warn)
    }

    /// Plans an engine for batches of so many images.
    ///
    /// # Errors
    /// The device can't run the network, or complains.
    pub fn plan(&self, batch: usize) -> Result<Box<dyn Engine>> {
        let outcome = (self.plan)(batch);
        (self.check)()?;
        outcome
    }

    /// Says what is to be feared of batches of so many images: that they take so much of a GPU's memory that its driver gets slow.
    pub fn warning(&self, batch: usize) -> Option<String> {
        (self.warn)(batch)
    }

    /// Passes on what a call to an engine gave, unless the device complains.
    pub(super) fn verdict<T>(&self, outcome: Result<T, Error>) -> Result<T> {
        (self.check)()?;
        Ok(outcome?)
    }
}

/// A network whose memory is freed only when its device has done all that it was given: until then it isn't free for the next.
struct Settled {
    backbone: Backbone,
    device: wgpu::Device,
}

impl Drop for Settled {
    fn drop(&mut self) {
        // A device that is lost says so to whoever calls it next.
        let _ = self.device.poll(PollType::wait_indefinitely());
    }
}

impl Engine for Settled {
    fn batch(&self) -> usize {
        self.backbone.batch()
    }

    fn input_size(&self) -> [usize; 2] {
        self.backbone.input_size()
    }

    fn len_of(&self, tap: Tap) -> Option<usize> {
        self.backbone.len_of(tap)
    }

    fn submit(&self, images: &[ImageTensor]) -> Result<Pending, Error> {
        self.backbone.submit(images)
    }

    fn submit_bytes(&self, images: &[ImageBytes]) -> Result<Pending, Error> {
        self.backbone.submit_bytes(images)
    }
}
