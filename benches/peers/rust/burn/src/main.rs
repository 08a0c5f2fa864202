//! burn, on its CPU backend (burn-flex) and on wgpu: a ResNet of burn's own functions, BatchNorm folded into the convolutions.

use burn::tensor::{
    Device, DeviceKind, Tensor, TensorData,
    activation::relu,
    module::{adaptive_avg_pool2d, conv2d, max_pool2d},
    ops::{ConvOptions, MaxPoolOptions},
};
use protocol::{Result, Task};
use safetensors::SafeTensors;

const EPS: f32 = 1e-5;

fn main() -> Result<()> {
    let task = Task::from_args()?;
    let device = match task.text("backend")? {
        "flex" => Device::flex(),
        "wgpu" => Device::wgpu(DeviceKind::DefaultDevice),
        other => return Err(format!("no backend {other} here").into()),
    };
    match task.kind.as_str() {
        "forward" => {
            let (batch, size): (usize, usize) = (task.number("batch")?, task.number("size")?);
            let weights = std::fs::read(task.text("weights")?)?;
            let network = Network::new(&SafeTensors::deserialize(&weights)?, &device)?;
            drop(weights);
            let images = TensorData::new(task.floats("input")?, [batch, 3, size, size]);
            task.serve(|| values(network.forward(Tensor::from_data(images.clone(), &device))))
        }
        "matmul" => {
            let n: usize = task.number("size")?;
            let matrix = |name| -> Result<Tensor<2>> {
                Ok(Tensor::from_data(TensorData::new(task.floats(name)?, [n, n]), &device))
            };
            let (a, b) = (matrix("a")?, matrix("b")?);
            task.serve(|| values(a.clone().matmul(b.clone())))
        }
        other => Err(format!("no {other} here").into()),
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor.into_data().try_into_vec().map_err(|error| format!("{error:?}").into())
}

struct Conv {
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: usize,
}

impl Conv {
    /// The convolution `conv` with the BatchNorm `norm`.
    fn new(file: &SafeTensors<'_>, conv: &str, norm: &str, stride: usize, device: &Device) -> Result<Self> {
        let floats = |name: &str| -> Result<Vec<f32>> {
            let bytes = file.tensor(name)?.data();
            Ok(bytes.chunks_exact(4).map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect())
        };
        let name = format!("{conv}.weight");
        let &[out, depth, height, width] = file.tensor(&name)?.shape() else {
            return Err(format!("{name} has no four axes").into());
        };
        let [scale, shift, mean, variance] =
            ["weight", "bias", "running_mean", "running_var"].map(|part| floats(&format!("{norm}.{part}")));
        let (mut weight, scale, shift, mean, variance) = (floats(&name)?, scale?, shift?, mean?, variance?);
        let mut bias = Vec::new();
        for (o, filter) in weight.chunks_exact_mut(depth * height * width).enumerate() {
            let scale = scale[o] / (variance[o] + EPS).sqrt();
            filter.iter_mut().for_each(|value| *value *= scale);
            bias.push(shift[o] - mean[o] * scale);
        }
        Ok(Conv {
            weight: Tensor::from_data(TensorData::new(weight, [out, depth, height, width]), device),
            bias: Tensor::from_data(TensorData::new(bias, [out]), device),
            stride,
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let padding = self.weight.dims()[2] / 2;
        let options = ConvOptions::new([self.stride; 2], [padding; 2], [1; 2], 1);
        conv2d(x, self.weight.clone(), Some(self.bias.clone()), options)
    }
}

struct Network {
    stem: Conv,
    /// Each block's convolutions and its shortcut.
    blocks: Vec<(Vec<Conv>, Option<Conv>)>,
}

impl Network {
    fn new(file: &SafeTensors<'_>, device: &Device) -> Result<Self> {
        let has = |name: &str| file.tensor(name).is_ok();
        let mut blocks = Vec::new();
        for stage in 1..=4 {
            for block in
                (0..).map(|i| format!("layer{stage}.{i}")).take_while(|name| has(&format!("{name}.conv1.weight")))
            {
                let stride = if stage > 1 && block.ends_with(".0") { 2 } else { 1 };
                // The 3x3 convolution of a bottleneck has the stride, the first of a basic block.
                let (count, strided) = if has(&format!("{block}.conv3.weight")) { (3, 2) } else { (2, 1) };
                let convs = (1..=count).map(|i| {
                    let stride = if i == strided { stride } else { 1 };
                    Conv::new(file, &format!("{block}.conv{i}"), &format!("{block}.bn{i}"), stride, device)
                });
                let [conv, norm] = [0, 1].map(|i| format!("{block}.downsample.{i}"));
                let shortcut = has(&format!("{conv}.weight")).then(|| Conv::new(file, &conv, &norm, stride, device));
                blocks.push((convs.collect::<Result<_>>()?, shortcut.transpose()?));
            }
        }
        Ok(Network { stem: Conv::new(file, "conv1", "bn1", 2, device)?, blocks })
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let pool = MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]);
        let mut x = max_pool2d(relu(self.stem.forward(images)), pool);
        for (convs, shortcut) in &self.blocks {
            let residual = shortcut.as_ref().map_or_else(|| x.clone(), |conv| conv.forward(x.clone()));
            for (i, conv) in convs.iter().enumerate() {
                x = conv.forward(x);
                if i + 1 < convs.len() {
                    x = relu(x);
                }
            }
            x = relu(x + residual);
        }
        adaptive_avg_pool2d(x, [1, 1])
    }
}
