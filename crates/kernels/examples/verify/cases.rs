//! Each operation on a shape, with what its twin gives.

use crate::gpu::{Gpu, Planned};
use kernels::{
    AdamW, AdamWBuffers, AdamWDesc, AddRelu, AddReluBuffers, AddReluDesc, AvgPool2d, AvgPool2dDesc, Context, Conv2d,
    Conv2dBuffers, Conv2dDesc, Dense, DenseDesc, Error, GlobalAvgPool2d, GlobalAvgPool2dDesc, Matmul, MatmulBuffers,
    MatmulDesc, MaxPool2d, MaxPool2dDesc, Normalize, NormalizeDesc, Pack, PackDesc, Precision, ReduceSum,
    ReduceSumDesc, RowTable, Sgd, SgdBuffers, SgdDesc, SigmoidCrossEntropy, SigmoidCrossEntropyBuffers,
    SigmoidCrossEntropyDesc, SoftmaxCrossEntropy, SoftmaxCrossEntropyBuffers, SoftmaxCrossEntropyDesc, Workspace,
    from_halves, halves,
    reference::{self, Conv2dInputs, Expected},
};

/// `len` numbers in [-scale, scale), the same on every machine: the high bits of a multiplicative generator.
fn samples(len: u64, scale: f32, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale
        })
        .collect()
}

fn positive(len: u64, seed: u64) -> Vec<f32> {
    samples(len, 1.0, seed).into_iter().map(|x| x.abs() + 0.1).collect()
}

pub fn matmuls() -> [MatmulDesc; 4] {
    let odd = MatmulDesc { batch: 2, bias: true, ..MatmulDesc::new(37, 65, 93) };
    [
        MatmulDesc::new(128, 128, 128),
        odd,
        MatmulDesc { transpose_a: true, ..odd },
        MatmulDesc { transpose_a: true, transpose_b: true, ..odd },
    ]
}

pub fn shape_of_matmul(desc: &MatmulDesc) -> String {
    let transposed = |flag: bool| if flag { "^T" } else { "" };
    format!(
        "{} of {}x{}{} {}x{}{}",
        desc.batch,
        desc.m,
        desc.k,
        transposed(desc.transpose_a),
        desc.k,
        desc.n,
        transposed(desc.transpose_b)
    )
}

pub fn matmul(gpu: &Gpu, context: &Context, desc: &MatmulDesc) -> Result<Planned, Error> {
    let a = samples(u64::from(desc.batch * desc.m * desc.k), 1.0, 1);
    let b = samples(u64::from(desc.batch * desc.k * desc.n), 1.0, 2);
    let bias = desc.bias.then(|| samples(u64::from(desc.n), 1.0, 3));
    let expected = reference::matmul(desc, &a, &b, bias.as_deref());
    let (a, b, output) = (gpu.upload(&a), gpu.upload(&b), gpu.output(&expected));
    let bias = bias.map(|bias| gpu.upload(&bias));
    let commands = Matmul::new(context, desc)?.bind(&MatmulBuffers {
        a: a.slice(..),
        b: b.slice(..),
        bias: bias.as_ref().map(|bias| bias.slice(..)),
        output: output.slice(..),
    })?;
    Ok(Planned { commands: vec![commands], outputs: vec![(output, expected)], f16_channels: None })
}

/// Forward and backward on rows that are picked in reverse.
pub fn dense(gpu: &Gpu, context: &Context, desc: &DenseDesc) -> Result<Planned, Error> {
    let elements = |a: u32, b: u32| u64::from(a) * u64::from(b);
    let rows = samples(elements(desc.batch, desc.width), 1.0, 1);
    let picks: Vec<u32> = (0..desc.batch).rev().collect();
    let weight = samples(elements(desc.classes, desc.width), 1.0, 2);
    let grad_output = samples(elements(desc.classes, desc.batch), 1.0, 3);
    let expected = reference::dense(desc, &rows, &picks, &weight);
    let gradient = reference::dense_backward(desc, &rows, &picks, &grad_output);
    let table = RowTable::new(context, desc.batch, desc.width, desc.batch)?;
    table.write(&gpu.host.queue, 0, &rows)?;
    table.pick(&gpu.host.queue, &picks)?;
    let (weight, grad_output) = (gpu.upload(&weight), gpu.upload(&grad_output));
    let (output, grad_weight) = (gpu.output(&expected), gpu.output(&gradient));
    let dense = Dense::new(context, desc)?;
    let workspace = Workspace::new(context, dense.workspace_size())?;
    let commands = vec![
        dense.bind_forward(&workspace, table.batch(0), weight.slice(..), output.slice(..))?,
        dense.bind_backward(&workspace, table.batch(0), grad_output.slice(..), grad_weight.slice(..))?,
    ];
    Ok(Planned { commands, outputs: vec![(output, expected), (grad_weight, gradient)], f16_channels: None })
}

