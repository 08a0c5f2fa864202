//! Chooses kernels for an adapter: the family, and the variants that were measured to be the fastest.

mod table;

pub(crate) use table::magnitude;
pub use table::{Tile, TuneTable, UnknownVariant, Variant};

use wgpu::{AdapterInfo, Device, DeviceType, Features};

/// The two families of matmul, convolution and pooling kernels. Both are correct on every adapter that offers what
/// they need; they differ in speed by two orders of magnitude, each on its own kind of adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// Operands in workgroup-memory tiles, for real GPUs. Needs nothing beyond WebGPU's defaults.
    Tiled,
    /// Operands mirrored into `rgba32float` textures and broadcast between the lanes of a subgroup, for software
    /// drivers such as lavapipe. Needs [`Features::SUBGROUP`] and subgroups of exactly 4, 8 or 16 lanes.
    Texture,
}

impl Family {
    /// Gives its name in options, records and messages: `tiled` or `texture`.
    pub fn name(self) -> &'static str {
        match self {
            Family::Tiled => "tiled",
            Family::Texture => "texture",
        }
    }
}

/// The choice of kernels with which operations are planned on an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tune {
    /// The family of kernels.
    pub family: Family,
    /// Whether 3x3 convolutions of stride 1 may use Winograd F(4x4, 3x3): 2.25 to 4 times fewer multiplications, a
    /// rounding error about ten times larger (still near 1e-6 of the output's scale).
    pub winograd: bool,
    /// Whether the adapter has so many cores that small outputs leave some without work: sums are split into parts then, and
    /// Winograd's transformed values taken in larger bands. WebGPU doesn't tell; GPUs of their own are taken to.
    pub many_cores: bool,
    /// Whether shaders check every index and bound every loop at run time. None: on software adapters, where it costs 3 %, and not on
    /// hardware, where it costs a fifth of the arithmetic. Every index of every kernel is argued to be in bounds, so that checking finds
    /// nothing but faults of the kernels, the compiler's or the driver's.
    pub checks: Option<bool>,
    /// What was measured to be the fastest; empty for the defaults.
    pub table: TuneTable,
}

impl Tune {
    /// Takes a family, with Winograd and the default variant of each shape, for an adapter of few cores.
    pub fn new(family: Family) -> Self {
        Tune { family, winograd: true, many_cores: false, checks: None, table: TuneTable::new() }
    }

    /// Chooses for an adapter and the features that the device was made with.
    ///
    /// Software adapters whose subgroups are always 4, 8 or 16 lanes wide get [`Family::Texture`], all others
    /// [`Family::Tiled`].
    pub fn for_adapter(info: &AdapterInfo, features: Features) -> Self {
        let texture = info.device_type == DeviceType::Cpu && lanes(info, features).is_some();
        let family = if texture { Family::Texture } else { Family::Tiled };
        Tune { many_cores: info.device_type == DeviceType::DiscreteGpu, ..Tune::new(family) }
    }

    /// Chooses as [`Tune::for_adapter`] does, asking the device itself.
    pub fn for_device(device: &Device) -> Self {
        Tune::for_adapter(&device.adapter_info(), device.features())
    }
}

/// Finds how many lanes every subgroup has, where the texture family runs with so many.
pub(crate) fn lanes(info: &AdapterInfo, features: Features) -> Option<u32> {
    let (lanes, most) = (info.subgroup_min_size, info.subgroup_max_size);
    (lanes == most && matches!(lanes, 4 | 8 | 16) && features.contains(Features::SUBGROUP)).then_some(lanes)
}
