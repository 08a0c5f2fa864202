//! The trait of a convolution's algorithms: what `conv2d` asks of each.

use super::{
    desc::Conv2dBuffers,
    weights::{Conv2dWeights, Packing, Upload},
};
use crate::{Error, Workspace, WorkspaceSize, step::Step};

/// A way to compute a layer: each is a struct of its own, with `applies` and `variants` beside these.
pub(super) trait Algorithm {
    /// Counts the multiplications and additions that it does, in whole tiles and with the zeros of other groups.
    fn computed_flops(&self) -> u64;

    /// Computes the scratch memory that it needs.
    fn workspace(&self) -> WorkspaceSize;

    /// Tells how it wants the weights packed.
    fn packing(&self) -> Packing;

    /// Packs a piece of the weights, which are `[out_channels, in_channels / groups, rows, columns]`.
    fn pack(&self, piece: u32, weight: &[f32], upload: &mut Upload<'_>) -> Result<(), Error>;

    /// Makes the steps that compute the layer.
    fn bind(
        &self,
        workspace: &Workspace,
        weights: &Conv2dWeights,
        buffers: &Conv2dBuffers<'_>,
    ) -> Result<Vec<Step>, Error>;
}
