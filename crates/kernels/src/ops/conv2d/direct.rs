//! The convolution as a sum over taps: every size, stride, dilation and group.

use super::{Conv2d, Conv2dBuffers, Conv2dDesc, Conv2dWeights, OP, rows::Rows, weights::Span};
use crate::{
    Context, Error, Family, Pack, PackDesc, Precision, Workspace, WorkspaceSize,
    commands::Step,
    context::{Bind, window},
    mirror,
    params::params,
    tile::{columns, texture_constants, tiled_constants},
};
use std::ops::Range;
use wgpu::BufferSlice;

/// Parts of the workspace.
const INPUT: usize = 0;
const RAW: usize = 1;
const RESIDUAL: usize = 3;

/// Whether input and residual fit linear textures.
pub(super) fn fits_textures(context: &Context, desc: &Conv2dDesc) -> bool {
    let capacity = mirror::capacity(context.device());
    let panel = columns(context, Family::Texture);
    let lines = u64::from(desc.batch) * u64::from(desc.height);
    let rows = Rows::of(Family::Texture, desc);
    let width = match rows {
        Some(_) => u64::from(Rows::width(desc)),
        None => u64::from(desc.width) * u64::from(desc.packed_channels() / 4),
    };
    let input = lines * width;
    let packable = input * 4 == desc.input_len() || desc.input_len() <= context.binding_elements();
    let [runs, texels] = runs(rows, desc, panel);
    let texels = u64::from(runs * texels * rows.map_or(1, |rows| rows.phases));
    let weight = u64::from(desc.out_channels.div_ceil(panel)) * texels * u64::from(panel);
    input <= capacity && desc.output_len() / 4 <= capacity && weight <= capacity && packable
}

/// Runs of texels that an output reads, one behind the other, and the texels of each: taps and the channels that a panel reads of
/// them or, where rows are read, rows of the kernel.
fn runs(rows: Option<Rows>, desc: &Conv2dDesc, panel: u32) -> [u32; 2] {
    let [height, width] = desc.kernel;
    match rows {
        Some(rows) => [height, rows.texels],
        None => [height * width, Span::of(desc, panel).span4],
    }
}

impl Conv2d {
    /// How the direct convolution reads rows of numbers, where it does.
    pub(super) fn rows(&self) -> Option<Rows> {
        Rows::of(self.family, &self.desc)
    }

    pub(super) fn phases(&self) -> u32 {
        self.rows().map_or(1, |rows| rows.phases)
    }

    /// Terms of an output's sum as they are computed, zeros of padded channels and of other groups among them.
    pub(super) fn depth(&self) -> u32 {
        4 * self.runs().iter().product::<u32>()
    }

    fn runs(&self) -> [u32; 2] {
        runs(self.rows(), &self.desc, self.panel())
    }

    /// Pixels of the output; where rows are read, of a phase, those beyond the last column among them.
    pub(super) fn direct_pixels(&self) -> u64 {
        let [height, width] = self.desc.output_size().unwrap_or_default();
        let width = self.rows().map_or(width, |rows| rows.columns(width));
        u64::from(self.desc.batch) * u64::from(height) * u64::from(width)
    }

    /// The input as whole vec4 a pixel (a row, where rows are read), where it isn't so already.
    fn padding_pack(&self) -> Option<PackDesc> {
        let desc = &self.desc;
        let columns = self.rows().map_or(desc.in_channels, |_| desc.width * desc.in_channels);
        let rows = (desc.input_len() / u64::from(columns)) as u32;
        // f16 tensors are.
        (self.desc.precision == Precision::F32 && !columns.is_multiple_of(4)).then(|| PackDesc::rows(rows, columns))
    }

    pub(super) fn direct_workspace(&self) -> WorkspaceSize {
        let mut size = WorkspaceSize::default();
        let pack = self.padding_pack();
        size.bytes[0] = pack.map_or(0, |pack| pack.output_len() * 4);
        if self.family == Family::Texture {
            size.texels[INPUT] = pack.map_or(self.desc.input_len(), |pack| pack.output_len()) / 4;
            if pack.is_some() && self.desc.input_len().is_multiple_of(4) {
                size.texels[RAW] = self.desc.input_len() / 4;
            }
            if self.desc.residual && self.desc.out_channels.is_multiple_of(4) {
                size.texels[RESIDUAL] = self.desc.output_len() / 4;
            }
        }
        size
    }

