//! `conv2d` on the adapter against its twin.

use kernels::{
    Context, Conv2d, Conv2dBuffers, Conv2dDesc, Error, Family, Precision, Tile, TuneTable, Variant,
    reference::{self, Conv2dInputs},
    wgpu::Limits,
};
use proptest::prelude::*;
use testkit::{Gpu, Samples, assert_close, gpu, gpu_with};

/// Runs one convolution and compares; gives its dispatches and whether Winograd ran.
fn check(gpu: &Gpu, context: &Context, desc: &Conv2dDesc, seed: u64) -> (usize, bool) {
    check_plan(gpu, &Conv2d::new(context, desc).unwrap(), seed)
}

fn check_plan(gpu: &Gpu, conv: &Conv2d, seed: u64) -> (usize, bool) {
    let desc = conv.desc();
    let mut samples = Samples::new(seed);
    let input = samples.vec(desc.input_len() as usize);
    let weight = samples.vec(desc.weight_len() as usize);
    let bias = samples.vec(desc.out_channels as usize);
    let residual = desc.residual.then(|| samples.vec(desc.output_len() as usize));
    let output = gpu.output(desc.output_len() as usize);
    let (gpu_input, gpu_residual) = (gpu.upload(&input), residual.as_ref().map(|residual| gpu.upload(residual)));
    let weights = conv.weights(&gpu.queue, &weight, Some(&bias)).unwrap();
    let commands = conv
        .bind(
            &weights,
            &Conv2dBuffers {
                input: gpu_input.slice(..),
                residual: gpu_residual.as_ref().map(|residual| residual.slice(..)),
                output: output.slice(),
            },
        )
        .unwrap();
    gpu.run([&commands]);
    let computed = commands.cost().flops;
    assert!(conv.is_winograd() && computed > 0 || computed >= desc.flops(), "{} {desc:?}: {computed}", conv.variant());
    let inputs = Conv2dInputs { input: &input, weight: &weight, bias: Some(&bias), residual: residual.as_deref() };
    let expected = reference::conv2d(desc, &inputs, conv.is_winograd());
    assert_close(&format!("{:?} {} {desc:?}", conv.family(), conv.variant()), &gpu.read(&output), &expected);
    (commands.dispatches(), conv.is_winograd())
}

fn check_families(desc: &Conv2dDesc, seed: u64) {
    for family in gpu().families() {
        let plan = Conv2d::new(gpu().shared_context(family), desc).unwrap();
        for variant in [plan.variants(), splits(&plan)].concat() {
            check_plan(gpu(), &plan.with_variant(variant).unwrap(), seed);
        }
    }
}

/// Lists variants in parts that are not worth it but possible: every tile, numbers of parts that divide the terms and that don't.
pub(crate) fn splits(conv: &Conv2d) -> Vec<Variant> {
    let possible = |variant: &Variant| conv.with_variant(*variant).is_ok();
    let split = |variant| match variant {
        Variant::Direct(tile) => [2, 3].map(|parts| Variant::Split { tile, parts }).to_vec(),
        _ => Vec::new(),
    };
    conv.variants().into_iter().flat_map(split).filter(possible).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn ragged_shapes(
        batch in 1u32..3, height in 1u32..10, width in 1u32..10, group_in in 1u32..6, group_out in 1u32..6,
        groups in 1u32..5, kernel in prop::array::uniform2(1u32..4), stride in prop::array::uniform2(1u32..3),
        padding in prop::array::uniform2(0u32..3), dilation in prop::array::uniform2(1u32..3),
        residual: bool, relu: bool, seed: u64,
    ) {
        let desc = Conv2dDesc {
            batch, height, width, in_channels: group_in * groups, out_channels: group_out * groups,
            kernel, stride, padding, dilation, groups, residual, relu, precision: Precision::F32,
        };
        prop_assume!(desc.output_size().is_some());
        check_families(&desc, seed);
    }
}

