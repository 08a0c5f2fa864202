//! One module an operation: descriptor, shape checks, plan, bind.

mod matmul;
mod pack;

pub use matmul::{Matmul, MatmulBuffers, MatmulDesc};
pub use pack::{Pack, PackDesc};
