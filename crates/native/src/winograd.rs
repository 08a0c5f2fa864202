//! A 3x3 convolution of stride 1 by Winograd's minimal filtering F(4x4, 3x3): 36 products for each 4x4 pixels instead of 144.
//!
//! ```text
//! U = G w Gᵀ  (once)     V = Bᵀ d B     M[p] = V[p] U[p], p = 1 … 36     y = Aᵀ M A
//! ```
//!
//! A block of tiles goes through all of it before the next begins, so that V and M stay in a core's second cache.
//!
//! # Reference
//! Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks*, 2016, section 4.

use std::ops::Range;

use resnet::Error;

use crate::gather::{Rows, Windows};
use crate::panels::Panels;
use crate::product::Strip;
use crate::simd::{Isa, Simd, Work};
use crate::tile::{Finish, Output};

/// Rows and columns that a tile sees.
const SEEN: usize = 6;
/// Rows and columns that it gives.
const GIVEN: usize = 4;
/// Products of a tile and a pair of channels.
const POINTS: usize = SEEN * SEEN;

/// Numbers of V and M that are there at a time, as far as [`FEWEST_TILES`] allows: a megabyte.
const CACHED: usize = 1 << 18;
/// The fewest tiles at a time: U is read once for each block.
const FEWEST_TILES: usize = 32;

/// The transformed weights of a convolution.
#[derive(Debug)]
pub(crate) struct Winograd {
    points: Vec<Panels>,
}

const G: [[f64; 3]; SEEN] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

impl Winograd {
    /// Counts the numbers of transformed weights.
    pub fn len(channels: usize, outputs: usize) -> usize {
        POINTS * channels * outputs
    }

    /// Transforms a weight, OIHW, for inputs of so many channels, zeros among them, in f64 rounded once.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn new(isa: Isa, weight: &[f32], [outputs, inputs]: [usize; 2], channels: usize) -> Result<Self, Error> {
        let mut points = (0..POINTS).map(|_| Panels::zeros(isa, channels, outputs)).collect::<Result<Vec<_>, _>>()?;
        for (p, point) in points.iter_mut().enumerate() {
            let (left, right) = (G[p / SEEN], G[p % SEEN]);
            let factors: [f64; 9] = std::array::from_fn(|k| left[k / 3] * right[k % 3]);
            point.fill(outputs, |c, o| {
                if c >= inputs {
                    return 0.0;
                }
                let filter = &weight[(o * inputs + c) * 9..][..9];
                filter.iter().zip(factors).map(|(w, factor)| f64::from(*w) * factor).sum::<f64>() as f32
            });
        }
        Ok(Self { points })
    }

    fn channels(&self) -> usize {
        self.points[0].depth
    }

    /// Counts the panels of the output's columns.
    pub fn panels(&self) -> usize {
        self.points[0].count()
    }

    /// Counts the tiles of a block at most.
    pub fn most_tiles(&self) -> usize {
        (CACHED / (POINTS * (self.channels() + self.points[0].columns))).max(FEWEST_TILES)
    }

    /// Counts the numbers of scratch memory that [`run`](Self::run) takes.
    pub fn scratch(&self) -> usize {
        let tiles = self.most_tiles();
        plane(tiles, self.channels()) * POINTS + plane(tiles, self.points[0].columns) * POINTS
    }

    /// Counts the tiles of so many images.
    pub fn tiles(images: usize, output: [usize; 2]) -> usize {
        images * output[0].div_ceil(GIVEN) * output[1].div_ceil(GIVEN)
    }

    /// Computes some tiles' pixels, in the columns of some panels.
    pub fn run(&self, isa: Isa, part: (Range<usize>, Range<usize>), windows: &Windows<'_>, job: Job<'_>) {
        let (tiles, columns) = part;
        let first = self.points[0].before(columns.start);
        let width = self.points[0].before(columns.end) - first;
        let (seen, given) = (plane(tiles.len(), self.channels()), plane(tiles.len(), width));
        let (v, m) = job.scratch.split_at_mut(seen * POINTS);
        isa.run(Transform { windows, tiles: tiles.clone(), channels: self.channels(), plane: seen, v });
        for (p, panels) in self.points.iter().enumerate() {
            let left = Plane { values: &v[p * seen..], stride: self.channels() };
            let strip = Strip { left: &left, rows: 0..tiles.len(), panels, columns: columns.clone(), column: 0 };
            let product = Output::new(&mut m[p * given..(p + 1) * given], width);
            strip.multiply(isa, &mut [], product, Finish::default());
        }
        let (output, finish) = (job.output, job.finish);
        isa.run(Back { windows, tiles, columns: first..first + width, plane: given, m, output, finish });
    }
}

/// What a block of tiles works with.
pub(crate) struct Job<'a> {
    pub scratch: &'a mut [f32],
    pub output: Output<'a>,
    pub finish: Finish<'a>,
}

/// Counts the numbers between two points' values: not a power of two, so that they don't push each other out of the caches.
fn plane(tiles: usize, channels: usize) -> usize {
    tiles * channels + 16
}

/// The values of all tiles at one point.
struct Plane<'a> {
    values: &'a [f32],
    stride: usize,
}

impl Rows for Plane<'_> {
    fn part<'a>(&'a self, rows: Range<usize>, depth: Range<usize>, _: &'a mut [f32]) -> (&'a [f32], usize) {
        (&self.values[rows.start * self.stride + depth.start..], self.stride)
    }
}

