//! A decoded photo: 8-bit RGB, whatever it was stored as. Pixels are converted where they lie, so that they take no memory twice.

use image::ColorType;
use image::metadata::Orientation;

use crate::photos::memory::allocate;
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

impl Picture {
    /// Makes one of its size, columns first, and as many pixels.
    ///
    /// # Errors
    /// It has none, in words.
    pub(super) fn new([width, height]: [usize; 2], rgb: Vec<u8>) -> Result<Self, String> {
        match rgb.is_empty() {
            true => Err("no pixels".into()),
            false => Ok(Self { width, height, rgb }),
        }
    }

    /// Turns it as a camera noted.
    ///
    /// # Errors
    /// There is no memory for it, in words.
    pub(super) fn turned(mut self, orientation: Orientation) -> Result<Self, String> {
        use Orientation::{
            FlipHorizontal, FlipVertical, NoTransforms, Rotate90, Rotate90FlipH, Rotate180, Rotate270, Rotate270FlipH,
        };
        let (width, height) = (self.width, self.height);
        let (pixels, _) = self.rgb.as_chunks_mut::<3>();
        match orientation {
            NoTransforms => return Ok(self),
            Rotate180 => pixels.reverse(),
            FlipHorizontal => pixels.chunks_exact_mut(width).for_each(<[_]>::reverse),
            FlipVertical => {
                pixels.reverse();
                pixels.chunks_exact_mut(width).for_each(<[_]>::reverse);
            }
            Rotate90 | Rotate90FlipH | Rotate270 | Rotate270FlipH => {
                let mut rgb = allocate(Vec::new(), pixels.len() as u64 * 3)?;
                let from_right = matches!(orientation, Rotate270 | Rotate270FlipH);
                let from_below = matches!(orientation, Rotate90 | Rotate270FlipH);
                for (y, row) in rgb.as_chunks_mut::<3>().0.chunks_exact_mut(height).enumerate() {
                    let column = if from_right { width - 1 - y } else { y };
                    for (x, to) in row.iter_mut().enumerate() {
                        let line = if from_below { height - 1 - x } else { x };
                        *to = pixels[line * width + column];
                    }
                }
                return Self::new([height, width], rgb);
            }
        }
        Ok(self)
    }
}

/// What the channels of decoded pixels mean.
#[derive(Clone, Copy)]
pub(super) struct Meaning {
    pub color: ColorType,
    pub alpha: Alpha,
    /// What lies behind what is transparent.
    pub background: Background,
}

/// What a channel beside the colours is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Alpha {
    /// How much covers the background.
    Straight,
    /// The same, and the colours are multiplied by it.
    Associated,
    /// Anything else.
    Meaningless,
}

/// Converts pixels to 8-bit RGB where they lie, as Pillow's `convert("RGB")` does. They are the first bytes of `bytes`, which has room
/// for both.
///
/// # Errors
/// Pixels of this type can't be read here, in words.
pub(super) fn into_rgb(bytes: &mut Vec<u8>, pixels: usize, meaning: Meaning) -> Result<(), String> {
    let Meaning { color, alpha, background } = meaning;
    let cover = |[red, green, blue, over]: [u8; 4]| match (alpha, over) {
        (Alpha::Straight, _) => flat([red, green, blue], over, background),
        (Alpha::Associated, 0) => flat([0; 3], 0, background),
        (Alpha::Associated, _) => {
            let divided = |colour| (u32::from(colour) * 255 / u32::from(over)).min(255) as u8;
            flat([red, green, blue].map(divided), over, background)
        }
        (Alpha::Meaningless, _) => [red, green, blue],
    };
    match color {
        ColorType::L8 => in_place(bytes, pixels, |[grey]| [grey; 3]),
        ColorType::La8 => in_place(bytes, pixels, |[grey, over]| cover([grey, grey, grey, over])),
        ColorType::Rgb8 => {}
        ColorType::Rgba8 => in_place(bytes, pixels, cover),
        ColorType::L16 => in_place(bytes, pixels, |[a, b]| [cut(a, b); 3]),
        ColorType::La16 if alpha == Alpha::Meaningless => in_place(bytes, pixels, |[a, b, _, _]| [cut(a, b); 3]),
        ColorType::La16 => in_place(bytes, pixels, |pixel| {
            let [grey, over] = upper::<4, 2>(pixel);
            cover([grey, grey, grey, over])
        }),
        ColorType::Rgb16 => in_place(bytes, pixels, upper::<6, 3>),
        ColorType::Rgba16 => in_place(bytes, pixels, |pixel| cover(upper::<8, 4>(pixel))),
        other => return Err(unknown(other)),
    }
    bytes.truncate(3 * pixels);
    Ok(())
}

/// Checks that pixels of a type can be converted.
///
/// # Errors
/// They can't, in words.
pub(super) fn check(color: ColorType) -> Result<(), String> {
    use ColorType::{L8, L16, La8, La16, Rgb8, Rgb16, Rgba8, Rgba16};
    match [L8, La8, Rgb8, Rgba8, L16, La16, Rgb16, Rgba16].contains(&color) {
        true => Ok(()),
        false => Err(unknown(color)),
    }
}

fn unknown(color: ColorType) -> String {
    format!("pixels of type {color:?} can't be read here")
}

/// Converts pixels of `N` bytes, from the end where they grow.
pub(super) fn in_place<const N: usize>(bytes: &mut [u8], pixels: usize, rgb: impl Fn([u8; N]) -> [u8; 3]) {
    let convert = |at: usize| {
        let pixel = std::array::from_fn(|byte| bytes[at * N + byte]);
        bytes[at * 3..][..3].copy_from_slice(&rgb(pixel));
    };
    if N < 3 { (0..pixels).rev().for_each(convert) } else { (0..pixels).for_each(convert) }
}

/// Cuts a deep grey off at 255.
fn cut(a: u8, b: u8) -> u8 {
    u16::from_ne_bytes([a, b]).min(255) as u8
}

/// Takes the upper halves of 16-bit values.
fn upper<const BYTES: usize, const VALUES: usize>(pixel: [u8; BYTES]) -> [u8; VALUES] {
    std::array::from_fn(|value| (u16::from_ne_bytes([pixel[2 * value], pixel[2 * value + 1]]) >> 8) as u8)
}

/// Lays a colour over the background.
pub(super) fn flat(colour: [u8; 3], alpha: u8, background: Background) -> [u8; 3] {
    match background {
        Background::Drop => colour,
        Background::Over(behind) => std::array::from_fn(|c| {
            // Divided by 255 and rounded, without dividing: Pillow's arithmetic.
            let sum = u32::from(colour[c]) * u32::from(alpha) + u32::from(behind[c]) * u32::from(255 - alpha) + 128;
            (((sum >> 8) + sum) >> 8) as u8
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::DynamicImage;

    #[test]
    fn it_is_turned_as_the_camera_noted() {
        let pixels: Vec<u8> = (0..36).collect();
        for value in 1..=8 {
            let orientation = Orientation::from_exif(value).unwrap();
            let picture = Picture::new([4, 3], pixels.clone()).unwrap().turned(orientation).unwrap();
            let mut image = DynamicImage::from(image::RgbImage::from_raw(4, 3, pixels.clone()).unwrap());
            image.apply_orientation(orientation);
            assert_eq!((picture.width, picture.height), (image.width() as usize, image.height() as usize));
            assert_eq!(picture.rgb, image.into_rgb8().into_raw(), "{value}");
        }
    }
}
