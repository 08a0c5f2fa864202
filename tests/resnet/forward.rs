//! The forward pass on the machine's adapter gives PyTorch's values at every tap of every architecture.

use crate::fixture::{Case, Fixture, Tap as Expected};
use crate::network::walk;
use kernels::{Context, Family, Precision, TuneTable};
use resnet::{
    Architecture, Attention, Backbone, BackboneOptions, Block, Engine, Error, ImageTensor, LayerPlan, Pending, Slicing,
    Stage, Tap, WeightFile,
};
use std::{collections::HashSet, time::Duration};
use testkit::{formula, gpu};

/// The taps, by the names that the fixtures give them.
pub const TAPS: [(&str, Tap); 8] = [
    ("stem", Tap::Stem),
    ("maxpool", Tap::Pool),
    ("layer1", Tap::Stage(1)),
    ("layer2", Tap::Stage(2)),
    ("layer3", Tap::Stage(3)),
    ("layer4", Tap::Stage(4)),
    ("features", Tap::Features),
    ("logits", Tap::Logits),
];

/// Tells whether a value is right to a relative 1e-4 of itself and of the tap's mean magnitude.
fn close(got: f32, expected: f64, tap: &Expected) -> bool {
    (f64::from(got) - expected).abs() <= 1e-4 * (expected.abs() + tap.mean_abs)
}

/// Gives the images of a case.
pub fn images(case: &Case) -> Vec<ImageTensor> {
    let [_, _, height, width] = case.input;
    case.input_nhwc()
        .chunks_exact(height * width * 3)
        .map(|data| ImageTensor { height, width, data: data.to_vec() })
        .collect()
}

fn options(case: &Case) -> BackboneOptions {
    let [batch, _, height, width] = case.input;
    BackboneOptions {
        input_size: [height, width],
        taps: TAPS.map(|(_, tap)| tap).to_vec(),
        ..BackboneOptions::new(batch)
    }
}

/// Checks an engine that was made for a case with all [`TAPS`].
pub fn check_taps(engine_name: &str, case: &Case, engine: &dyn Engine) {
    let mut pending = engine.submit(&images(case)).unwrap();
    for (expected, (name, tap)) in case.taps.iter().zip(TAPS) {
        assert_eq!(expected.name, name);
        let got = pending.wait(tap).unwrap();
        let what = format!("{} {name} {engine_name}", case.architecture());
        assert_eq!(got.len(), expected.shape.iter().product::<usize>(), "{what}");
        let mean = got.iter().map(|value| f64::from(value.abs())).sum::<f64>() / got.len() as f64;
        assert!((mean - expected.mean_abs).abs() <= 1e-4 * expected.mean_abs, "{what}: mean {mean}");
        for (index, want) in case.samples(expected) {
            assert!(close(got[index], want, expected), "{what} [{index}]: {} instead of {want}", got[index]);
        }
        let (index, want) = case.samples(expected).next().unwrap();
        let wrong = got[index] + 3e-4 * (want.abs() + expected.mean_abs) as f32;
        assert!(!close(wrong, want, expected), "{what}: a wrong value passes");
    }
}

fn check(case: &Case, context: &Context) {
    let family = context.tune().family;
    let backbone = Backbone::new(context, &gpu().queue, &case.weights(), &options(case)).unwrap();
    let scope = gpu().device.push_error_scope(kernels::wgpu::ErrorFilter::Validation);
    check_taps(&format!("{family:?}"), case, &backbone);
    if let Some(error) = pollster::block_on(scope.pop()) {
        panic!("validation: {error}");
    }
}

/// Runs every case on the first family that the adapter prefers; the tiled one too on the smallest nets, for it is slow where it
/// isn't preferred.
#[test]
fn every_architecture_gives_what_pytorch_gives() {
    let families = gpu().families();
    for case in Fixture::load().cases.iter().chain(&Fixture::load_timm().cases) {
        check(case, &gpu().context(families[0]));
        if ["resnet-basic-1-1-1-1-w32", "resnet10t", "seresnet18"].contains(&case.architecture().to_string().as_str()) {
            families.iter().skip(1).for_each(|&family| check(case, &gpu().context(family)));
        }
    }
}

