//! A bound operation: what a caller records into its encoder, and how much work that is.

use crate::{Error, mirror, step::Step};
use std::ops::Range;
use wgpu::{BindGroup, CommandEncoder, ComputePass, ComputePassDescriptor, ComputePipeline};

/// A bound operation, ready to be recorded any number of times into the caller's encoder.
///
/// It holds references to the pipelines and bind groups (and so keeps the buffers alive), never to the device or
/// the queue: recording neither submits nor waits.
#[derive(Debug, Clone)]
pub struct Commands {
    pub(crate) op: &'static str,
    pub(crate) steps: Vec<Step>,
}

impl Commands {
    pub(crate) fn new(op: &'static str) -> Self {
        Commands { op, steps: Vec::new() }
    }

    /// Records the operation into `encoder`, in as few compute passes as its copies allow.
    pub fn encode(&self, encoder: &mut CommandEncoder) {
        encode_all(encoder, [self]);
    }

    /// Records the operation into a compute pass that the caller has open.
    ///
    /// # Errors
    /// [`Error::NeedsEncoder`] when [`Commands::has_copies`].
    pub fn encode_in_pass(&self, pass: &mut ComputePass<'_>) -> Result<(), Error> {
        if self.has_copies() {
            return Err(Error::NeedsEncoder { op: self.op });
        }
        for step in &self.steps {
            dispatch(pass, step);
        }
        Ok(())
    }

    /// Tells whether a copy must stand between passes, so that an open pass can't take the operation.
    ///
    /// The [texture family](crate::Family::Texture) copies; the [tiled family](crate::Family::Tiled) never does.
    pub fn has_copies(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::CopyToTexture { .. }))
    }

    /// Counts the workgroups of its largest dispatch: few of them leave parts of a GPU idle.
    pub fn workgroups(&self) -> u64 {
        let workgroups = |step: &Step| match step {
            Step::Dispatch { grid, .. } => grid.iter().map(|&size| u64::from(size)).product(),
            Step::CopyToTexture { .. } => 0,
        };
        self.steps.iter().map(workgroups).max().unwrap_or(0)
    }

    /// Counts the dispatches of the operation: more than one where it takes several steps or was split under the device's limits.
    pub fn dispatches(&self) -> usize {
        self.cost().dispatches as usize
    }

    /// Counts what recording and running it costs, in numbers that no machine changes.
    pub fn cost(&self) -> Cost {
        Cost::of([self])
    }
}

/// The cost of operations recorded one after the other: numbers that tell a worse plan from a better one without a clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cost {
    /// Dispatches.
    pub dispatches: u64,
    /// Compute passes: copies end one.
    pub passes: u64,
    /// Copies from a buffer to a texture.
    pub copies: u64,
    /// Bytes that they copy.
    pub copied_bytes: u64,
    /// FLOPs of matrix products and convolutions, two a multiply-add, as executed: tiles that stand out over the edges count whole, and
    /// Winograd's products count instead of those of the definition. Transforms and element-wise work don't count.
    pub flops: u64,
}

impl Cost {
    /// Sums the cost of operations as [`encode_all`] records them.
    pub fn of<'a>(operations: impl IntoIterator<Item = &'a Commands>) -> Self {
        let mut cost = Cost::default();
        let mut open = false;
        for step in operations.into_iter().flat_map(|operation| &operation.steps) {
            match step {
                Step::Dispatch { products, .. } => {
                    cost.passes += u64::from(!open);
                    cost.dispatches += 1;
                    cost.flops += 2 * products;
                    open = true;
                }
                Step::CopyToTexture { texels, .. } => {
                    cost.copies += 1;
                    cost.copied_bytes += 16 * texels;
                    open = false;
                }
            }
        }
        cost
    }
}

/// Records a dispatch of no workgroups for each pipeline of `commands` that isn't in `known` yet, and adds it there.
///
/// It does nothing, but drivers which leave compiling to a pipeline's first use (lavapipe does, 10 ms to 1 s each) have to do it now:
/// submitted early, it is done while the caller reads weights. They compile for a kind of texture, so real bind groups are taken.
pub fn encode_first_use(encoder: &mut CommandEncoder, commands: &Commands, known: &mut Vec<ComputePipeline>) {
    let mut pass = None;
    for step in &commands.steps {
        let Step::Dispatch { pipeline, bind_group, .. } = step else { continue };
        if !known.contains(pipeline) {
            known.push(pipeline.clone());
            let pass = pass
                .get_or_insert_with(|| encoder.begin_compute_pass(&ComputePassDescriptor::default()).forget_lifetime());
            record(pass, pipeline, bind_group, [0; 3]);
        }
    }
}

fn dispatch(pass: &mut ComputePass<'_>, step: &Step) {
    if let Step::Dispatch { pipeline, bind_group, grid, .. } = step {
        record(pass, pipeline, bind_group, *grid);
    }
}

fn record(pass: &mut ComputePass<'_>, pipeline: &ComputePipeline, bind_group: &BindGroup, [x, y, z]: [u32; 3]) {
    pass.set_pipeline(pipeline);
    pass.set_bind_group(0, bind_group, &[]);
    pass.dispatch_workgroups(x, y, z);
}

/// Records several bound operations one after the other, sharing compute passes between them.
///
/// A pass costs more than a dispatch (35 µs against 15 µs on lavapipe), so a network is best recorded in one call.
pub fn encode_all<'a>(encoder: &mut CommandEncoder, operations: impl IntoIterator<Item = &'a Commands>) {
    let mut pass: Option<ComputePass<'static>> = None;
    for step in operations.into_iter().flat_map(|operation| &operation.steps) {
        match step {
            Step::Dispatch { .. } => {
                let pass = pass.get_or_insert_with(|| {
                    encoder.begin_compute_pass(&ComputePassDescriptor::default()).forget_lifetime()
                });
                dispatch(pass, step);
            }
            Step::CopyToTexture { buffer, offset, texels, texture } => {
                pass = None;
                mirror::record_copy(encoder, buffer, *offset, *texels, texture);
            }
        }
    }
}

/// Cuts a list of operations into runs that cost at most `most` each, or are one operation: ranges for [`encode_all`], when a
/// GPU shouldn't work too long at a stretch.
///
/// ```
/// assert_eq!(kernels::slices(&[2.0, 3.0, 4.0, 9.0, 1.0], 5.0), [0..2, 2..3, 3..4, 4..5]);
/// ```
pub fn slices(costs: &[f64], most: f64) -> Vec<Range<usize>> {
    let mut slices: Vec<Range<usize>> = Vec::new();
    let mut sum = 0.0;
    for (i, cost) in costs.iter().enumerate() {
        sum += cost;
        match slices.last_mut() {
            Some(slice) if sum <= most => slice.end = i + 1,
            _ => {
                slices.push(i..i + 1);
                sum = *cost;
            }
        }
    }
    slices
}
