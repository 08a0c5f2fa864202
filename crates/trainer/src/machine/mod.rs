//! The machine: its adapters, what they can do, and what is kept about them.

pub mod allocator;
pub mod bench;
pub mod cache_dir;
pub mod compiled;
pub mod device;
pub mod doctor;
pub mod timer;
pub mod tune;
