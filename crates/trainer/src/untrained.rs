//! Networks that have learnt nothing: what a pretrained one has to beat, and what is measured where weights don't matter.

use std::f64::consts::TAU;

use resnet::Architecture;
use safetensors::tensor::{Dtype, TensorView};

use crate::random::SplitMix64;

/// Writes a safetensors file of a network that has learnt nothing: what a pretrained one has to beat.
///
/// Convolutions are drawn from N(0, 2 / fan_in), BatchNorm is the identity, but for the last of each block, whose
/// weight is 1/2, so that adding a block's input to its output doesn't let activations grow.
///
/// # Reference
/// He et al., "Delving deep into rectifiers", 2015.
pub fn random_weights(architecture: &Architecture, seed: u64) -> Vec<u8> {
    let mut random = SplitMix64(seed);
    // In (0, 1).
    let mut uniform = move || (random.bits() >> 11) as f64 / 2f64.powi(53) + 2f64.powi(-54);
    let mut normal = move || (-2.0 * uniform().ln()).sqrt() * (TAU * uniform()).cos();
    let network = architecture.network();
    let last: Vec<String> =
        network.blocks.iter().filter_map(|block| Some(format!("{}.weight", block.convs.last()?.norm))).collect();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = (architecture.tensors().into_iter())
        .map(|(name, shape)| {
            let count: usize = shape.iter().product();
            let fan_in = (count / shape[0].max(1)).max(1) as f64;
            let mut value = || match (shape.len(), name.rsplit('.').next()) {
                (2 | 4, _) => (2.0 / fan_in).sqrt() * normal(),
                (_, Some("weight")) if last.contains(&name) => 0.5,
                (_, Some("weight" | "running_var")) => 1.0,
                _ => 0.0,
            };
            let bytes = (0..count).flat_map(|_| (value() as f32).to_le_bytes()).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("as many bytes as the shape says");
        (name, view)
    });
    safetensors::serialize(views, None).expect("plain tensors under distinct names")
}

#[cfg(test)]
mod tests {
    use resnet::WeightFile;

    use super::*;

    #[test]
    fn random_weights_make_a_whole_network() {
        let architecture = Architecture::basic([1; 4], [8, 8, 16, 16], None);
        let bytes = random_weights(&architecture, 1);
        assert_eq!(bytes, random_weights(&architecture, 1));
        assert_ne!(bytes, random_weights(&architecture, 2));
        let file = WeightFile::from_bytes(bytes).unwrap();
        assert_eq!(file.architecture().features(), 16);
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
        for conv in file.convs() {
            let conv = conv.unwrap();
            let fan_in = (conv.weight.len() / conv.spec.out_channels) as f64;
            // BatchNorm, folded in, leaves the weights as they were where its own weight is 1.
            if conv.spec.relu {
                for &weight in &conv.weight {
                    let scaled = f64::from(weight) * (fan_in / 2.0).sqrt();
                    (sum, squares, count) = (sum + scaled, squares + scaled * scaled, count + 1.0);
                }
            }
        }
        assert!((sum / count).abs() < 0.05, "{}", sum / count);
        assert!((squares / count).abs() > 0.2 && (squares / count).abs() < 1.1, "{}", squares / count);
    }
}