/// A table may choose any variant: here each class gets the one that is furthest from its default.
#[test]
fn a_tuned_network_gives_what_pytorch_gives() {
    let fixture = Fixture::load();
    for (name, families) in [("resnet18", &gpu().families()[..1]), ("resnet-basic-1-1-1-1-w32", &gpu().families()[..])]
    {
        let case = fixture.cases.iter().find(|case| case.architecture().to_string() == name).unwrap();
        for &family in families {
            let layers = case.architecture().layers(&gpu().context(family), &options(case)).unwrap();
            let table: TuneTable =
                (layers.iter()).filter_map(|layer| Some((layer.class()?, *layer.variants().last()?))).collect();
            let mut tune = testkit::tune(family);
            tune.table = table.clone();
            let context = Context::with_tune(&gpu().device, tune);
            let tuned = case.architecture().layers(&context, &options(case)).unwrap();
            assert!(tuned.iter().zip(&layers).any(|(tuned, layer)| tuned.kernel() != layer.kernel()), "{table:?}");
            check(case, &context);
        }
    }
}

#[test]
fn layers_are_named_add_up_and_run_one_by_one() {
    for case in Fixture::load().cases.iter().chain(&Fixture::load_timm().cases) {
        let (architecture, options) = (case.architecture(), options(case));
        let context = gpu().context(gpu().families()[0]);
        let layers = architecture.layers(&context, &options).unwrap();
        let flops: u64 = layers.iter().map(|layer| layer.flops).sum();
        assert_eq!(flops, architecture.flops(options.input_size) * options.batch as u64, "{architecture}");
        let names: HashSet<_> = layers.iter().map(|layer| &layer.name).collect();
        assert_eq!(names.len(), layers.len(), "{architecture}: {names:?}");
        for (name, shape) in architecture.tensors() {
            let module = name.strip_suffix(".weight").filter(|_| shape.len() > 1);
            assert!(module.is_none_or(|module| names.contains(&module.to_owned())), "{architecture}: {name}");
        }
        for layer in &layers {
            assert!(!layer.name.starts_with('.') && layer.bytes > 0, "{layer:?}");
            assert_eq!(layer.flops > 0, matches!(layer.plan, LayerPlan::Conv2d(_) | LayerPlan::Matmul(_)));
        }
    }
    let fixture = Fixture::load();
    let case = fixture.cases.iter().find(|case| case.architecture().to_string().starts_with("resnet-basic")).unwrap();
    let context = gpu().context(gpu().families()[0]);
    let backbone = Backbone::new(&context, &gpu().queue, &case.weights(), &options(case)).unwrap();
    let whole = backbone.submit(&images(case)).unwrap().wait(Tap::Features).unwrap();
    let features = backbone.output(Tap::Features).unwrap();
    let mut encoder = gpu().device.create_command_encoder(&Default::default());
    encoder.clear_buffer(features, 0, None);
    gpu().queue.submit([encoder.finish()]);
    assert_eq!(backbone.layers().len(), backbone.layer_commands().len());
    backbone.layer_commands().iter().for_each(|commands| gpu().run([commands]));
    assert_eq!(gpu().download::<f32>(features), whole);
}

/// What f16 may cost at any stage of any network: a relative root mean square.
const F16_ERROR: f64 = 3e-3;

/// Computes the root mean square of the differences, in units of that of the values.
fn relative_error(pairs: impl Iterator<Item = (f32, f64)>) -> f64 {
    let (errors, squares) = pairs.fold((0.0, 0.0), |(errors, squares), (got, want)| {
        (errors + (f64::from(got) - want).powi(2), squares + want * want)
    });
    (errors / squares).sqrt()
}

