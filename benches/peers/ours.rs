//! Our side of `benches/peers/run`: the same tasks under the same protocol. And `sgemm`, the yardstick of a software adapter:
//! what the processor's own cores do with the same product. `--backend wgsl` is the kernels on an adapter; without, the CPU computes natively.

#[path = "rust/protocol/src/lib.rs"]
mod protocol;

use kernels::{
    Matmul, MatmulBuffers, MatmulDesc,
    wgpu::{
        BufferUsages,
        util::{BufferInitDescriptor, DeviceExt as _},
    },
};
use protocol::{Result, Task};
use resnet::{Backbone, BackboneOptions, Engine, ImageTensor, Tap, WeightFile};
use std::{sync::Mutex, time::Instant};
use trainer::{
    data::{Class, Target},
    features::Rows,
    head::{Choice, Optimizer, Problem, Samples, Scaling, TrainOptions, solve},
    machine::{Cpu, Device, Gpu, Selection, Summary, open},
    progress::Progress,
};

fn main() -> Result<()> {
    trainer::machine::give_back_large_blocks();
    let task = Task::from_args()?;
    match task.kind.as_str() {
        "adapter" => {
            println!("{}", serde_json::to_string(&Summary::of(&gpu()?.adapter))?);
            Ok(())
        }
        "forward" => forward(&task),
        "matmul" => matmul(&task),
        "sgemm" => sgemm(&task),
        "head" => head(&task),
        "optimum" => optimum(&task),
        other => Err(format!("no {other} here").into()),
    }
}

fn gpu() -> Result<Gpu> {
    Ok(pollster::block_on(open(&Selection::default()))?)
}

fn is_wgsl(task: &Task) -> bool {
    task.text("backend").is_ok_and(|backend| backend == "wgsl")
}

fn device(task: &Task) -> Result<Device> {
    Ok(if is_wgsl(task) { gpu()?.into() } else { Device::Cpu(Cpu::open()?) })
}

/// Features of images that others are given as NCHW.
fn forward(task: &Task) -> Result<()> {
    let (batch, size): (usize, usize) = (task.number("batch")?, task.number("size")?);
    let pixels = size * size;
    let images: Vec<ImageTensor> = (task.floats("input")?.chunks_exact(3 * pixels))
        .map(|planes| ImageTensor {
            height: size,
            width: size,
            data: (0..3 * pixels).map(|i| planes[i % 3 * pixels + i / 3]).collect(),
        })
        .collect();
    let weights = WeightFile::open(task.text("weights")?)?;
    let input_size = [size, size];
    let backbone: Box<dyn Engine> = match device(task)? {
        Device::Gpu(gpu) => {
            let options = BackboneOptions { input_size, ..BackboneOptions::new(batch) };
            Box::new(Backbone::new(&gpu.context, &gpu.queue, &weights, &options)?)
        }
        Device::Cpu(_) => {
            let options = native::Options { batch, input_size, taps: &[Tap::Features] };
            Box::new(native::Backbone::new(&weights, &options)?)
        }
    };
    drop(weights);
    task.serve(|| Ok(backbone.submit(&images)?.wait(Tap::Features)?))
}

fn matmul(task: &Task) -> Result<()> {
    let n: usize = task.number("size")?;
    if !is_wgsl(task) {
        let (a, b, mut c) = (task.floats("a")?, task.floats("b")?, vec![0.0; n * n]);
        return task.serve(|| {
            let [a, b] = [&a, &b].map(|values| native::Matrix::new(values, [n, n], [n, 1]));
            native::product(1.0, a?, b?, 0.0, native::MatrixMut::new(&mut c, [n, n], [n, 1])?)?;
            Ok(c.clone())
        });
    }
    let gpu = gpu()?;
    let zeros = vec![0.0; n * n];
    let [a, b, output] = [task.floats("a")?, task.floats("b")?, zeros].map(|values| {
        gpu.device.create_buffer_init(&BufferInitDescriptor {
            label: Some("a matrix"),
            contents: bytemuck::cast_slice(&values),
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC,
        })
    });
    let plan = Matmul::new(&gpu.context, &MatmulDesc::new(n as u32, n as u32, n as u32))?;
    let buffers = MatmulBuffers { a: a.slice(..), b: b.slice(..), bias: None, output: output.slice(..) };
    let commands = plan.bind(&buffers)?;
    // Like everybody else's, the product is read back.
    task.serve(|| {
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        commands.encode(&mut encoder);
        gpu.queue.submit([encoder.finish()]);
        Ok(gpu.read(&output)?)
    })
}