#[test]
fn the_layers_of_a_resnet() {
    let block = Conv2dDesc::new(2, [9, 9], [64, 64], 3);
    for desc in [
        Conv2dDesc { stride: [2, 2], relu: true, ..Conv2dDesc::new(1, [20, 20], [3, 64], 7) },
        Conv2dDesc { relu: true, ..block },
        Conv2dDesc { residual: true, relu: true, ..block },
        Conv2dDesc { stride: [2, 2], out_channels: 128, relu: true, ..block },
        Conv2dDesc { stride: [2, 2], kernel: [1, 1], padding: [0, 0], out_channels: 128, ..block },
        Conv2dDesc { kernel: [1, 1], padding: [0, 0], residual: true, relu: true, ..block },
    ] {
        check_families(&desc, 11);
    }
}

/// Tiles of two panels of 64 output channels, the last of which is alone.
#[test]
fn odd_numbers_of_panels() {
    for outputs in [130, 132] {
        check_families(&Conv2dDesc { residual: true, ..Conv2dDesc::new(1, [6, 12], [20, outputs], 3) }, 7);
    }
    // Of three panels a binding shows two, or one.
    for binding in [64 << 10, 40 << 10] {
        let narrow = gpu_with(Limits { max_storage_buffer_binding_size: binding, ..Limits::default() });
        let plan = Conv2d::new(&narrow.context(Family::Tiled), &Conv2dDesc::new(1, [5, 6], [92, 130], 1)).unwrap();
        let wide = plan.with_variant(Variant::Direct(Tile { rows: 128, columns: 128 }));
        assert_eq!(wide.is_ok(), binding == 64 << 10);
        for plan in wide.into_iter().chain([plan]) {
            assert!(check_plan(&narrow, &plan, 8).0 > 1);
        }
    }
}

/// Rows of numbers: every place of a texel at which a kernel's row can begin, and images whose rows end inside of one.
#[test]
fn images_of_few_channels() {
    for channels in 1..=4 {
        for stride in 1..=2 {
            for (padding, width, kernel) in [(0, 13, [3, 3]), (1, 16, [2, 5]), (3, 14, [7, 7]), (2, 1, [1, 4])] {
                let desc = Conv2dDesc {
                    kernel,
                    stride: [2, stride],
                    padding: [kernel[0] / 2, padding],
                    relu: stride == 2,
                    residual: padding == 1,
                    ..Conv2dDesc::new(2, [9, width], [channels, if stride == 1 { 40 } else { 5 }], 3)
                };
                check_families(&desc, u64::from(channels * 10 + stride));
            }
        }
    }
}

#[test]
fn grouped_as_in_resnext() {
    for width in [4, 8] {
        for stride in [1, 2] {
            let channels = 32 * width;
            let desc = Conv2dDesc {
                groups: 32,
                stride: [stride; 2],
                relu: true,
                ..Conv2dDesc::new(1, [6, 5], [channels, channels], 3)
            };
            check_families(&desc, 13);
        }
    }
}

#[test]
fn winograd_is_used_and_right() {
    for family in gpu().families() {
        for (height, width, inputs, outputs) in [(4, 4, 64, 64), (7, 7, 64, 128), (9, 5, 68, 64), (1, 1, 64, 64)] {
            for residual in [false, true] {
                let desc =
                    Conv2dDesc { residual, relu: true, ..Conv2dDesc::new(2, [height, width], [inputs, outputs], 3) };
                // By the table, for so few pixels don't pay by themselves.
                let plan = Conv2d::new(&gpu().context(family), &desc).unwrap();
                let mut variants = plan.variants().into_iter();
                let winograd = variants.find(|variant| matches!(variant, Variant::Winograd { .. })).unwrap();
                let mut tune = testkit::tune(family);
                tune.table = TuneTable::from([(plan.class(), winograd)]);
                let context = Context::with_tune(&gpu().device, tune);
                let (dispatches, winograd) = check(gpu(), &context, &desc, 17);
                assert!(winograd && dispatches == 3, "{desc:?}: {dispatches} dispatches");
            }
        }
    }
}

