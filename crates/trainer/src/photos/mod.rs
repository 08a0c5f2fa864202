//! Photos: from a file's bytes to 8-bit RGB, and on to what a network takes.
//!
//! The only place where pixels are read: training, evaluating, predicting and embedding all come through [`Preparation`].

mod bmp;
mod colours;
mod decode;
mod directory;
mod file;
mod foreign;
mod gif;
mod guard;
mod jpeg;
mod jpeg_header;
mod limits;
mod look;
mod memory;
mod orientation;
mod picture;
mod preparation;
mod reading;
mod segments;
mod sketch;
#[cfg(test)]
pub(crate) mod texture;
mod tiff;
mod view;
mod webp;

pub use colours::{COLOURS, colours};
pub use decode::decode_unguarded;
pub use guard::{THREAD, decode};
pub use jpeg::JPEG_DECODER;
pub use limits::Limits;
pub use picture::Picture;
pub use preparation::Preparation;
pub use reading::{Background, Exif, Reading};
pub use resnet::Recipe;
pub use view::{View, Views};

pub(crate) use decode::decode_into;
pub(crate) use file::{Failure, is_bad_sector, is_the_files, read};
pub(crate) use guard::{Decoder, decode_by};
pub(crate) use look::{Look, look, look_at};
pub(crate) use sketch::Sketch;
