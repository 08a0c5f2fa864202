//! The frozen network on an adapter, as the extractor of features.

use std::f64::consts::TAU;

use resnet::{
    Architecture, Backbone, BackboneOptions, Image as Picture, ImageTensor, Recipe, Tap, WeightFile, preprocess,
};
use safetensors::tensor::{Dtype, TensorView};

use crate::decode::Image;
use crate::device::Gpu;
use crate::error::Result;
use crate::features::Extractor;
use crate::random::SplitMix64;
use crate::tune;

/// A ResNet on an adapter.
pub struct GpuExtractor<'a> {
    gpu: &'a Gpu,
    recipe: Recipe,
    backbone: Backbone,
    len: usize,
    tuned: Option<String>,
}

impl<'a> GpuExtractor<'a> {
    /// Plans the network for batches of `batch` photos and uploads its weights.
    ///
    /// # Errors
    /// The weights or the recipe don't suit; the adapter refuses.
    pub fn new(gpu: &'a Gpu, weights: &WeightFile, recipe: &Recipe, batch: usize) -> Result<Self> {
        recipe.check()?;
        let options = BackboneOptions { input_size: recipe.input_size, ..BackboneOptions::new(batch) };
        let backbone = Backbone::new(&gpu.context, &gpu.queue, weights, &options)?;
        gpu.check()?;
        let architecture = weights.architecture();
        let tuned = tune::fingerprint(gpu, architecture, &options)?;
        Ok(Self { gpu, recipe: recipe.clone(), backbone, len: architecture.features(), tuned })
    }

    /// What a table of measured kernels changes about the network, as a digest.
    pub fn tuned(&self) -> Option<&str> {
        self.tuned.as_deref()
    }
}

impl Extractor for GpuExtractor<'_> {
    type Input = ImageTensor;

    fn prepare(&self, image: Image) -> Result<ImageTensor, String> {
        let picture = Picture::new(image.width, image.height, &image.rgb).map_err(|error| error.to_string())?;
        preprocess(picture, &self.recipe).map_err(|error| error.to_string())
    }

    fn forward(&self, inputs: &[ImageTensor]) -> Result<Vec<f32>> {
        #[cfg(test)]
        self.gpu.inputs.lock().unwrap().extend(inputs.iter().map(|input| -> crate::split::Digest {
            use sha2::Digest as _;
            sha2::Sha256::digest(bytemuck::cast_slice(&input.data)).into()
        }));
        let features = self.backbone.submit(&self.gpu.queue, inputs)?.wait(Tap::Features)?;
        self.gpu.check()?;
        Ok(features)
    }

    fn feature_len(&self) -> usize {
        self.len
    }

    fn batch(&self) -> usize {
        self.backbone.batch()
    }
}

/// A safetensors file of a network that has learnt nothing: what a pretrained one has to beat.
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
