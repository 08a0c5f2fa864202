//! The device, its limits and its compiled pipelines: what every plan is made from.

use crate::{Error, Family, OverflowFlag, Tune, step::Step, tune, window::Room};
use bytemuck::Pod;
use std::{
    borrow::Cow,
    collections::HashMap,
    num::NonZeroU64,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};
use wgpu::{
    BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding, BufferDescriptor, BufferSlice,
    BufferUsages, ComputePipeline, ComputePipelineDescriptor, CooperativeMatrixProperties, CooperativeScalarType,
    Device, DeviceType, Limits, PipelineCache, PipelineCompilationOptions, ShaderModule, ShaderModuleDescriptor,
    ShaderRuntimeChecks, ShaderSource, TextureView,
};

/// The usages that a buffer needs to be an operand of any operation, in either family: what writes to it or reads it back besides is the
/// caller's to add.
///
/// ```no_run
/// # fn example(device: &kernels::wgpu::Device) {
/// use kernels::wgpu::{BufferDescriptor, BufferUsages};
/// let usage = kernels::OPERAND_USAGES | BufferUsages::COPY_DST;
/// let weights = device.create_buffer(&BufferDescriptor { label: None, size: 4096, usage, mapped_at_creation: false });
/// # }
/// ```
pub const OPERAND_USAGES: BufferUsages = BufferUsages::STORAGE.union(BufferUsages::COPY_SRC);

/// The compiled kernels of one device: what every plan is made from.
///
/// It holds the caller's device (a reference-counted handle), the [`Tune`] and the pipelines made so far, so that
/// plans which differ only in their sizes share one pipeline. Cloning shares them. There is no global state: two
/// contexts know nothing of each other.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use kernels::wgpu;
/// let adapter = wgpu::Instance::default().request_adapter(&Default::default()).await?;
/// let (device, queue) = adapter.request_device(&wgpu::DeviceDescriptor {
///     required_features: kernels::wanted_features(&adapter),
///     ..Default::default()
/// }).await?;
/// let context = kernels::Context::new(&device)?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Context {
    inner: Arc<Inner>,
    /// What a plan's kernels set where f16 is too small, if anyone reads it.
    overflow: Option<OverflowFlag>,
}