/// Plain and bottleneck blocks, groups (with and without a kernel of their own), a deep stem, pooled shortcuts and both kinds of
/// attention, all in f16.
#[test]
fn f16_gives_nearly_what_pytorch_gives() {
    let (fixture, timm) = (Fixture::load(), Fixture::load_timm());
    let names = ["resnet18", "resnet50", "resnext50_32x4d", "resnet10t", "seresnet18", "ecaresnetlight"];
    let mut checked = HashSet::new();
    for case in fixture.cases.iter().chain(&timm.cases) {
        let name = case.architecture().to_string();
        if !names.contains(&name.as_str()) {
            continue;
        }
        checked.insert(name.clone());
        let options = BackboneOptions { precision: Precision::F16, ..options(case) };
        let context = gpu().context(Family::Tiled);
        let backbone = Backbone::new(&context, &gpu().queue, &case.weights(), &options).unwrap();
        let mut pending = backbone.submit(&images(case)).unwrap();
        let mut errors = Vec::new();
        for (expected, (tap_name, tap)) in case.taps.iter().zip(TAPS) {
            let got = pending.wait(tap).unwrap();
            assert_eq!(got.len(), expected.shape.iter().product::<usize>(), "{name} {tap_name}");
            let error = relative_error(case.samples(expected).map(|(index, want)| (got[index], want)));
            errors.push(format!("{tap_name} {error:.1e}"));
            assert!(error <= F16_ERROR, "{name}: {errors:?}");
            // It is f16 that is looked at, and a wrong value is seen.
            assert!(error > 1e-5, "{name}: {errors:?}");
            let wrong = relative_error(case.samples(expected).map(|(index, want)| (got[index] * 1.01, want)));
            assert!(wrong > F16_ERROR, "{name}: {errors:?}");
        }
        let features = pending.wait(Tap::Features).unwrap();
        let context = gpu().context(gpu().families()[0]);
        let exact = BackboneOptions { precision: Precision::F32, ..options };
        let backbone = Backbone::new(&context, &gpu().queue, &case.weights(), &exact).unwrap();
        let want = backbone.submit(&images(case)).unwrap().wait(Tap::Features).unwrap();
        let len = backbone.len_of(Tap::Features).unwrap();
        let mut least = 1.0f64;
        for (got, want) in features.chunks(len).zip(want.chunks(len)) {
            let product =
                |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            least = least.min(product(got, want) / (product(got, got) * product(want, want)).sqrt());
        }
        println!("{name}: {}, cosine {least:.7}", errors.join(", "));
        assert!(least >= 0.9999, "{name}: cosine {least}");
    }
    assert_eq!(checked.len(), names.len(), "{checked:?}");
}

#[test]
fn f16_halves_what_the_device_holds() {
    let fixture = Fixture::load();
    let case = fixture.cases.iter().find(|case| case.architecture().to_string().starts_with("resnet-basic")).unwrap();
    let context = gpu().context(Family::Tiled);
    let bytes = |precision| {
        let options = BackboneOptions { input_size: [64, 64], precision, ..BackboneOptions::new(1) };
        let backbone = Backbone::new(&context, &gpu().queue, &case.weights(), &options).unwrap();
        backbone.memory().activations - 64 * 64 * 3 * 4
    };
    // The photo stays f32, and as f16 has a fourth channel.
    assert!(bytes(Precision::F16) <= bytes(Precision::F32) / 2 + 64 * 64 * 4 * 2);
    if gpu().families().contains(&Family::Texture) {
        let options = BackboneOptions { precision: Precision::F16, ..BackboneOptions::new(1) };
        let context = gpu().context(Family::Texture);
        let error = Backbone::new(&context, &gpu().queue, &case.weights(), &options).unwrap_err();
        assert!(error.to_string().contains("take the tiled ones or f32"), "{error}");
    }
}

#[test]
fn a_pass_in_slices_gives_the_same() {
    let fixture = Fixture::load();
    let case = fixture.cases.iter().find(|case| case.architecture().to_string().starts_with("resnet-basic")).unwrap();
    let context = gpu().context(gpu().families()[0]);
    let backbone = |slicing| {
        let options = BackboneOptions { slicing, ..options(case) };
        Backbone::new(&context, &gpu().queue, &case.weights(), &options).unwrap()
    };
    let images = images(case);
    let pass = |backbone: &Backbone| {
        let submits = backbone.submits();
        let mut pending = backbone.submit(&images).unwrap();
        (submits, TAPS.map(|(_, tap)| pending.wait(tap).unwrap()))
    };
    let (whole, expected) = pass(&backbone(Slicing::Whole));
    assert_eq!(whole, 1);
    let layers = backbone(Slicing::Whole).layers().len();
    let work: u64 = backbone(Slicing::Whole).layers().iter().map(|layer| layer.work()).sum();
    for (slicing, least, most) in
        [(Slicing::Work(1), layers, layers), (Slicing::Work(work / 3), 3, layers - 1), (Slicing::Work(work), 1, 1)]
    {
        let (submits, got) = pass(&backbone(slicing));
        assert!((least..=most).contains(&submits), "{slicing:?}: {submits}");
        assert!(got == expected, "{slicing:?}");
    }
    // Measured: nothing fits a nanosecond, everything an hour.
    for (limit, submits) in [(Duration::from_nanos(1), layers), (Duration::from_secs(3600), 1)] {
        let backbone = backbone(Slicing::Time(limit));
        assert_eq!(backbone.longest_submit(), None);
        for _ in 0..4 {
            assert!(pass(&backbone).1 == expected, "{limit:?}");
        }
        assert_eq!(backbone.submits(), submits, "{limit:?}");
        assert!(backbone.longest_submit().is_some());
    }
}

