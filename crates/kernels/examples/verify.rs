//! Checks every kernel against its f64 twin on one of this machine's adapters, and prints how far off it is.
//!
//! ```text
//! cargo run -p kernels --example verify [-- --adapter N]
//! ```
//!
//! The last columns are the largest error, in units of what rounding explains (1 or less is right), and the verdict. The
//! exit code is 1 when a kernel fails, 2 for bad usage, 4 without a device.

use kernels::{
    AdamW, AdamWBuffers, AdamWDesc, AddRelu, AddReluBuffers, AddReluDesc, AvgPool2d, AvgPool2dDesc, Commands, Context,
    Conv2d, Conv2dBuffers, Conv2dDesc, Dense, DenseDesc, Error, Family, GlobalAvgPool2d, GlobalAvgPool2dDesc, Matmul,
    MatmulBuffers, MatmulDesc, MaxPool2d, MaxPool2dDesc, Pack, PackDesc, Precision, ReduceSum, ReduceSumDesc,
    Reduction, RowTable, Sgd, SgdBuffers, SgdDesc, SoftmaxCrossEntropy, SoftmaxCrossEntropyBuffers,
    SoftmaxCrossEntropyDesc, Tune, Workspace, encode_all, from_halves, halves,
    reference::{self, Conv2dInputs, Expected},
    wgpu::{self, Adapter, Buffer, BufferUsages, Device, Instance, Queue, util::DeviceExt},
};
use std::{process::ExitCode, sync::mpsc};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let chosen = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["--adapter", number] if number.parse::<usize>().is_ok() => number.parse().ok(),
        _ => {
            eprintln!("usage: verify [--adapter N]");
            return ExitCode::from(2);
        }
    };
    match Gpu::new(chosen) {
        Ok(gpu) => report(&verify(&gpu)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(4)
        }
    }
}

struct Gpu {
    device: Device,
    queue: Queue,
}

impl Gpu {
    /// The adapter of that number, or the one that wgpu prefers; prints them all.
    fn new(chosen: Option<usize>) -> Result<Self, String> {
        let instance = Instance::default();
        let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
        for (number, adapter) in adapters.iter().enumerate() {
            println!("adapter {number}: {}", describe(adapter));
        }
        let adapter = match chosen {
            Some(number) => adapters
                .into_iter()
                .nth(number)
                .ok_or_else(|| format!("there is no adapter {number}: see the list above"))?,
            None => pollster::block_on(instance.request_adapter(&Default::default())).map_err(|error| {
                format!("{error}\ninstall a GPU driver, or a software one (mesa-vulkan-drivers on Debian and Ubuntu)")
            })?,
        };
        println!("checking  {}\n", describe(&adapter));
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("verify"),
            required_features: kernels::wanted_features(&adapter),
            ..Default::default()
        }))
        .map_err(|error| error.to_string())?;
        Ok(Gpu { device, queue })
    }

    fn upload<T: bytemuck::Pod>(&self, data: &[T]) -> Buffer {
        self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("verify"),
            contents: bytemuck::cast_slice(data),
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC,
        })
    }

    /// A buffer of NaN: what a kernel leaves out fails.
    fn output(&self, expected: &Expected) -> Buffer {
        self.upload(&vec![f32::NAN; expected.values.len()])
    }

    fn download(&self, buffer: &Buffer) -> Result<Vec<f32>, String> {
        let (sender, receiver) = mpsc::channel();
        wgpu::util::DownloadBuffer::read_buffer(&self.device, &self.queue, &buffer.slice(..), move |result| {
            // The receiver is gone only where polling failed, which is reported.
            let _ = sender.send(result.map(|bytes| bytemuck::pod_collect_to_vec(&bytes)));
        });
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|error| error.to_string())?;
        receiver.recv().map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// Submits what was planned; the dispatches it took and the worst error among its outputs.
    fn run(&self, planned: Result<Planned, Error>) -> Result<(usize, f64), String> {
        let Planned { commands, outputs, f16_channels } = planned.map_err(|error| error.to_string())?;
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encode_all(&mut encoder, &commands);
        self.queue.submit([encoder.finish()]);
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(error.to_string());
        }
        let mut worst = 0f64;
        for (buffer, expected) in outputs {
            let mut got = self.download(&buffer)?;
            if let Some(channels) = f16_channels {
                got = from_halves(&got.iter().map(|word| word.to_bits()).collect::<Vec<_>>(), channels);
            }
            worst = worst.max(expected.compare(&got)?.ratio);
        }
        Ok((commands.iter().map(Commands::dispatches).sum(), worst))
    }
}

fn describe(adapter: &Adapter) -> String {
    let info = adapter.get_info();
    format!("{} | {:?} | {} | {} {}", info.name, info.device_type, info.backend, info.driver, info.driver_info)
}

