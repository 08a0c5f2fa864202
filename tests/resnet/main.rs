//! The backbone against PyTorch, torchvision and Pillow.
//!
//! The fixtures in `tests/fixtures/resnet` come with the scripts that made them; weights, inputs and pictures are drawn by
//! `testkit::formula`, which both sides compute.

mod costs;
mod engine;
mod fixture;
mod formula;
mod forward;
mod native;
mod network;
mod preprocess;
mod timm;
mod weights;
