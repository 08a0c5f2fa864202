//! The one loop that multiplies: a tile of a few rows and columns in registers, and blocks of such tiles.
//!
//! ```text
//! c[i, j] = relu( Σ a[i, k] b[k, j]  + c[i, j]  + bias[j]  + residual[i, j] )
//! ```
//!
//! The left matrix is read where it lies, row by row: activations whose channels come last are such a matrix. The right one is packed
//! ([`Panels`]).
//!
//! # Reference
//! Goto and van de Geijn, *Anatomy of High-Performance Matrix Multiplication*, 2008.

use std::marker::PhantomData;
use std::ops::Range;

use crate::panels::Panels;
use crate::simd::{Simd, VECTORS, Work};

/// A matrix that is written, perhaps by several threads, each at places of its own.
pub(crate) struct Output<'a> {
    start: *mut f32,
    len: usize,
    /// Numbers from a row to the next.
    stride: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a mutable slice; that two of the same are used for disjoint places is promised where the second is made.
unsafe impl Send for Output<'_> {}
// SAFETY: what is shared of it gives nothing but another one.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    /// Takes the rows of a slice.
    pub fn new(values: &'a mut [f32], stride: usize) -> Self {
        Self { start: values.as_mut_ptr(), len: values.len(), stride, life: PhantomData }
    }

    /// Counts the numbers from a row to the next.
    #[inline(always)]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Makes another of the same matrix.
    ///
    /// # Safety
    /// Whoever has one uses no place that another uses.
    pub unsafe fn again(&self) -> Self {
        Self { life: PhantomData, ..*self }
    }

    /// Gives some columns of a row.
    #[inline(always)]
    pub fn columns(&mut self, row: usize, columns: Range<usize>) -> &mut [f32] {
        let start = row * self.stride + columns.start;
        assert!(columns.start <= columns.end && row * self.stride + columns.end <= self.len, "columns of the output");
        // SAFETY: they lie in the slice, and are used by nobody else: that was promised where this was made.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), columns.len()) }
    }
}

/// What becomes of sums of products.
#[derive(Clone, Copy, Default)]
pub(crate) struct Finish<'a> {
    /// Whether what the output holds is added.
    pub accumulate: bool,
    /// Added to each column.
    pub bias: Option<&'a [f32]>,
    /// Added, laid out as the output.
    pub residual: Option<&'a [f32]>,
    /// Whether what is below zero becomes zero.
    pub relu: bool,
}

/// The product of some rows with some panels, over a part of the depth.
pub(crate) struct Block<'a> {
    /// The rows of the left matrix, from the part of the depth on.
    pub rows: &'a [f32],
    /// Numbers from a row to the next.
    pub stride: usize,
    /// The right matrix.
    pub panels: &'a Panels,
    /// The panels of it that are multiplied.
    pub columns: Range<usize>,
    /// The part of the depth.
    pub depth: Range<usize>,
    /// What is written.
    pub output: Output<'a>,
    /// The rows of it.
    pub at: Range<usize>,
    /// The column of it in which the panels' first comes.
    pub column: usize,
    /// What becomes of the sums.
    pub finish: Finish<'a>,
}