    pub(super) fn output_pixels(&self) -> u64 {
        self.desc.output_len() / u64::from(self.desc.out_channels)
    }

    pub(super) fn direct_texture(
        &self,
        workspace: &Workspace,
        weights: &Conv2dWeights,
        buffers: &Conv2dBuffers<'_>,
    ) -> Result<Vec<Step>, Error> {
        let desc = &self.desc;
        let size = self.direct_workspace();
        let mut steps = Vec::new();
        let (input, input_view) = workspace.texture(OP, INPUT, size.texels[INPUT])?;
        match self.padding_pack() {
            None => steps.push(mirror::copy(buffers.input, input)),
            Some(pack) => {
                let packed = workspace.buffer(OP, 0, size.bytes[0])?;
                let pack = Pack::new(&self.context, &pack)?;
                if size.texels[RAW] > 0 {
                    let (raw, raw_view) = workspace.texture(OP, RAW, size.texels[RAW])?;
                    steps.push(mirror::copy(buffers.input, raw));
                    steps.extend(pack.bind_texture(raw_view, packed)?.steps);
                } else {
                    steps.extend(pack.bind(buffers.input, packed)?.steps);
                }
                steps.push(mirror::copy(packed, input));
            }
        }
        let ragged = !desc.out_channels.is_multiple_of(4);
        let mut residual_view = input_view;
        if let (Some(residual), false) = (buffers.residual, ragged) {
            let (texture, view) = workspace.texture(OP, RESIDUAL, size.texels[RESIDUAL])?;
            steps.push(mirror::copy(residual, texture));
            residual_view = view;
        }
        let tile = self.variant.tile();
        let pointwise = desc.kernel == [1, 1] && desc.padding == [0, 0];
        let [lanes, tall, double] = texture_constants(tile, self.runs()[1]);
        let flag = |name, value: bool| (name, f64::from(u8::from(value)));
        let constants = [
            lanes,
            tall,
            double,
            flag("has_residual", desc.residual),
            flag("pointwise", pointwise),
            flag("rows", self.rows().is_some()),
        ];
        let entry = if ragged { "ragged" } else { "main" };
        let pipeline = self.context.pipeline(&shaders::CONV2D_TEXTURE, entry, &constants);
        let none = self.context.nothing()?;
        let [_, width] = desc.output_size().unwrap_or_default();
        let columns = self.rows().map_or(width, |rows| rows.columns(width));
        for pixels in self.pixel_windows()? {
            // Of a phase.
            let covered = match self.rows() {
                Some(_) => [pixels.start, pixels.end].map(|pixel| pixel / u64::from(width) * u64::from(columns)),
                None => [pixels.start, pixels.end],
            };
            let panels = desc.out_channels.div_ceil(self.panel()) * self.phases();
            let groups = (covered[1] - covered[0]).div_ceil(tile.rows.into()) * u64::from(panels);
            let mut params = Params {
                x_base: mirror::zero_texel(input),
                y_base: pixels.start as u32,
                ..self.direct_params(&(covered[0]..covered[1]), groups)
            };
            if let Some(rows) = self.rows() {
                params = Params { width: Rows::width(desc), phases: rows.phases, phase_columns: columns, ..params };
            }
            let params = self.context.uniform(&params)?;
            let elements = pixels.start * u64::from(desc.out_channels)..pixels.end * u64::from(desc.out_channels);
            let output = Bind::Slice(window(buffers.output, elements.clone()));
            let mut entries = vec![
                (0, Bind::Uniform(&params)),
                (1, Bind::Texture(input_view)),
                (2, Bind::Texture(weights.view()?)),
                (3, Bind::Slice(weights.bias.slice(..))),
            ];
            if ragged {
                let residual = buffers.residual.map_or(none.slice(..), |residual| window(residual, elements));
                entries.extend([(6, Bind::Slice(residual)), (7, output)]);
            } else {
                entries.extend([(4, Bind::Texture(residual_view)), (5, output)]);
            }
            let products = groups * u64::from(tile.rows * tile.columns * self.depth());
            steps.push(self.context.dispatch(OP, &pipeline, &entries, groups)?.multiplying(products));
        }
        Ok(steps)
    }

