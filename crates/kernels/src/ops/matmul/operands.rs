//! What a dispatch of the tiled family binds of each operand.

use super::desc::{MatmulBuffers, MatmulDesc};
use crate::{context::Bind, window::Window};
use std::ops::Range;
use wgpu::{Buffer, BufferSlice};

/// A part of the product that one dispatch computes.
pub(super) struct Band {
    pub batch: Range<u64>,
    pub m: Range<u64>,
    pub k: Range<u64>,
    pub n: Range<u64>,
}

/// What a dispatch of the tiled family binds of each operand, and whether as vec4.
pub(super) struct Operands {
    pub a: Operand,
    pub b: Operand,
    pub c: Operand,
    pub quads: bool,
}

impl Operands {
    pub fn of(desc: &MatmulDesc, band: &Band) -> Self {
        let (m, k, n) = (u64::from(desc.m), u64::from(desc.k), u64::from(desc.n));
        let stored = |transposed, rows: (&Range<u64>, u64), columns: (&Range<u64>, u64)| {
            let (rows, columns) = if transposed { (columns, rows) } else { (rows, columns) };
            Operand::of_rows(band, rows, columns)
        };
        let a = stored(desc.transpose_a, (&band.m, m), (&band.k, k));
        let b = stored(desc.transpose_b, (&band.k, k), (&band.n, n));
        let c = stored(false, (&band.m, m), (&band.n, n));
        let plain = !desc.transpose_a && !desc.transpose_b;
        let sizes = [a.base, length(&band.k), desc.k, b.base, length(&band.n), desc.n, c.base];
        let quads = plain && sizes.iter().all(|size| size.is_multiple_of(4));
        Operands { a, b, c, quads }
    }

    /// Gives the bindings of A and B, as scalars and as vec4.
    pub fn entries<'a>(&self, buffers: &MatmulBuffers<'a>, nothing: &'a Buffer) -> [(u32, Bind<'a>); 4] {
        let [a0, a1] = self.shown([1, 5], self.a.window.show(buffers.a), nothing);
        let [b0, b1] = self.shown([2, 6], self.b.window.show(buffers.b), nothing);
        [a0, a1, b0, b1]
    }

    /// Gives the bindings of C, as scalars and as vec4.
    pub fn output<'a>(&self, buffers: &MatmulBuffers<'a>, nothing: &'a Buffer) -> [(u32, Bind<'a>); 2] {
        self.shown([4, 7], self.c.window.show(buffers.output), nothing)
    }

    fn shown<'a>(&self, [scalar, quad]: [u32; 2], slice: BufferSlice<'a>, nothing: &'a Buffer) -> [(u32, Bind<'a>); 2] {
        let (used, unused) = if self.quads { (quad, scalar) } else { (scalar, quad) };
        [(used, Bind::Slice(slice)), (unused, Bind::Slice(nothing.slice(..)))]
    }
}

/// The rows of an operand that a dispatch binds, and where in them its first element stands.
pub(super) struct Operand {
    window: Window,
    pub base: u32,
}

impl Operand {
    /// Finds the rows of the band's matrices among all rows, and the columns among all columns.
    fn of_rows(band: &Band, (rows, all): (&Range<u64>, u64), (columns, width): (&Range<u64>, u64)) -> Self {
        let start = (band.batch.start * all + rows.start) * width;
        let end = ((band.batch.end - 1) * all + rows.end) * width;
        let window = Window::of(start..end);
        Operand { base: (window.base + columns.start) as u32, window }
    }
}

/// Counts what a range holds.
pub(super) fn length(range: &Range<u64>) -> u32 {
    (range.end - range.start) as u32
}
