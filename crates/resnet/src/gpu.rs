//! The engine of WGSL kernels: plans them for a network, binds them and runs them on a device.

mod bind;
mod layers;
mod pass;
mod plan;
mod read;
mod ring;
mod slices;
mod upload;

pub use layers::{LayerPlan, PlannedLayer};
pub use pass::Backbone;
pub use plan::{BackboneOptions, Memory};
pub use slices::Slicing;
