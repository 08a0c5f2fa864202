//! A frozen ResNet backbone: safetensors weights in, features out.
//!
//! [`WeightFile`] opens a checkpoint, finds out by itself which ResNet it holds and checks all of it;
//! [`Architecture`] and [`Network`] say what the layers are: plain, wide and grouped (ResNeXt) residual networks, with the deep
//! stems and pooled shortcuts of ResNet-C, -D and timm's -S and -T, with squeeze and excitation (SE) or efficient channel
//! attention (ECA); [`FoldedConv`] is a convolution with its BatchNorm folded in.
//! [`preprocess`] turns a photo into the tensor that the weights' [`Recipe`] asks for.
//!
//! ```
//! use resnet::{Architecture, Image, Recipe, preprocess};
//!
//! let grey = vec![128; 500 * 375 * 3];
//! let tensor = preprocess(Image::new(500, 375, &grey)?, &Recipe::default())?;
//! assert_eq!((tensor.height, tensor.width, tensor.data.len()), (224, 224, 224 * 224 * 3));
//!
//! let network = Architecture::named("resnet18", None).unwrap().network();
//! assert_eq!(network.convs().count(), 20);
//! # Ok::<(), resnet::Error>(())
//! ```

mod architecture;
mod arena;
mod backbone;
mod engine;
mod error;
mod fold;
mod identify;
mod layers;
mod names;
mod preprocess;
mod recipe;
mod ring;
mod slices;
mod weights;

pub use architecture::{
    Architecture, Attention, Block, BlockSpec, ConvSpec, GateSpec, Network, PoolSpec, ShortcutSpec, Stage,
};
pub use backbone::{Backbone, BackboneOptions, Memory};
pub use engine::{Engine, Pending, Tap};
pub use error::Error;
pub use fold::{BATCH_NORM_EPS, BatchNorm, FoldedConv, Linear};
pub use kernels;
pub use layers::{LayerPlan, PlannedLayer};
pub use preprocess::{Image, ImageTensor, preprocess, preprocess_into, resize};
pub use recipe::{Interpolation, Recipe, Resize};
pub use safetensors;
pub use slices::Slicing;
pub use weights::{TensorProblems, WeightFile};
