//! What a solver works with, and the objective that suits it.

use crate::error::Result;
use crate::head::solve::native::Native;
use crate::head::solve::objective::{Learning, Objective};
use crate::head::solve::on_device::OnDevice;
use crate::head::table::Memory;
use crate::machine::{Device, Gpu};
use crate::progress::Progress;

/// A device, how many rows it may hold where it is an adapter, and who watches.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    pub device: &'a Device,
    pub most_rows: usize,
    pub progress: &'a dyn Progress,
}

impl<'a> Work<'a> {
    /// Makes the objective of the device.
    ///
    /// # Errors
    /// As [`OnDevice::new`].
    pub fn objective(&self, learning: &Learning<'a>) -> Result<Box<dyn Objective + 'a>> {
        Ok(match self.device {
            Device::Gpu(gpu) => Box::new(OnDevice::new(&self.on(gpu), learning)?),
            Device::Cpu(_) => Box::new(Native::new(learning)),
        })
    }

    /// Takes an adapter to work on.
    pub fn on(&self, gpu: &'a Gpu) -> Memory<'a> {
        Memory { gpu, most_rows: self.most_rows, progress: self.progress }
    }
}
