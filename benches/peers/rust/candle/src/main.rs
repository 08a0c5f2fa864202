//! candle on its CPU backend: the ResNets of candle-transformers, which leave BatchNorm unfolded.

use candle_core::{DType, Device, Tensor};
use candle_nn::{Module as _, VarBuilder};
use candle_transformers::models::resnet;
use protocol::{Result, Task};

fn main() -> Result<()> {
    let task = Task::from_args()?;
    match task.kind.as_str() {
        "forward" => {
            let (batch, size): (usize, usize) = (task.number("batch")?, task.number("size")?);
            // SAFETY: nobody changes the file meanwhile.
            let weights =
                unsafe { VarBuilder::from_mmaped_safetensors(&[task.text("weights")?], DType::F32, &Device::Cpu)? };
            let network = match task.text("model")? {
                "resnet18" => resnet::resnet18_no_final_layer(weights)?,
                "resnet50" => resnet::resnet50_no_final_layer(weights)?,
                other => return Err(format!("no {other} here").into()),
            };
            let images = Tensor::from_vec(task.floats("input")?, (batch, 3, size, size), &Device::Cpu)?;
            task.serve(|| Ok(network.forward(&images)?.flatten_all()?.to_vec1()?))
        }
        "matmul" => {
            let n: usize = task.number("size")?;
            let matrix = |name| -> Result<Tensor> { Ok(Tensor::from_vec(task.floats(name)?, (n, n), &Device::Cpu)?) };
            let (a, b) = (matrix("a")?, matrix("b")?);
            task.serve(|| Ok(a.matmul(&b)?.flatten_all()?.to_vec1()?))
        }
        other => Err(format!("no {other} here").into()),
    }
}
