//! Makes the engines that run a network for batches of some size, and checks their device for complaints after each call.

use kernels::wgpu::{Device, PollType};
use resnet::{Backbone, BackboneOptions, Engine, Error, ImageBytes, ImageTensor, Pending, Tap, WeightFile};

use crate::error::Result;
use crate::machine::device::Gpu;

/// Makes the engines that run a network, each for batches of some size.
pub struct Engines<'a> {
    plan: Box<dyn Fn(usize) -> Result<Box<dyn Engine>> + 'a>,
    check: Box<dyn Fn() -> Result<()> + 'a>,
}

impl<'a> Engines<'a> {
    /// Takes the engines that `plan` makes, given the most images of a batch.
    pub fn new(plan: impl Fn(usize) -> Result<Box<dyn Engine>> + 'a) -> Self {
        Self { plan: Box::new(plan), check: Box::new(|| Ok(())) }
    }

    /// Adds `check`, which gives the complaints of the engines' device. It is asked after each call: a complaint is reported rather than
    /// the call's own error, which is its consequence.
    pub fn checked_by(self, check: impl Fn() -> Result<()> + 'a) -> Self {
        Self { check: Box::new(check), ..self }
    }

    /// Runs the network of `weights` on an adapter, for images of `input_size`.
    pub fn on(gpu: &'a Gpu, weights: &'a WeightFile, input_size: [usize; 2]) -> Self {
        let plan = move |batch| -> Result<Box<dyn Engine>> {
            let options = BackboneOptions { input_size, precision: gpu.precision, ..BackboneOptions::new(batch) };
            let backbone = Backbone::new(&gpu.context, &gpu.queue, weights, &options)?;
            Ok(Box::new(Settled { backbone, device: gpu.device.clone() }))
        };
        Self::new(plan).checked_by(|| gpu.check())
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

    /// Passes on what a call to an engine gave, unless the device complains.
    pub(super) fn verdict<T>(&self, outcome: Result<T, Error>) -> Result<T> {
        (self.check)()?;
        Ok(outcome?)
    }
}

/// A network whose memory is freed only when its device has done all that it was given: until then it isn't free for the next.
struct Settled {
    backbone: Backbone,
    device: Device,
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
