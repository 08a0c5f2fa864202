//! One module an operation: descriptor, shape checks, plan, bind.

mod conv2d;
mod matmul;
mod max_pool2d;
mod pack;

pub use conv2d::{Conv2d, Conv2dBuffers, Conv2dDesc, Conv2dWeights};
pub use matmul::{Matmul, MatmulBuffers, MatmulDesc};
pub use max_pool2d::{MaxPool2d, MaxPool2dDesc};
pub use pack::{Pack, PackDesc};
