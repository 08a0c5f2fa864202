//! Packed weights on the device, and their upload: what a plan makes once and binds for every batch.

use super::{
    desc::{Conv2dDesc, OP},
    layer::Layer,
    rows::Rows,
};
use crate::{Error, Family, Precision, halves, mirror};
use wgpu::{Buffer, BufferUsages, Queue, Texture, TextureView};

/// Weight and bias of a convolution on the device, packed for the algorithm of the plan that made them.
///
/// They serve every plan of the same weight shape, family and algorithm, whatever its batch and image size; with up to four input
/// channels, of the same stride and padding too.
#[derive(Debug, Clone)]
pub struct Conv2dWeights {
    layout: Layout,
    packed: Packed,
    /// The bias, padded to whole panels.
    pub(super) bias: Buffer,
    bytes: u64,
}

#[derive(Debug, Clone)]
enum Packed {
    Texture { texture: Texture, view: TextureView },
    Buffer(Buffer),
}

/// How an algorithm wants the weights of a layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing {
    pub order: Order,
    pub rows: Option<Rows>,
    /// How many values there are, zeros that pad among them.
    pub len: u64,
    /// Whether they are stored as f16.
    pub halved: bool,
    /// Into how many pieces of a few megabytes the packing is cut: the whole would be in host memory twice.
    pub pieces: u32,
}

/// The order in which the numbers stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Panels,
    Taps,
    Transformed,
}

impl Packing {
    fn weight_bytes(&self) -> u64 {
        self.len * if self.halved { 2 } else { 4 }
    }

    /// Computes the bytes of device memory that weights and bias take.
    pub fn bytes(&self, layer: &Layer) -> u64 {
        self.weight_bytes() + u64::from(layer.desc.out_channels.next_multiple_of(layer.panel())) * 4
    }
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

impl Layout {
    fn of(layer: &Layer, packing: &Packing) -> Self {
        let Conv2dDesc { in_channels, out_channels, kernel, groups, precision, .. } = layer.desc;
        let (family, order, rows) = (layer.family, packing.order, packing.rows);
        Layout { in_channels, out_channels, kernel, groups, family, order, rows, precision }
    }
}

impl Conv2dWeights {
    /// Allocates room for packed weights, and uploads the bias.
    pub(super) fn new(layer: &Layer, packing: &Packing, bias: Option<&[f32]>) -> Result<Self, Error> {
        let outputs = layer.desc.out_channels;
        let mut padded = bias.map_or_else(|| vec![0.0; outputs as usize], <[f32]>::to_vec);
        padded.resize(outputs.next_multiple_of(layer.panel()) as usize, 0.0);
        Ok(Conv2dWeights {
            layout: Layout::of(layer, packing),
            packed: Packed::new(layer, packing)?,
            bias: layer.context.filled(BufferUsages::STORAGE, bytemuck::cast_slice(&padded))?,
            bytes: packing.bytes(layer),
        })
    }

    /// Gives the bytes of device memory that they take.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn check(&self, layer: &Layer, packing: &Packing) -> Result<(), Error> {
        let expected = Layout::of(layer, packing);
        if self.layout != expected {
            return Err(Error::shape(
                OP,
                format_args!("the weights were packed as {:?}, the plan expects {expected:?}", self.layout),
            ));
        }
        Ok(())
    }

    pub(super) fn view(&self) -> Result<&TextureView, Error> {
        match &self.packed {
            Packed::Texture { view, .. } => Ok(view),
            Packed::Buffer(_) => Err(Error::shape(OP, "the weights stand in a buffer, a texture is expected")),
        }
    }

    pub(super) fn buffer(&self) -> Result<&Buffer, Error> {
        match &self.packed {
            Packed::Buffer(buffer) => Ok(buffer),
            Packed::Texture { .. } => Err(Error::shape(OP, "the weights stand in a texture, a buffer is expected")),
        }
    }
}

impl Packed {
    fn new(layer: &Layer, packing: &Packing) -> Result<Self, Error> {
        let device = layer.context.device();
        match layer.family {
            Family::Texture => {
                let (texels, allowed) = (packing.len / 4, mirror::capacity(device));
                Error::limit(OP, "texels of the packed weight", texels, "max_texture_dimension_2d", allowed)?;
                let texture = mirror::linear_texture(device, texels);
                let view = texture.create_view(&Default::default());
                Ok(Packed::Texture { texture, view })
            }
            Family::Tiled => {
                let (bytes, allowed) = (packing.weight_bytes(), layer.context.limits().max_buffer_size);
                Error::limit(OP, "bytes of the packed weight", bytes, "max_buffer_size", allowed)?;
                Ok(Packed::Buffer(layer.context.storage("kernels weights", bytes)))
            }
        }
    }
}

/// An upload of packed weights, staged in a queue piece by piece.
pub(super) struct Upload<'a> {
    queue: &'a Queue,
    weights: &'a Conv2dWeights,
    halved: bool,
    /// Values of a piece, used again by the next.
    scratch: Vec<f32>,
}

impl<'a> Upload<'a> {
    pub fn new(queue: &'a Queue, weights: &'a Conv2dWeights, packing: &Packing) -> Self {
        Upload { queue, weights, halved: packing.halved, scratch: Vec::new() }
    }

    /// Gives memory for so many values, all zero, to be filled.
    pub fn piece(&mut self, len: usize) -> Vec<f32> {
        let mut piece = std::mem::take(&mut self.scratch);
        piece.clear();
        piece.resize(len, 0.0);
        piece
    }

    /// Keeps a piece's memory for the next.
    pub fn reuse(&mut self, piece: Vec<f32>) {
        self.scratch = piece;
    }

    /// Stages values from the packed weight's `first` on.
    pub fn stage(&self, first: u64, values: &[f32]) -> Result<(), Error> {
        match &self.weights.packed {
            Packed::Texture { texture, .. } => mirror::write_at(self.queue, texture, first / 4, values),
            Packed::Buffer(buffer) if self.halved => {
                if let Some(value) = values.iter().find(|value| value.abs() > 65_504.0) {
                    let message = format_args!("a weight of {value} is beyond f16, which ends at 65504: use f32");
                    return Err(Error::shape(OP, message));
                }
                self.queue.write_buffer(buffer, first * 2, bytemuck::cast_slice(&halves(values, 4)));
            }
            Packed::Buffer(buffer) => self.queue.write_buffer(buffer, first * 4, bytemuck::cast_slice(values)),
        }
        Ok(())
    }
}
