//! A frozen ResNet backbone: safetensors weights in, features out.
//!
//! [`WeightFile`] opens a checkpoint, finds out by itself which ResNet it holds and checks all of it;
//! [`Architecture`] and [`Network`] say what the layers are: plain, wide and grouped (ResNeXt) residual networks, with the deep
//! stems and pooled shortcuts of ResNet-C, -D and timm's -S and -T, with squeeze and excitation (SE) or efficient channel
//! attention (ECA); [`FoldedConv`] is a convolution with its BatchNorm folded in.
//! [`ImageBytes`] is a photo, resized and cropped as the weights' [`Recipe`] asks for; an [`Engine`], such as [`Backbone`], normalises
//! batches of those and turns them into features. It takes normalised floats too: [`ImageTensor`], which [`preprocess`] makes.
//!
//! ```
//! use resnet::{Architecture, Crop, ImageBytes, ImageView, Recipe};
//!
//! let grey = vec![128; 500 * 375 * 3];
//! let photo = ImageBytes::of(ImageView::new(500, 375, &grey)?, &Recipe::default())?;
//! assert_eq!((photo.height, photo.width, photo.data.len()), (224, 224, 224 * 224 * 3));
//!
//! let network = Architecture::named("resnet18", None).unwrap().network();
//! assert_eq!(network.convs().count(), 20);
//! # Ok::<(), resnet::Error>(())
//! ```

mod architecture;
mod arena;
mod detect;
mod engine;
mod error;
mod fold;
mod gpu;
mod graph;
mod identify;
mod names;
mod network;
mod problems;
mod published;
mod recipe;
#[doc(hidden)]
pub mod regular;
mod resize;
mod tensor;
mod weights;

/// What engines are made of: a network as layers over numbered tensors, and where these live. For crates that run it on other
/// devices; it isn't stable, and changes without a word in the changelog.
pub mod low_level {
    pub use crate::arena::{Arena, Tensor};
    pub use crate::graph::{Graph, Layer, Layout, Op};
}

pub use architecture::{Architecture, Attention, Block, Stage};
pub use engine::{Engine, Pending, Tap};
pub use error::Error;
pub use fold::{FoldedConv, Linear};
pub use gpu::{Backbone, BackboneOptions, LayerPlan, Memory, PlannedLayer, Slicing};
pub use kernels;
pub use network::{BlockSpec, ConvSpec, GateSpec, Network, PoolSpec, ShortcutSpec};
pub use problems::TensorProblems;
pub use recipe::{CropRounding, Interpolation, Recipe, Resize};
pub use resize::{ImageView, resize};
pub use safetensors;
pub use tensor::{Crop, ImageBytes, ImageTensor, preprocess};
pub use weights::WeightFile;
