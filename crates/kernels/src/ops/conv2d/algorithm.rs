//! What a way to compute a convolution must offer.

use super::{
    desc::Conv2dBuffers,
    weights::{Conv2dWeights, Packing, Upload},
};
use crate::{Error, Workspace, WorkspaceSize, step::Step};

/// A way to compute a layer: each is a struct of its own, with `applies` and `variants` beside these.
pub(super) trait Algorithm {
    /// Multiplications and additions that it does, in whole tiles and with the zeros of other groups.
    fn computed_flops(&self) -> u64;

    /// The scratch memory it needs.
    fn workspace(&self) -> WorkspaceSize;

    /// How it wants the weights.
    fn packing(&self) -> Packing;

    /// Packs a piece of the weights, which are `[out_channels, in_channels / groups, rows, columns]`.
    fn pack(&self, piece: u32, weight: &[f32], upload: &mut Upload<'_>) -> Result<(), Error>;

    /// The steps that compute the layer.
    fn bind(
        &self,
        workspace: &Workspace,
        weights: &Conv2dWeights,
        buffers: &Conv2dBuffers<'_>,
    ) -> Result<Vec<Step>, Error>;
}
