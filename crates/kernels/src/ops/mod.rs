//! One module an operation: descriptor, shape checks, plan, bind.

mod add_relu;
mod matmul;
mod pack;

pub use add_relu::{AddRelu, AddReluBuffers, AddReluDesc};
pub use matmul::{Matmul, MatmulBuffers, MatmulDesc};
pub use pack::{Pack, PackDesc};
