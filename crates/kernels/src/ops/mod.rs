//! The operations, a module each: descriptor, shape checks, plan, bind.

mod adamw;
mod add_relu;
mod avg_pool2d;
mod conv2d;
mod dense;
mod global_avg_pool2d;
mod matmul;
mod max_pool2d;
mod normalize;
mod pack;
mod reduce_sum;
mod scale_add_relu;
mod sgd;
mod sigmoid_cross_entropy;
mod softmax_cross_entropy;

pub use adamw::{AdamW, AdamWBuffers, AdamWDesc, BoundAdamW};
pub use add_relu::{AddRelu, AddReluBuffers, AddReluDesc};
pub use avg_pool2d::{AvgPool2d, AvgPool2dDesc};
pub use conv2d::{Conv2d, Conv2dBuffers, Conv2dDesc, Conv2dWeights};
pub use dense::{Dense, DenseDesc, RowBatch, RowTable};
pub use global_avg_pool2d::{GlobalAvgPool2d, GlobalAvgPool2dDesc};
pub use matmul::{Matmul, MatmulBuffers, MatmulDesc};
pub use max_pool2d::{MaxPool2d, MaxPool2dDesc};
pub use normalize::{Normalize, NormalizeDesc};
pub use pack::{Pack, PackDesc};
pub use reduce_sum::{ReduceSum, ReduceSumDesc};
pub use scale_add_relu::{ScaleAddRelu, ScaleAddReluBuffers, ScaleAddReluDesc};
pub use sgd::{BoundSgd, Sgd, SgdBuffers, SgdDesc};
pub use sigmoid_cross_entropy::{SigmoidCrossEntropy, SigmoidCrossEntropyBuffers, SigmoidCrossEntropyDesc};
pub use softmax_cross_entropy::{Reduction, SoftmaxCrossEntropy, SoftmaxCrossEntropyBuffers, SoftmaxCrossEntropyDesc};

/// Lists the layouts of the parameters of every shader that has any.
#[cfg(feature = "reference")]
#[doc(hidden)]
pub fn params_layouts() -> Vec<crate::params::ParamsLayout> {
    [
        adamw::Params::LAYOUTS,
        avg_pool2d::Params::LAYOUTS,
        conv2d::sum::Params::LAYOUTS,
        conv2d::winograd::Params::LAYOUTS,
        dense::Params::LAYOUTS,
        global_avg_pool2d::Params::LAYOUTS,
        matmul::Params::LAYOUTS,
        matmul::texture::Params::LAYOUTS,
        max_pool2d::Params::LAYOUTS,
        normalize::Params::LAYOUTS,
        pack::Params::LAYOUTS,
        reduce_sum::Params::LAYOUTS,
        scale_add_relu::Params::LAYOUTS,
        sgd::Params::LAYOUTS,
        sigmoid_cross_entropy::Params::LAYOUTS,
        softmax_cross_entropy::Params::LAYOUTS,
    ]
    .concat()
}

/// Texels of a row of a linear texture.
#[cfg(feature = "reference")]
#[doc(hidden)]
pub fn linear_texture_row() -> u32 {
    crate::mirror::ROW as u32
}
