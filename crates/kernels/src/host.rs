//! A device on the host's side: opens it, waits for it, reads buffers back, and gives its complaints as errors.
//!
//! A program that has a device of its own doesn't need this: the kernels take any wgpu device as it is.

use crate::{
    Error,
    context::{cooperative_features, wanted_features},
    error::Cause,
};
use bytemuck::Pod;
use std::{
    future::{Future, poll_fn},
    sync::{Arc, Mutex, PoisonError},
    task::{Poll, Waker},
};
use wgpu::{
    Adapter, Buffer, BufferAsyncError, BufferDescriptor, BufferSlice, BufferUsages, BufferView, Device,
    DeviceDescriptor, DeviceLostReason, ExperimentalFeatures, Features, Limits, MapMode, Queue,
};

/// An open device with its queue, and what it has complained about.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use kernels::{Context, Host, wgpu};
/// let adapter = wgpu::Instance::default().request_adapter(&Default::default()).await?;
/// let host = Host::open(&adapter, wgpu::Features::empty(), adapter.limits()).await?;
/// let context = Context::new(&host.device)?;
/// # let buffer: wgpu::Buffer = unimplemented!();
/// let values: Vec<f32> = host.block_on(host.read(&buffer))?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Host {
    /// The device.
    pub device: Device,
    /// Its queue.
    pub queue: Queue,
    complaint: Arc<Mutex<Option<Error>>>,
}

impl Host {
    /// Opens an adapter with the features that kernels can use, those of `features` that it has, and these limits. Of the experimental
    /// features it takes what [`cooperative_features`] gives, where they are among `features`.
    ///
    /// # Errors
    /// [`Error::Device`] when the driver refuses.
    pub async fn open(adapter: &Adapter, features: Features, limits: Limits) -> Result<Self, Error> {
        let known = cooperative_features(adapter) | Features::all_experimental_mask().complement();
        let required_features = wanted_features(adapter) | (adapter.features() & features & known);
        let experimental_features = if required_features.intersects(Features::all_experimental_mask()) {
            // SAFETY: what may be undefined is what shaders do with cooperative matrices (docs/adr/0013). The caller asked for them by name,
            // and the kernels' one shader that has them loads and stores whole matrices within its workgroup memory.
            unsafe { ExperimentalFeatures::enabled() }
        } else {
            ExperimentalFeatures::disabled()
        };
        let descriptor = DeviceDescriptor {
            label: Some("kernels"),
            required_features,
            required_limits: limits,
            experimental_features,
            ..Default::default()
        };
        let opened = adapter.request_device(&descriptor).await;
        let (device, queue) = opened.map_err(|error| Error::device("opening the device", &error))?;
        let complaint = Arc::default();
        let (uncaptured, lost) = (Arc::clone(&complaint), Arc::clone(&complaint));
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            keep(
                &uncaptured,
                match error {
                    wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { cause: Cause::of(&error) },
                    _ => Error::device("the device's work", &error),
                },
            );
        }));
        device.set_device_lost_callback(move |reason, message| {
            if reason != DeviceLostReason::Destroyed {
                keep(&lost, Error::Lost { message });
            }
        });
        Ok(Host { device, queue, complaint })
    }

    /// Gives the first complaint of the device since it was opened, if there is one. Out of memory is reported once: complaints
    /// that follow from it are dropped with it, and the caller may go on with less.
    ///
    /// # Errors
    /// The first complaint: [`Error::Device`] for what it refused, [`Error::OutOfMemory`], [`Error::Lost`].
    pub fn check(&self) -> Result<(), Error> {
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        match complaint.clone() {
            None => Ok(()),
            Some(error) => {
                if matches!(error, Error::OutOfMemory { .. }) {
                    *complaint = None;
                }
                Err(error)
            }
        }
    }

    /// Complains as the device would, for tests of what follows.
    #[doc(hidden)]
    pub fn complain(&self, error: Error) {
        keep(&self.complaint, error);
    }

    /// Reads a buffer back, which needs the usage COPY_SRC, when all that was submitted before is done.
    ///
    /// Native devices go on only when they are polled: [`Host::block_on`] does.
    ///
    /// # Errors
    /// A complaint of the device, as [`Host::check`]; [`Error::Device`] when the bytes can't be mapped.
    pub async fn read<T: Pod>(&self, buffer: &Buffer) -> Result<Vec<T>, Error> {
        let staging = self.device.create_buffer(&BufferDescriptor {
            label: Some("kernels read-back"),
            size: buffer.size(),
            usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
        self.queue.submit([encoder.finish()]);
        let view = map(staging.slice(..)).await;
        // What it complained about is why it couldn't be mapped.
        self.check()?;
        Ok(bytemuck::pod_collect_to_vec(&view?))
    }

    /// Blocks until all that was submitted is done.
    ///
    /// # Errors
    /// A complaint of the device, as [`Host::check`]; [`Error::Device`] when it can't be waited for.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&self) -> Result<(), Error> {
        poll(&self.device, wgpu::PollType::wait_indefinitely())?;
        self.check()
    }

    /// Blocks until a future that waits for this device is ready.
    ///
    /// # Errors
    /// The future's; [`Error::Device`] when the device can't be waited for.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn block_on<T>(&self, future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        block_on(&self.device, wgpu::PollType::wait_indefinitely(), future)
    }
}

/// Keeps the first complaint: others follow from it.
fn keep(complaint: &Mutex<Option<Error>>, error: Error) {
    complaint.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
}

/// Maps a slice for reading: its bytes, when the device has written them.
///
/// # Errors
/// [`Error::Device`] when it can't be mapped.
pub async fn map(slice: BufferSlice<'_>) -> Result<BufferView, Error> {
    #[derive(Default)]
    struct Answer {
        result: Option<Result<(), BufferAsyncError>>,
        waker: Option<Waker>,
    }
    let answer = Arc::new(Mutex::new(Answer::default()));
    let given = Arc::clone(&answer);
    slice.map_async(MapMode::Read, move |result| {
        let mut answer = given.lock().unwrap_or_else(PoisonError::into_inner);
        answer.result = Some(result);
        if let Some(waker) = answer.waker.take() {
            waker.wake();
        }
    });
    let mapped = poll_fn(|task| {
        let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.waker = Some(task.waker().clone());
        answer.result.take().map_or(Poll::Pending, Poll::Ready)
    });
    mapped.await.map_err(|error| Error::device("reading back", &error))?;
    slice.get_mapped_range().map_err(|error| Error::device("reading back", &error))
}

/// Blocks until a future that waits for a device is ready, waiting for the device as `until` says.
///
/// # Errors
/// The future's; [`Error::Device`] when the device can't be waited for.
#[cfg(not(target_arch = "wasm32"))]
pub fn block_on<T>(
    device: &Device,
    until: wgpu::PollType,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut future = std::pin::pin!(future);
    let mut task = std::task::Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut task) {
            return result;
        }
        poll(device, until.clone())?;
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn poll(device: &Device, until: wgpu::PollType) -> Result<(), Error> {
    device.poll(until).map(drop).map_err(|error| Error::device("waiting for the device", &error))
}
