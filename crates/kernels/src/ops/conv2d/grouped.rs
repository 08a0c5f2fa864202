//! The convolution of narrow groups, without the zeros that tiles of 64 channels would multiply.

use super::{
    algorithm::Algorithm,
    desc::{Conv2dBuffers, Conv2dDesc, OP},
    layer::Layer,
    span::Span,
    sum::{Banded, Shown},
    weights::{Conv2dWeights, Order, Packing, Upload},
};
use crate::{Error, Family, Workspace, WorkspaceSize, step::Step};

/// The sum over the channels of an output's own group.
pub(super) struct Grouped<'a> {
    pub layer: &'a Layer,
}

impl Grouped<'_> {
    /// Tells whether it computes this layer, and fits the device.
    pub fn applies(layer: &Layer) -> bool {
        let desc = &layer.desc;
        let [inputs, outputs] = [desc.in_channels, desc.out_channels].map(|channels| channels / desc.groups);
        let numbers = if layer.f16() { 2 } else { 1 };
        layer.family == Family::Tiled
            && inputs.is_multiple_of(4)
            && outputs.is_multiple_of(4)
            && desc.groups > 1
            && desc.weight_len() / numbers <= layer.context.room().binding
    }

    /// Tells whether a tile would see four times the channels of a group or more.
    pub fn pays(desc: &Conv2dDesc) -> bool {
        Span::of(desc, 64).span4 >= desc.in_channels / desc.groups
    }
}

impl Algorithm for Grouped<'_> {
    fn computed_flops(&self) -> u64 {
        self.layer.desc.flops()
    }

    fn workspace(&self) -> WorkspaceSize {
        WorkspaceSize::default()
    }

    fn packing(&self) -> Packing {
        let (len, halved) = (self.layer.desc.weight_len(), self.layer.f16());
        Packing { order: Order::Taps, rows: None, len, halved, pieces: 1 }
    }

    fn pack(&self, _piece: u32, weight: &[f32], upload: &mut Upload<'_>) -> Result<(), Error> {
        upload.stage(0, &by_tap(&self.layer.desc, weight))
    }

    fn bind(
        &self,
        _workspace: &Workspace,
        weights: &Conv2dWeights,
        buffers: &Conv2dBuffers<'_>,
    ) -> Result<Vec<Step>, Error> {
        let (layer, context) = (self.layer, &self.layer.context);
        let banded = Banded::of(layer);
        let pipeline = context.pipeline(&shaders::CONV2D_GROUPED, banded.target.entry, &[layer.f16_tensors()]);
        let (nothing, overflow) = (&context.nothing()?, &context.overflow()?);
        let shown = Shown { input: buffers.input, weights, buffers, nothing, overflow };
        let mut steps = Vec::new();
        for band in banded.bands()? {
            let pixels = banded.pixels(&band);
            let count = pixels.end - pixels.start;
            let groups = (count.div_ceil(4) * u64::from(layer.desc.out_channels / 4)).div_ceil(64);
            let params = context.uniform(&banded.params(&band, groups))?;
            let entries = banded.entries(&band, &params, weights.buffer()?.slice(..), &shown);
            let products = count * layer.desc.weight_len();
            steps.push(context.dispatch(OP, &pipeline, &entries, groups)?.multiplying(products));
        }
        Ok(steps)
    }
}

/// Reorders weights to `[tap, channel of the group, out_channels]`.
fn by_tap(desc: &Conv2dDesc, weight: &[f32]) -> Vec<f32> {
    let taps = (desc.kernel[0] * desc.kernel[1]) as usize;
    let (group_in, outputs) = ((desc.in_channels / desc.groups) as usize, desc.out_channels as usize);
    let place = |i: usize| (i % outputs * group_in + i / outputs % group_in) * taps + i / outputs / group_in;
    (0..weight.len()).map(|i| weight[place(i)]).collect()
}