/// Commands, and what each of their outputs must hold.
struct Planned {
    commands: Vec<Commands>,
    outputs: Vec<(Buffer, Expected)>,
    /// Channels of outputs that are f16 tensors.
    f16_channels: Option<usize>,
}

/// A line of the table.
struct Row {
    kernel: &'static str,
    family: &'static str,
    shape: String,
    result: Result<(usize, f64), String>,
}

fn verify(gpu: &Gpu) -> Vec<Row> {
    let mut rows = Vec::new();
    for family in [Family::Tiled, Family::Texture] {
        let context = Context::with_tune(&gpu.device, Tune::new(family));
        if let Err(Error::Feature { .. }) = Matmul::new(&context, &MatmulDesc::new(1, 1, 1)) {
            println!("the {} family needs subgroups of 4, 8 or 16 lanes and doesn't run here\n", family.name());
            continue;
        }
        let mut row = |kernel, shape, planned| {
            rows.push(Row { kernel, family: family.name(), shape, result: gpu.run(planned) });
        };
        for desc in matmuls() {
            row("matmul", shape_of_matmul(&desc), matmul(gpu, &context, &desc));
        }
        for desc in convolutions() {
            row("conv2d", shape_of_conv2d(&desc), conv2d(gpu, &context, &desc));
            if family == Family::Tiled {
                let shape = shape_of_conv2d(&desc) + ", f16";
                let desc = Conv2dDesc { precision: Precision::F16, ..desc };
                row("conv2d", shape, conv2d(gpu, &context, &desc));
            }
        }
        for (batch, width, classes) in [(64, 516, 5), (68, 128, 100)] {
            let desc = DenseDesc { batch, width, classes };
            row("dense", format!("{batch}x{width} to {classes}"), dense(gpu, &context, &desc));
        }
        for channels in [64, 5] {
            let desc = MaxPool2dDesc::stem(2, 17, 18, channels);
            row("max_pool2d", format!("2x17x18x{channels} 3x3 /2"), max_pool2d(gpu, &context, &desc));
        }
    }

    // The others have no families.
    let context = Context::new(&gpu.device);
    let mut row = |kernel, shape, planned| rows.push(Row { kernel, family: "", shape, result: gpu.run(planned) });
    for (channels, count_include_pad) in [(64, true), (5, false)] {
        let desc = AvgPool2dDesc {
            stride: [2; 2],
            padding: [1; 2],
            count_include_pad,
            ..AvgPool2dDesc::new(2, 17, 18, channels, 3)
        };
        row("avg_pool2d", format!("2x17x18x{channels} 3x3 /2"), avg_pool2d(gpu, &context, &desc));
    }
    for channels in [512, 37] {
        let desc = GlobalAvgPool2dDesc::new(3, 7, 7, channels);
        row("global_avg_pool2d", format!("3x7x7x{channels}"), global_avg_pool2d(gpu, &context, &desc));
    }
    for len in [4096, 1001] {
        row("add_relu", len.to_string(), add_relu(gpu, &context, &AddReluDesc { len, relu: true }));
    }
    row("pack", "2x3x19x23 to NHWC".into(), pack(gpu, &context, &PackDesc::nchw_to_nhwc(2, 3, 19, 23)));
    for desc in [
        ReduceSumDesc { rows: 300, columns: 512 },
        ReduceSumDesc { rows: 1001, columns: 7 },
        ReduceSumDesc::total(1 << 20),
    ] {
        row("reduce_sum", format!("{}x{}", desc.rows, desc.columns), reduce_sum(gpu, &context, &desc));
    }
    for (batch, classes, scale) in [(67, 5, 4.0), (9, 1000, 4.0), (2, 100_003, 4.0), (33, 10, 1e4)] {
        let desc = SoftmaxCrossEntropyDesc {
            label_smoothing: 0.1,
            reduction: Reduction::Mean,
            class_weights: true,
            sample_weights: true,
            ..SoftmaxCrossEntropyDesc::new(batch, classes)
        };
        let shape = format!("{batch}x{classes} logits to {scale}");
        row("softmax_cross_entropy", shape, softmax_cross_entropy(gpu, &context, &desc, scale));
    }
    for (len, nesterov) in [(4096, true), (1001, false)] {
        let desc = SgdDesc { momentum: 0.9, nesterov, weight_decay: 1e-4, ..SgdDesc::new(len) };
        row("sgd", len.to_string(), sgd(gpu, &context, &desc));
    }
    for len in [4096, 1001] {
        row("adamw", len.to_string(), adamw(gpu, &context, &AdamWDesc::new(len)));
    }
    rows
}

