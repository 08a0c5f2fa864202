//! `conv2d` on shapes that networks use.

use criterion::{Criterion, Throughput};
use kernels::{
    Context, Conv2d, Conv2dBuffers, Conv2dDesc, Family,
    reference::{self, Conv2dInputs},
};
use testkit::{Gpu, Samples, assert_close, gpu};

/// The convolutions of a ResNet at 224 px, by the definition's FLOPs whatever the algorithm saves.
pub fn bench(criterion: &mut Criterion) {
    let gpu = gpu();
    let stem = Conv2dDesc { stride: [2, 2], relu: true, ..Conv2dDesc::new(8, [224, 224], [3, 64], 7) };
    let same = |size, channels| Conv2dDesc { relu: true, ..Conv2dDesc::new(8, [size, size], [channels, channels], 3) };
    let point = |size, inputs, outputs| Conv2dDesc::new(8, [size, size], [inputs, outputs], 1);
    let grouped = Conv2dDesc { groups: 32, relu: true, ..Conv2dDesc::new(8, [28, 28], [256, 256], 3) };
    let shapes = [
        ("7x7/2 3-64@224", stem),
        ("3x3 64@56", same(56, 64)),
        ("3x3 128@28", same(28, 128)),
        ("3x3 256@14", same(14, 256)),
        ("3x3 512@7", same(7, 512)),
        ("3x3/2 64-128@56", Conv2dDesc { stride: [2, 2], out_channels: 128, ..same(56, 64) }),
        ("1x1 64-256@56", point(56, 64, 256)),
        ("1x1 256-64@56", point(56, 256, 64)),
        ("1x1 1024-256@14", point(14, 1024, 256)),
        ("1x1 512-2048@7", point(7, 512, 2048)),
        ("3x3 32 groups 256@28", grouped),
    ];
    for family in gpu.families() {
        // The tiled family is made for GPUs: where a software driver runs it, one small shape shows that.
        let software = gpu.families().len() > 1;
        let small = [("3x3 64@8", Conv2dDesc::new(1, [8, 8], [64, 64], 3))];
        let shapes: &[_] = if software && family == Family::Tiled { &small } else { &shapes };
        for &(name, desc) in shapes {
            for winograd in [false, true] {
                let mut tune = testkit::tune(family);
                tune.winograd = winograd;
                let context = Context::with_tune(&gpu.device, tune);
                let conv = Conv2d::new(&context, &desc).unwrap();
                if conv.is_winograd() == winograd {
                    let algorithm = if winograd { "winograd" } else { "direct" };
                    run(criterion, gpu, &format!("{name} {algorithm} {}", family.name()), &conv);
                }
            }
        }
    }
}

fn run(criterion: &mut Criterion, gpu: &Gpu, name: &str, conv: &Conv2d) {
    let desc = *conv.desc();
    let mut samples = Samples::new(1);
    let input = samples.vec(desc.input_len() as usize);
    let weight = samples.vec(desc.weight_len() as usize);
    let output = gpu.output(desc.output_len() as usize);
    let gpu_input = gpu.upload(&input);
    let weights = conv.weights(&gpu.queue, &weight, None).unwrap();
    let buffers = Conv2dBuffers { input: gpu_input.slice(..), residual: None, output: output.slice() };
    let commands = conv.bind(&weights, &buffers).unwrap();
    gpu.run([&commands]);
    // The first four output rows are enough to see that the answer is right; all of them would take f64 minutes.
    let [_, width] = desc.output_size().unwrap();
    let rows = 4.min(desc.height);
    let needed = ((rows - 1) * desc.stride[0] + desc.kernel[0] - desc.padding[0]).min(desc.height);
    let top = Conv2dDesc { batch: 1, height: needed, ..desc };
    let len = (rows.min(desc.output_size().unwrap()[0]) * width * desc.out_channels) as usize;
    let inputs =
        Conv2dInputs { input: &input[..top.input_len() as usize], weight: &weight, bias: None, residual: None };
    let mut expected = reference::conv2d(&top, &inputs, conv.is_winograd());
    // Rows whose window reaches below what the twin was given are left out.
    let whole = ((needed + desc.padding[0] - desc.kernel[0]) / desc.stride[0] + 1).min(rows);
    let len = len.min((whole * width * desc.out_channels) as usize);
    expected.values.truncate(len);
    expected.bounds.truncate(len);
    assert_close(name, &gpu.read(&output)[..len], &expected);
    super::time(criterion, gpu, ("conv2d", name), Throughput::Elements(desc.flops()), &commands);
}
