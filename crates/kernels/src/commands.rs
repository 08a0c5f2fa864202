use crate::Error;
use wgpu::{BindGroup, Buffer, CommandEncoder, ComputePass, ComputePassDescriptor, ComputePipeline, Texture};

/// One entry of a bound operation.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Dispatch {
        pipeline: ComputePipeline,
        bind_group: BindGroup,
        grid: [u32; 3],
    },
    /// Raw bytes of a buffer into the rows of a [linear texture](crate::mirror).
    CopyToTexture {
        buffer: Buffer,
        offset: u64,
        texels: u64,
        texture: Texture,
    },
}

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

    /// Whether a copy must stand between passes, so that an open pass can't take the operation.
    ///
    /// The [texture family](crate::Family::Texture) copies; the [tiled family](crate::Family::Tiled) never does.
    pub fn has_copies(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::CopyToTexture { .. }))
    }

    /// How many dispatches the operation takes: more than one where work was split under the device's limits.
    pub fn dispatches(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Step::Dispatch { .. })).count()
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
            let grid = [0; 3];
            dispatch(pass, &Step::Dispatch { pipeline: pipeline.clone(), bind_group: bind_group.clone(), grid });
        }
    }
}

fn dispatch(pass: &mut ComputePass<'_>, step: &Step) {
    if let Step::Dispatch { pipeline, bind_group, grid } = step {
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, bind_group, &[]);
        pass.dispatch_workgroups(grid[0], grid[1], grid[2]);
    }
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
                crate::mirror::record_copy(encoder, buffer, *offset, *texels, texture);
            }
        }
    }
}
