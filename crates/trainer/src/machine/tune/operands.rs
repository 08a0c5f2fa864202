//! Random operands for a layer by itself, so that each of its variants can be run and compared.

use kernels::wgpu::{self, Buffer, BufferUsages, util::DeviceExt as _};
use kernels::{
    Commands, Conv2d, Conv2dBuffers, Matmul, MatmulBuffers, Precision, Variant, Workspace, WorkspaceSize, from_halves,
    halves,
};
use resnet::{LayerPlan, PlannedLayer};

use crate::error::Result;
use crate::machine::gpu::Gpu;
use crate::random::SplitMix64;

/// How far a result may lie from the default's, of the largest value: Winograd's differ by about 1e-6, wrong ones by 1.
const TOLERANCE: f32 = 1e-4;
/// The same where both were rounded to f16: a unit in its last place, and a half for what is before that.
const F16_TOLERANCE: f32 = 1.5e-3;

/// Random operands of a layer.
pub(crate) struct Operands {
    input: Buffer,
    residual: Buffer,
    weight: Vec<f32>,
    bias: Vec<f32>,
    pub(crate) output: Buffer,
    /// Channels of the output, where input, residual and output are f16 tensors.
    f16: Option<usize>,
}

impl Operands {
    pub(crate) fn new(gpu: &Gpu, layer: &PlannedLayer) -> Self {
        let mut random = SplitMix64(1);
        // In (-1, 1).
        let mut values = |len: u64| -> Vec<f32> {
            (0..len).map(|_| (random.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
        };
        let (input, weight, bias, output) = match &layer.plan {
            LayerPlan::Conv2d(plan) => {
                let desc = plan.desc();
                (desc.input_len(), desc.weight_len(), desc.out_channels.into(), desc.output_len())
            }
            LayerPlan::Matmul(plan) => {
                let [m, k, n] = [plan.desc().m, plan.desc().k, plan.desc().n].map(u64::from);
                (m * k, k * n, n, m * n)
            }
            // Nothing else has variants.
            _ => (1, 1, 1, 1),
        };
        let [in_channels, out_channels] = match &layer.plan {
            LayerPlan::Conv2d(plan) if plan.desc().precision == Precision::F16 => {
                [plan.desc().in_channels, plan.desc().out_channels].map(|channels| Some(channels as usize))
            }
            _ => [None; 2],
        };
        let buffer = |values: &[f32], f16: Option<usize>| {
            let words = f16.map(|channels| halves(values, channels));
            gpu.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: Some("tune"),
                contents: words.as_deref().map_or(bytemuck::cast_slice(values), bytemuck::cast_slice),
                usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
            })
        };
        Self {
            input: buffer(&values(input), in_channels),
            residual: buffer(&values(output), out_channels),
            weight: values(weight),
            bias: values(bias),
            output: buffer(&vec![0.0; output as usize], out_channels),
            f16: out_channels,
        }
    }

    /// Reads what the output holds.
    pub(crate) fn result(&self, gpu: &Gpu) -> Result<Vec<f32>> {
        match self.f16 {
            Some(channels) => Ok(from_halves(&gpu.read::<u32>(&self.output)?, channels)),
            None => gpu.read(&self.output),
        }
    }

    pub(crate) fn tolerance(&self) -> f32 {
        if self.f16.is_some() { F16_TOLERANCE } else { TOLERANCE }
    }

    /// Binds the layer in each of these variants; all share their scratch memory.
    pub(crate) fn bind(
        &self,
        gpu: &Gpu,
        layer: &PlannedLayer,
        variants: &[Variant],
    ) -> Result<Vec<Result<Commands, kernels::Error>>> {
        let with = |size: WorkspaceSize| Workspace::new(&gpu.context, size);
        let bound = match &layer.plan {
            LayerPlan::Conv2d(plan) => {
                let plans =
                    variants.iter().map(|&variant| plan.with_variant(variant)).collect::<Result<Vec<_>, _>>()?;
                let size =
                    plans.iter().map(Conv2d::workspace_size).fold(WorkspaceSize::default(), WorkspaceSize::union);
                let workspace = with(size)?;
                let buffers = Conv2dBuffers {
                    input: self.input.slice(..),
                    residual: plan.desc().residual.then(|| self.residual.slice(..)),
                    output: self.output.slice(..),
                };
                let bind = |plan: &Conv2d| {
                    let weights = plan.weights(&gpu.queue, &self.weight, Some(&self.bias))?;
                    gpu.queue.submit([]);
                    plan.bind_in(&workspace, &weights, &buffers)
                };
                plans.iter().map(bind).collect()
            }
            LayerPlan::Matmul(plan) => {
                let plans =
                    variants.iter().map(|&variant| plan.with_variant(variant)).collect::<Result<Vec<_>, _>>()?;
                let size =
                    plans.iter().map(Matmul::workspace_size).fold(WorkspaceSize::default(), WorkspaceSize::union);
                let workspace = with(size)?;
                let upload = |values: &[f32]| {
                    gpu.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                        label: Some("tune"),
                        contents: bytemuck::cast_slice(values),
                        usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC,
                    })
                };
                let (b, bias) = (upload(&self.weight), upload(&self.bias));
                let buffers = MatmulBuffers {
                    a: self.input.slice(..),
                    b: b.slice(..),
                    bias: plan.desc().bias.then(|| bias.slice(..)),
                    output: self.output.slice(..),
                };
                plans.iter().map(|plan| plan.bind_in(&workspace, &buffers)).collect()
            }
            _ => Vec::new(),
        };
        Ok(bound)
    }
}