#[test]
fn winograd_can_be_left_out() {
    for family in gpu().families() {
        let mut tune = testkit::tune(family);
        tune.winograd = false;
        let context = Context::with_tune(&gpu().device, tune);
        let (_, winograd) = check(gpu(), &context, &Conv2dDesc::new(1, [8, 8], [64, 64], 3), 19);
        assert!(!winograd);
    }
}

#[test]
fn every_variant_is_right() {
    let one = Conv2dDesc { kernel: [1, 1], padding: [0, 0], ..Conv2dDesc::new(1, [13, 11], [64, 72], 1) };
    let shapes = [
        // Winograd, in bands of 4 MiB and at once.
        Conv2dDesc { residual: true, relu: true, ..Conv2dDesc::new(1, [170, 172], [16, 16], 3) },
        // More and fewer pixels than a tile, and whole tiles.
        one,
        Conv2dDesc { height: 4, width: 4, ..one },
        Conv2dDesc { height: 16, width: 16, residual: true, ..one },
        Conv2dDesc { stride: [2, 2], relu: true, ..Conv2dDesc::new(2, [17, 19], [3, 10], 7) },
        Conv2dDesc { groups: 16, ..Conv2dDesc::new(1, [9, 8], [64, 64], 3) },
    ];
    for family in gpu().families() {
        let context = gpu().shared_context(family);
        for (i, desc) in shapes.iter().enumerate() {
            let plan = Conv2d::new(context, desc).unwrap();
            let variants = plan.variants();
            assert_eq!(variants[0], plan.variant(), "without a table, the default");
            let texts: std::collections::HashSet<String> = variants.iter().map(Variant::to_string).collect();
            assert_eq!(texts.len(), variants.len(), "{variants:?}");
            let winograd = variants.iter().filter(|variant| matches!(variant, Variant::Winograd { .. })).count();
            assert_eq!(winograd > 0, i == 0, "{desc:?}: {variants:?}");
            for &variant in &variants {
                let plan = plan.with_variant(variant).unwrap();
                assert_eq!((plan.variant(), plan.is_winograd()), (variant, variant.to_string().starts_with('w')));
                let (dispatches, _) = check_plan(gpu(), &plan, 37);
                if variant.to_string().ends_with(" 4MiB") {
                    assert!(dispatches > 3, "{variant}: {dispatches} dispatches");
                }
            }
        }
        let unknown = Variant::Direct(Tile { rows: 7, columns: 64 });
        let error = Conv2d::new(context, &one).unwrap().with_variant(unknown).unwrap_err().to_string();
        assert!(error.contains("`direct 7x64` isn't a way to compute"), "{error}");
    }
}

/// Few workgroups of long sums: on many cores they are split without a table, elsewhere not.
#[test]
fn many_cores_split_small_outputs() {
    let plan = |many_cores, desc: &Conv2dDesc| {
        let mut tune = testkit::tune(Family::Tiled);
        tune.many_cores = many_cores;
        Conv2d::new(&Context::with_tune(&gpu().device, tune), desc).unwrap()
    };
    let one = Conv2dDesc { kernel: [1, 1], padding: [0, 0], ..Conv2dDesc::new(1, [7, 6], [1024, 64], 1) };
    let half = Conv2dDesc { relu: true, residual: true, stride: [2, 2], ..Conv2dDesc::new(1, [11, 9], [128, 70], 3) };
    for (desc, variant) in [(one, "direct 64x64 k4"), (half, "direct 32x64 k4")] {
        let many = plan(true, &desc);
        assert_eq!((many.variant().to_string().as_str(), many.variants()[0]), (variant, many.variant()));
        assert!(matches!(plan(false, &desc).variant(), Variant::Direct(_)));
        assert_eq!(check_plan(gpu(), &many, 3).0, 2);
    }
    // Sums too short, pixels enough: one part.
    for desc in [Conv2dDesc { in_channels: 508, ..one }, Conv2dDesc { height: 96, width: 96, ..one }] {
        assert!(matches!(plan(true, &desc).variant(), Variant::Direct(_)), "{desc:?}");
    }
    // What Winograd transforms stays in larger caches, where there is so much of it.
    let large = Conv2dDesc::new(32, [56, 56], [64, 64], 3);
    let bands = [false, true].map(|many_cores| plan(many_cores, &large).variant().to_string());
    assert_eq!(bands, ["winograd 64x64 16MiB", "winograd 64x64 64MiB"]);
    let small = Conv2dDesc { batch: 8, ..large };
    assert_eq!(plan(true, &small).variant(), plan(false, &small).variant());
}

