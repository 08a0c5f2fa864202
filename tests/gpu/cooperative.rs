//! The convolution on cooperative matrices. Where the adapter has none, they alone are emulated: all else of the kernel runs as it is written.

use crate::half;
use kernels::{
    Context, Conv2d, Conv2dBuffers, Conv2dDesc, Family, Host, Precision, Tile, Tune, TuneTable, Variant,
    cooperative_features,
    wgpu::{self, Features, Limits},
};
use proptest::prelude::*;
use std::sync::OnceLock;
use testkit::{Gpu, Samples, gpu, gpu_with_halves};

fn is(variant: &Variant) -> bool {
    matches!(variant, Variant::Cooperative(_) | Variant::CooperativeSplit { .. })
}

/// A device, and the contexts to test on it: with the matrices of the device where it has them, and with emulated ones.
struct Bench {
    gpu: Gpu,
    contexts: Vec<Context>,
}

impl Bench {
    fn new(limits: impl FnOnce(Limits) -> Limits) -> Self {
        let gpu = gpu_with_halves(limits);
        let tune = || Tune::new(Family::Tiled);
        let mut contexts = vec![Context::with_emulation(&gpu.device, tune())];
        if gpu.device.features().contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
            contexts.push(Context::with_tune(&gpu.device, tune()));
        }
        Bench { gpu, contexts }
    }

    fn shared() -> &'static Bench {
        static BENCH: OnceLock<Bench> = OnceLock::new();
        BENCH.get_or_init(|| Bench::new(|limits| limits))
    }

    /// Compares every cooperative variant of a layer with the twin; gives how many tiles there were and their most dispatches.
    fn check(&self, desc: &Conv2dDesc, seed: u64) -> (usize, usize) {
        let desc = &Conv2dDesc { precision: Precision::F16, ..*desc };
        let (mut checked, mut most) = (0, 0);
        for context in &self.contexts {
            let plan = Conv2d::new(context, desc).unwrap();
            assert!(is(&plan.variant()), "{} {desc:?}", plan.variant());
            // Few parts are listed; any number does.
            let split = [2, 3].map(|parts| Variant::CooperativeSplit { tile: Tile { rows: 64, columns: 64 }, parts });
            let listed = plan.variants().into_iter().filter(is);
            let others = split.into_iter().filter(|&split| plan.with_variant(split).is_ok());
            for variant in listed.chain(others).collect::<std::collections::HashSet<_>>() {
                let plan = plan.with_variant(variant).unwrap();
                assert!(plan.computed_flops() >= desc.flops(), "{variant} {desc:?}");
                let (dispatches, winograd) = half::check_plan(&self.gpu, &plan, seed);
                assert!(!winograd);
                match variant {
                    Variant::CooperativeSplit { .. } => assert_eq!(dispatches, 2, "{variant} {desc:?}"),
                    _ => (checked, most) = (checked + 1, most.max(dispatches)),
                }
            }
        }
        (checked, most)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn ragged_shapes(
        batch in 1u32..3, height in 1u32..12, width in 1u32..12, in_channels in 1u32..20, out_channels in 1u32..80,
        kernel in prop::array::uniform2(1u32..4), stride in prop::array::uniform2(1u32..3),
        padding in prop::array::uniform2(0u32..3), dilation in prop::array::uniform2(1u32..3),
        residual: bool, relu: bool, seed: u64,
    ) {
        let desc = Conv2dDesc {
            batch, height, width, in_channels, out_channels, kernel, stride, padding, dilation, groups: 1,
            residual, relu, precision: Precision::F16,
        };
        prop_assume!(desc.output_size().is_some());
        Bench::shared().check(&desc, seed);
    }
}

