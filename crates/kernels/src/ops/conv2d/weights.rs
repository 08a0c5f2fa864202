//! Weights as the kernels read them, packed once on the host.

use super::{Conv2d, Conv2dDesc, OP};
use crate::{Error, Family, mirror};
use wgpu::{Buffer, BufferUsages, Queue, Texture, TextureView};

/// Weight and bias of a convolution on the device, packed for the algorithm of the plan that made them.
///
/// They serve every plan of the same weight shape, family and algorithm, whatever its batch and image size.
#[derive(Debug, Clone)]
pub struct Conv2dWeights {
    layout: Layout,
    pub(super) weight: Packed,
    /// Padded to whole panels.
    pub(super) bias: Buffer,
    bytes: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Packed {
    Texture { _texture: Texture, view: TextureView },
    Buffer(Buffer),
}

/// What must agree between a plan and its weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    in_channels: u32,
    out_channels: u32,
    kernel: [u32; 2],
    groups: u32,
    family: Family,
    winograd: bool,
}

impl Layout {
    fn of(plan: &Conv2d) -> Self {
        let Conv2dDesc { in_channels, out_channels, kernel, groups, .. } = plan.desc;
        Layout { in_channels, out_channels, kernel, groups, family: plan.family, winograd: plan.is_winograd() }
    }
}

impl Conv2d {
    /// Packs and uploads weights: `weight` is OIHW, `[out_channels, in_channels / groups, rows, columns]`, `bias` is
    /// `[out_channels]` (none: zeros). The upload is staged in `queue` and happens with its next submit.
    ///
    /// # Errors
    /// [`Error::Size`] when a slice isn't as long as its shape says; [`Error::Limit`] when the packed weights exceed a
    /// buffer or texture of the device.
    pub fn weights(&self, queue: &Queue, weight: &[f32], bias: Option<&[f32]>) -> Result<Conv2dWeights, Error> {
        let desc = &self.desc;
        check_len("weight", weight, desc.weight_len())?;
        if let Some(bias) = bias {
            check_len("bias", bias, u64::from(desc.out_channels))?;
        }
        let packed = match (self.is_winograd(), self.family) {
            (false, _) => panels(desc, self.panel(), weight),
            (true, Family::Texture) => transformed(desc, Some(self.panel()), weight),
            (true, Family::Tiled) => transformed(desc, None, weight),
        };
        let mut padded = bias.map_or_else(|| vec![0.0; desc.out_channels as usize], <[f32]>::to_vec);
        padded.resize(desc.out_channels.next_multiple_of(self.panel()) as usize, 0.0);
        let bias = self.context.filled(BufferUsages::STORAGE, bytemuck::cast_slice(&padded));
        let limits = self.context.limits();
        let bytes = packed.len() as u64 * 4;
        let weight = match self.family {
            Family::Texture => {
                let texels = packed.len() as u64 / 4;
                Error::limit(
                    OP,
                    "texels of the packed weight",
                    texels,
                    "max_texture_dimension_2d",
                    mirror::capacity(self.context.device()),
                )?;
                let texture = mirror::linear_texture(self.context.device(), texels);
                mirror::write(queue, &texture, &packed);
                let view = texture.create_view(&Default::default());
                Packed::Texture { _texture: texture, view }
            }
            Family::Tiled => {
                Error::limit(OP, "bytes of the packed weight", bytes, "max_buffer_size", limits.max_buffer_size)?;
                Packed::Buffer(self.context.filled(BufferUsages::STORAGE, bytemuck::cast_slice(&packed)))
            }
        };
        Ok(Conv2dWeights { layout: Layout::of(self), weight, bias, bytes: bytes + padded.len() as u64 * 4 })
    }
}

impl Conv2dWeights {
    /// Bytes of device memory that they take.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn check(&self, plan: &Conv2d) -> Result<(), Error> {
        let expected = Layout::of(plan);
        if self.layout != expected {
            return Err(Error::shape(
                OP,
                format_args!("the weights were packed as {:?}, the plan expects {expected:?}", self.layout),
            ));
        }
        Ok(())
    }

    pub(super) fn view(&self) -> Result<&TextureView, Error> {
        match &self.weight {
            Packed::Texture { view, .. } => Ok(view),
            Packed::Buffer(_) => Err(Error::shape(OP, "the weights stand in a buffer, a texture is expected")),
        }
    }

    pub(super) fn buffer(&self) -> Result<&Buffer, Error> {
        match &self.weight {
            Packed::Buffer(buffer) => Ok(buffer),
            Packed::Texture { .. } => Err(Error::shape(OP, "the weights stand in a texture, a buffer is expected")),
        }
    }
}