impl Work for Block<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (count, depth) = (self.at.len(), self.depth.len());
        if count == 0 || depth == 0 {
            return;
        }
        assert!(self.rows.len() >= (count - 1) * self.stride + depth, "rows of the left matrix");
        // Rows are dealt evenly, so that no tile is left with few.
        let tiles = count.div_ceil(S::ROWS);
        let before = self.panels.before(self.columns.start);
        for panel in self.columns.clone() {
            let (values, width) = self.panels.panel(panel, self.depth.start);
            assert!(values.len() >= depth * width && (width == S::LANES || width == VECTORS * S::LANES), "the panel");
            let column = self.column + self.panels.before(panel) - before;
            let bias = self.finish.bias.map(|bias| &bias[column..column + width]);
            let mut first = 0;
            for tile in 0..tiles {
                let rows = (tile + 1) * count / tiles - first;
                let place = (self.at.start + first) * self.output.stride + column;
                let end = place + (rows - 1) * self.output.stride + width;
                assert!(end <= self.output.len, "rows of the output");
                let residual = self.finish.residual.map(|residual| &residual[place..end]);
                let tile = Tile {
                    a: self.rows[first * self.stride..].as_ptr(),
                    a_stride: self.stride,
                    b: values.as_ptr(),
                    depth,
                    // SAFETY: the place lies in the output, see above.
                    c: unsafe { self.output.start.add(place) },
                    c_stride: self.output.stride,
                    bias: bias.map(<[f32]>::as_ptr),
                    residual: residual.map(<[f32]>::as_ptr),
                    finish: self.finish,
                };
                // SAFETY: rows, panel, output, bias and residual hold what the tile reads, as was checked above; the block's part of the
                // output is its own.
                unsafe {
                    if width == S::LANES {
                        tile.of_rows::<S, 1>(simd, rows);
                    } else {
                        tile.of_rows::<S, VECTORS>(simd, rows);
                    }
                }
                first += rows;
            }
        }
    }
}

/// A few rows times a panel.
struct Tile<'a> {
    a: *const f32,
    a_stride: usize,
    b: *const f32,
    depth: usize,
    c: *mut f32,
    c_stride: usize,
    bias: Option<*const f32>,
    residual: Option<*const f32>,
    finish: Finish<'a>,
}

impl Tile<'_> {
    /// Computes the tile of so many rows, at most [`Simd::ROWS`].
    ///
    /// # Safety
    /// All that the pointers' strides and the sizes reach lies in memory, and the tile's part of the output is the caller's own.
    #[inline(always)]
    unsafe fn of_rows<S: Simd, const V: usize>(&self, simd: S, rows: usize) {
        // Those that an instruction set never has are left out by the compiler.
        macro_rules! rows {
            ($($count:literal)*) => {
                match rows {
                    // SAFETY: the caller's promise.
                    $($count if $count <= S::ROWS => unsafe { self.compute::<S, $count, V>(simd) },)*
                    _ => unreachable!("a tile has {} rows at most", S::ROWS),
                }
            };
        }
        rows!(1 2 3 4 5 6 7 8 9 10 11 12);
    }

    #[inline(always)]
    unsafe fn compute<S: Simd, const R: usize, const V: usize>(&self, simd: S) {
        // SAFETY: the caller of `of_rows` promises that all of these places lie in memory.
        unsafe {
            let mut sums = [[simd.splat(0.0); V]; R];
            let (mut a, mut b) = (self.a, self.b);
            for _ in 0..self.depth {
                let mut columns = [simd.splat(0.0); V];
                for (j, column) in columns.iter_mut().enumerate() {
                    *column = simd.read(b.add(j * S::LANES));
                }
                for (i, row) in sums.iter_mut().enumerate() {
                    let value = simd.splat(*a.add(i * self.a_stride));
                    for (sum, column) in row.iter_mut().zip(columns) {
                        *sum = simd.mul_add(value, column, *sum);
                    }
                }
                a = a.add(1);
                b = b.add(V * S::LANES);
            }
            for (i, row) in sums.iter().enumerate() {
                for (j, sum) in row.iter().enumerate() {
                    let place = i * self.c_stride + j * S::LANES;
                    let mut sum = *sum;
                    if self.finish.accumulate {
                        sum = simd.add(sum, simd.read(self.c.add(place)));
                    }
                    if let Some(bias) = self.bias {
                        sum = simd.add(sum, simd.read(bias.add(j * S::LANES)));
                    }
                    if let Some(residual) = self.residual {
                        sum = simd.add(sum, simd.read(residual.add(place)));
                    }
                    if self.finish.relu {
                        sum = simd.relu(sum);
                    }
                    simd.write(sum, self.c.add(place));
                }
            }
        }
    }
}
