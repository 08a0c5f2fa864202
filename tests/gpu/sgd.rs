//! `sgd` on the adapter against its twin.

use kernels::{
    Error, Family, Sgd, SgdBuffers, SgdDesc,
    reference::{self, Expected},
    wgpu::Limits,
};
use proptest::prelude::*;
use testkit::{Gpu, Samples, assert_close, gpu, gpu_with};

/// Takes several steps with a learning rate that changes, state and bounds carried along by the twin.
fn check(gpu: &Gpu, desc: &SgdDesc, scale: f32, seed: u64) -> usize {
    let mut samples = Samples::new(seed);
    let len = desc.len as usize;
    let (start, grad) = (samples.scaled(len, scale), gpu.output(len));
    let (param, momentum) = (gpu.output(len), gpu.output(len));
    gpu.write(&param, &start);
    let buffers = SgdBuffers {
        param: param.slice(),
        grad: grad.slice(),
        momentum: (desc.momentum != 0.0).then(|| momentum.slice()),
    };
    let update = Sgd::new(&gpu.context(Family::Tiled), desc).unwrap().bind(&buffers).unwrap();
    let (mut expected, mut expected_momentum) = (Expected::exact(&start), Expected::exact(&vec![0.0; len]));
    for step in 1..=5 {
        let (gradient, learning_rate) = (samples.scaled(len, scale), 0.3 / f64::from(step));
        gpu.write(&grad, &gradient);
        update.set_step(&gpu.queue, learning_rate, step);
        gpu.run([update.commands()]);
        reference::sgd(desc, (learning_rate, step), &mut expected, &gradient, &mut expected_momentum);
        assert_close(&format!("param at step {step} of {desc:?}"), &gpu.read(&param), &expected);
        if desc.momentum != 0.0 {
            assert_close(&format!("momentum at step {step} of {desc:?}"), &gpu.read(&momentum), &expected_momentum);
        }
    }
    update.commands().dispatches()
}

fn every_option(len: u32) -> impl Iterator<Item = SgdDesc> {
    let momenta = [(0.0, 0.0, false), (0.9, 0.0, false), (0.9, 0.3, false), (0.9, 0.0, true)];
    momenta.into_iter().flat_map(move |(momentum, dampening, nesterov)| {
        [0.0, 0.05].map(|weight_decay| SgdDesc { momentum, dampening, nesterov, weight_decay, ..SgdDesc::new(len) })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn ragged_shapes(len in 1u32..700, option in 0usize..8, seed: u64) {
        check(gpu(), &every_option(len).nth(option).unwrap(), 1.0, seed);
    }
}

#[test]
fn every_option_and_scale() {
    for desc in every_option(65).chain(every_option(64)) {
        for scale in [1e-20, 1.0, 1e20] {
            check(gpu(), &desc, scale, 3);
        }
    }
}

#[test]
fn biases_do_not_decay() {
    for (row, decayed) in [(8, 4), (7, 6), (12, 5), (1, 0)] {
        let desc = SgdDesc { row, decayed, momentum: 0.9, weight_decay: 0.5, ..SgdDesc::new(row * 30) };
        check(gpu(), &desc, 1.0, 6);
    }
}

#[test]
fn work_beyond_a_binding_is_split() {
    let narrow = gpu_with(Limits { max_storage_buffer_binding_size: 4 << 10, ..Limits::default() });
    for desc in every_option(3000).chain(every_option(2999)) {
        assert_eq!(check(&narrow, &desc, 1.0, 1), 3);
    }
}

#[test]
fn more_workgroups_than_an_axis_holds_are_folded() {
    let narrow = gpu_with(Limits { max_compute_workgroups_per_dimension: 4, ..Limits::default() });
    assert_eq!(check(&narrow, &SgdDesc { momentum: 0.9, ..SgdDesc::new(1001) }, 1.0, 2), 1);
}

#[test]
fn bad_input_is_an_error() {
    let gpu = gpu();
    let context = gpu.context(Family::Tiled);
    let message = |desc: &SgdDesc| Sgd::new(&context, desc).unwrap_err().to_string();
    let desc = SgdDesc::new(4);
    let rows = "sgd: 8 parameters in rows of 3, of which 8 decay";
    assert_eq!(message(&SgdDesc { row: 3, ..SgdDesc::new(8) }), rows);
    assert_eq!(message(&SgdDesc::new(0)), "sgd: param is empty: [0]");
    assert_eq!(message(&SgdDesc { momentum: -0.5, ..desc }), "sgd: momentum is -0.5, 0 or more is expected");
    assert_eq!(message(&SgdDesc { weight_decay: f64::NAN, ..desc }), "sgd: weight_decay is NaN, 0 or more is expected");
    assert_eq!(
        message(&SgdDesc { nesterov: true, ..desc }),
        "sgd: Nesterov needs momentum and no dampening, got 0 and 0"
    );
    let (param, grad) = (gpu.output(4), gpu.output(4));
    let buffers = SgdBuffers { param: param.slice(), grad: grad.slice(), momentum: None };
    let plan = Sgd::new(&context, &SgdDesc { momentum: 0.9, ..desc }).unwrap();
    assert!(matches!(plan.bind(&buffers), Err(Error::Shape { .. })));
}