#[test]
fn the_layers_of_a_resnet_in_every_tile() {
    let block = Conv2dDesc { relu: true, ..Conv2dDesc::new(2, [9, 11], [64, 64], 3) };
    let one = Conv2dDesc { kernel: [1, 1], padding: [0, 0], ..block };
    for desc in [
        // Quads, for 3 channels are padded to 4; then pairs of them.
        Conv2dDesc { stride: [2, 2], relu: true, ..Conv2dDesc::new(1, [20, 21], [3, 64], 7) },
        block,
        Conv2dDesc { residual: true, ..block },
        Conv2dDesc { stride: [2, 2], out_channels: 128, ..block },
        Conv2dDesc { residual: true, out_channels: 200, ..one },
        Conv2dDesc { in_channels: 200, relu: false, ..one },
        Conv2dDesc { in_channels: 12, out_channels: 9, ..block },
        // Runs of 4 and of 8 taps, not whole; taps apart are none.
        Conv2dDesc { relu: true, ..Conv2dDesc::new(1, [13, 9], [3, 40], 3) },
        Conv2dDesc { padding: [0, 2], ..Conv2dDesc::new(2, [13, 12], [4, 72], 5) },
        Conv2dDesc { kernel: [2, 8], stride: [1, 3], residual: true, ..Conv2dDesc::new(1, [7, 30], [1, 64], 1) },
        Conv2dDesc { dilation: [2, 2], ..Conv2dDesc::new(1, [9, 9], [3, 64], 3) },
        Conv2dDesc { dilation: [2, 1], ..Conv2dDesc::new(1, [9, 9], [3, 64], 3) },
        Conv2dDesc { kernel: [1, 9], padding: [0, 4], ..Conv2dDesc::new(1, [4, 20], [3, 64], 1) },
        // More whole tiles than the largest has pixels, and a single pixel.
        Conv2dDesc { batch: 1, height: 16, width: 32, in_channels: 8, ..one },
        Conv2dDesc { batch: 1, height: 1, width: 1, in_channels: 72, out_channels: 68, ..block },
    ] {
        let (checked, dispatches) = Bench::shared().check(&desc, 3);
        assert!(checked >= 2, "{desc:?}: {checked} tiles");
        assert_eq!(dispatches, 1, "{desc:?}");
    }
}

/// Steps of other depths, and fewer tiles.
#[test]
fn less_workgroup_memory() {
    let small = Conv2dDesc { relu: true, residual: true, ..Conv2dDesc::new(1, [9, 11], [40, 72], 3) };
    for (bytes, tiles) in [(28_700, 5), (23_100, 2), (20_000, 2), (16_384, 1)] {
        let bench = Bench::new(|limits| Limits { max_compute_workgroup_storage_size: bytes, ..limits });
        let (checked, _) = bench.check(&small, 9);
        assert_eq!(checked, tiles * bench.contexts.len(), "{bytes} bytes");
    }
}

#[test]
fn work_beyond_a_binding_is_split() {
    let narrow = Bench::new(|limits| Limits { max_storage_buffer_binding_size: 20 << 10, ..limits });
    for desc in [
        Conv2dDesc { residual: true, ..Conv2dDesc::new(12, [8, 8], [16, 20], 3) },
        Conv2dDesc { stride: [2, 2], dilation: [2, 1], relu: true, ..Conv2dDesc::new(1, [40, 30], [16, 7], 3) },
        // Of an odd number of panels, one or two at once.
        Conv2dDesc::new(1, [6, 6], [64, 192], 1),
        Conv2dDesc { residual: true, ..Conv2dDesc::new(1, [6, 6], [64, 300], 1) },
    ] {
        assert!(narrow.check(&desc, 5).1 > 1, "{desc:?}");
    }
}

/// Subgroups race for workgroup memory where a barrier is missing or doesn't hold: the answers would differ from run to run.
#[test]
fn two_runs_give_the_same_bits() {
    let Bench { gpu, contexts } = Bench::shared();
    let precision = Precision::F16;
    let desc = Conv2dDesc { relu: true, precision, ..Conv2dDesc::new(2, [28, 28], [128, 128], 3) };
    let mut random = Samples::new(11);
    let input = half::upload(gpu, &random.vec(desc.input_len() as usize), 128);
    let weight = random.vec(desc.weight_len() as usize);
    for context in contexts {
        let plan = Conv2d::new(context, &desc).unwrap();
        let weights = plan.weights(&gpu.queue, &weight, None).unwrap();
        for variant in plan.variants().into_iter().filter(is) {
            let plan = plan.with_variant(variant).unwrap();
            let runs = [(); 2].map(|()| {
                let y = half::output(gpu, desc.output_len(), 128);
                let buffers = Conv2dBuffers { input: input.slice(..), residual: None, output: y.slice() };
                gpu.run([&plan.bind(&weights, &buffers).unwrap()]);
                half::read(gpu, &y, 128).into_iter().map(f32::to_bits).collect::<Vec<_>>()
            });
            assert!(runs[0] == runs[1], "{variant}: two runs differ");
        }
    }
}

/// One NaN among numbers reaches what it should and nothing else; what f16 can't hold isn't a number that looks right.
#[test]
fn nan_is_kept_and_what_is_too_large_is_noticed() {
    let Bench { gpu, contexts } = Bench::shared();
    let precision = Precision::F16;
    let desc = Conv2dDesc { relu: true, precision, ..Conv2dDesc::new(1, [6, 7], [16, 20], 3) };
    let mut values = vec![0.25; desc.input_len() as usize];
    values[20 * 16 + 5] = f32::NAN;
    for context in contexts {
        let plan = Conv2d::new(context, &desc).unwrap();
        for (weight, values) in [(-0.5, &values), (400.0, &vec![400.0; desc.input_len() as usize])] {
            let input = half::upload(gpu, values, 16);
            let weights = plan.weights(&gpu.queue, &vec![weight; desc.weight_len() as usize], None).unwrap();
            let y = half::output(gpu, desc.output_len(), 20);
            let buffers = Conv2dBuffers { input: input.slice(..), residual: None, output: y.slice() };
            gpu.run([&plan.bind(&weights, &buffers).unwrap()]);
            for (i, value) in half::read(gpu, &y, 20).into_iter().enumerate() {
                let (row, column) = (i / 20 / 7, i / 20 % 7);
                // Pixel 20 is of row 2, column 6.
                let near = row.abs_diff(2) <= 1 && column >= 5;
                match weight {
                    400.0 => assert!(!value.is_finite(), "{i}: {value}"),
                    _ if near => assert!(value.is_nan(), "{i}: {value}"),
                    _ => assert_eq!(value, 0.0, "{i}"),
                }
            }
        }
    }
}

