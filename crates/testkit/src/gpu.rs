//! A device for tests, and outputs that show what wasn't written, or written behind.

use kernels::{
    Commands, Context, Family, Host, Tune, cooperative_features, encode_all,
    wgpu::{self, BufferUsages},
};
use std::sync::OnceLock;

/// A device for tests, with WebGPU's default limits.
#[derive(Debug)]
pub struct Gpu {
    /// The device.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: wgpu::Queue,
    /// Both, with what the device complains about.
    pub host: Host,
    shared: [OnceLock<Context>; 2],
}

/// Words behind an output that no kernel may touch.
const SENTINELS: usize = 64;
const SENTINEL: f32 = -12345.678;

/// An output buffer, filled with NaN and guarded by sentinel words behind it.
#[derive(Debug)]
pub struct Output {
    buffer: wgpu::Buffer,
    len: usize,
}

impl Output {
    /// Gives the part that a kernel may write.
    pub fn slice(&self) -> wgpu::BufferSlice<'_> {
        self.buffer.slice(0..self.len as u64 * 4)
    }
}

/// Opens the device that the tests of a process share. Panics, with what to install, where there is no adapter.
pub fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| gpu_with(wgpu::Limits::default()))
}

/// Opens a device of its own, for tests of narrower limits.
pub fn gpu_with(limits: wgpu::Limits) -> Gpu {
    open(|_| (wgpu::Features::empty(), limits))
}

/// Opens a device of its own with what half precision is fastest with, and these limits of those that the adapter has.
pub fn gpu_with_halves(limits: impl FnOnce(wgpu::Limits) -> wgpu::Limits) -> Gpu {
    open(|adapter| (wgpu::Features::SHADER_F16 | cooperative_features(adapter), limits(adapter.limits())))
}

fn open(demands: impl FnOnce(&wgpu::Adapter) -> (wgpu::Features, wgpu::Limits)) -> Gpu {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.flags = wgpu::InstanceFlags::VALIDATION;
    let instance = wgpu::Instance::new(descriptor);
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))
        .expect("the tests need an adapter: install a GPU driver, or mesa-vulkan-drivers for a software one");
    let (features, limits) = demands(&adapter);
    let host = pollster::block_on(Host::open(&adapter, features, limits)).expect("the adapter opens");
    Gpu { device: host.device.clone(), queue: host.queue.clone(), host, shared: Default::default() }
}

/// Chooses the default kernels of a family. `KERNELS_CHECKS`, `on` or `off`, says whether shaders check their indices, instead of the adapter.
pub fn tune(family: Family) -> Tune {
    let mut tune = Tune::new(family);
    tune.checks = std::env::var("KERNELS_CHECKS").ok().map(|checks| match &*checks {
        "on" => true,
        "off" => false,
        other => panic!("KERNELS_CHECKS is on or off, not {other:?}"),
    });
    tune
}

impl Gpu {
    /// Lists the families that this device can run: both on lavapipe, only the tiled one elsewhere.
    pub fn families(&self) -> Vec<Family> {
        match Tune::for_device(&self.device).family {
            Family::Texture => vec![Family::Texture, Family::Tiled],
            family => vec![family],
        }
    }

    /// Makes a context with the kernels of a family.
    pub fn context(&self, family: Family) -> Context {
        Context::with_tune(&self.device, tune(family))
    }

    /// Gives the context of a family that this device's tests share, so that each pipeline is compiled once.
    pub fn shared_context(&self, family: Family) -> &Context {
        let place = &self.shared[usize::from(family == Family::Texture)];
        place.get_or_init(|| self.context(family))
    }

    /// Makes a storage buffer with this content.
    pub fn upload<T: bytemuck::Pod>(&self, data: &[T]) -> wgpu::Buffer {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("test input"),
            size: bytes.len() as u64,
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.queue.write_buffer(&buffer, 0, bytes);
        buffer
    }

    /// Makes an output of `len` f32: NaN, with sentinels behind it.
    pub fn output(&self, len: usize) -> Output {
        let mut data = vec![f32::NAN; len];
        data.extend([SENTINEL; SENTINELS]);
        Output { buffer: self.upload(&data), len }
    }

    /// Writes into an output, for operations that work in place.
    pub fn write(&self, output: &Output, data: &[f32]) {
        assert_eq!(data.len(), output.len, "the data fills the output");
        self.queue.write_buffer(&output.buffer, 0, bytemuck::cast_slice(data));
    }

    /// Records the operations into one encoder, submits, and fails on any complaint of the device.
    pub fn run<'a>(&self, operations: impl IntoIterator<Item = &'a Commands>) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encode_all(&mut encoder, operations);
        self.queue.submit([encoder.finish()]);
        self.host.check().expect("the device takes the work");
    }

    /// Reads what an output holds, after checking its sentinels.
    pub fn read(&self, output: &Output) -> Vec<f32> {
        let mut data: Vec<f32> = self.download(&output.buffer);
        let sentinels = data.split_off(output.len);
        assert!(sentinels.iter().all(|&word| word == SENTINEL), "a kernel wrote behind its output");
        data
    }

    /// Reads the bytes of a buffer, as values.
    pub fn download<T: bytemuck::Pod>(&self, buffer: &wgpu::Buffer) -> Vec<T> {
        self.host.block_on(self.host.read(buffer)).expect("the buffer is read")
    }
}
