//! `dense` on shapes that networks use.

use criterion::{Criterion, Throughput};
use kernels::{Dense, DenseDesc, Family, RowTable, Workspace, reference};
use testkit::{Samples, assert_close, gpu};

/// Batches of a head's training, forward and backward; 2 batch width classes FLOPs each.
pub fn bench(criterion: &mut Criterion) {
    let gpu = gpu();
    for (batch, width, classes) in [(64, 516, 5), (256, 2052, 100)] {
        let desc = DenseDesc { batch, width, classes };
        let len = |a: u32, b: u32| (a * b) as usize;
        let mut samples = Samples::new(1);
        let rows = samples.vec(len(2048, width));
        let picks: Vec<u32> = (0..batch).map(|_| samples.below(2048)).collect();
        let (weight, grad_output) = (samples.vec(len(classes, width)), samples.vec(len(classes, batch)));
        for family in gpu.families() {
            // The tiled family is made for GPUs: where a software driver runs it, the small case shows that.
            if classes > 5 && family == Family::Tiled && gpu.families().len() > 1 {
                continue;
            }
            let context = gpu.context(family);
            let table = RowTable::new(&context, 2048, width, batch).unwrap();
            table.write(&gpu.queue, 0, &rows).unwrap();
            table.pick(&gpu.queue, &picks).unwrap();
            let (gpu_weight, gpu_grad) = (gpu.upload(&weight), gpu.upload(&grad_output));
            let (output, grad_weight) = (gpu.output(grad_output.len()), gpu.output(weight.len()));
            let dense = Dense::new(&context, &desc).unwrap();
            let space = Workspace::new(&context, dense.workspace_size()).unwrap();
            let forward = dense.bind_forward(&space, table.batch(0), gpu_weight.slice(..), output.slice()).unwrap();
            let backward =
                dense.bind_backward(&space, table.batch(0), gpu_grad.slice(..), grad_weight.slice()).unwrap();
            gpu.run([&forward, &backward]);
            assert_close("dense", &gpu.read(&output), &reference::dense(&desc, &rows, &picks, &weight));
            let expected = reference::dense_backward(&desc, &rows, &picks, &grad_output);
            assert_close("gradient of dense", &gpu.read(&grad_weight), &expected);
            let flops = 2 * u64::from(batch) * u64::from(width) * u64::from(classes);
            for (pass, commands) in [("forward", &forward), ("backward", &backward)] {
                let name = format!("{batch}x{width}, {classes} classes, {pass}, {}", family.name());
                super::time(criterion, gpu, ("dense", &name), Throughput::Elements(flops), commands);
            }
        }
    }
}
