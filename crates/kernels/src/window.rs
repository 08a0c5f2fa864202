//! Splits work under a device's limits: how much one binding shows, where it may begin, how many workgroups an axis takes.
//!
//! Every operation asks here. Sizes are counted in 32-bit words.

use crate::Error;
use std::ops::Range;
use wgpu::{BufferSlice, Limits};

/// Words at whose multiples a binding may begin on every device (256 bytes).
const ALIGNMENT: u64 = 64;

/// What a device's limits leave room for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// The most words that one binding may show, a multiple of 64.
    pub binding: u64,
    /// The most workgroups of an axis.
    axis: u64,
}

impl Room {
    pub fn of(limits: &Limits) -> Self {
        let binding = (limits.max_storage_buffer_binding_size / 4 / ALIGNMENT * ALIGNMENT).max(ALIGNMENT);
        Room { binding, axis: limits.max_compute_workgroups_per_dimension.into() }
    }

    /// Checks that one binding shows so many words, else gives [`Error::Limit`].
    pub fn check(self, op: &'static str, what: &'static str, words: u64) -> Result<(), Error> {
        Error::limit(op, what, words, "max_storage_buffer_binding_size / 4", self.binding)
    }

    /// Checks that one binding shows so many words wherever they begin, else gives [`Error::Limit`].
    pub fn check_anywhere(self, op: &'static str, what: &'static str, words: u64) -> Result<(), Error> {
        Error::limit(op, what, words, "max_storage_buffer_binding_size / 4", self.binding - ALIGNMENT)
    }

    /// Counts the lines of so many words that a binding shows wherever they begin: up to 64 words go to an aligned start.
    pub fn lines(self, words: u64) -> u64 {
        (self.binding - ALIGNMENT) / words
    }

    /// Counts the lines of so many words that a binding shows: a multiple of `unit` of them, where the next may begin too.
    pub fn aligned_lines(self, words: u64, unit: u64) -> u64 {
        self.binding / words / unit * unit
    }

    /// Splits a flat operand into windows that begin where a binding may.
    pub fn flat(self, words: u64) -> impl Iterator<Item = Range<u64>> {
        ranges(words, self.binding)
    }

    /// Splits an output of so many images of so many lines: whole where one binding shows each operand, else into as many whole images
    /// as it shows, else into lines of one image.
    ///
    /// # Errors
    /// [`Error::Limit`], about `what`, where a binding doesn't show what a single line needs.
    pub fn bands(
        self,
        op: &'static str,
        what: &'static str,
        [images, lines]: [u64; 2],
        operands: &[Lines],
    ) -> Result<Vec<Band>, Error> {
        if operands.iter().all(|operand| images * operand.count * operand.words <= self.binding) {
            return Ok(vec![Band { images: 0..images, lines: 0..lines }]);
        }
        let at_once = |fits: &dyn Fn(&Lines) -> u64| operands.iter().map(fits).min().unwrap_or_default();
        let images_at_once = at_once(&|operand| self.lines(operand.count * operand.words));
        if images_at_once > 0 {
            return Ok(ranges(images, images_at_once).map(|images| Band { images, lines: 0..lines }).collect());
        }
        let lines_at_once = at_once(&|operand| operand.outputs(self.lines(operand.words)));
        if lines_at_once == 0 {
            let needed = operands.iter().map(|operand| operand.reach() * operand.words).max().unwrap_or_default();
            self.check_anywhere(op, what, needed)?;
        }
        let of_image = |n: u64| ranges(lines, lines_at_once).map(move |lines| Band { images: n..n + 1, lines });
        Ok((0..images).flat_map(of_image).collect())
    }

    /// Folds a number of workgroups under the limit of an axis: shaders find theirs as `id.x + id.y * count.x`.
    pub fn grid(self, op: &'static str, workgroups: u64) -> Result<[u32; 3], Error> {
        let y = workgroups.div_ceil(self.axis).max(1);
        let limit = "max_compute_workgroups_per_dimension squared";
        Error::limit(op, "the number of workgroups", workgroups, limit, self.axis * self.axis)?;
        Ok([workgroups.div_ceil(y) as u32, y as u32, 1])
    }
}

/// A part of an output: several whole images, or lines of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Band {
    pub images: Range<u64>,
    pub lines: Range<u64>,
}

impl Band {
    /// Counts the images, and the lines of each.
    pub fn sizes(&self) -> [u64; 2] {
        [&self.images, &self.lines].map(|range| range.end - range.start)
    }
}

/// An operand as lines of images: its pixels, its rows of pixels, the rows of its matrices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lines {
    /// Words of a line.
    pub words: u64,
    /// Lines of an image.
    pub count: u64,
    /// The window of lines that a line of the output reads, where it isn't the line of the same number.
    pub sliding: Option<Sliding>,
}

/// A window that slides over the lines of an image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sliding {
    /// Lines from the first that it covers to the last.
    pub reach: u64,
    /// Lines from one window to the next.
    pub stride: u64,
    /// Lines above the image at which the first window begins.
    pub padding: u64,
}

