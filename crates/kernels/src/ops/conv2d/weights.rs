//! Weights as the kernels read them, packed once on the host.

use super::{Conv2d, Conv2dDesc, OP, rows::Rows};
use crate::{Error, Family, Precision, Variant, halves, mirror};
use wgpu::{Buffer, BufferUsages, Queue, Texture, TextureView};

/// Weight and bias of a convolution on the device, packed for the algorithm of the plan that made them.
///
/// They serve every plan of the same weight shape, family and algorithm, whatever its batch and image size; with up to four input
/// channels, of the same stride and padding too.
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
    Texture { texture: Texture, view: TextureView },
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
    order: Order,
    rows: Option<Rows>,
    precision: Precision,
}

/// In which order the numbers stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Panels,
    Taps,
    Transformed,
}

impl Layout {
    fn of(plan: &Conv2d) -> Self {
        let Conv2dDesc { in_channels, out_channels, kernel, groups, .. } = plan.desc;
        Layout {
            in_channels,
            out_channels,
            kernel,
            groups,
            family: plan.family,
            order: plan.order(),
            rows: plan.rows(),
            precision: plan.desc.precision,
        }
    }
}

impl Conv2d {
    fn order(&self) -> Order {
        match self.variant {
            Variant::Direct(_) => Order::Panels,
            Variant::Grouped => Order::Taps,
            Variant::Winograd { .. } => Order::Transformed,
        }
    }

    /// Packs and uploads weights: `weight` is OIHW, `[out_channels, in_channels / groups, rows, columns]`, `bias` is
    /// `[out_channels]` (none: zeros). The upload is staged in `queue` and happens with its next submit.
    ///
    /// # Errors
    /// As [`Conv2d::weights_in_pieces`].
    pub fn weights(&self, queue: &Queue, weight: &[f32], bias: Option<&[f32]>) -> Result<Conv2dWeights, Error> {
        self.weights_in_pieces(queue, weight, bias, || Ok(()))
    }

    /// As [`Conv2d::weights`], calling `staged` after every piece of a few megabytes: what is staged takes host memory until the
    /// caller has submitted and waited.
    ///
    /// # Errors
    /// [`Error::Size`] when a slice isn't as long as its shape says; [`Error::Limit`] when the packed weights exceed a
    /// buffer or texture of the device.
    pub fn weights_in_pieces<E: From<Error>>(
        &self,
        queue: &Queue,
        weight: &[f32],
        bias: Option<&[f32]>,
        mut staged: impl FnMut() -> Result<(), E>,
    ) -> Result<Conv2dWeights, E> {
        let desc = &self.desc;
        check_len("weight", weight, desc.weight_len())?;
        if let Some(bias) = bias {
            check_len("bias", bias, u64::from(desc.out_channels))?;
        }
        let len = self.packed_len();
        let packed = self.room(len)?;
        let width = self.panel();
        let panels = desc.out_channels.div_ceil(width);
        // A panel at a time where panels lie together: the whole would be in host memory twice.
        let panel = || vec![0.0; len as usize / panels as usize];
        match (self.order(), self.family) {
            (Order::Panels, _) => {
                let mut panel = vec![0.0; (width * self.depth()) as usize];
                for index in 0..panels * self.phases() {
                    let (phase, index_of_phase) = (index / panels, index % panels);
                    let outputs = index_of_phase * width..((index_of_phase + 1) * width).min(desc.out_channels);
                    match self.rows() {
                        Some(rows) => rows.pack_panel(desc, phase, outputs, weight, &mut panel),
                        None => pack_panel(desc, width, weight, index, &mut panel),
                    }
                    self.write(&packed, queue, u64::from(index) * panel.len() as u64, &panel)?;
                    staged()?;
                }
            }
            (Order::Taps, _) => {
                self.write(&packed, queue, 0, &by_tap(desc, weight))?;
                staged()?;
            }
            (Order::Transformed, Family::Texture) => {
                let mut panel = panel();
                let points = panel.len() / POINTS;
                for index in 0..panels {
                    panel.fill(0.0);
                    let place = |point, c| point * points + c * width as usize;
                    transform_panel(desc, width, weight, index, place, &mut panel);
                    for (point, values) in panel.chunks_exact(points).enumerate() {
                        let place = point * panels as usize + index as usize;
                        self.write(&packed, queue, (place * points) as u64, values)?;
                    }
                    staged()?;
                }
            }
            (Order::Transformed, Family::Tiled) => {
                let (inputs, outputs) = (desc.in_channels as usize, desc.out_channels as usize);
                let mut whole = vec![0.0; len as usize];
                for index in 0..panels {
                    let first = (index * width) as usize;
                    let place = |point, c| (point * inputs + c) * outputs + first;
                    transform_panel(desc, width, weight, index, place, &mut whole);
                }
                self.write(&packed, queue, 0, &whole)?;
                staged()?;
            }
        }
        let mut padded = bias.map_or_else(|| vec![0.0; desc.out_channels as usize], <[f32]>::to_vec);
        padded.resize(desc.out_channels.next_multiple_of(self.panel()) as usize, 0.0);
        let bias = self.context.filled(BufferUsages::STORAGE, bytemuck::cast_slice(&padded))?;
        Ok(Conv2dWeights { layout: Layout::of(self), weight: packed, bias, bytes: self.weight_bytes() })
    }