/// Makes networks in which nothing is a multiple of four.
pub fn ugly_networks() -> [Architecture; 4] {
    let stages = |sizes: [(usize, usize, usize); 4], groups, attention: [Option<Attention>; 4]| {
        std::array::from_fn(|s| {
            let (blocks, width, inner) = sizes[s];
            Stage { blocks, width, inner, groups, projection: true, attention: attention[s] }
        })
    };
    let squeeze = |reduced| Some(Attention::SqueezeExcite { reduced });
    let slide = |kernel| Some(Attention::Efficient { kernel });
    let basic = [(1, 5, 5), (2, 9, 9), (1, 13, 13), (1, 22, 22)];
    let bottleneck = [(1, 10, 3), (1, 13, 6), (2, 17, 9), (1, 31, 12)];
    let networks = [
        (Block::Basic, Some([3, 5]), true, stages(basic, 1, [squeeze(1), squeeze(3), None, squeeze(7)])),
        (Block::Basic, None, true, stages(basic, 1, [slide(1), slide(3), slide(9), slide(45)])),
        (Block::Bottleneck, Some([6, 2]), false, stages(bottleneck, 3, [slide(5), squeeze(2), slide(3), None])),
        (Block::Bottleneck, Some([4, 8]), true, stages(bottleneck, 1, [None; 4])),
    ];
    networks.map(|(block, deep_stem, pooled_shortcuts, stages)| Architecture {
        block,
        stem_width: 7,
        deep_stem,
        pooled_shortcuts,
        stages,
        classes: Some(11),
    })
}

/// Makes a batch of images of odd sizes: its shape, NCHW, and the values, NHWC.
pub fn ugly_images() -> ([usize; 4], Vec<f32>, Vec<ImageTensor>) {
    let shape = [3, 3, 45, 71];
    let [_, channels, height, width] = shape;
    let input = formula::input("input", shape.iter().product());
    let images = (input.chunks_exact(height * width * channels))
        .map(|data| ImageTensor { height, width, data: data.to_vec() })
        .collect();
    (shape, input, images)
}

/// Checks all taps of an ugly network, each with all of its values.
pub fn check_walked(what: &str, walked: &[(Vec<usize>, Vec<f64>)], mut pending: Pending) {
    for ((_, want), (name, tap)) in walked.iter().zip(TAPS) {
        let got = pending.wait(tap).unwrap();
        assert_eq!(got.len(), want.len(), "{what} {name}");
        let mean = want.iter().map(|value| value.abs()).sum::<f64>() / want.len() as f64;
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let close = (f64::from(*got) - want).abs() <= 1e-4 * (want.abs() + mean);
            assert!(close, "{what} {name} [{i}]: {got} instead of {want}");
        }
    }
}

/// The sizes are odd, and there is a batch.
#[test]
fn ugly_networks_give_what_the_walk_gives() {
    let (shape, input, images) = ugly_images();
    let [batch, _, height, width] = shape;
    for architecture in ugly_networks() {
        let file = WeightFile::from_bytes(formula::weights(&architecture.tensors())).unwrap();
        let walked = walk(&file, shape, &input);
        assert_eq!(walked.len(), TAPS.len());
        let options = BackboneOptions {
            input_size: [height, width],
            taps: TAPS.map(|(_, tap)| tap).to_vec(),
            ..BackboneOptions::new(batch)
        };
        let halved = BackboneOptions { precision: Precision::F16, ..options.clone() };
        let backbone = Backbone::new(&gpu().context(Family::Tiled), &gpu().queue, &file, &halved).unwrap();
        let mut pending = backbone.submit(&images).unwrap();
        for ((_, want), (name, tap)) in walked.iter().zip(TAPS) {
            let got = pending.wait(tap).unwrap();
            assert_eq!(got.len(), want.len(), "{architecture} {name}");
            let error = relative_error(got.iter().copied().zip(want.iter().copied()));
            assert!(error <= F16_ERROR, "{architecture} {name}: {error}");
        }
        for family in gpu().families() {
            let backbone = Backbone::new(&gpu().context(family), &gpu().queue, &file, &options).unwrap();
            check_walked(&format!("{architecture} {family:?}"), &walked, backbone.submit(&images).unwrap());
        }
    }
}