    /// The parameters for a range of output pixels and a number of workgroups; windows start at their first element.
    pub(super) fn direct_params(&self, pixels: &Range<u64>, groups: u64) -> Params {
        let desc = &self.desc;
        let [out_height, out_width] = desc.output_size().unwrap_or_default();
        Params {
            height: desc.height,
            width: desc.width,
            channels4: desc.packed_channels() / 4,
            span4: self.runs()[1],
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
            phases: 1,
            phase_columns: 0,
            pad: 0,
        }
    }

    /// Output pixels by what a binding can show; windows start at multiples of 64 pixels, and at whole rows where rows are read.
    fn pixel_windows(&self) -> Result<Vec<Range<u64>>, Error> {
        let pixels = self.output_pixels();
        let unit = match (self.rows(), self.desc.output_size()) {
            (Some(_), Some([_, width])) => {
                let row = u64::from(width) * u64::from(self.desc.out_channels);
                u64::from(width) * (64 >> row.trailing_zeros().min(6))
            }
            _ => 64,
        };
        let step = self.context.binding_elements() / u64::from(self.desc.out_channels) / unit * unit;
        if step == 0 && self.desc.output_len() > self.context.binding_elements() {
            return Err(self.too_wide(
                "elements of the output pixels or rows of a window",
                unit * u64::from(self.desc.out_channels),
            ));
        }
        let step = step.max(pixels.min(unit));
        Ok((0..pixels.div_ceil(step)).map(|i| i * step..((i + 1) * step).min(pixels)).collect())
    }

    fn too_wide(&self, what: &'static str, needed: u64) -> Error {
        let allowed = self.context.binding_elements();
        Error::Limit { op: OP, what, needed, limit: "max_storage_buffer_binding_size / 4", allowed }
    }

    pub(super) fn direct_tiled(
        &self,
        workspace: &Workspace,
        weights: &Conv2dWeights,
        buffers: &Conv2dBuffers<'_>,
    ) -> Result<Vec<Step>, Error> {
        let desc = &self.desc;
        let mut steps = Vec::new();
        let mut input = buffers.input;
        if let Some(pack) = self.padding_pack() {
            input = workspace.buffer(OP, 0, pack.output_len() * 4)?;
            steps.extend(Pack::new(&self.context, &pack)?.bind(buffers.input, input)?.steps);
        }
        let (tile, target) = (self.variant.tile(), self.target());
        let constants = [tiled_constants(tile).as_slice(), &self.constants()].concat();
        let pipeline = self.context.pipeline(&shaders::CONV2D, target.entry, &constants);
        let weight = weights.buffer()?;
        let panels = u64::from(desc.out_channels.div_ceil(self.panel()));
        let panel_len = weight.size() / 4 / panels;
        let panel_step = self.context.binding_elements() / panel_len;
        if panel_step == 0 {
            return Err(self.too_wide("elements of 64 output channels of the weight", panel_len));
        }
        for band in self.bands()? {
            for panel_first in (0..panels).step_by(panel_step as usize) {
                let count = panel_step.min(panels - panel_first);
                let groups = (band.pixels.end - band.pixels.start).div_ceil(tile.rows.into()) * count;
                let shown = window(weight.slice(..), panel_first * panel_len..(panel_first + count) * panel_len);
                let params = Params { panel_first: panel_first as u32, ..self.band_params(&band, &target, groups) };
                let (params, none) = (self.context.uniform(&params)?, self.context.nothing()?);
                let entries = self.entries(&band, &target, &params, input, shown, weights, buffers, &none);
                let products =
                    groups * u64::from(tile.rows * tile.columns) * u64::from(self.depth()).next_multiple_of(16);
                steps.push(self.context.dispatch(OP, &pipeline, &entries, groups)?.multiplying(products));
            }
        }
        Ok(steps)
    }

