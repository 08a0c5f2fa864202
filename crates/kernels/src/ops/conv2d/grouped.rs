//! The convolution of narrow groups, without the zeros that tiles of 64 channels would multiply.

use super::{Conv2d, Conv2dBuffers, Conv2dDesc, Conv2dWeights, OP, weights::Span};
use crate::{Context, Error, Family, Precision, commands::Step};

/// A tile would see four times the channels of a group or more.
pub(super) fn pays(desc: &Conv2dDesc) -> bool {
    Span::of(desc, 64).span4 >= desc.in_channels / desc.groups
}

/// Whether the algorithm computes this convolution, and fits the device.
pub(super) fn applies(context: &Context, family: Family, desc: &Conv2dDesc) -> bool {
    let [inputs, outputs] = [desc.in_channels, desc.out_channels].map(|channels| channels / desc.groups);
    let numbers = if desc.precision == Precision::F16 { 2 } else { 1 };
    family == Family::Tiled
        && inputs.is_multiple_of(4)
        && outputs.is_multiple_of(4)
        && desc.groups > 1
        && desc.weight_len() / numbers <= context.binding_elements()
}

impl Conv2d {
    pub(super) fn grouped(&self, weights: &Conv2dWeights, buffers: &Conv2dBuffers<'_>) -> Result<Vec<Step>, Error> {
        let target = self.target();
        let pipeline = self.context.pipeline(&shaders::CONV2D_GROUPED, target.entry, &self.constants());
        let weight = weights.buffer()?.slice(..);
        let mut steps = Vec::new();
        for band in self.bands()? {
            let blocks = (band.pixels.end - band.pixels.start).div_ceil(4);
            let groups = (blocks * u64::from(self.desc.out_channels / 4)).div_ceil(64);
            let params = self.context.uniform(&self.band_params(&band, &target, groups))?;
            let none = self.context.nothing()?;
            let entries = self.entries(&band, &target, &params, buffers.input, weight, weights, buffers, &none);
            let products = (band.pixels.end - band.pixels.start) * self.desc.weight_len();
            steps.push(self.context.dispatch(OP, &pipeline, &entries, groups)?.multiplying(products));
        }
        Ok(steps)
    }
}
