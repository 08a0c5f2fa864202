//! `dense` on the adapter against its twin.

use kernels::{Context, Dense, DenseDesc, Error, Family, RowTable, Workspace, reference, wgpu::Limits};
use proptest::prelude::*;
use testkit::{Gpu, Samples, assert_close, gpu, gpu_with, tune};

/// Runs forward and backward on rows picked from a table, from a pick in its middle on.
fn check(gpu: &Gpu, family: Family, desc: &DenseDesc, rows: u32, seed: u64) {
    check_in(gpu, &gpu.context(family), desc, rows, seed);
    let mut tune = tune(family);
    tune.many_cores = true;
    if family == Family::Tiled {
        check_in(gpu, &Context::with_tune(&gpu.device, tune), desc, rows, seed);
    }
}

fn check_in(gpu: &Gpu, context: &Context, desc: &DenseDesc, rows: u32, seed: u64) {
    let family = context.tune().family;
    let mut samples = Samples::new(seed);
    let len = |a: u32, b: u32| (a * b) as usize;
    let (first, batch) = (8, desc.batch as usize);
    let table_rows = samples.vec(len(rows, desc.width));
    let picks: Vec<u32> = (0..first as usize + batch).map(|_| samples.below(rows)).collect();
    let weight = samples.vec(len(desc.classes, desc.width));
    let grad_output = samples.vec(len(desc.classes, desc.batch));

    let table = RowTable::new(context, rows, desc.width, picks.len() as u32).unwrap();
    // In two parts, the second of which starts in the middle of a texture's row.
    let half = len(rows / 2, desc.width);
    table.write(&gpu.queue, rows / 2, &table_rows[half..]).unwrap();
    table.write(&gpu.queue, 0, &table_rows[..half]).unwrap();
    table.pick(&gpu.queue, &picks).unwrap();
    let (gpu_weight, gpu_grad) = (gpu.upload(&weight), gpu.upload(&grad_output));
    let (output, grad_weight) = (gpu.output(grad_output.len()), gpu.output(weight.len()));
    let dense = Dense::new(context, desc).unwrap();
    let workspace = Workspace::new(context, dense.workspace_size()).unwrap();
    let forward = dense.bind_forward(&workspace, table.batch(first), gpu_weight.slice(..), output.slice()).unwrap();
    let backward =
        dense.bind_backward(&workspace, table.batch(first), gpu_grad.slice(..), grad_weight.slice()).unwrap();
    gpu.run([&forward, &backward]);

    let picks = &picks[first as usize..];
    let expected = reference::dense(desc, &table_rows, picks, &weight);
    assert_close(&format!("{family:?} {desc:?}"), &gpu.read(&output), &expected);
    let expected = reference::dense_backward(desc, &table_rows, picks, &grad_output);
    assert_close(&format!("gradient, {family:?} {desc:?}"), &gpu.read(&grad_weight), &expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn ragged_shapes(batch in 1u32..40, width in 1u32..50, classes in 1u32..150, rows in 2u32..300, seed: u64) {
        let desc = DenseDesc { batch: 4 * batch, width: 4 * width, classes };
        for family in gpu().families() {
            check(gpu(), family, &desc, rows, seed);
        }
    }
}

#[test]
fn tile_edges() {
    for family in gpu().families() {
        for classes in [1, 15, 16, 17, 64, 65, 128, 129] {
            for (batch, width) in [(4, 4), (32, 36), (64, 60), (68, 128)] {
                check(gpu(), family, &DenseDesc { batch, width, classes }, 5, u64::from(classes));
            }
        }
        // Rows that begin and end anywhere in a texture's rows of 4096 texels, and span several.
        check(gpu(), family, &DenseDesc { batch: 8, width: 16 * 1024 + 4, classes: 3 }, 6, 1);
    }
}

/// Few workgroups of long sums: on many cores both products are added up from parts.
#[test]
fn long_sums_in_parts() {
    for (batch, width, classes) in [(8, 2048, 10), (1024, 68, 5), (512, 512, 70)] {
        let desc = DenseDesc { batch, width, classes };
        let size = |tune| Dense::new(&Context::with_tune(&gpu().device, tune), &desc).unwrap().workspace_size();
        let (few, mut many) = (tune(Family::Tiled), tune(Family::Tiled));
        many.many_cores = true;
        assert!(size(many).total_bytes() > size(few).total_bytes(), "{desc:?} isn't split");
        check(gpu(), Family::Tiled, &desc, 40, 6);
    }
}

#[test]
fn more_workgroups_than_an_axis_holds_are_folded() {
    let narrow = gpu_with(Limits { max_compute_workgroups_per_dimension: 12, ..Limits::default() });
    for family in narrow.families() {
        check(&narrow, family, &DenseDesc { batch: 136, width: 200, classes: 70 }, 9, 2);
    }
}

/// The gradient of the twin is the slope of the twin: central differences of a weighted sum of outputs.
#[test]
fn the_gradient_is_the_slope() {
    let desc = DenseDesc { batch: 4, width: 8, classes: 3 };
    let mut samples = Samples::new(4);
    let (table, picks) = (samples.vec(5 * 8), [4u32, 0, 4, 2]);
    let (weight, grad_output) = (samples.vec(24), samples.vec(12));
    let loss = |weight: &[f32]| -> f64 {
        let outputs = reference::dense(&desc, &table, &picks, weight).values;
        outputs.iter().zip(&grad_output).map(|(output, &grad)| output * f64::from(grad)).sum()
    };
    let gradient = reference::dense_backward(&desc, &table, &picks, &grad_output).values;
    for (i, slope) in gradient.iter().enumerate() {
        let at = |step: f32| {
            let mut moved = weight.clone();
            moved[i] += step;
            (loss(&moved), f64::from(moved[i]))
        };
        let ((above, right), (below, left)) = (at(0.125), at(-0.125));
        let difference = (above - below) / (right - left);
        assert!((difference - slope).abs() <= 1e-9 * (1.0 + slope.abs()), "{i}: {difference} is not {slope}");
    }
}

#[test]
fn bad_input_is_an_error() {
    let gpu = gpu();
    let context = gpu.context(Family::Tiled);
    let message = |error: Error| error.to_string();
    let desc = DenseDesc { batch: 8, width: 8, classes: 2 };
    let odd = Dense::new(&context, &DenseDesc { width: 6, ..desc }).unwrap_err();
    assert_eq!(message(odd), "dense: width is 6, a multiple of 4 is expected");
    let empty = Dense::new(&context, &DenseDesc { classes: 0, ..desc }).unwrap_err();
    assert_eq!(message(empty), "dense: weight is empty: [0, 8]");
    let table = RowTable::new(&context, 3, 8, 8).unwrap();
    let part = table.write(&gpu.queue, 0, &[0.0; 9]).unwrap_err();
    assert_eq!(message(part), "dense: 9 elements from row 0 on aren't whole rows of a table of 3 x 8");
    assert!(table.write(&gpu.queue, 3, &[0.0; 8]).is_err());
    assert_eq!(message(table.pick(&gpu.queue, &[0, 1, 2, 3]).unwrap_err()), "dense: row 3 is picked, the table has 3");
    assert!(table.pick(&gpu.queue, &[0; 12]).is_err());
    let dense = Dense::new(&context, &desc).unwrap();
    let workspace = Workspace::new(&context, dense.workspace_size()).unwrap();
    let (weight, output) = (gpu.upload(&[0f32; 16]), gpu.output(16));
    let bind = |table: &RowTable, first| {
        dense.bind_forward(&workspace, table.batch(first), weight.slice(..), output.slice()).map_err(message)
    };
    assert!(bind(&table, 0).is_ok());
    assert_eq!(bind(&table, 4).unwrap_err(), "dense: 8 picks from 4 on, the table has 8");
    let wide = RowTable::new(&context, 3, 12, 8).unwrap();
    assert_eq!(bind(&wide, 0).unwrap_err(), "dense: the table's width is 12, the layer's 8");
    let narrow = gpu_with(Limits { max_storage_buffer_binding_size: 4 << 10, ..Limits::default() });
    let error = RowTable::new(&narrow.context(Family::Tiled), 129, 8, 8).unwrap_err();
    assert!(matches!(error, Error::Limit { needed: 129, allowed: 128, .. }), "{error}");
}
