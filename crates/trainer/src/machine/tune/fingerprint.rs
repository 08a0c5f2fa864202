//! What a table of measured kernels changes about a network.

use kernels::Context;
use resnet::{Architecture, BackboneOptions, PlannedLayer};
use sha2::{Digest as _, Sha256};

use crate::digest::hex;
use crate::error::Result;
use crate::machine::device::Gpu;

/// The layers of a network as they are planned without a table: what [`measure`] starts from.
///
/// # Errors
/// The network can't be planned here.
pub fn defaults(gpu: &Gpu, architecture: &Architecture, options: &BackboneOptions) -> Result<Vec<PlannedLayer>> {
    let mut tune = gpu.context.tune().clone();
    tune.table.clear();
    Ok(architecture.layers(&Context::with_tune(gpu.context.device(), tune), options)?)
}

/// What a table changes about a network, as a digest; none where every layer has its default, as without a table.
///
/// Features computed by other variants differ in the last digits, so this is part of what they are kept under.
///
/// # Errors
/// The network can't be planned here.
pub fn fingerprint(gpu: &Gpu, architecture: &Architecture, options: &BackboneOptions) -> Result<Option<String>> {
    if gpu.tuned.is_none() {
        return Ok(None);
    }
    let layers = architecture.layers(&gpu.context, options)?;
    let changed: Vec<String> = (layers.iter().zip(defaults(gpu, architecture, options)?))
        .filter(|(layer, default)| layer.variant() != default.variant())
        .map(|(layer, _)| format!("{}: {}\n", layer.name, layer.kernel()))
        .collect();
    Ok((!changed.is_empty()).then(|| hex(&Sha256::digest(changed.concat()))))
}
