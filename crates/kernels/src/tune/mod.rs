//! Choice of kernel variants for an adapter.

mod table;

pub(crate) use table::magnitude;
pub use table::{Table, Tile, UnknownVariant, Variant};

use wgpu::{AdapterInfo, Device, DeviceType, Features};

/// The two families of matmul, convolution and pooling kernels. Both are correct on every adapter that offers what
/// they need; they differ in speed by two orders of magnitude, each on its own kind of adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// Operands in workgroup-memory tiles, for real GPUs. Needs nothing beyond WebGPU's defaults.
    Tiled,
    /// Operands mirrored into `rgba32float` textures and broadcast between the eight lanes of a subgroup, for software
    /// drivers such as lavapipe. Needs [`Features::SUBGROUP`] and a subgroup of exactly eight.
    Texture,
}

impl Family {
    /// The name that the command line uses.
    pub fn name(self) -> &'static str {
        match self {
            Family::Tiled => "tiled",
            Family::Texture => "texture",
        }
    }
}

/// How operations are to be planned on an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tune {
    /// Which kernels.
    pub family: Family,
    /// Whether 3x3 convolutions of stride 1 may use Winograd F(4x4, 3x3): 2.25 to 4 times fewer multiplications, a
    /// rounding error about ten times larger (still near 1e-6 of the output's scale).
    pub winograd: bool,
    /// What was measured to be the fastest; empty for the defaults, which depend on nothing but the shape.
    pub table: Table,
}

impl Tune {
    /// A family by name, with Winograd and the default variant of each shape.
    pub fn new(family: Family) -> Self {
        Tune { family, winograd: true, table: Table::new() }
    }

    /// The choice for an adapter and the features that the device was made with.
    ///
    /// Software adapters whose subgroup is eight lanes wide get [`Family::Texture`], all others [`Family::Tiled`].
    pub fn for_adapter(info: &AdapterInfo, features: Features) -> Self {
        let texture = info.device_type == DeviceType::Cpu && eight_lanes(info, features);
        Tune::new(if texture { Family::Texture } else { Family::Tiled })
    }

    /// As [`Tune::for_adapter`], asking the device itself.
    pub fn for_device(device: &Device) -> Self {
        Tune::for_adapter(&device.adapter_info(), device.features())
    }

    pub(crate) fn texture_runs(device: &Device) -> bool {
        eight_lanes(&device.adapter_info(), device.features())
    }
}

fn eight_lanes(info: &AdapterInfo, features: Features) -> bool {
    info.subgroup_min_size == LANES && info.subgroup_max_size == LANES && features.contains(Features::SUBGROUP)
}

/// Lanes of a subgroup in the texture family.
const LANES: u32 = 8;