pub fn convolutions() -> [Conv2dDesc; 6] {
    let block = Conv2dDesc { residual: true, relu: true, ..Conv2dDesc::new(2, [9, 10], [64, 64], 3) };
    [
        Conv2dDesc { stride: [2; 2], relu: true, ..Conv2dDesc::new(1, [33, 32], [3, 64], 7) },
        block,
        Conv2dDesc { stride: [2; 2], residual: false, out_channels: 128, ..block },
        Conv2dDesc { kernel: [1; 2], padding: [0; 2], ..block },
        Conv2dDesc { groups: 32, ..Conv2dDesc::new(1, [7, 7], [128, 128], 3) },
        Conv2dDesc { dilation: [2, 3], padding: [2, 1], ..Conv2dDesc::new(1, [11, 13], [5, 7], 3) },
    ]
}

pub fn shape_of_conv2d(desc: &Conv2dDesc) -> String {
    let mut shape = format!(
        "{}x{}x{}x{} {}x{} /{} to {}",
        desc.batch,
        desc.height,
        desc.width,
        desc.in_channels,
        desc.kernel[0],
        desc.kernel[1],
        desc.stride[0],
        desc.out_channels
    );
    if desc.groups > 1 {
        shape += &format!(", {} groups", desc.groups);
    }
    if desc.dilation != [1; 2] {
        shape += ", dilated";
    }
    shape
}

/// Operands that f16 holds are the same in either precision.
pub fn conv2d(gpu: &Gpu, context: &Context, desc: &Conv2dDesc) -> Result<Planned, Error> {
    let f16 = desc.precision == Precision::F16;
    let samples = |len, seed| {
        let values = samples(len, 1.0, seed);
        if f16 { from_halves(&halves(&values, 1), 1) } else { values }
    };
    let input = samples(desc.input_len(), 1);
    let weight = samples(desc.weight_len(), 2);
    let bias = samples(u64::from(desc.out_channels), 3);
    let residual = desc.residual.then(|| samples(desc.output_len(), 4));
    let plan = Conv2d::new(context, desc)?;
    let inputs = Conv2dInputs { input: &input, weight: &weight, bias: Some(&bias), residual: residual.as_deref() };
    let expected = reference::conv2d(desc, &inputs, plan.is_winograd());
    let weights = plan.weights(&gpu.host.queue, &weight, Some(&bias))?;
    let upload = |values: &[f32], channels: u32| match desc.precision {
        Precision::F32 => gpu.upload(values),
        Precision::F16 => gpu.upload(&halves(values, channels as usize)),
    };
    let input = upload(&input, desc.in_channels);
    let residual = residual.map(|residual| upload(&residual, desc.out_channels));
    let words = desc.output_len() / u64::from(desc.out_channels) * u64::from(desc.precision.words(desc.out_channels));
    let output = gpu.upload(&vec![f32::NAN; words as usize]);
    let buffers = Conv2dBuffers {
        input: input.slice(..),
        residual: residual.as_ref().map(|residual| residual.slice(..)),
        output: output.slice(..),
    };
    let commands = plan.bind(&weights, &buffers)?;
    let expected = if f16 { expected.to_f16() } else { expected };
    let f16_channels = f16.then_some(desc.out_channels as usize);
    Ok(Planned { commands: vec![commands], outputs: vec![(output, expected)], f16_channels })
}

pub fn max_pool2d(gpu: &Gpu, context: &Context, desc: &MaxPool2dDesc) -> Result<Planned, Error> {
    // All negative: a padding of zeros would win.
    let input: Vec<f32> = positive(desc.input_len(), 1).into_iter().map(|x| -x).collect();
    let expected = reference::max_pool2d(desc, &input);
    let (input, output) = (gpu.upload(&input), gpu.output(&expected));
    let commands = MaxPool2d::new(context, desc)?.bind(input.slice(..), output.slice(..))?;
    Ok(Planned { commands: vec![commands], outputs: vec![(output, expected)], f16_channels: None })
}

