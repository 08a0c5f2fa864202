//! The left matrix of a convolution: a row for each output pixel, with what its window shows.

use std::ops::Range;

/// Rows of the left matrix of a product.
pub(crate) trait Rows: Sync {
    /// Gives a part of some rows, in scratch memory or where it lies, and how many numbers lie between two of its rows.
    fn part<'a>(&'a self, rows: Range<usize>, depth: Range<usize>, scratch: &'a mut [f32]) -> (&'a [f32], usize);
}

/// The windows that a square kernel sees of some channels of images, `[images, height, width, channels]`: row, column and channel
/// of the kernel make the depth. What lies outside of an image is zero.
#[derive(Clone, Copy)]
pub(crate) struct Windows<'a> {
    /// The images.
    pub input: &'a [f32],
    /// Rows and columns of an image.
    pub size: [usize; 2],
    /// Numbers from a pixel to the next.
    pub pixel: usize,
    /// The channels that are seen.
    pub channels: (usize, usize),
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Stride along both axes.
    pub stride: usize,
    /// Zeros on each side.
    pub padding: usize,
    /// Rows and columns of the output.
    pub output: [usize; 2],
}

impl Rows for Windows<'_> {
    fn part<'a>(&'a self, rows: Range<usize>, depth: Range<usize>, scratch: &'a mut [f32]) -> (&'a [f32], usize) {
        let (first, _) = self.channels;
        if (self.kernel, self.stride, self.padding) == (1, 1, 0) {
            let start = rows.start * self.pixel + first + depth.start;
            let end = (rows.end.max(1) - 1) * self.pixel + first + depth.end;
            return (&self.input[start..end], self.pixel);
        }
        // Not a power of two, so that rows don't push each other out of the nearest cache.
        let stride = depth.len().next_multiple_of(16) + 16;
        for (row, to) in rows.zip(scratch.chunks_exact_mut(stride)) {
            self.window(row, depth.clone(), &mut to[..depth.len()]);
        }
        (scratch, stride)
    }
}

impl Windows<'_> {
    /// Copies a part of what one output pixel's window shows.
    fn window(&self, row: usize, depth: Range<usize>, mut to: &mut [f32]) {
        let ([height, width], [out_height, out_width]) = (self.size, self.output);
        let (first, count) = self.channels;
        let image = row / (out_height * out_width);
        let (y, x) = (row / out_width % out_height * self.stride, row % out_width * self.stride);
        // Where all of the pixel is seen, neighbours in a row of the kernel are neighbours in memory.
        let whole = count == self.pixel && x >= self.padding && x + self.kernel <= width + self.padding;
        let (tap, mut channel) = (depth.start / count, depth.start % count);
        let (mut ky, mut kx) = (tap / self.kernel, tap % self.kernel);
        while !to.is_empty() {
            let (iy, ix) = ((y + ky).wrapping_sub(self.padding), (x + kx).wrapping_sub(self.padding));
            let taps = if whole { self.kernel - kx } else { 1 };
            let len = (taps * count - channel).min(to.len());
            let (now, rest) = std::mem::take(&mut to).split_at_mut(len);
            if iy < height && ix < width {
                let start = ((image * height + iy) * width + ix) * self.pixel + first + channel;
                now.copy_from_slice(&self.input[start..start + len]);
            } else {
                now.fill(0.0);
            }
            // Less than whole taps are the last that is asked for.
            (kx, channel, to) = (kx + taps, 0, rest);
            if kx == self.kernel {
                (kx, ky) = (0, ky + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_shows_what_lies_around_its_pixel() {
        let (size, pixel) = ([4, 5], 6);
        let input: Vec<f32> = (0..2 * 4 * 5 * 6).map(|i| i as f32 + 1.0).collect();
        for (channels, kernel, stride, padding) in [
            ((0, 6), 3, 1, 1),
            ((0, 6), 3, 2, 1),
            ((2, 3), 3, 1, 1),
            ((0, 6), 1, 2, 0),
            ((0, 6), 5, 2, 2),
            ((1, 2), 1, 1, 0),
        ] {
            let output = size.map(|n| (n + 2 * padding - kernel) / stride + 1);
            let windows = Windows { input: &input, size, pixel, channels, kernel, stride, padding, output };
            let (rows, depth) = (2 * output[0] * output[1], kernel * kernel * channels.1);
            for part in [0..depth, depth / 3..depth - 1] {
                let mut scratch = vec![f32::NAN; rows * (part.len() + 32)];
                let (got, step) = windows.part(0..rows, part.clone(), &mut scratch);
                for row in 0..rows {
                    for (place, k) in part.clone().enumerate() {
                        let (image, y, x) = (row / output[1] / output[0], row / output[1] % output[0], row % output[1]);
                        let (ky, kx, c) = (k / channels.1 / kernel, k / channels.1 % kernel, k % channels.1);
                        let (iy, ix) = (
                            (y * stride + ky) as isize - padding as isize,
                            (x * stride + kx) as isize - padding as isize,
                        );
                        let inside = (0..4).contains(&iy) && (0..5).contains(&ix);
                        let at = ((image as isize * 4 + iy) * 5 + ix) * 6 + (channels.0 + c) as isize;
                        let want = if inside { input[at as usize] } else { 0.0 };
                        assert_eq!(
                            got[row * step + place],
                            want,
                            "{channels:?} {kernel} {stride} {padding} [{row}, {k}]"
                        );
                    }
                }
            }
        }
    }
}