#[test]
fn buffers_are_reused_and_a_tap_keeps_its_own() {
    let fixture = Fixture::load();
    let case = fixture.cases.iter().find(|case| case.architecture().to_string() == "resnet18").unwrap();
    let weights = case.weights();
    let context = gpu().context(gpu().families()[0]);
    let input_size = [case.input[2], case.input[3]];
    let bytes = |taps: &[Tap]| {
        let options = BackboneOptions { input_size, taps: taps.to_vec(), ..BackboneOptions::new(case.input[0]) };
        Backbone::new(&context, &gpu().queue, &weights, &options).unwrap().memory().activations
    };
    let (batch, pixels) = (case.input[0] as u64, (input_size[0] * input_size[1]) as u64);
    // Input, the stem's output, and two activations of stage 1 (a block's input and its middle) of which one may take the
    // stem's place; then what is pooled.
    let stem = batch * pixels / 4 * 64 * 4;
    let stage1 = batch * pixels / 16 * 64 * 4;
    let all = bytes(&TAPS.map(|(_, tap)| tap));
    let features = bytes(&[Tap::Features]);
    assert!(features <= batch * pixels * 3 * 4 + stem + 2 * stage1 + batch * 512 * 4, "{features}");
    assert!(all > features, "{all} {features}");
    assert!(bytes(&[Tap::Stem]) < features);
}

#[test]
fn a_small_batch_gives_the_first_results_of_a_large_one() {
    let fixture = Fixture::load();
    let case = fixture.cases.iter().find(|case| case.architecture().to_string().starts_with("resnet-basic")).unwrap();
    let context = gpu().context(gpu().families()[0]);
    let options = BackboneOptions { input_size: [case.input[2], case.input[3]], ..BackboneOptions::new(3) };
    let backbone = Backbone::new(&context, &gpu().queue, &case.weights(), &options).unwrap();
    let images = images(case);
    let both = backbone.submit(&images).unwrap().wait(Tap::Features).unwrap();
    let one = backbone.submit(&images[..1]).unwrap().wait(Tap::Features).unwrap();
    assert_eq!(one, both[..one.len()]);
}

#[test]
fn what_it_cannot_do_is_an_error() {
    let fixture = Fixture::load();
    let case = fixture.cases.iter().find(|case| case.architecture().to_string().starts_with("resnet-basic")).unwrap();
    let context = gpu().context(gpu().families()[0]);
    let weights = case.weights();
    let new = |options: &BackboneOptions| Backbone::new(&context, &gpu().queue, &weights, options);
    let good = BackboneOptions { input_size: [64, 64], ..BackboneOptions::new(1) };
    for bad in [
        BackboneOptions { batch: 0, ..good.clone() },
        BackboneOptions { input_size: [0, 64], ..good.clone() },
        BackboneOptions { taps: vec![], ..good.clone() },
        BackboneOptions { taps: vec![Tap::Stage(5)], ..good.clone() },
    ] {
        assert!(matches!(new(&bad), Err(Error::Options(_))), "{bad:?}");
    }
    let backbone = new(&good).unwrap();
    let image = ImageTensor { height: 32, width: 64, data: vec![0.0; 32 * 64 * 3] };
    let error = backbone.submit(&[image]).unwrap_err();
    assert_eq!(error.to_string(), "backbone: image 0 is [32, 64], the backbone takes [64, 64]");
    assert!(matches!(backbone.submit(&[]), Err(Error::Options(_))));
    assert!(matches!(backbone.submit(&images(case)), Err(Error::Options(_))));
}

/// Makes the small network's weights, but for one BatchNorm's scale, which is so many times as large.
fn with_a_large_scale(norm: &str, times: f32) -> WeightFile {
    use resnet::safetensors::{SafeTensors, serialize, tensor::TensorView};
    let bytes = formula::weights(&Architecture::basic([1, 1, 1, 1], [32, 64, 128, 256], Some(10)).tensors());
    let tensors: Vec<(String, TensorView)> = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let large: Vec<u8> = tensors
        .iter()
        .find(|(name, _)| *name == format!("{norm}.weight"))
        .map(|(_, tensor)| tensor.data().as_chunks().0.iter())
        .unwrap()
        .flat_map(|value| (f32::from_le_bytes(*value) * times).to_le_bytes())
        .collect();
    let tensors = tensors.iter().map(|(name, tensor)| {
        let data = if *name == format!("{norm}.weight") { &large } else { tensor.data() };
        (name, TensorView::new(tensor.dtype(), tensor.shape().to_vec(), data).unwrap())
    });
    WeightFile::from_bytes(serialize(tensors, None).unwrap()).unwrap()
}