#[derive(Debug)]
struct Inner {
    device: Device,
    tune: Tune,
    limits: Limits,
    room: Room,
    /// The lanes of a subgroup, where the texture family runs.
    lanes: Option<u32>,
    /// Whether modules check their indices at run time.
    checks: bool,
    cache: Option<PipelineCache>,
    cooperative: Cooperative,
    /// Each is compiled by the first thread that wants it, while others compile others.
    pipelines: Mutex<HashMap<PipelineKey, Arc<OnceLock<ComputePipeline>>>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PipelineKey {
    shader: &'static str,
    entry: &'static str,
    constants: Vec<(&'static str, u64)>,
}

/// Lists the features of an adapter that the kernels can use; ask for them when making the device.
pub fn wanted_features(adapter: &wgpu::Adapter) -> wgpu::Features {
    adapter.features() & (wgpu::Features::SUBGROUP | wgpu::Features::PIPELINE_CACHE)
}

/// Lists the features that [`Precision::F16`](crate::Precision::F16) is several times faster with, where the adapter's
/// cooperative matrices (tensor cores) are of the shape that the kernels take: 16x16x16, f16 with f32 sums, in subgroups of 32.
///
/// They are experimental in wgpu, so they are for the caller to ask for: in [`Host::open`](crate::Host::open), or in
/// `required_features` with `experimental_features`, which is unsafe.
pub fn cooperative_features(adapter: &wgpu::Adapter) -> wgpu::Features {
    let half_sums = |shape: &CooperativeMatrixProperties| {
        [shape.m_size, shape.n_size, shape.k_size] == [16; 3]
            && (shape.ab_type, shape.cr_type) == (CooperativeScalarType::F16, CooperativeScalarType::F32)
    };
    let shapes = adapter.cooperative_matrix_properties();
    let fits = adapter.features().contains(COOPERATIVE) && of_32_lanes(&adapter.get_info());
    if fits && shapes.iter().any(half_sums) { COOPERATIVE } else { wgpu::Features::empty() }
}

const COOPERATIVE: wgpu::Features = wgpu::Features::SHADER_F16.union(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX);

fn of_32_lanes(info: &wgpu::AdapterInfo) -> bool {
    (info.subgroup_min_size, info.subgroup_max_size) == (32, 32)
}

/// Who computes the products of cooperative matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cooperative {
    Nobody,
    Device,
    /// Plain WGSL in place of them.
    #[cfg(feature = "reference")]
    Emulation,
}

/// The resource of a bind group entry.
#[derive(Debug, Clone)]
pub(crate) enum Bind<'a> {
    Uniform(&'a Buffer),
    Slice(BufferSlice<'a>),
    Texture(&'a TextureView),
}

impl Context {
    /// Makes a context with the kernels that suit the device's adapter.
    ///
    /// # Errors
    /// [`Error::Slow`]: the adapter is a software one, and the device was made without [`wanted_features`], which make it several times
    /// faster. [`Context::with_tune`] takes such a device.
    pub fn new(device: &Device) -> Result<Self, Error> {
        let adapter = device.adapter_info();
        let lanes = |features| tune::lanes(&adapter, features);
        if adapter.device_type == DeviceType::Cpu
            && lanes(device.features()).is_none()
            && lanes(wgpu::Features::SUBGROUP).is_some()
        {
            return Err(Error::Slow);
        }
        Ok(Context::with_tune(device, Tune::for_device(device)))
    }

    /// Makes a context with kernels of the caller's choice.
    pub fn with_tune(device: &Device, tune: Tune) -> Self {
        Context::with_cache(device, tune, None)
    }

    /// Makes a context as [`Context::with_tune`] does, with the driver's cache of compiled pipelines: what it holds isn't compiled again, and
    /// what is compiled is added to it. The caller keeps it, say in a file between runs.
    pub fn with_cache(device: &Device, tune: Tune, cache: Option<PipelineCache>) -> Self {
        let ready = device.features().contains(COOPERATIVE) && of_32_lanes(&device.adapter_info());
        Context::of(device, tune, cache, if ready { Cooperative::Device } else { Cooperative::Nobody })
    }

    /// Makes a context whose cooperative matrices are emulated, for tests of all but the matrices themselves on devices that have
    /// none. The device needs SHADER_F16.
    #[cfg(feature = "reference")]
    #[doc(hidden)]
    pub fn with_emulation(device: &Device, tune: Tune) -> Self {
        Context::of(device, tune, None, Cooperative::Emulation)
    }

    fn of(device: &Device, tune: Tune, cache: Option<PipelineCache>, cooperative: Cooperative) -> Self {
        let adapter = device.adapter_info();
        let inner = Inner {
            device: device.clone(),
            checks: tune.checks.unwrap_or(adapter.device_type == DeviceType::Cpu),
            tune,
            room: Room::of(&device.limits()),
            limits: device.limits(),
            lanes: tune::lanes(&adapter, device.features()),
            cache,
            cooperative,
            pipelines: Mutex::default(),
        };
        Context { inner: Arc::new(inner), overflow: None }
    }

    /// Gives the device that the plans belong to.
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// Gives the choice of kernels with which plans are made.
    pub fn tune(&self) -> &Tune {
        &self.inner.tune
    }

    /// Tells whether shaders check their indices at run time: see [`Tune::checks`].
    pub fn checks(&self) -> bool {
        self.inner.checks
    }

    /// Counts the pipelines that plans have made so far.
    pub fn pipelines(&self) -> usize {
        self.inner.pipelines.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Shows the pipelines that plans have made so far, as shader, entry point and constants, to those who look at what drivers make of them.
    #[doc(hidden)]
    pub fn each_pipeline(&self, mut visit: impl FnMut(&'static str, &'static str, &[(&'static str, f64)])) {
        for key in self.inner.pipelines.lock().unwrap_or_else(PoisonError::into_inner).keys() {
            let constants: Vec<_> = key.constants.iter().map(|&(name, bits)| (name, f64::from_bits(bits))).collect();
            visit(key.shader, key.entry, &constants);
        }
    }

    /// Gives the family to plan with, if the device can run it.
    pub(crate) fn family(&self, op: &'static str) -> Result<Family, Error> {
        let family = self.inner.tune.family;
        if family == Family::Texture && self.inner.lanes.is_none() {
            return Err(Error::Feature { op });
        }
        Ok(family)
    }

    /// Gives the lanes of a subgroup, for plans of the texture family.
    pub(crate) fn lanes(&self) -> u32 {
        self.inner.lanes.unwrap_or(1)
    }

    /// Tells whether there are cooperative matrices to compute with.
    pub fn cooperative(&self) -> bool {
        self.inner.cooperative != Cooperative::Nobody
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Tells what the limits leave room for in a dispatch.
    pub(crate) fn room(&self) -> Room {
        self.inner.room
    }

    /// Finds the pipeline of a shader's entry point, compiled at its first use.
    pub(crate) fn pipeline(
        &self,
        shader: &'static shaders::Shader,
        entry: &'static str,
        constants: &[(&'static str, f64)],
    ) -> ComputePipeline {
        let key = PipelineKey {
            shader: shader.name,
            entry,
            constants: constants.iter().map(|&(name, value)| (name, value.to_bits())).collect(),
        };
        // A panic while the lock is held can't leave the map half-written.
        let mut pipelines = self.inner.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        let place = Arc::clone(pipelines.entry(key).or_default());
        drop(pipelines);
        let device = &self.inner.device;
        let compile = || {
            let module = self.module(shader);
            device.create_compute_pipeline(&ComputePipelineDescriptor {
                label: Some(shader.name),
                layout: None,
                module: &module,
                entry_point: Some(entry),
                // Every kernel writes its workgroup memory before it reads it.
                compilation_options: PipelineCompilationOptions { constants, zero_initialize_workgroup_memory: false },
                cache: self.inner.cache.as_ref(),
            })
        };
        place.get_or_init(compile).clone()
    }

    fn module(&self, shader: &'static shaders::Shader) -> ShaderModule {
        let descriptor = |source: Cow<'static, str>| ShaderModuleDescriptor {
            label: Some(shader.name),
            source: ShaderSource::Wgsl(source),
        };
        let device = &self.inner.device;
        #[cfg(feature = "reference")]
        if *shader == shaders::CONV2D_COOPERATIVE && self.inner.cooperative == Cooperative::Emulation {
            return device.create_shader_module(descriptor(crate::emulation::emulated(shader.source).into()));
        }
        if self.inner.checks {
            return device.create_shader_module(descriptor(shader.source.into()));
        }
        // SAFETY: the text is one of this library's own. Each argues in its header that its indices are in bounds and its loops end, for
        // the parameters that plans make and the buffers whose sizes they check; every kernel's tests run checked too.
        unsafe {
            device.create_shader_module_trusted(descriptor(shader.source.into()), ShaderRuntimeChecks::unchecked())
        }
    }

    /// Makes a buffer with the kernel's parameters, written once.
    pub(crate) fn uniform<T: Pod>(&self, params: &T) -> Result<Buffer, Error> {
        self.filled(BufferUsages::UNIFORM, bytemuck::bytes_of(params))
    }

    /// Makes a buffer of exactly these bytes (a multiple of four).
    pub(crate) fn filled(&self, usage: BufferUsages, bytes: &[u8]) -> Result<Buffer, Error> {
        let buffer = self.inner.device.create_buffer(&BufferDescriptor {
            label: Some("kernels data"),
            size: bytes.len() as u64,
            usage,
            mapped_at_creation: true,
        });
        let mut view = buffer.get_mapped_range_mut(..).map_err(|error| Error::device("filling a buffer", &error))?;
        view.copy_from_slice(bytes);
        drop(view);
        buffer.unmap();
        Ok(buffer)
    }

    /// Gives the small buffer that is bound where an operand is absent.
    pub(crate) fn nothing(&self) -> Result<Buffer, Error> {
        self.filled(BufferUsages::STORAGE, &[0; 16])
    }

    /// Gives the context of a plan that sets this flag.
    pub(crate) fn watched(&self, flag: &OverflowFlag) -> Self {
        Context { overflow: Some(flag.clone()), ..self.clone() }
    }

    /// Gives the flag to bind where kernels write f16.
    pub(crate) fn overflow(&self) -> Result<OverflowFlag, Error> {
        self.overflow.clone().map_or_else(|| self.nothing().map(OverflowFlag::unread), Ok)
    }

    pub(crate) fn storage(&self, label: &'static str, bytes: u64) -> Buffer {
        self.inner.device.create_buffer(&BufferDescriptor {
            label: Some(label),
            size: bytes.next_multiple_of(16),
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// Makes a dispatch of `workgroups`, folded under the device's limit an axis: shaders leave when their number is past the end.
    pub(crate) fn dispatch(
        &self,
        op: &'static str,
        pipeline: &ComputePipeline,
        entries: &[(u32, Bind<'_>)],
        workgroups: u64,
    ) -> Result<Step, Error> {
        let grid = self.room().grid(op, workgroups)?;
        let entries: Vec<_> = entries
            .iter()
            .map(|(binding, bind)| BindGroupEntry {
                binding: *binding,
                resource: match bind {
                    Bind::Uniform(buffer) => buffer.as_entire_binding(),
                    Bind::Slice(slice) => BindingResource::Buffer(BufferBinding {
                        buffer: slice.buffer(),
                        offset: slice.offset(),
                        size: NonZeroU64::new(slice.size()),
                    }),
                    Bind::Texture(view) => BindingResource::TextureView(view),
                },
            })
            .collect();
        let bind = || {
            let layout = &pipeline.get_bind_group_layout(0);
            self.inner.device.create_bind_group(&BindGroupDescriptor { label: Some(op), layout, entries: &entries })
        };
        let bind_group = refused(&self.inner.device, bind).map_err(|error| Error::device("tying buffers", &error))?;
        Ok(Step::Dispatch { pipeline: pipeline.clone(), bind_group, grid, products: 0 })
    }

    /// Checks that what an operation writes lies in another buffer than what it reads, as WebGPU asks of a dispatch, in every family.
    pub(crate) fn apart(
        &self,
        op: &'static str,
        (written, slice): (&'static str, BufferSlice<'_>),
        read: &[(&'static str, BufferSlice<'_>)],
    ) -> Result<(), Error> {
        match read.iter().find(|(_, other)| other.buffer() == slice.buffer()) {
            Some(&(read, _)) => Err(Error::Alias { op, written, read }),
            None => Ok(()),
        }
    }

    /// Checks that `slice` can be bound as the operand: its size to the byte, its usages, its alignment.
    pub(crate) fn check(
        &self,
        op: &'static str,
        (operand, slice): (&'static str, BufferSlice<'_>),
        words: u64,
    ) -> Result<(), Error> {
        let expected = words * 4;
        if slice.size() != expected {
            return Err(Error::Size { op, operand, expected, got: slice.size() });
        }
        let (needed, got) = (OPERAND_USAGES, slice.buffer().usage());
        if !got.contains(needed) {
            return Err(Error::Usage { op, operand, missing: format!("{:?}", needed - got), got: format!("{got:?}") });
        }
        let alignment = u64::from(self.limits().min_storage_buffer_offset_alignment);
        if !slice.offset().is_multiple_of(alignment) {
            return Err(Error::Alignment { op, operand, offset: slice.offset(), alignment });
        }
        Ok(())
    }
}

/// Does something at which the device may refuse what it is given, such as a buffer of another device, and gives its refusal. In a browser,
/// which answers later, that goes where the device's other errors go.
fn refused<T>(device: &Device, work: impl FnOnce() -> T) -> Result<T, wgpu::Error> {
    if cfg!(target_arch = "wasm32") {
        return Ok(work());
    }
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let done = work();
    let mut waker = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(scope.pop()).poll(&mut waker) {
        std::task::Poll::Ready(Some(error)) => Err(error),
        _ => Ok(done),
    }
}

/// Multiplies sizes; an error where the product is more than a kernel can index (u32).
pub(crate) fn volume(op: &'static str, operand: &'static str, sizes: &[u32]) -> Result<u64, Error> {
    let volume = sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(u64::from(size)));
    match volume {
        Some(0) => Err(Error::shape(op, format_args!("{operand} is empty: {sizes:?}"))),
        Some(volume) if volume <= u64::from(u32::MAX) => Ok(volume),
        _ => Err(Error::shape(op, format_args!("{operand} {sizes:?} has more than 2^32 elements"))),
    }
}