#[test]
fn a_table_chooses_for_its_class_alone() {
    for family in gpu().families() {
        let desc = Conv2dDesc::new(1, [60, 60], [64, 64], 3);
        let plan = |table: &TuneTable, desc: &Conv2dDesc| {
            let mut tune = testkit::tune(family);
            tune.table = table.clone();
            Conv2d::new(&Context::with_tune(&gpu().device, tune), desc).unwrap()
        };
        let default = plan(&TuneTable::new(), &desc);
        let other = default.variants()[1];
        let table = TuneTable::from([(default.class(), other)]);
        assert_eq!(plan(&table, &desc).variant(), other);
        check_plan(gpu(), &plan(&table, &desc), 41);
        // Of the same class: fused otherwise, a little smaller. Of another: twice the images, other channels.
        let same = Conv2dDesc { relu: true, width: 50, ..desc };
        assert_eq!((plan(&table, &same).class(), plan(&table, &same).variant()), (default.class(), other));
        for elsewhere in [Conv2dDesc { batch: 2, ..desc }, Conv2dDesc { out_channels: 68, ..desc }] {
            let untouched = plan(&TuneTable::new(), &elsewhere).variant();
            assert_eq!(plan(&table, &elsewhere).variant(), untouched);
        }
        // A table of another version of the kernels.
        let foreign = TuneTable::from([(default.class(), Variant::Direct(Tile { rows: 1000, columns: 1 }))]);
        assert_eq!(plan(&foreign, &desc).variant(), default.variant());
    }
}

#[test]
fn what_is_computed_is_at_least_what_is_asked_for() {
    for family in gpu().families() {
        let mut tune = testkit::tune(family);
        tune.winograd = false;
        let context = Context::with_tune(&gpu().device, tune);
        let computed = |desc: Conv2dDesc| (Conv2d::new(&context, &desc).unwrap().computed_flops(), desc.flops());
        let (computed_whole, asked) = computed(Conv2dDesc::new(1, [16, 16], [64, 64], 3));
        assert_eq!(computed_whole, asked);
        // Groups of 4 channels: each output sees all of its tile's. GPUs have a kernel that doesn't.
        let grouped = Conv2dDesc { groups: 16, ..Conv2dDesc::new(1, [16, 16], [64, 64], 3) };
        let plan = Conv2d::new(&context, &grouped).unwrap();
        for variant in plan.variants() {
            let waste = match variant {
                Variant::Direct(tile) | Variant::Split { tile, .. } => u64::from(tile.columns / 4),
                _ => 1,
            };
            assert_eq!(plan.with_variant(variant).unwrap().computed_flops(), waste * grouped.flops());
        }
        assert_eq!(plan.variant() == Variant::Grouped, family == Family::Tiled);
        let grouped = Conv2dDesc { groups: 2, ..grouped };
        assert_ne!(
            Conv2d::new(&context, &grouped).unwrap().variant(),
            Variant::Grouped,
            "2 times 32 channels fill a tile"
        );
        let (ragged, asked) = computed(Conv2dDesc::new(1, [5, 5], [3, 10], 3));
        assert!(ragged > 2 * asked);
        // 36 multiplications for the 144 of 4x4 outputs.
        let products = Conv2d::new(&gpu().context(family), &Conv2dDesc::new(1, [32, 32], [64, 64], 3)).unwrap();
        assert!(products.is_winograd());
        assert_eq!(products.computed_flops() * 4, products.desc().flops());
    }
}

