//! Each kernel on the machine's adapter against its f64 twin.

mod add_relu;
mod matmul;
mod pack;
