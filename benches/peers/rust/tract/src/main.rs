//! tract, from the ONNX file, optimised as its command line does it.

use protocol::{Result, Task};
use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;

fn main() -> Result<()> {
    let task = Task::from_args()?;
    set_default_executor(Executor::multithread(task.number("threads")?));
    if task.kind != "forward" {
        return Err(format!("no {} here", task.kind).into());
    }
    let (batch, size): (usize, usize) = (task.number("batch")?, task.number("size")?);
    let shape = [batch, 3, size, size];
    let network = tract_onnx::onnx()
        .model_for_path(task.text("onnx")?)?
        .with_input_fact(0, f32::fact(shape).into())?
        .into_optimized()?
        .into_runnable()?;
    let images = Tensor::from_shape(&shape, &task.floats("input")?)?;
    task.serve(|| {
        let outputs = network.run(tvec!(images.clone().into()))?;
        Ok(outputs[0].to_plain_array_view::<f32>()?.iter().copied().collect())
    })
}
