//! A step of a bound operation: a dispatch, or a copy between passes.

use wgpu::{BindGroup, Buffer, ComputePipeline, Texture};

/// One entry of a bound operation.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Dispatch {
        pipeline: ComputePipeline,
        bind_group: BindGroup,
        grid: [u32; 3],
        /// Multiply-adds of a matrix product, tiles that stand out counted whole; 0 of other work.
        products: u64,
    },
    /// Raw bytes of a buffer into the rows of a linear texture.
    CopyToTexture { buffer: Buffer, offset: u64, texels: u64, texture: Texture },
}

impl Step {
    /// Notes how many multiply-adds the dispatch does.
    pub(crate) fn multiplying(mut self, count: u64) -> Self {
        if let Step::Dispatch { products, .. } = &mut self {
            *products = count;
        }
        self
    }
}