fn report(rows: &[Row]) -> ExitCode {
    let shapes = rows.iter().map(|row| row.shape.len()).max().unwrap_or(0);
    println!("{:<21}  {:<7}  {:<shapes$}  dispatches  error/tolerance  verdict", "kernel", "family", "shape");
    let mut failed = 0;
    for row in rows {
        print!("{:<21}  {:<7}  {:<shapes$}  ", row.kernel, row.family, row.shape);
        match &row.result {
            // So that NaN fails.
            Ok((dispatches, ratio)) if *ratio <= 1.0 => println!("{dispatches:>10}  {ratio:>15.4}  ok"),
            Ok((dispatches, ratio)) => {
                failed += 1;
                println!("{dispatches:>10}  {ratio:>15.4e}  FAILED");
            }
            Err(error) => {
                failed += 1;
                println!("{:>10}  {:>15}  FAILED: {error}", "", "");
            }
        }
    }
    match failed {
        0 => println!("\nall {} checks passed", rows.len()),
        _ => println!("\n{failed} of {} checks FAILED", rows.len()),
    }
    ExitCode::from(u8::from(failed > 0))
}

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

fn matmuls() -> [MatmulDesc; 4] {
    let odd = MatmulDesc { batch: 2, bias: true, ..MatmulDesc::new(37, 65, 93) };
    [
        MatmulDesc::new(128, 128, 128),
        odd,
        MatmulDesc { transpose_a: true, ..odd },
        MatmulDesc { transpose_a: true, transpose_b: true, ..odd },
    ]
}