fn sgemm(task: &Task) -> Result<()> {
    let n: usize = task.number("size")?;
    let (a, b) = (task.floats("a")?, task.floats("b")?);
    task.serve(|| {
        let (mut c, row) = (vec![0.0; n * n], n as isize);
        // SAFETY: three square matrices of `n` rows, row-major and dense, the last borrowed mutably.
        unsafe {
            matrixmultiply::sgemm(n, n, n, 1.0, a.as_ptr(), row, 1, b.as_ptr(), row, 1, 0.0, c.as_mut_ptr(), row, 1);
        }
        Ok(c)
    })
}

/// When each epoch ended.
#[derive(Default)]
struct Clock(Mutex<Vec<Instant>>);

impl Progress for Clock {
    fn advance(&self, _: usize) {
        if let Ok(mut ends) = self.0.lock() {
            ends.push(Instant::now());
        }
    }
}

/// Labelled rows of features.
struct Labelled {
    features: Vec<f32>,
    targets: Vec<Target>,
    classes: Vec<String>,
}

impl Labelled {
    fn read(task: &Task) -> Result<Self> {
        let targets = task.words("labels")?.into_iter().map(|label| Class::new(label as usize).into()).collect();
        let classes = (0..task.number("classes")?).map(|class: usize| class.to_string()).collect();
        Ok(Self { features: task.floats("features")?, targets, classes })
    }

    fn rows(&self) -> Result<Rows<'_>> {
        Ok(Rows::new(&self.features, self.features.len() / self.targets.len().max(1))?)
    }

    fn problem<'a>(&'a self, rows: &'a Rows<'a>) -> Problem<'a> {
        let train = Samples { rows, targets: &self.targets, weights: None };
        Problem { classes: &self.classes, train, validation: None, folds: None, views: 1 }
    }
}

/// The head whose gradient has fallen to a share of its start, with its certificate.
fn optimum(task: &Task) -> Result<()> {
    let optimizer = Optimizer::Lbfgs {
        method: None,
        l2: Some(task.number("l2")?),
        scaling: Some(Scaling::Common),
        tolerance: task.number("tolerance")?,
        folds: 5,
        choice: Choice::Best,
    };
    let options = TrainOptions { optimizer, ..TrainOptions::default() };
    let (device, labelled) = (device(task)?, Labelled::read(task)?);
    let rows = labelled.rows()?;
    task.serve(|| {
        let head = solve(&device, &labelled.problem(&rows), &options, &())?.head;
        Ok([head.weight, head.bias].concat())
    })
}

/// Seconds of each epoch but the first, which has the start in it; the answer is the mean loss of the last.
fn head(task: &Task) -> Result<()> {
    let options = TrainOptions {
        optimizer: Optimizer::ADAMW,
        epochs: task.number("epochs")?,
        batch_size: task.number("batch")?,
        warmup_epochs: 0,
        patience: None,
        ..TrainOptions::default()
    };
    let (device, clock, labelled) = (device(task)?, Clock::default(), Labelled::read(task)?);
    let fit = solve(&device, &labelled.problem(&labelled.rows()?), &options, &clock)?;
    let loss = fit.history.epochs.last().ok_or("no epoch")?.train_loss;
    task.first(&[loss as f32])?;
    let ends = clock.0.into_inner()?;
    task.report(&ends.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect::<Vec<_>>())
}
