//! Each kernel on the machine's adapter against its f64 twin.

mod matmul;
mod pack;