pub fn avg_pool2d(gpu: &Gpu, context: &Context, desc: &AvgPool2dDesc) -> Result<Planned, Error> {
    let input = samples(u64::from(desc.batch * desc.height * desc.width * desc.channels), 1.0, 1);
    let expected = reference::avg_pool2d(desc, &input);
    let (input, output) = (gpu.upload(&input), gpu.output(&expected));
    let commands = AvgPool2d::new(context, desc)?.bind(input.slice(..), output.slice(..))?;
    Ok(Planned { commands: vec![commands], outputs: vec![(output, expected)], f16_channels: None })
}

pub fn global_avg_pool2d(gpu: &Gpu, context: &Context, desc: &GlobalAvgPool2dDesc) -> Result<Planned, Error> {
    let input = samples(u64::from(desc.batch * desc.height * desc.width * desc.channels), 1.0, 1);
    let expected = reference::global_avg_pool2d(desc, &input);
    let (input, output) = (gpu.upload(&input), gpu.output(&expected));
    let commands = GlobalAvgPool2d::new(context, desc)?.bind(input.slice(..), output.slice(..))?;
    Ok(Planned { commands: vec![commands], outputs: vec![(output, expected)], f16_channels: None })
}

pub fn add_relu(gpu: &Gpu, context: &Context, desc: &AddReluDesc) -> Result<Planned, Error> {
    let (a, b) = (samples(u64::from(desc.len), 1.0, 1), samples(u64::from(desc.len), 0.3, 2));
    let expected = reference::add_relu(desc, &a, &b);
    let (a, b, output) = (gpu.upload(&a), gpu.upload(&b), gpu.output(&expected));
    let buffers = AddReluBuffers { a: a.slice(..), b: b.slice(..), output: output.slice(..) };
    let commands = AddRelu::new(context, desc)?.bind(&buffers)?;
    Ok(Planned { commands: vec![commands], outputs: vec![(output, expected)], f16_channels: None })
}

pub fn pack(gpu: &Gpu, context: &Context, desc: &PackDesc) -> Result<Planned, Error> {
    let input = samples(desc.input_len(), 1.0, 1);
    let expected = reference::pack(desc, &input);
    let (input, output) = (gpu.upload(&input), gpu.output(&expected));
    let commands = Pack::new(context, desc)?.bind(input.slice(..), output.slice(..))?;
    Ok(Planned { commands: vec![commands], outputs: vec![(output, expected)], f16_channels: None })
}

pub fn normalize(gpu: &Gpu, context: &Context, pixels: u32) -> Result<Planned, Error> {
    let desc = NormalizeDesc::new(pixels);
    let bytes: Vec<u8> = (0..desc.input_words() * 4).map(|i| ((i * 2_654_435_761) >> 24) as u8).collect();
    let table = std::array::from_fn(|c| std::array::from_fn(|x| x as f32 / 57.0 - c as f32 * 0.9));
    let expected = reference::normalize(&desc, &bytes, &table);
    let (input, output) = (gpu.upload(&bytes), gpu.output(&expected));
    let table = gpu.upload(table.as_flattened());
    let commands = Normalize::new(context, &desc)?.bind(input.slice(..), table.slice(..), output.slice(..))?;
    Ok(Planned { commands: vec![commands], outputs: vec![(output, expected)], f16_channels: None })
}

pub fn reduce_sum(gpu: &Gpu, context: &Context, desc: &ReduceSumDesc) -> Result<Planned, Error> {
    let input = samples(u64::from(desc.rows) * u64::from(desc.columns), 1.0, 1);
    let expected = reference::reduce_sum(desc, &input);
    let (input, output) = (gpu.upload(&input), gpu.output(&expected));
    let commands = ReduceSum::new(context, desc)?.bind(input.slice(..), output.slice(..))?;
    Ok(Planned { commands: vec![commands], outputs: vec![(output, expected)], f16_channels: None })
}

