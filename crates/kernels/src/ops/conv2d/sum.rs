//! What the kernels that sum over taps share: their parameters, the bands of the output, how those are bound.

use super::{
    desc::{Conv2dBuffers, OP},
    layer::Layer,
    rows::Rows,
    span::Span,
    weights::Conv2dWeights,
};
use crate::{
    Error, OverflowFlag,
    context::Bind,
    params::params,
    step::Step,
    window::{Band, Lines, Sliding},
};
use std::ops::Range;
use wgpu::{Buffer, BufferSlice};

/// Counts the runs of texels that an output reads, one behind the other, and the texels of each: taps and the channels that a panel reads of
/// them or, where rows are read, rows of the kernel.
pub(super) fn runs(layer: &Layer, rows: Option<Rows>) -> [u32; 2] {
    let [height, width] = layer.desc.kernel;
    match rows {
        Some(rows) => [height, rows.texels],
        None => [height * width, Span::of(&layer.desc, layer.panel()).span4],
    }
}

/// How the tiled kernels write the output: an entry point, its binding of the residual (the output's is the next), and the words that
/// one invocation writes at once.
pub(super) struct Target {
    pub entry: &'static str,
    /// The entry point that adds up the sums of parts.
    reduce: &'static str,
    residual: u32,
    words: u64,
}

impl Target {
    pub fn of(layer: &Layer) -> Self {
        let whole = layer.desc.out_channels.is_multiple_of(4);
        let ([entry, reduce], residual, words) = match (layer.f16(), whole) {
            (true, _) => (["halves", "reduce_halves"], 8, 2),
            (false, true) => (["main", "reduce"], 4, 4),
            (false, false) => (["ragged", "reduce_ragged"], 6, 1),
        };
        Target { entry, reduce, residual, words }
    }
}

/// Bands of the output's rows of pixels, and what the tiled kernels bind for them.
pub(super) struct Banded<'a> {
    pub layer: &'a Layer,
    pub target: Target,
    input: Lines,
    output: Lines,
}

/// The buffers that the bands show parts of; a residual that isn't there shows `nothing`.
pub(super) struct Shown<'a> {
    pub input: BufferSlice<'a>,
    pub weights: &'a Conv2dWeights,
    pub buffers: &'a Conv2dBuffers<'a>,
    pub nothing: &'a Buffer,
    /// Set by kernels that write f16.
    pub overflow: &'a OverflowFlag,
}

impl<'a> Banded<'a> {
    pub fn of(layer: &'a Layer) -> Self {
        let desc = &layer.desc;
        let words = |width: u32, channels: u32| u64::from(width) * u64::from(desc.precision.words(channels));
        let [height, width] = layer.output_size();
        let [kernel, stride, padding, dilation] =
            [desc.kernel, desc.stride, desc.padding, desc.dilation].map(|pair| u64::from(pair[0]));
        let sliding = Some(Sliding { reach: dilation * (kernel - 1) + 1, stride, padding });
        let input = Lines { words: words(desc.width, desc.packed_channels()), count: desc.height.into(), sliding };
        let output = Lines { words: words(width, desc.out_channels), count: height.into(), sliding: None };
        Banded { layer, target: Target::of(layer), input, output }
    }

    pub fn bands(&self) -> Result<Vec<Band>, Error> {
        let sizes = [self.layer.desc.batch.into(), self.output.count];
        let what = "elements of the rows that one output row reads";
        self.layer.context.room().bands(OP, what, sizes, &[self.input, self.output])
    }

    /// Finds the pixels of the output in a band.
    pub fn pixels(&self, band: &Band) -> Range<u64> {
        let width = u64::from(self.layer.output_size()[1]);
        let row = |image: u64, line: u64| (image * self.output.count + line) * width;
        row(band.images.start, band.lines.start)..row(band.images.end - 1, band.lines.end)
    }

