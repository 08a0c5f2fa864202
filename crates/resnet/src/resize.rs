//! Resizes pictures, byte for byte as Pillow does, because that is how weights saw their training photos.

use std::ops::Range;

use crate::error::Error;
use crate::recipe::Interpolation;

/// A borrowed picture: rows of red, green, blue bytes without gaps.
#[derive(Clone, Copy, Debug)]
pub struct ImageView<'a> {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pixels: &'a [u8],
}

impl<'a> ImageView<'a> {
    /// Borrows a picture of `width` x `height` pixels, row by row, three bytes a pixel.
    ///
    /// # Errors
    /// [`Error::Image`] if a side is zero or `pixels` isn't `3 · width · height` long.
    pub fn new(width: usize, height: usize, pixels: &'a [u8]) -> Result<Self, Error> {
        let expected = width.checked_mul(height).and_then(|area| area.checked_mul(3));
        if width == 0 || height == 0 {
            return Err(Error::Image(format!("the picture is {width}x{height}: it has no pixels")));
        }
        if expected != Some(pixels.len()) {
            let got = pixels.len();
            return Err(Error::Image(format!("a {width}x{height} RGB picture doesn't have {got} bytes")));
        }
        Ok(Self { width, height, pixels })
    }
}

/// Resizes a picture to `size` (height, width) with antialiasing; gives its RGB bytes, row by row.
///
/// # Numerics
/// Equal, byte for byte, to the `Image.resize` of Pillow 13 with the filter of the same name: coefficients in f64, normalised to
/// sum to 1 and rounded to 22-bit fixed point; first along rows, rounded to bytes, then along columns; the other way round
/// for a picture that loses more than twice as many rows as columns. Pillow 12 and before always take rows first, so that there a
/// byte of such a tall picture may differ by a level or two.
///
/// # Errors
/// [`Error::Image`] if a side of `size` is zero or above 65536.
pub fn resize(image: ImageView, size: [usize; 2], interpolation: Interpolation) -> Result<Vec<u8>, Error> {
    if size.iter().any(|side| !(1..=1 << 16).contains(side)) {
        return Err(Error::Image(format!("can't resize to height and width {size:?}: 1 to 65536 is expected")));
    }
    Ok(resample(image, size, 0..size[0], 0..size[1], interpolation))
}

/// Bits behind the binary point of a coefficient: products with a byte and their sums stay within 32 bits.
const PRECISION: u32 = 32 - 8 - 2;

/// For each output position of one axis, which inputs it is made of, and how.
struct AxisFilter {
    /// First input.
    starts: Vec<usize>,
    /// Fixed-point coefficients, from the first input on.
    coefficients: Vec<Vec<i32>>,
}

impl AxisFilter {
    /// Makes the filter for the outputs `range` of an axis resized from `from` to `to`.
    fn new(from: usize, to: usize, range: Range<usize>, interpolation: Interpolation) -> Self {
        let (kernel, radius): (fn(f64) -> f64, f64) = match interpolation {
            Interpolation::Bilinear => (triangle, 1.0),
            Interpolation::Bicubic => (cubic, 2.0),
        };
        let scale = from as f64 / to as f64;
        let widening = scale.max(1.0);
        let support = radius * widening;
        let mut taps = Self { starts: Vec::new(), coefficients: Vec::new() };
        for position in range {
            let centre = (position as f64 + 0.5) * scale;
            // `as` truncates towards zero and stops at zero, as wanted at the left edge.
            let start = (centre - support + 0.5) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let weights: Vec<f64> =
                (start..end).map(|x| kernel((x as f64 - centre + 0.5) * widening.recip())).collect();
            let sum: f64 = weights.iter().sum();
            let one = f64::from(1 << PRECISION);
            // Adding half away from zero and truncating: f64::round.
            let fixed = |weight: &f64| (weight / sum * one + 0.5_f64.copysign(*weight)) as i32;
            taps.starts.push(start);
            taps.coefficients.push(weights.iter().map(fixed).collect());
        }
        taps
    }

    /// Finds the inputs that any output needs.
    fn inputs(&self) -> Range<usize> {
        let ends = self.starts.iter().zip(&self.coefficients).map(|(start, taps)| start + taps.len());
        self.starts.first().copied().unwrap_or(0)..ends.max().unwrap_or(0)
    }

