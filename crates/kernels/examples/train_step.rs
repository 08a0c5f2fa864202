//! Training steps of a dense layer in a wgpu program: forward, loss with its gradient, backward, update, all in one submit.

use kernels::{
    AdamW, AdamWBuffers, AdamWDesc, Context, Dense, DenseDesc, Host, RowTable, SoftmaxCrossEntropy,
    SoftmaxCrossEntropyBuffers, SoftmaxCrossEntropyDesc, Workspace, encode_all,
    wgpu::{self, Buffer, BufferUsages, util::DeviceExt},
};

const BATCH: u32 = 64;
/// Seven features, and a 1 whose weight is the bias.
const WIDTH: u32 = 8;
const CLASSES: u32 = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let adapter = pollster::block_on(wgpu::Instance::default().request_adapter(&Default::default()))?;
    let host = pollster::block_on(Host::open(&adapter, wgpu::Features::empty(), wgpu::Limits::default()))?;
    let context = Context::new(&host.device)?;

    // Rows that lie around a corner of their class.
    let labels: Vec<u32> = (0..BATCH).map(|row| row % CLASSES).collect();
    let value = |row: u32, column: u32| match column {
        7 => 1.0,
        _ => f32::from(u8::from(column == labels[row as usize])) + ((row * 31 + column * 17) % 10) as f32 / 20.0,
    };
    let rows: Vec<f32> = (0..BATCH).flat_map(|row| (0..WIDTH).map(move |column| value(row, column))).collect();
    let table = RowTable::new(&context, BATCH, WIDTH, BATCH)?;
    table.write(&host.queue, 0, &rows)?;
    table.pick(&host.queue, &(0..BATCH).collect::<Vec<_>>())?;

    let zeros = |len: u32| storage(&host, &vec![0f32; len as usize]);
    let weights = CLASSES * WIDTH;
    let [weight, grad_weight, exp_avg, exp_avg_sq] = [(); 4].map(|()| zeros(weights));
    let (logits, grad_logits, loss) = (zeros(CLASSES * BATCH), zeros(CLASSES * BATCH), zeros(BATCH));
    let labels = storage(&host, &labels);

    let dense = Dense::new(&context, &DenseDesc { batch: BATCH, width: WIDTH, classes: CLASSES })?;
    let workspace = Workspace::new(&context, dense.workspace_size())?;
    let forward = dense.bind_forward(&workspace, table.batch(0), weight.slice(..), logits.slice(..))?;
    let desc = SoftmaxCrossEntropyDesc { classes_first: true, ..SoftmaxCrossEntropyDesc::new(BATCH, CLASSES) };
    let cross_entropy = SoftmaxCrossEntropy::new(&context, &desc)?.bind(&SoftmaxCrossEntropyBuffers {
        logits: logits.slice(..),
        labels: labels.slice(..),
        class_weights: None,
        sample_weights: None,
        loss: loss.slice(..),
        grad_logits: Some(grad_logits.slice(..)),
    })?;
    let backward = dense.bind_backward(&workspace, table.batch(0), grad_logits.slice(..), grad_weight.slice(..))?;
    let update = AdamW::new(&context, &AdamWDesc::new(weights))?.bind(&AdamWBuffers {
        param: weight.slice(..),
        grad: grad_weight.slice(..),
        exp_avg: exp_avg.slice(..),
        exp_avg_sq: exp_avg_sq.slice(..),
    })?;

    let mut losses = Vec::new();
    for step in 1..=100 {
        update.set_step(&host.queue, 0.1, step);
        let mut encoder = host.device.create_command_encoder(&Default::default());
        encode_all(&mut encoder, [&forward, &cross_entropy, &backward, update.commands()]);
        host.queue.submit([encoder.finish()]);
        if step == 1 || step % 25 == 0 {
            // The losses of the samples add up to the mean.
            let loss: f32 = host.block_on(host.read::<f32>(&loss))?.iter().sum();
            println!("step {step:>3}: loss {loss:.4}");
            losses.push(loss);
        }
    }
    // Nothing is known at first: ln 3.
    match (losses[0] - (CLASSES as f32).ln()).abs() < 1e-5 && losses.is_sorted_by(|a, b| b < a) && losses[4] < 0.2 {
        true => Ok(()),
        false => Err(format!("the loss doesn't fall: {losses:?}").into()),
    }
}

fn storage<T: bytemuck::Pod>(host: &Host, contents: &[T]) -> Buffer {
    host.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: None,
        contents: bytemuck::cast_slice(contents),
        usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC,
    })
}