/// Finds image, first row and first column of what a tile gives.
fn place(windows: &Windows<'_>, tile: usize) -> (usize, usize, usize) {
    let [rows, columns] = windows.output.map(|n| n.div_ceil(GIVEN));
    (tile / (rows * columns), tile / columns % rows * GIVEN, tile % columns * GIVEN)
}

/// V of some tiles.
struct Transform<'a> {
    windows: &'a Windows<'a>,
    tiles: Range<usize>,
    channels: usize,
    plane: usize,
    v: &'a mut [f32],
}

impl Work for Transform<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Windows { input, size: [height, width], pixel, padding, .. } = *self.windows;
        for (place_of_v, tile) in self.tiles.enumerate() {
            let (image, y, x) = place(self.windows, tile);
            let mut pixels = [None; POINTS];
            for (k, found) in pixels.iter_mut().enumerate() {
                let (iy, ix) = ((y + k / SEEN).wrapping_sub(padding), (x + k % SEEN).wrapping_sub(padding));
                if iy < height && ix < width {
                    let start = ((image * height + iy) * width + ix) * pixel;
                    *found = Some(&input[start..start + self.channels]);
                }
            }
            for channel in (0..self.channels).step_by(S::LANES) {
                let mut half = [simd.splat(0.0); POINTS];
                for j in 0..SEEN {
                    let mut d = [simd.splat(0.0); SEEN];
                    for (i, d) in d.iter_mut().enumerate() {
                        if let Some(pixel) = pixels[i * SEEN + j] {
                            *d = simd.load(&pixel[channel..]);
                        }
                    }
                    let t = seen(simd, d);
                    for (i, t) in t.into_iter().enumerate() {
                        half[i * SEEN + j] = t;
                    }
                }
                let start = place_of_v * self.channels + channel;
                for i in 0..SEEN {
                    let mut row = [simd.splat(0.0); SEEN];
                    row.copy_from_slice(&half[i * SEEN..(i + 1) * SEEN]);
                    let t = seen(simd, row);
                    for (j, t) in t.into_iter().enumerate() {
                        simd.store(t, &mut self.v[(i * SEEN + j) * self.plane + start..]);
                    }
                }
            }
        }
    }
}

/// Computes `Bᵀ d`.
#[inline(always)]
fn seen<S: Simd>(simd: S, d: [S::Vector; SEEN]) -> [S::Vector; SEEN] {
    let times = |factor: f32, a, b| simd.mul_add(simd.splat(factor), a, b);
    let (even, odd) = (times(-4.0, d[2], d[4]), times(-4.0, d[1], d[3]));
    let (even2, odd2) = (simd.sub(d[4], d[2]), simd.sub(d[3], d[1]));
    [
        times(4.0, d[0], times(-5.0, d[2], d[4])),
        simd.add(even, odd),
        simd.sub(even, odd),
        times(2.0, odd2, even2),
        times(-2.0, odd2, even2),
        times(4.0, d[1], times(-5.0, d[3], d[5])),
    ]
}

/// The pixels of some tiles.
struct Back<'a> {
    windows: &'a Windows<'a>,
    tiles: Range<usize>,
    /// The columns of the output.
    columns: Range<usize>,
    plane: usize,
    m: &'a [f32],
    output: Output<'a>,
    finish: Finish<'a>,
}

impl Work for Back<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let [height, width] = self.windows.output;
        let count = self.columns.len();
        for (place_of_m, tile) in self.tiles.enumerate() {
            let (image, y, x) = place(self.windows, tile);
            for channel in (0..count).step_by(S::LANES) {
                let start = place_of_m * count + channel;
                let mut half = [simd.splat(0.0); GIVEN * SEEN];
                for j in 0..SEEN {
                    let mut m = [simd.splat(0.0); SEEN];
                    for (i, m) in m.iter_mut().enumerate() {
                        *m = simd.load(&self.m[(i * SEEN + j) * self.plane + start..]);
                    }
                    let t = given(simd, m);
                    for (i, t) in t.into_iter().enumerate() {
                        half[i * SEEN + j] = t;
                    }
                }
                let columns = self.columns.start + channel..self.columns.start + channel + S::LANES;
                let mut bias = simd.splat(0.0);
                if let Some(values) = self.finish.bias {
                    bias = simd.load(&values[columns.clone()]);
                }
                for i in 0..GIVEN.min(height - y) {
                    let mut row = [simd.splat(0.0); SEEN];
                    row.copy_from_slice(&half[i * SEEN..(i + 1) * SEEN]);
                    let t = given(simd, row);
                    for (j, t) in t.into_iter().enumerate().take(width - x) {
                        let pixel = (image * height + y + i) * width + x + j;
                        let mut value = simd.add(t, bias);
                        if let Some(residual) = self.finish.residual {
                            value =
                                simd.add(value, simd.load(&residual[pixel * self.output.stride() + columns.start..]));
                        }
                        if self.finish.relu {
                            value = simd.relu(value);
                        }
                        simd.store(value, self.output.columns(pixel, columns.clone()));
                    }
                }
            }
        }
    }
}

/// Computes `Aᵀ m`.
#[inline(always)]
fn given<S: Simd>(simd: S, m: [S::Vector; SEEN]) -> [S::Vector; GIVEN] {
    let times = |factor: f32, a, b| simd.mul_add(simd.splat(factor), a, b);
    let (sum, difference) = (simd.add(m[1], m[2]), simd.sub(m[1], m[2]));
    let (sum2, difference2) = (simd.add(m[3], m[4]), simd.sub(m[3], m[4]));
    [
        simd.add(simd.add(m[0], sum), sum2),
        times(2.0, difference2, difference),
        times(4.0, sum2, sum),
        simd.add(times(8.0, difference2, difference), m[5]),
    ]
}