impl Lines {
    /// Finds the lines that these lines of an output read or write.
    pub fn touched(&self, lines: &Range<u64>) -> Range<u64> {
        let Some(Sliding { reach, stride, padding }) = self.sliding else { return lines.clone() };
        let first = (lines.start * stride).saturating_sub(padding).min(self.count - 1);
        let end = ((lines.end - 1) * stride + reach).saturating_sub(padding);
        first..end.clamp(first + 1, self.count)
    }

    /// Finds the window to bind for a band of the output.
    pub fn window(&self, band: &Band) -> Window {
        let lines = self.touched(&band.lines);
        let first = band.images.start * self.count + lines.start;
        let end = (band.images.end - 1) * self.count + lines.end;
        Window::of(first * self.words..end * self.words)
    }

    /// Counts the lines of the output that so many lines suffice for.
    fn outputs(&self, lines: u64) -> u64 {
        match (self.sliding, lines.checked_sub(self.reach())) {
            (None, _) => lines,
            (Some(Sliding { stride, .. }), Some(spare)) => spare / stride + 1,
            (Some(_), None) => 0,
        }
    }

    /// Counts the lines that a line of the output touches, at most.
    fn reach(&self) -> u64 {
        self.sliding.map_or(1, |sliding| sliding.reach.min(self.count))
    }
}

/// The words of an operand that a dispatch binds, and where among them its own begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    pub words: Range<u64>,
    pub base: u64,
}

impl Window {
    /// Makes the window of a range: it begins at the last place before the range where a binding may begin.
    pub fn of(words: Range<u64>) -> Self {
        let start = words.start / ALIGNMENT * ALIGNMENT;
        Window { words: start..words.end, base: words.start - start }
    }

    /// Cuts out the part of a slice that it shows.
    pub fn show<'a>(&self, slice: BufferSlice<'a>) -> BufferSlice<'a> {
        show(slice, self.words.clone())
    }
}

/// Cuts out the part of a slice that holds these words.
pub(crate) fn show<'a>(slice: BufferSlice<'a>, words: Range<u64>) -> BufferSlice<'a> {
    slice.slice(words.start * 4..words.end * 4)
}

/// Cuts `length` into ranges of `step`.
pub(crate) fn ranges(length: u64, step: u64) -> impl Iterator<Item = Range<u64>> {
    (0..length.div_ceil(step)).map(move |i| i * step..((i + 1) * step).min(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(bytes: u64) -> Room {
        Room::of(&Limits {
            max_storage_buffer_binding_size: bytes,
            max_compute_workgroups_per_dimension: 4,
            ..Limits::default()
        })
    }

    #[test]
    fn bands_cover_the_output_once_and_fit_a_binding() {
        let mut kinds = [0; 3];
        for (images, height, words) in [(5, 9u64, 7), (1, 40, 30), (3, 17, 64), (20, 6, 20), (2, 30, 100)] {
            for (reach, stride, padding) in [(1, 1, 0), (3, 1, 1), (3, 2, 1), (5, 3, 0), (2, 4, 1)] {
                let Some(spare) = (height + 2 * padding).checked_sub(reach) else { continue };
                let lines = spare / stride + 1;
                let output = Lines { words: words + 1, count: lines, sliding: None };
                let input = Lines { words, count: height, sliding: Some(Sliding { reach, stride, padding }) };
                let room = room(4096);
                let bands = room.bands("op", "lines", [images, lines], &[input, output]).unwrap();
                let mut covered = Vec::new();
                for band in &bands {
                    for operand in [input, output] {
                        let Window { words, .. } = operand.window(band);
                        assert!(words.start % 64 == 0 && words.end - words.start <= room.binding, "{band:?}");
                    }
                    for line in band.lines.clone() {
                        let top = (line * stride).saturating_sub(padding);
                        let end = (line * stride + reach - padding).min(height);
                        let read = input.touched(&band.lines);
                        assert!(read.start <= top && end <= read.end, "{line} of {band:?}");
                    }
                    covered.extend(band.images.clone().flat_map(|n| band.lines.clone().map(move |line| (n, line))));
                }
                assert!(covered.into_iter().eq((0..images).flat_map(|n| (0..lines).map(move |line| (n, line)))));
                kinds[if bands.len() == 1 { 0 } else { usize::from(bands[0].lines != (0..lines)) + 1 }] += 1;
            }
        }
        assert!(kinds.iter().all(|&count| count > 0), "{kinds:?}");
    }

    #[test]
    fn what_no_binding_shows_is_an_error() {
        let wide = Lines { words: 961, count: 2, sliding: None };
        let error = room(4096).bands("op", "words of a line", [1, 2], &[wide]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "op: words of a line is 961, the device's max_storage_buffer_binding_size / 4 allows 960"
        );
    }

    #[test]
    fn workgroups_are_folded() {
        assert_eq!(room(256).grid("op", 0).unwrap(), [0, 1, 1]);
        assert_eq!(room(256).grid("op", 9).unwrap(), [3, 3, 1]);
        assert!(room(256).grid("op", 17).is_err());
    }
}
