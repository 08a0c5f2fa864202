//! The machine: its adapters and its CPU, how they are opened, what they can do and how fast, and what is kept about them.

pub(crate) mod allocator;
#[cfg(feature = "cli")]
pub(crate) mod bench;
pub(crate) mod cache_dir;
pub(crate) mod compiled;
pub(crate) mod cpu;
pub(crate) mod device;
#[cfg(feature = "cli")]
pub(crate) mod doctor;
pub(crate) mod gpu;
pub(crate) mod heap;
pub(crate) mod planned;
#[cfg(feature = "cli")]
pub(crate) mod timer;
pub(crate) mod tune;

pub use allocator::give_back_large_blocks;
pub use cache_dir::cache_dir;
pub use compiled::{Compiled, Found};
pub use cpu::Cpu;
pub use device::{Device, Wanted};
pub use gpu::{ALL, Gpu, Selection, Summary, adapters, open};
pub use kernels::Precision;
pub use planned::Planned;
pub use tune::Tuned;