#[test]
fn work_beyond_a_binding_is_split() {
    let limits = Limits { max_storage_buffer_binding_size: 40 << 10, ..Limits::default() };
    let narrow = gpu_with(limits);
    for family in narrow.families() {
        let context = narrow.context(family);
        for desc in [
            // Several images a band; rows of an image; a weight in parts; an input that is padded to whole vec4 first.
            Conv2dDesc { residual: true, ..Conv2dDesc::new(12, [8, 8], [16, 20], 3) },
            Conv2dDesc { stride: [2, 2], dilation: [2, 1], relu: true, ..Conv2dDesc::new(1, [40, 30], [16, 8], 3) },
            Conv2dDesc { padding: [0, 3], ..Conv2dDesc::new(2, [33, 20], [16, 36], 3) },
            Conv2dDesc::new(1, [6, 6], [64, 192], 1),
            Conv2dDesc { out_channels: 7, ..Conv2dDesc::new(3, [50, 40], [3, 8], 3) },
        ] {
            let (dispatches, _) = check(&narrow, &context, &desc, 23);
            // The texture family binds only its output.
            let bound =
                if family == Family::Texture { desc.output_len() } else { desc.input_len().max(desc.output_len()) };
            assert!(dispatches > 1 || bound * 4 <= 40 << 10, "{family:?} {desc:?}");
        }
    }
}

#[test]
fn more_workgroups_than_an_axis_holds_are_folded() {
    let narrow = gpu_with(Limits { max_compute_workgroups_per_dimension: 8, ..Limits::default() });
    for family in narrow.families() {
        check(&narrow, &narrow.context(family), &Conv2dDesc::new(1, [12, 12], [8, 70], 3), 29);
    }
}

#[test]
fn bad_input_is_an_error() {
    let gpu = gpu();
    let context = gpu.context(Family::Tiled);
    let message = |desc: Conv2dDesc| Conv2d::new(&context, &desc).unwrap_err().to_string();
    let good = Conv2dDesc::new(1, [8, 8], [6, 4], 3);
    assert_eq!(
        message(Conv2dDesc { groups: 4, ..good }),
        "conv2d: 4 groups don't divide 6 input and 4 output channels"
    );
    assert_eq!(message(Conv2dDesc { stride: [0, 1], ..good }), "conv2d: stride is [0, 1], at least 1 is expected");
    assert!(message(Conv2dDesc { height: 0, ..good }).contains("input is empty"));
    assert!(message(Conv2dDesc { kernel: [20, 1], padding: [0, 0], ..good }).contains("exceeds the input"));
    let plan = Conv2d::new(&context, &good).unwrap();
    let error = plan.weights(&gpu.queue, &[0.0; 7], None).unwrap_err();
    assert_eq!(error.to_string(), "conv2d: weight needs 864 bytes, the slice has 28");
    let other = Conv2d::new(&context, &Conv2dDesc { out_channels: 5, ..good }).unwrap();
    let weights = other.weights(&gpu.queue, &[0.0; 5 * 6 * 9], None).unwrap();
    let (input, output) = (gpu.upload(&[0f32; 384]), gpu.output(256));
    let buffers = Conv2dBuffers { input: input.slice(..), residual: None, output: output.slice() };
    assert!(matches!(plan.bind(&weights, &buffers), Err(Error::Shape { .. })));
}
