//! Waits for the device, and reads tensors back from it.

use kernels::wgpu::{Buffer, Device, PollType, SubmissionIndex};
use kernels::{Precision, from_halves, host};

use crate::error::Error;

/// Blocks until the device has done what was submitted.
pub(super) fn wait(device: &Device, submission: SubmissionIndex) -> Result<(), Error> {
    let wait = PollType::Wait { submission_index: Some(submission), timeout: None };
    device.poll(wait).map_err(Error::device).map(drop)
}

/// How a tensor that is read back was stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct TensorShape {
    pub pixels: usize,
    pub channels: usize,
    pub precision: Precision,
}

impl TensorShape {
    pub fn bytes(self) -> u64 {
        self.pixels as u64 * u64::from(self.precision.words(self.channels as u32)) * 4
    }
}

/// Waits for a submission and reads the tensor that it copied into `staging`.
pub(super) fn read(
    device: &Device,
    submission: SubmissionIndex,
    staging: &Buffer,
    shape: TensorShape,
) -> Result<Vec<f32>, Error> {
    match shape.precision {
        Precision::F32 => words(device, submission, staging, shape.bytes()),
        Precision::F16 => Ok(from_halves(&words(device, submission, staging, shape.bytes())?, shape.channels)),
    }
}

/// Waits for a submission and reads the 32-bit words that it copied into `staging`.
pub(super) fn words<T: bytemuck::Pod>(
    device: &Device,
    submission: SubmissionIndex,
    staging: &Buffer,
    bytes: u64,
) -> Result<Vec<T>, Error> {
    // Not for what was submitted after it: the next batch may be on its way.
    let until = PollType::Wait { submission_index: Some(submission), timeout: None };
    let view = host::block_on(device, until, host::map(staging.slice(0..bytes)))?;
    let values = bytemuck::pod_collect_to_vec(&view);
    drop(view);
    staging.unmap();
    Ok(values)
}