fn shape_of_matmul(desc: &MatmulDesc) -> String {
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

fn matmul(gpu: &Gpu, context: &Context, desc: &MatmulDesc) -> Result<Planned, Error> {
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
fn dense(gpu: &Gpu, context: &Context, desc: &DenseDesc) -> Result<Planned, Error> {
    let elements = |a: u32, b: u32| u64::from(a) * u64::from(b);
    let rows = samples(elements(desc.batch, desc.width), 1.0, 1);
    let picks: Vec<u32> = (0..desc.batch).rev().collect();
    let weight = samples(elements(desc.classes, desc.width), 1.0, 2);
    let grad_output = samples(elements(desc.classes, desc.batch), 1.0, 3);
    let expected = reference::dense(desc, &rows, &picks, &weight);
    let gradient = reference::dense_backward(desc, &rows, &picks, &grad_output);
    let table = RowTable::new(context, desc.batch, desc.width, desc.batch)?;
    table.write(&gpu.queue, 0, &rows)?;
    table.pick(&gpu.queue, &picks)?;
    let (weight, grad_output) = (gpu.upload(&weight), gpu.upload(&grad_output));
    let (output, grad_weight) = (gpu.output(&expected), gpu.output(&gradient));
    let dense = Dense::new(context, desc)?;
    let workspace = Workspace::new(context, dense.workspace_size())?;
    let commands = vec![
        dense.bind_forward(&workspace, &table, 0, weight.slice(..), output.slice(..))?,
        dense.bind_backward(&workspace, &table, 0, grad_output.slice(..), grad_weight.slice(..))?,
    ];
    Ok(Planned { commands, outputs: vec![(output, expected), (grad_weight, gradient)], f16_channels: None })
}

fn convolutions() -> [Conv2dDesc; 6] {
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

fn shape_of_conv2d(desc: &Conv2dDesc) -> String {
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
fn conv2d(gpu: &Gpu, context: &Context, desc: &Conv2dDesc) -> Result<Planned, Error> {
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
    let weights = plan.weights(&gpu.queue, &weight, Some(&bias))?;
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

fn max_pool2d(gpu: &Gpu, context: &Context, desc: &MaxPool2dDesc) -> Result<Planned, Error> {
    // All negative: a padding of zeros would win.
    let input: Vec<f32> = positive(desc.input_len(), 1).into_iter().map(|x| -x).collect();
    let expected = reference::max_pool2d(desc, &input);
    let (input, output) = (gpu.upload(&input), gpu.output(&expected));
    let commands = MaxPool2d::new(context, desc)?.bind(input.slice(..), output.slice(..))?;
    Ok(Planned { commands: vec![commands], outputs: vec![(output, expected)], f16_channels: None })
}

fn avg_pool2d(gpu: &Gpu, context: &Context, desc: &AvgPool2dDesc) -> Result<Planned, Error> {
    let input = samples(u64::from(desc.batch * desc.height * desc.width * desc.channels), 1.0, 1);
    let expected = reference::avg_pool2d(desc, &input);
    let (input, output) = (gpu.upload(&input), gpu.output(&expected));
    let commands = AvgPool2d::new(context, desc)?.bind(input.slice(..), output.slice(..))?;
    Ok(Planned { commands: vec![commands], outputs: vec![(output, expected)], f16_channels: None })
}

fn global_avg_pool2d(gpu: &Gpu, context: &Context, desc: &GlobalAvgPool2dDesc) -> Result<Planned, Error> {
    let input = samples(u64::from(desc.batch * desc.height * desc.width * desc.channels), 1.0, 1);
    let expected = reference::global_avg_pool2d(desc, &input);
    let (input, output) = (gpu.upload(&input), gpu.output(&expected));
    let commands = GlobalAvgPool2d::new(context, desc)?.bind(input.slice(..), output.slice(..))?;
    Ok(Planned { commands: vec![commands], outputs: vec![(output, expected)], f16_channels: None })
}

fn add_relu(gpu: &Gpu, context: &Context, desc: &AddReluDesc) -> Result<Planned, Error> {
    let (a, b) = (samples(u64::from(desc.len), 1.0, 1), samples(u64::from(desc.len), 0.3, 2));
    let expected = reference::add_relu(desc, &a, &b);
    let (a, b, output) = (gpu.upload(&a), gpu.upload(&b), gpu.output(&expected));
    let buffers = AddReluBuffers { a: a.slice(..), b: b.slice(..), output: output.slice(..) };
    let commands = AddRelu::new(context, desc)?.bind(&buffers)?;
    Ok(Planned { commands: vec![commands], outputs: vec![(output, expected)], f16_channels: None })
}

fn pack(gpu: &Gpu, context: &Context, desc: &PackDesc) -> Result<Planned, Error> {
    let input = samples(desc.input_len(), 1.0, 1);
    let expected = reference::pack(desc, &input);
    let (input, output) = (gpu.upload(&input), gpu.output(&expected));
    let commands = Pack::new(context, desc)?.bind(input.slice(..), output.slice(..))?;
    Ok(Planned { commands: vec![commands], outputs: vec![(output, expected)], f16_channels: None })
}

fn reduce_sum(gpu: &Gpu, context: &Context, desc: &ReduceSumDesc) -> Result<Planned, Error> {
    let input = samples(u64::from(desc.rows) * u64::from(desc.columns), 1.0, 1);
    let expected = reference::reduce_sum(desc, &input);
    let (input, output) = (gpu.upload(&input), gpu.output(&expected));
    let commands = ReduceSum::new(context, desc)?.bind(input.slice(..), output.slice(..))?;
    Ok(Planned { commands: vec![commands], outputs: vec![(output, expected)], f16_channels: None })
}

fn softmax_cross_entropy(
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

/// A second step, from a momentum that is there.
fn sgd(gpu: &Gpu, context: &Context, desc: &SgdDesc) -> Result<Planned, Error> {
    let [start, gradient, old] = [1, 2, 3].map(|seed| samples(u64::from(desc.len), 1.0, seed));
    let [mut param, mut momentum] = [&start, &old].map(|values| Expected::exact(values));
    reference::sgd(desc, 0.1, 2, &mut param, &gradient, &mut momentum);
    let [start, grad, old] = [&start, &gradient, &old].map(|values| gpu.upload(values));
    let buffers = SgdBuffers { param: start.slice(..), grad: grad.slice(..), momentum: Some(old.slice(..)) };
    let update = Sgd::new(context, desc)?.bind(&buffers)?;
    update.set_step(&gpu.queue, 0.1, 2);
    Ok(Planned {
        commands: vec![update.commands().clone()],
        outputs: vec![(start, param), (old, momentum)],
        f16_channels: None,
    })
}

/// A second step, from means that are there.
fn adamw(gpu: &Gpu, context: &Context, desc: &AdamWDesc) -> Result<Planned, Error> {
    let [start, gradient, mean] = [1, 2, 3].map(|seed| samples(u64::from(desc.len), 1.0, seed));
    let square = positive(u64::from(desc.len), 4);
    let [mut param, mut exp_avg, mut exp_avg_sq] = [&start, &mean, &square].map(|values| Expected::exact(values));
    reference::adamw(desc, 0.1, 2, &mut param, &gradient, &mut exp_avg, &mut exp_avg_sq);
    let [start, grad, mean, square] = [&start, &gradient, &mean, &square].map(|values| gpu.upload(values));
    let update = AdamW::new(context, desc)?.bind(&AdamWBuffers {
        param: start.slice(..),
        grad: grad.slice(..),
        exp_avg: mean.slice(..),
        exp_avg_sq: square.slice(..),
    })?;
    update.set_step(&gpu.queue, 0.1, 2);
    let outputs = vec![(start, param), (mean, exp_avg), (square, exp_avg_sq)];
    Ok(Planned { commands: vec![update.commands().clone()], outputs, f16_channels: None })
}
