//! The embedded default: what the trainer does when it is given nothing.

pub mod draw;
