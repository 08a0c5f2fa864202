//! Checks every kernel against its f64 twin on one of this machine's adapters, and prints how far off it is.
//!
//! ```text
//! cargo run -p kernels --example verify [-- --adapter N]
//! ```
//!
//! The last columns are the largest error, in units of what rounding explains (1 or less is right), and the verdict. The
//! exit code is 1 when a kernel fails, 2 for bad usage, 4 without a device.

mod cases;
mod gpu;

use cases::{
    adamw, add_relu, avg_pool2d, conv2d, convolutions, dense, global_avg_pool2d, matmul, matmuls, max_pool2d,
    normalize, pack, reduce_sum, sgd, shape_of_conv2d, shape_of_matmul, sigmoid_cross_entropy, softmax_cross_entropy,
};
use gpu::Gpu;
use kernels::{
    AdamWDesc, AddReluDesc, AvgPool2dDesc, Context, Conv2dDesc, DenseDesc, Error, Family, GlobalAvgPool2dDesc, Matmul,
    MatmulDesc, MaxPool2dDesc, PackDesc, Precision, ReduceSumDesc, Reduction, SgdDesc, SigmoidCrossEntropyDesc,
    SoftmaxCrossEntropyDesc, Tune,
};
use std::process::ExitCode;

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
        let context = Context::with_tune(&gpu.host.device, Tune::new(family));
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
    let context = Context::with_tune(&gpu.host.device, Tune::for_device(&gpu.host.device));
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
    row("normalize", "2x19x23 RGB".into(), normalize(gpu, &context, 2 * 19 * 23));
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
    for (batch, classes, scale) in [(64, 10, 3.0), (33, 7, 200.0)] {
        let desc = SigmoidCrossEntropyDesc { batch, classes };
        let shape = format!("{batch}x{classes} logits to {scale}");
        row("sigmoid_cross_entropy", shape, sigmoid_cross_entropy(gpu, &context, &desc, scale));
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
