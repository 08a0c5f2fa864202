//! A network planned for the CPU: what computes each layer, its weights, and where activations live.

use std::collections::HashMap;

use rayon::prelude::*;
use resnet::low_level::{Arena, Graph, Layer, Layout, Op, Tensor};
use resnet::{Architecture, ConvSpec, Error, GateSpec, Memory, PoolSpec, Tap, WeightFile};

use crate::convolution::{Convolution, suits_winograd};
use crate::product::SCRATCH;
use crate::simd::{Isa, padded};
use crate::winograd::Winograd;

/// What computes a layer.
#[derive(Debug)]
pub(crate) enum Step {
    /// A convolution, a gate's dense layer or the head: the number of its weights.
    Conv(usize),
    MaxPool(PoolSpec),
    AvgPool,
    GlobalAvgPool,
    /// A gate's kernel along so many channels.
    Slide(Vec<f32>, usize),
    GatedSum,
}

/// A layer, with the first image that it takes.
#[derive(Debug)]
pub(crate) struct Planned {
    pub layer: Layer,
    pub step: Step,
    pub first: usize,
}

/// A planned network.
#[derive(Debug)]
pub(crate) struct Plan {
    pub isa: Isa,
    pub layers: Vec<Planned>,
    pub convs: Vec<Convolution>,
    pub tensors: Vec<Tensor>,
    pub taps: Vec<(Tap, usize)>,
    pub arena: Arena,
}

/// Weights to be packed.
struct Packing {
    spec: ConvSpec,
    /// Numbers of a pixel of the input.
    pixel: usize,
    source: Source,
    winograd: bool,
}

enum Source {
    Folded,
    Gate(GateSpec),
    Head,
}

/// Gives the numbers of a tensor's pixel: channels padded to whole vectors, but for the photos'.
pub(crate) fn pixel(tensors: &[Tensor], tensor: usize) -> usize {
    let whole = tensors[tensor].part_of.map_or(tensor, |(whole, _)| whole);
    if whole == 0 { tensors[0].channels } else { padded(tensors[whole].channels) }
}

impl Plan {
    /// Plans a network and packs its weights, several layers at a time.
    pub fn new(isa: Isa, weights: &WeightFile, layout: Layout<'_>) -> Result<Self, Error> {
        let architecture = weights.architecture();
        let (Graph { layers, tensors, taps, .. }, arena) = laid_out(architecture, layout)?;
        let mut packer = Packer { weights, packings: Vec::new(), known: HashMap::new(), spare: spare(architecture) };
        let mut firsts = vec![0; tensors.len()];
        let mut planned = Vec::new();
        for layer in layers {
            let step = packer.step(&layer, pixel(&tensors, layer.reads[0]))?;
            let image = (layer.input[0] * layer.input[1]).max(1);
            let first = tensors[layer.reads[0]].part_of.map_or(firsts[layer.reads[0]], |(_, pixel)| pixel / image);
            if tensors[layer.writes].part_of.is_none() {
                firsts[layer.writes] = first;
            }
            planned.push(Planned { layer, step, first });
        }
        let convs = packer.packings.par_iter().map(|packing| packing.pack(isa, weights)).collect::<Result<_, _>>()?;
        Ok(Self { isa, layers: planned, convs, tensors, taps, arena })
    }

    /// Counts the numbers of scratch memory that a lane takes.
    pub fn scratch(&self) -> usize {
        let gates = self.tensors.iter().map(|tensor| padded(tensor.channels));
        self.convs.iter().map(Convolution::scratch).chain(gates).max().unwrap_or(0)
    }
}

/// Lays a network out: its layers, and where what they read and write lives.
fn laid_out(architecture: &Architecture, layout: Layout<'_>) -> Result<(Graph, Arena), Error> {
    layout.check(architecture)?;
    let graph = Graph::new(&architecture.network(), layout);
    let operands: Vec<_> = graph.layers.iter().map(|layer| (layer.reads.clone(), layer.writes)).collect();
    let stored: Vec<Tensor> = (graph.tensors.iter().enumerate())
        .map(|(i, tensor)| Tensor { channels: pixel(&graph.tensors, i), ..*tensor })
        .collect();
    let arena = Arena::plan(&stored, &operands, |tensor| (tensor.pixels * tensor.channels) as u64);
    Ok((graph, arena))
}

