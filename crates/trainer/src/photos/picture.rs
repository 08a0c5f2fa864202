//! A decoded photo: 8-bit RGB, whatever it was stored as.

use image::DynamicImage;

use crate::photos::reading::Background;

/// A decoded photo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Columns, in pixels.
    pub width: usize,
    /// Rows, in pixels.
    pub height: usize,
    /// The bytes, `[height, width, 3]`, red first.
    pub rgb: Vec<u8>,
}

/// Converts any picture to 8-bit RGB, as Pillow's `convert("RGB")` does.
pub(super) fn into_rgb(image: DynamicImage, background: Background) -> Result<Picture, String> {
    use DynamicImage::{
        ImageLuma8, ImageLuma16, ImageLumaA8, ImageLumaA16, ImageRgb8, ImageRgb16, ImageRgba8, ImageRgba16,
    };
    let (width, height) = (image.width() as usize, image.height() as usize);
    if width == 0 || height == 0 {
        return Err("no pixels".into());
    }
    let upper = |values: Vec<u16>| values.into_iter().map(|value| (value >> 8) as u8).collect::<Vec<u8>>();
    let repeat = |grey: Vec<u8>| grey.into_iter().flat_map(|value| [value; 3]).collect();
    let blend = |pixels: Vec<u8>, channels: usize| flatten(&pixels, channels, background);
    let rgb = match image {
        ImageLuma8(grey) => repeat(grey.into_raw()),
        ImageLuma16(grey) => repeat(grey.into_raw().into_iter().map(|value| value.min(255) as u8).collect()),
        ImageLumaA8(pixels) => blend(pixels.into_raw(), 1),
        ImageLumaA16(pixels) => blend(upper(pixels.into_raw()), 1),
        ImageRgb8(pixels) => pixels.into_raw(),
        ImageRgb16(pixels) => upper(pixels.into_raw()),
        ImageRgba8(pixels) => blend(pixels.into_raw(), 3),
        ImageRgba16(pixels) => blend(upper(pixels.into_raw()), 3),
        other => return Err(format!("pixels of type {:?} can't be read here", other.color())),
    };
    Ok(Picture { width, height, rgb })
}

/// Makes room for so many bytes of pixels, in `memory` where they fit.
///
/// # Errors
/// There is too little memory, in words.
pub(super) fn room(mut memory: Vec<u8>, size: usize) -> Result<Vec<u8>, String> {
    if memory.len() < size {
        // Reserved like this, too little memory is an error instead of the program's end.
        memory = Vec::new();
        memory.try_reserve_exact(size).map_err(|error| error.to_string())?;
        // Zeroed by the system, it isn't touched before there are pixels: a header may promise more than there are.
        memory = vec![0; size];
    }
    memory.truncate(size);
    Ok(memory)
}

/// Flattens pixels of one or three channels and alpha to RGB.
fn flatten(pixels: &[u8], channels: usize, background: Background) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(pixels.len() / (channels + 1) * 3);
    for pixel in pixels.chunks_exact(channels + 1) {
        let colour: [u8; 3] = std::array::from_fn(|c| pixel[c.min(channels - 1)]);
        let alpha = u32::from(pixel[channels]);
        rgb.extend(match background {
            Background::Drop => colour,
            Background::Over(behind) => std::array::from_fn(|c| {
                // Divided by 255 and rounded, without dividing: Pillow's arithmetic.
                let sum = u32::from(colour[c]) * alpha + u32::from(behind[c]) * (255 - alpha) + 128;
                (((sum >> 8) + sum) >> 8) as u8
            }),
        });
    }
    rgb
}