    /// Bytes of device memory that its weights and bias take.
    pub fn weight_bytes(&self) -> u64 {
        self.packed_len() * if self.halved() { 2 } else { 4 }
            + u64::from(self.desc.out_channels.next_multiple_of(self.panel())) * 4
    }

    /// Whether the packed weights are f16. Winograd's transformed ones stay f32: see its shader.
    fn halved(&self) -> bool {
        self.desc.precision == Precision::F16 && !self.is_winograd()
    }

    /// Values of the packed weight.
    fn packed_len(&self) -> u64 {
        let desc = &self.desc;
        let panelled = u64::from(desc.out_channels.next_multiple_of(self.panel()));
        match (self.order(), self.family) {
            (Order::Panels, _) => panelled * u64::from(self.depth()) * u64::from(self.phases()),
            (Order::Taps, _) => desc.weight_len(),
            (Order::Transformed, Family::Texture) => POINTS as u64 * u64::from(desc.in_channels) * panelled,
            (Order::Transformed, Family::Tiled) => {
                POINTS as u64 * u64::from(desc.in_channels) * u64::from(desc.out_channels)
            }
        }
    }

    fn room(&self, len: u64) -> Result<Packed, Error> {
        let device = self.context.device();
        match self.family {
            Family::Texture => {
                let allowed = mirror::capacity(device);
                Error::limit(OP, "texels of the packed weight", len / 4, "max_texture_dimension_2d", allowed)?;
                let texture = mirror::linear_texture(device, len / 4);
                let view = texture.create_view(&Default::default());
                Ok(Packed::Texture { texture, view })
            }
            Family::Tiled => {
                let bytes = len * if self.halved() { 2 } else { 4 };
                let allowed = self.context.limits().max_buffer_size;
                Error::limit(OP, "bytes of the packed weight", bytes, "max_buffer_size", allowed)?;
                Ok(Packed::Buffer(self.context.storage("kernels weights", bytes)))
            }
        }
    }