/// Computes what a network takes, the weights at most, without allocating it.
///
/// # Errors
/// As [`Plan::new`], but for what is of its weights.
pub(crate) fn memory_of(architecture: &Architecture, layout: Layout<'_>) -> Result<Memory, Error> {
    let (_, arena) = laid_out(architecture, layout)?;
    let scratch = (rayon::current_num_threads() * SCRATCH) as u64;
    let weights = (architecture.parameters() + spare(architecture)) as u64;
    let [weights, activations, scratch] =
        [weights, arena.buffers.iter().sum(), scratch].map(|numbers: u64| 4 * numbers);
    Ok(Memory { weights, activations, scratch })
}

/// Counts the numbers that Winograd's transformed weights may take beyond the plain ones: as many as these, and an eighth.
fn spare(architecture: &Architecture) -> usize {
    architecture.parameters() * 9 / 8
}

/// Lists the weights that layers need, each once.
struct Packer<'a> {
    weights: &'a WeightFile,
    packings: Vec<Packing>,
    known: HashMap<String, usize>,
    /// Numbers that Winograd's transformed weights may still take beyond the plain ones. Earlier layers come first: they have more pixels
    /// to each weight.
    spare: usize,
}

impl Packer<'_> {
    fn step(&mut self, layer: &Layer, pixel: usize) -> Result<Step, Error> {
        let dense = |in_channels, out_channels, relu| ConvSpec {
            name: layer.name.clone(),
            norm: String::new(),
            in_channels,
            out_channels,
            kernel: 1,
            stride: 1,
            padding: 0,
            groups: 1,
            relu,
        };
        Ok(match &layer.op {
            Op::Conv(spec) => Step::Conv(self.packing(spec.clone(), pixel, Source::Folded)),
            Op::Gate(gate) => match *gate {
                GateSpec::Dense { in_channels, out_channels, relu, .. } => {
                    let spec = dense(in_channels, out_channels, relu);
                    Step::Conv(self.packing(spec, pixel, Source::Gate(gate.clone())))
                }
                GateSpec::Sliding { channels, .. } => Step::Slide(self.weights.gate(gate)?.0, channels),
            },
            Op::Head => {
                let spec = dense(layer.input[2], layer.output[2], false);
                Step::Conv(self.packing(spec, pixel, Source::Head))
            }
            Op::MaxPool(pool) => Step::MaxPool(*pool),
            Op::AvgPool => Step::AvgPool,
            Op::GlobalAvgPool => Step::GlobalAvgPool,
            Op::GatedSum => Step::GatedSum,
            Op::Convert => return Err(Error::Options("photos are read as they come".to_owned())),
        })
    }

    fn packing(&mut self, spec: ConvSpec, pixel: usize, source: Source) -> usize {
        if let Some(&known) = self.known.get(&spec.name) {
            return known;
        }
        let extra = Winograd::len(pixel, padded(spec.out_channels))
            .saturating_sub(spec.weight_shape().iter().product::<usize>());
        let winograd = suits_winograd(&spec) && extra <= self.spare;
        if winograd {
            self.spare -= extra;
        }
        self.known.insert(spec.name.clone(), self.packings.len());
        self.packings.push(Packing { spec, pixel, source, winograd });
        self.packings.len() - 1
    }
}

impl Packing {
    fn pack(&self, isa: Isa, file: &WeightFile) -> Result<Convolution, Error> {
        let (weight, bias) = match &self.source {
            Source::Folded => file.conv(&self.spec).map(|folded| (folded.weight, folded.bias))?,
            Source::Gate(gate) => file.gate(gate)?,
            Source::Head => file.head().map(|head| (head.weight, head.bias))?,
        };
        Convolution::new(isa, &self.spec, self.pixel, self.winograd, (&weight, &bias))
    }
}