#[test]
fn what_is_too_large_sets_the_flag() {
    let Bench { gpu, contexts } = Bench::shared();
    let precision = Precision::F16;
    for context in contexts {
        for desc in [Conv2dDesc::new(2, [6, 7], [128, 72], 3), Conv2dDesc::new(1, [9, 10], [3, 70], 7)] {
            let plan = Conv2d::new(context, &Conv2dDesc { precision, ..desc }).unwrap();
            let split = Variant::CooperativeSplit { tile: Tile { rows: 64, columns: 64 }, parts: 2 };
            for variant in plan.variants().into_iter().filter(is).chain([split]) {
                let plan = plan.with_variant(variant).unwrap();
                for (value, expected) in [(43_000.0, false), (44_000.0, true), (-44_000.0, true)] {
                    let element = desc.input_len() / 2;
                    assert_eq!(half::conv_flags(gpu, &plan, element, value), expected, "{variant}: {value}");
                }
            }
        }
    }
}

#[test]
fn it_is_chosen_only_where_it_computes() {
    let precision = Precision::F16;
    let desc = Conv2dDesc { precision, ..Conv2dDesc::new(8, [56, 56], [64, 256], 1) };
    for context in &Bench::shared().contexts {
        let chosen = |desc: &Conv2dDesc| Conv2d::new(context, desc).unwrap();
        assert_eq!(chosen(&desc).variant(), Variant::Cooperative(Tile { rows: 128, columns: 64 }));
        // Fewer workgroups than a large GPU has cores: parts of the sums, where those are long enough, or smaller tiles.
        let long = Conv2dDesc { precision, ..Conv2dDesc::new(8, [7, 7], [512, 512], 3) };
        let split = Variant::CooperativeSplit { tile: Tile { rows: 128, columns: 128 }, parts: 8 };
        assert_eq!(chosen(&long).variant(), split);
        let few = Conv2dDesc { height: 7, width: 7, ..desc };
        assert_eq!(chosen(&few).variant(), Variant::Cooperative(Tile { rows: 32, columns: 64 }));
        for other in [Conv2dDesc { precision: Precision::F32, ..desc }, Conv2dDesc { groups: 2, ..desc }] {
            assert!(!chosen(&other).variants().iter().any(is), "{other:?}");
        }
        // Weights of the direct sum serve it, and a table chooses as ever.
        let direct =
            chosen(&desc).variants().into_iter().find(|variant| matches!(variant, Variant::Direct(_))).unwrap();
        let mut tune = Tune::new(Family::Tiled);
        tune.table = TuneTable::from([(chosen(&desc).class(), direct)]);
        let tuned = Context::with_emulation(&Bench::shared().gpu.device, tune);
        assert_eq!(Conv2d::new(&tuned, &desc).unwrap().variant(), direct);
    }
    // A device that wasn't asked for the features, whatever its adapter has.
    let plan = Conv2d::new(&gpu().context(Family::Tiled), &desc).unwrap();
    assert!(!plan.variants().iter().any(is), "{:?}", plan.variants());
    let table = TuneTable::from([(plan.class(), Variant::Cooperative(Tile { rows: 128, columns: 64 }))]);
    let mut tune = Tune::new(Family::Tiled);
    tune.table = table;
    assert_eq!(Conv2d::new(&Context::with_tune(&gpu().device, tune), &desc).unwrap().variant(), plan.variant());
}

#[test]
fn experimental_features_are_opened_only_where_they_are_known() {
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    let known = cooperative_features(&adapter);
    let host = pollster::block_on(Host::open(
        &adapter,
        Features::all_experimental_mask() | Features::SHADER_F16,
        adapter.limits(),
    ))
    .unwrap();
    let opened = host.device.features() & Features::all_experimental_mask();
    assert_eq!(opened, known & Features::all_experimental_mask());
    let host = pollster::block_on(Host::open(&adapter, Features::empty(), Limits::default())).unwrap();
    assert!(!host.device.features().intersects(Features::all_experimental_mask()));
}