    pub fn params(&self, band: &Band, groups: u64) -> Params {
        let quad = if self.layer.f16() { 2 } else { 4 };
        Params {
            x_base: ((self.input.window(band).words.start / quad) as u32).wrapping_neg(),
            y_base: (self.output.window(band).base / self.target.words) as u32,
            ..Params::of(self.layer, None, &self.pixels(band), groups)
        }
    }

    pub fn entries<'b>(
        &self,
        band: &Band,
        params: &'b Buffer,
        weight: BufferSlice<'b>,
        shown: &Shown<'b>,
    ) -> Vec<(u32, Bind<'b>)> {
        let written = self.output.window(band);
        let residual = shown.buffers.residual.map_or(shown.nothing.slice(..), |residual| written.show(residual));
        let mut entries = vec![
            (0, Bind::Uniform(params)),
            (1, Bind::Slice(self.input.window(band).show(shown.input))),
            (2, Bind::Slice(weight)),
            (3, Bind::Slice(shown.weights.bias.slice(..))),
            (self.target.residual, Bind::Slice(residual)),
            (self.target.residual + 1, Bind::Slice(written.show(shown.buffers.output))),
        ];
        if self.layer.f16() {
            entries.push((10, Bind::Slice(shown.overflow.word())));
        }
        entries
    }

    /// Makes the step that adds up the sums of parts, given the [`Banded::entries`] of all pixels.
    pub fn reduce(&self, entries: &[(u32, Bind<'_>)], partials: &Bind<'_>) -> Result<Step, Error> {
        // The tile is nothing to it: one pipeline for all.
        let context = &self.layer.context;
        let pipeline = context.pipeline(&shaders::CONV2D, self.target.reduce, &[]);
        // All but the input and the weights.
        let entries = [&entries[..1], &entries[3..], &[(11, partials.clone())]].concat();
        context.dispatch(OP, &pipeline, &entries, self.layer.output_quads().div_ceil(64))
    }
}

impl Params {
    /// Fills the parameters for a range of output pixels and a number of workgroups; windows start at their first element.
    pub(super) fn of(layer: &Layer, rows: Option<Rows>, pixels: &Range<u64>, groups: u64) -> Self {
        let desc = &layer.desc;
        let [out_height, out_width] = layer.output_size();
        Params {
            height: desc.height,
            width: rows.map_or(desc.width, |_| Rows::width(desc)),
            channels4: desc.packed_channels() / 4,
            span4: runs(layer, rows)[1],
            out_height,
            out_width,
            out_channels: desc.out_channels,
            kernel_h: desc.kernel[0],
            kernel_w: desc.kernel[1],
            stride_h: desc.stride[0],
            stride_w: desc.stride[1],
            pad_h: desc.padding[0],
            pad_w: desc.padding[1],
            dilation_h: desc.dilation[0],
            dilation_w: desc.dilation[1],
            group_in: desc.in_channels / desc.groups,
            group_out: desc.out_channels / desc.groups,
            pixel_first: pixels.start as u32,
            pixel_end: pixels.end as u32,
            panel_first: 0,
            x_base: 0,
            y_base: 0,
            relu: u32::from(desc.relu),
            has_residual: u32::from(desc.residual),
            groups: groups as u32,
            phases: rows.map_or(1, |rows| rows.phases),
            phase_columns: rows.map_or(0, |rows| rows.columns(out_width)),
            parts: 1,
        }
    }
}

params! {
    CONV2D, CONV2D_COOPERATIVE, CONV2D_GROUPED, CONV2D_TEXTURE: struct Params {
        height: u32,
        width: u32,
        channels4: u32,
        span4: u32,
        out_height: u32,
        out_width: u32,
        out_channels: u32,
        kernel_h: u32,
        kernel_w: u32,
        stride_h: u32,
        stride_w: u32,
        pad_h: u32,
        pad_w: u32,
        dilation_h: u32,
        dilation_w: u32,
        group_in: u32,
        group_out: u32,
        pixel_first: u32,
        pixel_end: u32,
        panel_first: u32,
        x_base: u32,
        y_base: u32,
        relu: u32,
        has_residual: u32,
        groups: u32,
        phases: u32,
        phase_columns: u32,
        parts: u32,
    }
}
