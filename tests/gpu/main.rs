//! Each kernel on the machine's adapter against its f64 twin.

mod conv2d;
mod matmul;
mod max_pool2d;
mod pack;