/// No batch would be small enough to fit.
#[test]
fn a_weight_beyond_f16_is_told_by_its_name_and_is_no_lack_of_memory() {
    let context = gpu().context(Family::Tiled);
    let weights = with_a_large_scale("layer2.0.downsample.1", 1e6);
    let options = BackboneOptions { input_size: [64, 64], ..BackboneOptions::new(1) };
    assert!(Backbone::new(&context, &gpu().queue, &weights, &options).is_ok());
    let halved = BackboneOptions { precision: Precision::F16, ..options };
    let error = Backbone::new(&context, &gpu().queue, &weights, &halved).unwrap_err();
    assert!(matches!(&error, Error::Weight { name, .. } if name == "layer2.0.downsample.0.weight"), "{error:?}");
    let cause = std::error::Error::source(&error).expect("the kernel's own words").to_string();
    assert!(cause.contains("beyond f16"), "{cause}");
    assert!(!error.is_too_large());
}

/// What f16 can't hold is an error that names the first such layer, though the tap in front of it is whole. The next pass starts anew.
#[test]
fn what_overflows_f16_is_told_by_its_layer() {
    let context = gpu().context(Family::Tiled);
    let weights = with_a_large_scale("layer2.0.bn1", 1e3);
    let options = BackboneOptions {
        input_size: [64, 64],
        taps: vec![Tap::Stage(1), Tap::Features],
        precision: Precision::F16,
        ..BackboneOptions::new(2)
    };
    let backbone = Backbone::new(&context, &gpu().queue, &weights, &options).unwrap();
    let image = |scale: f32| {
        let data = formula::input("image", 64 * 64 * 3).iter().map(|value| value * scale).collect();
        ImageTensor { height: 64, width: 64, data }
    };
    let whole = backbone.submit(&[image(1.0), image(1.0)]).unwrap().wait(Tap::Features).unwrap();
    assert!(whole.iter().all(|value| value.is_finite()), "{:?}", &whole[..8]);
    for (images, layer) in [
        ([image(100.0), image(1.0)], "layer2.0.conv1"),
        ([image(1.0), image(100.0)], "layer2.0.conv1"),
        ([image(1.0), image(1e5)], "input"),
        ([image(1.0), image(f32::NAN)], "input"),
    ] {
        let mut large = backbone.submit(&images).unwrap();
        // On its way together with the one before. The image that isn't given doesn't count.
        let mut next = backbone.submit(&images[..1]).unwrap();
        for tap in [Tap::Features, Tap::Stage(1), Tap::Features] {
            let error = large.wait(tap).unwrap_err();
            let expected =
                format!("backbone: `{layer}` gives numbers beyond f16, which ends at 65504, or NaN: use f32");
            assert_eq!(error.to_string(), expected);
            assert!(!error.is_too_large());
        }
        let next = next.wait(Tap::Features);
        match images[0].data == image(1.0).data {
            true => assert_eq!(next.unwrap(), whole[..whole.len() / 2]),
            false => assert!(matches!(next, Err(Error::Overflow { .. }))),
        }
    }
    let plain = BackboneOptions { precision: Precision::F32, ..options };
    let backbone = Backbone::new(&context, &gpu().queue, &weights, &plain).unwrap();
    let features = backbone.submit(&[image(100.0)]).unwrap().wait(Tap::Features).unwrap();
    assert!(features.iter().all(|value| value.is_finite()));
}

#[test]
fn what_a_smaller_batch_mends_is_told_apart() {
    let context = gpu().context(gpu().families()[0]);
    let network = Architecture::named("resnet18", None).unwrap();
    let layers = |batch| network.layers(&context, &BackboneOptions::new(batch));
    // More values than 32 bits count.
    let error = layers(1 << 20).unwrap_err();
    assert!(error.is_too_large(), "{error}");
    assert!(layers(1 << 10).is_ok());
    let error = layers(0).unwrap_err();
    assert!(!error.is_too_large(), "{error}");
}