    /// The overrides of the tiled kernels.
    pub(super) fn constants(&self) -> [(&'static str, f64); 1] {
        [("f16_tensors", f64::from(u8::from(self.desc.precision == Precision::F16)))]
    }

    /// How the output is written.
    pub(super) fn target(&self) -> Target {
        match self.desc.precision {
            Precision::F16 => Target { entry: "halves", residual: 8, words: 2 },
            Precision::F32 if self.desc.out_channels.is_multiple_of(4) => {
                Target { entry: "main", residual: 4, words: 4 }
            }
            Precision::F32 => Target { entry: "ragged", residual: 6, words: 1 },
        }
    }

    pub(super) fn band_params(&self, band: &Band, target: &Target, groups: u64) -> Params {
        let quad = if self.desc.precision == Precision::F16 { 2 } else { 4 };
        let start = band.pixels.start * u64::from(self.desc.precision.words(self.desc.out_channels));
        Params {
            x_base: ((band.input.start / quad) as u32).wrapping_neg(),
            y_base: ((start - band.output.start) / target.words) as u32,
            ..self.direct_params(&band.pixels, groups)
        }
    }

    #[allow(clippy::too_many_arguments, reason = "they are the kernel's operands")]
    pub(super) fn entries<'a>(
        &self,
        band: &Band,
        target: &Target,
        params: &'a wgpu::Buffer,
        input: BufferSlice<'a>,
        weight: BufferSlice<'a>,
        weights: &'a Conv2dWeights,
        buffers: &Conv2dBuffers<'a>,
        none: &'a wgpu::Buffer,
    ) -> [(u32, Bind<'a>); 6] {
        let residual = buffers.residual.map_or(none.slice(..), |residual| window(residual, band.output.clone()));
        [
            (0, Bind::Uniform(params)),
            (1, Bind::Slice(window(input, band.input.clone()))),
            (2, Bind::Slice(weight)),
            (3, Bind::Slice(weights.bias.slice(..))),
            (target.residual, Bind::Slice(residual)),
            (target.residual + 1, Bind::Slice(window(buffers.output, band.output.clone()))),
        ]
    }

    /// Output pixels, and the input that they read, by what a binding can show: whole images, or rows of one.
    pub(super) fn bands(&self) -> Result<Vec<Band>, Error> {
        let desc = &self.desc;
        let limit = self.context.binding_elements() - 64;
        let [out_height, out_width] = desc.output_size().map(|size| size.map(u64::from)).unwrap_or_default();
        let (height, batch) = (u64::from(desc.height), u64::from(desc.batch));
        // In 32-bit words.
        let in_row = u64::from(desc.width) * u64::from(self.desc.precision.words(desc.packed_channels()));
        let out_row = out_width * u64::from(self.desc.precision.words(desc.out_channels));
        let images = (limit / (in_row * height)).min(limit / (out_row * out_height));
        let aligned = |start: u64, end: u64| start / 64 * 64..end;
        if images > 0 {
            return Ok((0..batch)
                .step_by(images as usize)
                .map(|n| {
                    let end = (n + images).min(batch);
                    Band {
                        pixels: n * out_height * out_width..end * out_height * out_width,
                        input: aligned(n * height * in_row, end * height * in_row),
                        output: aligned(n * out_height * out_row, end * out_height * out_row),
                    }
                })
                .collect());
        }
        let reach = u64::from(desc.dilation[0]) * (u64::from(desc.kernel[0]) - 1) + 1;
        let stride = u64::from(desc.stride[0]);
        let in_rows = limit / in_row;
        let rows = if in_rows < reach { 0 } else { ((in_rows - reach) / stride + 1).min(limit / out_row) };
        if rows == 0 {
            return Err(self.too_wide("elements of the rows that one output row reads", (reach * in_row).max(out_row)));
        }
        let mut bands = Vec::new();
        for n in 0..batch {
            for first in (0..out_height).step_by(rows as usize) {
                let end = (first + rows).min(out_height);
                let padding = u64::from(desc.padding[0]);
                let top = (first * stride).saturating_sub(padding).min(height - 1);
                let bottom = ((end - 1) * stride + reach).saturating_sub(padding).clamp(top + 1, height);
                let pixel = |row: u64| (n * out_height + row) * out_width;
                bands.push(Band {
                    pixels: pixel(first)..pixel(end),
                    input: aligned((n * height + top) * in_row, (n * height + bottom) * in_row),
                    output: aligned((n * out_height + first) * out_row, (n * out_height + end) * out_row),
                });
            }
        }
        Ok(bands)
    }
}

/// A part of the output that one dispatch computes: its pixels, and the words to bind, which start where every device can.
pub(super) struct Band {
    pub pixels: Range<u64>,
    pub input: Range<u64>,
    pub output: Range<u64>,
}

/// An entry point of the tiled kernels, its binding of the residual (the output's is the next), and the 32-bit words that one
/// invocation writes at once.
pub(super) struct Target {
    pub entry: &'static str,
    pub residual: u32,
    pub words: u64,
}

params! {
    CONV2D, CONV2D_GROUPED, CONV2D_TEXTURE: struct Params {
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
        pad: u32,
    }
}
