//! `adamw` on the adapter against its twin.

use kernels::{
    AdamW, AdamWBuffers, AdamWDesc, Error, Family,
    reference::{self, Expected},
    wgpu::Limits,
};
use proptest::prelude::*;
use testkit::{Gpu, Samples, assert_close, gpu, gpu_with};

/// Takes several steps with a learning rate that changes, state and bounds carried along by the twin.
fn check(gpu: &Gpu, desc: &AdamWDesc, scale: f32, seed: u64) -> usize {
    let mut samples = Samples::new(seed);
    let len = desc.len as usize;
    let start = samples.vec(len);
    let [param, grad, exp_avg, exp_avg_sq] = [(); 4].map(|()| gpu.output(len));
    gpu.write(&param, &start);
    gpu.write(&exp_avg, &vec![0.0; len]);
    gpu.write(&exp_avg_sq, &vec![0.0; len]);
    let buffers = AdamWBuffers {
        param: param.slice(),
        grad: grad.slice(),
        exp_avg: exp_avg.slice(),
        exp_avg_sq: exp_avg_sq.slice(),
    };
    let update = AdamW::new(&gpu.context(Family::Tiled), desc).unwrap().bind(&buffers).unwrap();
    let mut expected = Expected::exact(&start);
    let [mut mean, mut square] = [(); 2].map(|()| Expected::exact(&vec![0.0; len]));
    for step in 1..=5 {
        let (gradient, learning_rate) = (samples.scaled(len, scale), 0.3 / f64::from(step));
        gpu.write(&grad, &gradient);
        update.set_step(&gpu.queue, learning_rate, step);
        gpu.run([update.commands()]);
        reference::adamw(desc, (learning_rate, step), &mut expected, &gradient, [&mut mean, &mut square]);
        let what = format!("at step {step} of {desc:?}, gradients of {scale}");
        assert_close(&format!("param {what}"), &gpu.read(&param), &expected);
        assert_close(&format!("exp_avg {what}"), &gpu.read(&exp_avg), &mean);
        assert_close(&format!("exp_avg_sq {what}"), &gpu.read(&exp_avg_sq), &square);
    }
    update.commands().dispatches()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn ragged_shapes(len in 1u32..700, beta1 in 0.0..0.99, beta2 in 0.0..0.9999, decay: bool, seed: u64) {
        let weight_decay = if decay { 0.05 } else { 0.0 };
        check(gpu(), &AdamWDesc { beta1, beta2, weight_decay, ..AdamWDesc::new(len) }, 1.0, seed);
    }
}

#[test]
fn gradients_of_every_scale() {
    for scale in [0.0, 1e-25, 1e-10, 1e-3, 1.0, 1e5, 1e15] {
        check(gpu(), &AdamWDesc::new(64), scale, 3);
        check(gpu(), &AdamWDesc::new(65), scale, 3);
    }
}

#[test]
fn biases_do_not_decay() {
    for (row, decayed) in [(8, 4), (7, 6), (12, 5), (1, 0)] {
        let desc = AdamWDesc { row, decayed, weight_decay: 0.5, ..AdamWDesc::new(row * 30) };
        check(gpu(), &desc, 1.0, 6);
    }
}

#[test]
fn work_beyond_a_binding_is_split() {
    let narrow = gpu_with(Limits { max_storage_buffer_binding_size: 4 << 10, ..Limits::default() });
    assert_eq!(check(&narrow, &AdamWDesc::new(3000), 1.0, 1), 3);
    assert_eq!(check(&narrow, &AdamWDesc::new(2999), 1.0, 1), 3);
}

#[test]
fn more_workgroups_than_an_axis_holds_are_folded() {
    let narrow = gpu_with(Limits { max_compute_workgroups_per_dimension: 4, ..Limits::default() });
    assert_eq!(check(&narrow, &AdamWDesc::new(1001), 1.0, 2), 1);
}

#[test]
fn bad_input_is_an_error() {
    let gpu = gpu();
    let context = gpu.context(Family::Tiled);
    let message = |desc: &AdamWDesc| AdamW::new(&context, desc).unwrap_err().to_string();
    let desc = AdamWDesc::new(4);
    let rows = "adamw: 8 parameters in rows of 3, of which 8 decay";
    assert_eq!(message(&AdamWDesc { row: 3, ..AdamWDesc::new(8) }), rows);
    assert_eq!(message(&AdamWDesc::new(0)), "adamw: param is empty: [0]");
    assert_eq!(message(&AdamWDesc { beta2: 1.0, ..desc }), "adamw: beta2 is 1, a number in [0, 1) is expected");
    assert_eq!(message(&AdamWDesc { eps: 0.0, ..desc }), "adamw: eps is 0, a positive f32 is expected");
    assert_eq!(message(&AdamWDesc { weight_decay: -1.0, ..desc }), "adamw: weight_decay is -1, 0 or more is expected");
    let [param, grad, exp_avg] = [(); 3].map(|()| gpu.output(4));
    let exp_avg_sq = gpu.output(5);
    let buffers = AdamWBuffers {
        param: param.slice(),
        grad: grad.slice(),
        exp_avg: exp_avg.slice(),
        exp_avg_sq: exp_avg_sq.slice(),
    };
    let error = AdamW::new(&context, &desc).unwrap().bind(&buffers).unwrap_err();
    assert!(matches!(error, Error::Size { operand: "exp_avg_sq", expected: 16, got: 20, .. }));
}