    /// Stages values of the packed weight from the `first` on.
    fn write(&self, packed: &Packed, queue: &Queue, first: u64, values: &[f32]) -> Result<(), Error> {
        match packed {
            Packed::Texture { texture, .. } => mirror::write_at(queue, texture, first / 4, values),
            Packed::Buffer(buffer) if self.halved() => {
                if let Some(value) = values.iter().find(|value| value.abs() > 65_504.0) {
                    let message = format_args!("a weight of {value} is beyond f16, which ends at 65504: use f32");
                    return Err(Error::shape(OP, message));
                }
                queue.write_buffer(buffer, first * 2, bytemuck::cast_slice(&halves(values, 4)));
            }
            Packed::Buffer(buffer) => queue.write_buffer(buffer, first * 4, bytemuck::cast_slice(values)),
        }
        Ok(())
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

/// A panel of `[panel, tap, channel of the panel, output channel of the panel]`.
fn pack_panel(desc: &Conv2dDesc, width: u32, weight: &[f32], panel: u32, out: &mut [f32]) {
    let span = Span::of(desc, width);
    let taps = (desc.kernel[0] * desc.kernel[1]) as usize;
    let (group_in, group_out) = (desc.in_channels / desc.groups, desc.out_channels / desc.groups);
    let inputs = group_in as usize;
    let depth = span.span4 as usize * 4;
    let outputs = panel * width..((panel + 1) * width).min(desc.out_channels);
    let first = span.first(desc, panel);
    out.fill(0.0);
    // A row of the panel is written while it is cached; each output's weights are read one after the other.
    for c in 0..inputs {
        for (column, o) in outputs.clone().enumerate() {
            let row = (o / group_out * group_in - first) as usize + c;
            let source = &weight[(o as usize * inputs + c) * taps..][..taps];
            for (tap, &value) in source.iter().enumerate() {
                out[(tap * depth + row) * width as usize + column] = value;
            }
        }
    }
}

/// `[tap, channel of the group, out_channels]`.
fn by_tap(desc: &Conv2dDesc, weight: &[f32]) -> Vec<f32> {
    let taps = (desc.kernel[0] * desc.kernel[1]) as usize;
    let (group_in, outputs) = ((desc.in_channels / desc.groups) as usize, desc.out_channels as usize);
    let place = |i: usize| (i % outputs * group_in + i / outputs % group_in) * taps + i / outputs / group_in;
    (0..weight.len()).map(|i| weight[place(i)]).collect()
}

/// Points of a tile of Winograd's F(4x4, 3x3).
const POINTS: usize = 36;

/// Output channels that are transformed together, so that the compiler can use vectors.
const BLOCK: usize = 16;
type Block = [f64; BLOCK];

/// G of F(4,3) on three values, Lavin and Gray's points 0, 1, -1, 2, -2 and infinity.
fn points([a, b, c]: [&Block; 3]) -> [Block; 6] {
    let mut points = [[0.0; BLOCK]; 6];
    for i in 0..BLOCK {
        let (near, near_odd) = ((a[i] + c[i]) * (-1.0 / 6.0), b[i] * (1.0 / 6.0));
        let (far, far_odd) = (a[i] * (1.0 / 24.0) + c[i] * (1.0 / 6.0), b[i] * (1.0 / 12.0));
        points[0][i] = a[i] * 0.25;
        points[1][i] = near - near_odd;
        points[2][i] = near + near_odd;
        points[3][i] = far + far_odd;
        points[4][i] = far - far_odd;
        points[5][i] = c[i];
    }
    points
}

/// G w G^T for each pair of an input channel and an output channel of the panel: those of a point and an input channel stand in `out`
/// from `place(point, channel)` on.
fn transform_panel(
    desc: &Conv2dDesc,
    width: u32,
    weight: &[f32],
    panel: u32,
    place: impl Fn(usize, usize) -> usize,
    out: &mut [f32],
) {
    let inputs = desc.in_channels as usize;
    let start = (panel * width) as usize;
    let end = (start + width as usize).min(desc.out_channels as usize);
    for c in 0..inputs {
        for first in (start..end).step_by(BLOCK) {
            let count = BLOCK.min(end - first);
            let mut w = [[0.0; BLOCK]; 9];
            for column in 0..count {
                let taps = &weight[((first + column) * inputs + c) * 9..][..9];
                for (tap, &value) in taps.iter().enumerate() {
                    w[tap][column] = f64::from(value);
                }
            }
            // Down the columns, then along the rows.
            let down = [0, 1, 2].map(|j| points([&w[j], &w[3 + j], &w[6 + j]]));
            for i in 0..6 {
                for (j, block) in points([&down[0][i], &down[1][i], &down[2][i]]).iter().enumerate() {
                    let out = &mut out[place(i * 6 + j, c) + first - start..];
                    for (out, &value) in out.iter_mut().zip(&block[..count]) {
                        *out = value as f32;
                    }
                }
            }
        }
    }
}