pub fn softmax_cross_entropy(
    gpu: &Gpu,
    context: &Context,
    desc: &SoftmaxCrossEntropyDesc,
    scale: f32,
) -> Result<Planned, Error> {
    let (batch, classes) = (u64::from(desc.batch), u64::from(desc.classes));
    let logits = samples(batch * classes, scale, 1);
    // The last sample is ignored.
    let labels: Vec<u32> =
        (1..=desc.batch).map(|b| if b < desc.batch { b * 7 % desc.classes } else { u32::MAX }).collect();
    let (class_weights, sample_weights) = (positive(classes, 2), positive(batch, 3));
    let (loss, grad) =
        reference::softmax_cross_entropy(desc, &logits, &labels, Some(&class_weights), Some(&sample_weights));
    let (logits, labels) = (gpu.upload(&logits), gpu.upload(&labels));
    let (class_weights, sample_weights) = (gpu.upload(&class_weights), gpu.upload(&sample_weights));
    let (loss_buffer, grad_buffer) = (gpu.output(&loss), gpu.output(&grad));
    let commands = SoftmaxCrossEntropy::new(context, desc)?.bind(&SoftmaxCrossEntropyBuffers {
        logits: logits.slice(..),
        labels: labels.slice(..),
        class_weights: Some(class_weights.slice(..)),
        sample_weights: Some(sample_weights.slice(..)),
        loss: loss_buffer.slice(..),
        grad_logits: Some(grad_buffer.slice(..)),
    })?;
    Ok(Planned {
        commands: vec![commands],
        outputs: vec![(loss_buffer, loss), (grad_buffer, grad)],
        f16_channels: None,
    })
}

pub fn sigmoid_cross_entropy(
    gpu: &Gpu,
    context: &Context,
    desc: &SigmoidCrossEntropyDesc,
    scale: f32,
) -> Result<Planned, Error> {
    let all = u64::from(desc.batch) * u64::from(desc.classes);
    let (logits, sample_weights) = (samples(all, scale, 1), positive(u64::from(desc.batch), 3));
    let targets: Vec<f32> = (0..all).map(|place| if place % 3 == 0 { 1.0 } else { 0.0 }).collect();
    let (loss, grad) = reference::sigmoid_cross_entropy(desc, &logits, &targets, &sample_weights);
    let [logits, targets, sample_weights] = [&logits, &targets, &sample_weights].map(|values| gpu.upload(values));
    let (loss_buffer, grad_buffer) = (gpu.output(&loss), gpu.output(&grad));
    let commands = SigmoidCrossEntropy::new(context, desc)?.bind(&SigmoidCrossEntropyBuffers {
        logits: logits.slice(..),
        targets: targets.slice(..),
        sample_weights: sample_weights.slice(..),
        loss: loss_buffer.slice(..),
        grad_logits: grad_buffer.slice(..),
    })?;
    Ok(Planned {
        commands: vec![commands],
        outputs: vec![(loss_buffer, loss), (grad_buffer, grad)],
        f16_channels: None,
    })
}

/// A second step, from a momentum that is there.
pub fn sgd(gpu: &Gpu, context: &Context, desc: &SgdDesc) -> Result<Planned, Error> {
    let [start, gradient, old] = [1, 2, 3].map(|seed| samples(u64::from(desc.len), 1.0, seed));
    let [mut param, mut momentum] = [&start, &old].map(|values| Expected::exact(values));
    reference::sgd(desc, (0.1, 2), &mut param, &gradient, &mut momentum);
    let [start, grad, old] = [&start, &gradient, &old].map(|values| gpu.upload(values));
    let buffers = SgdBuffers { param: start.slice(..), grad: grad.slice(..), momentum: Some(old.slice(..)) };
    let update = Sgd::new(context, desc)?.bind(&buffers)?;
    update.set_step(&gpu.host.queue, 0.1, 2);
    Ok(Planned {
        commands: vec![update.commands().clone()],
        outputs: vec![(start, param), (old, momentum)],
        f16_channels: None,
    })
}

/// A second step, from means that are there.
pub fn adamw(gpu: &Gpu, context: &Context, desc: &AdamWDesc) -> Result<Planned, Error> {
    let [start, gradient, mean] = [1, 2, 3].map(|seed| samples(u64::from(desc.len), 1.0, seed));
    let square = positive(u64::from(desc.len), 4);
    let [mut param, mut exp_avg, mut exp_avg_sq] = [&start, &mean, &square].map(|values| Expected::exact(values));
    reference::adamw(desc, (0.1, 2), &mut param, &gradient, [&mut exp_avg, &mut exp_avg_sq]);
    let [start, grad, mean, square] = [&start, &gradient, &mean, &square].map(|values| gpu.upload(values));
    let update = AdamW::new(context, desc)?.bind(&AdamWBuffers {
        param: start.slice(..),
        grad: grad.slice(..),
        exp_avg: mean.slice(..),
        exp_avg_sq: square.slice(..),
    })?;
    update.set_step(&gpu.host.queue, 0.1, 2);
    let outputs = vec![(start, param), (mean, exp_avg), (square, exp_avg_sq)];
    Ok(Planned { commands: vec![update.commands().clone()], outputs, f16_channels: None })
}