fn check_len(operand: &'static str, slice: &[f32], expected: u64) -> Result<(), Error> {
    let got = slice.len() as u64 * 4;
    if got != expected * 4 {
        return Err(Error::Size { op: OP, operand, expected: expected * 4, got });
    }
    Ok(())
}

/// Where a panel's input channels start and how many vec4 it reads of every tap.
///
/// A panel of output channels sees the channels of all groups it touches; those a given output doesn't belong to
/// have zero weight. With one group that is all channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub span4: u32,
    panel: u32,
}

impl Span {
    pub(super) fn of(desc: &Conv2dDesc, panel: u32) -> Self {
        let (group_in, group_out) = (desc.in_channels / desc.groups, desc.out_channels / desc.groups);
        let widest = (0..desc.out_channels.div_ceil(panel))
            .map(|i| {
                let last = ((i + 1) * panel).min(desc.out_channels) - 1;
                let end = (last / group_out + 1) * group_in;
                end.div_ceil(4) - i * panel / group_out * group_in / 4
            })
            .max();
        Span { span4: widest.unwrap_or_default(), panel }
    }

    /// The first channel that the i-th panel reads. The shaders compute the same.
    fn first(self, desc: &Conv2dDesc, i: u32) -> u32 {
        let (group_in, group_out) = (desc.in_channels / desc.groups, desc.out_channels / desc.groups);
        (i * self.panel / group_out * group_in / 4).min(desc.packed_channels() / 4 - self.span4) * 4
    }
}

/// `[panel, tap, channel of the panel, output channel of the panel]`.
fn panels(desc: &Conv2dDesc, width: u32, weight: &[f32]) -> Vec<f32> {
    let span = Span::of(desc, width);
    let taps = (desc.kernel[0] * desc.kernel[1]) as usize;
    let (group_in, group_out) = (desc.in_channels / desc.groups, desc.out_channels / desc.groups);
    let depth = span.span4 as usize * 4;
    let panel_len = taps * depth * width as usize;
    let mut packed = vec![0.0; desc.out_channels.div_ceil(width) as usize * panel_len];
    for o in 0..desc.out_channels {
        let panel = o / width;
        let first = (o / group_out * group_in - span.first(desc, panel)) as usize;
        let out = &mut packed[panel as usize * panel_len..][..panel_len];
        for c in 0..group_in as usize {
            let source = &weight[(o as usize * group_in as usize + c) * taps..][..taps];
            for (tap, &value) in source.iter().enumerate() {
                out[(tap * depth + first + c) * width as usize + (o % width) as usize] = value;
            }
        }
    }
    packed
}

/// G of F(4,3), Lavin and Gray's points 0, 1, -1, 2, -2.
const G: [[f64; 3]; 6] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// G w G^T for each pair of channels: `[36, panel, in_channels, panel's width]`, or `[36, in_channels, out_channels]` without
/// panels.
fn transformed(desc: &Conv2dDesc, panel: Option<u32>, weight: &[f32]) -> Vec<f32> {
    let (inputs, outputs) = (desc.in_channels as usize, desc.out_channels as usize);
    let width = panel.map_or(outputs, |width| width as usize);
    let columns = outputs.div_ceil(width) * width;
    let mut packed = vec![0.0; 36 * inputs * columns];
    for o in 0..outputs {
        for c in 0..inputs {
            let w = &weight[(o * inputs + c) * 9..][..9];
            let mut half = [[0.0; 3]; 6];
            for (row, g) in half.iter_mut().zip(&G) {
                for (j, value) in row.iter_mut().enumerate() {
                    *value = (0..3).map(|i| g[i] * f64::from(w[i * 3 + j])).sum();
                }
            }
            for (i, row) in half.iter().enumerate() {
                for (j, g) in G.iter().enumerate() {
                    let value: f64 = (0..3).map(|k| row[k] * g[k]).sum();
                    let place = ((i * 6 + j) * columns / width + o / width) * inputs + c;
                    packed[place * width + o % width] = value as f32;
                }
            }
        }
    }
    packed
}