    /// Makes the same filter for an axis whose first `left_out` inputs are gone.
    fn without_first(mut self, left_out: usize) -> Self {
        self.starts.iter_mut().for_each(|start| *start -= left_out);
        self
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.starts.iter().copied().zip(self.coefficients.iter().map(Vec::as_slice))
    }

    /// Resizes every row of a picture of `width`.
    fn across(&self, pixels: &[u8], width: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(pixels.len() / width * self.starts.len());
        for row in pixels.chunks_exact(width * 3) {
            let (row, _) = row.as_chunks::<3>();
            for (start, taps) in self.iter() {
                let mut sums = [HALF; 3];
                for (coefficient, pixel) in taps.iter().zip(&row[start..]) {
                    sums = std::array::from_fn(|c| multiply_add(sums[c], *coefficient, pixel[c]));
                }
                out.extend(sums.map(to_byte));
            }
        }
        out
    }

    /// Resizes the `columns` of a picture of `width`.
    fn down(&self, pixels: &[u8], width: usize, columns: Range<usize>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.starts.len() * columns.len() * 3);
        let mut sums = vec![0; columns.len() * 3];
        for (start, taps) in self.iter() {
            sums.fill(HALF);
            for (coefficient, row) in taps.iter().zip(pixels.chunks_exact(width * 3).skip(start)) {
                for (sum, byte) in sums.iter_mut().zip(&row[columns.start * 3..]) {
                    *sum = multiply_add(*sum, *coefficient, *byte);
                }
            }
            out.extend(sums.iter().map(|sum| to_byte(*sum)));
        }
        out
    }
}

/// One half, for rounding.
const HALF: i32 = 1 << (PRECISION - 1);

/// Adds a product to a sum. It can't overflow (see [`PRECISION`]); wrapping arithmetic spares the checks of debug builds.
fn multiply_add(sum: i32, coefficient: i32, byte: u8) -> i32 {
    sum.wrapping_add(coefficient.wrapping_mul(i32::from(byte)))
}

fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Computes the cubic filter, a = −1/2.
///
/// # Reference
/// Keys, *Cubic Convolution Interpolation for Digital Image Processing*, 1981.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Resizes `image` to `size`, but computes the window `rows` x `columns` alone.
pub(crate) fn resample(
    image: ImageView,
    size: [usize; 2],
    rows: Range<usize>,
    columns: Range<usize>,
    interpolation: Interpolation,
) -> Vec<u8> {
    let across = AxisFilter::new(image.width, size[1], columns.clone(), interpolation);
    let down = AxisFilter::new(image.height, size[0], rows, interpolation);
    let lost = |from: usize, to: usize| from as i64 - to as i64;
    let [lost_rows, lost_columns] = [lost(image.height, size[0]), lost(image.width, size[1])];
    // The bytes between the passes are rounded, so their order shows; this is Pillow's.
    if lost_rows > 0 && lost_rows > 2 * lost_columns {
        let needed = across.inputs();
        let low = down.down(image.pixels, image.width, needed.clone());
        across.without_first(needed.start).across(&low, needed.len())
    } else {
        let needed = down.inputs();
        let row = image.width * 3;
        let narrow = across.across(&image.pixels[needed.start * row..needed.end * row], image.width);
        down.without_first(needed.start).down(&narrow, columns.len(), 0..columns.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_size_is_the_same_picture() {
        let pixels: Vec<u8> = (0..5 * 7 * 3).map(|i| (i * 37 % 256) as u8).collect();
        let image = ImageView::new(5, 7, &pixels).unwrap();
        for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
            assert_eq!(resize(image, [7, 5], interpolation).unwrap(), pixels);
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_errors() {
        assert!(ImageView::new(0, 3, &[]).is_err());
        assert!(ImageView::new(2, 2, &[0; 11]).is_err());
        assert!(ImageView::new(usize::MAX, usize::MAX, &[]).is_err());
        let pixel = ImageView::new(1, 1, &[1, 2, 3]).unwrap();
        assert!(resize(pixel, [0, 1], Interpolation::Bilinear).is_err());
        assert!(resize(pixel, [1, 1 << 17], Interpolation::Bilinear).is_err());
    }
}
