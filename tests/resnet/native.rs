//! The CPU's engine gives PyTorch's values at every tap of every architecture, with every instruction set and number of threads. No adapter is needed.

use crate::fixture::{Case, Fixture};
use crate::forward::{TAPS, check_taps, check_walked, images, ugly_images, ugly_networks};
use crate::network::walk;
use native::{Backbone, Options};
use resnet::{Engine, Error, ImageBytes, ImageTensor, Tap, WeightFile};
use std::process::Command;
use testkit::formula;

fn taps() -> [Tap; 8] {
    TAPS.map(|(_, tap)| tap)
}

fn backbone(case: &Case) -> Backbone {
    let [batch, _, height, width] = case.input;
    Backbone::new(&case.weights(), &Options { batch, input_size: [height, width], taps: &taps() }).unwrap()
}

fn small() -> Case {
    let mut cases = Fixture::load().cases.into_iter();
    cases.find(|case| case.architecture().to_string().starts_with("resnet-basic")).unwrap()
}

#[test]
fn every_architecture_gives_what_pytorch_gives_on_the_cpu() {
    for case in Fixture::load().cases.iter().chain(&Fixture::load_timm().cases) {
        check_taps("native", case, &backbone(case));
    }
}

#[test]
fn ugly_networks_give_what_the_walk_gives_on_the_cpu() {
    let (shape, input, images) = ugly_images();
    let [batch, _, height, width] = shape;
    for architecture in ugly_networks() {
        let file = WeightFile::from_bytes(formula::weights(&architecture.tensors())).unwrap();
        let options = Options { batch, input_size: [height, width], taps: &taps() };
        let backbone = Backbone::new(&file, &options).unwrap();
        let pending = backbone.submit(&images).unwrap();
        check_walked(&format!("{architecture} native"), &walk(&file, shape, &input), pending);
    }
}

/// Lists what this CPU has, from the error that lists it.
fn instruction_sets() -> Vec<String> {
    let output = again("the_environment_names_an_instruction_set", "none");
    let (_, names) = output.split_once("this CPU has ").unwrap_or_else(|| panic!("{output}"));
    names.lines().next().unwrap().trim_end_matches('"').split(", ").map(str::to_owned).collect()
}

/// Runs a test of this file in a process of its own, with this in `REHEAD_CPU`, and gives what it prints.
fn again(test: &str, cpu: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("native::{test}"), "--nocapture"])
        .env("REHEAD_CPU", cpu)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{cpu}: {text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
    text
}

#[test]
fn the_environment_names_an_instruction_set() {
    let case = small();
    match Backbone::new(&case.weights(), &Options { batch: 1, input_size: [32, 32], taps: &[Tap::Features] }) {
        Ok(backbone) => println!("{backbone:?}"),
        Err(error) => println!("{error}"),
    }
}

#[test]
fn every_instruction_set_gives_what_pytorch_gives() {
    let sets = instruction_sets();
    assert!(!sets.is_empty());
    for set in sets {
        let made = again("the_environment_names_an_instruction_set", &set);
        assert!(made.contains(&format!("isa: {set:?}")), "{made}");
        for test in
            ["the_smallest_networks_give_what_pytorch_gives", "ugly_networks_give_what_the_walk_gives_on_the_cpu"]
        {
            again(test, &set);
        }
    }
}

/// Plain and bottleneck blocks, groups, a deep stem, pooled shortcuts and both kinds of attention.
#[test]
fn the_smallest_networks_give_what_pytorch_gives() {
    let names =
        ["resnet-basic-1-1-1-1-w32", "resnet18", "resnext50_32x4d", "resnet10t", "seresnet18", "ecaresnetlight"];
    let mut checked = 0;
    for case in Fixture::load().cases.iter().chain(&Fixture::load_timm().cases) {
        if names.contains(&case.architecture().to_string().as_str()) {
            check_taps("native", case, &backbone(case));
            checked += 1;
        }
    }
    assert!(checked >= names.len());
}

/// Gives all taps of some images, with so many threads.
fn by_threads(threads: usize, backbone: impl Fn() -> Backbone + Send + Sync, images: &[ImageTensor]) -> Vec<Vec<u32>> {
    let pool = pool_of(threads);
    pool.install(|| {
        let mut pending = backbone().submit(images).unwrap();
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
        taps().map(|tap| bits(pending.wait(tap).unwrap())).to_vec()
    })
}

fn pool_of(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

#[test]
fn the_bytes_are_the_same_whatever_the_threads_and_the_batch() {
    let timm = Fixture::load_timm().cases.into_iter().find(|case| case.architecture().to_string() == "seresnet18");
    for case in [small(), timm.unwrap()] {
        let images = images(&case);
        let one = by_threads(1, || backbone(&case), &images);
        for threads in [2, 3, 16] {
            assert!(by_threads(threads, || backbone(&case), &images) == one, "{threads} threads");
        }
        // An image by itself, in a backbone for more.
        let backbone = backbone(&case);
        for (place, image) in images.iter().enumerate() {
            let mut alone = backbone.submit(std::slice::from_ref(image)).unwrap();
            for (all, tap) in one.iter().zip(taps()) {
                let len = backbone.len_of(tap).unwrap();
                let got: Vec<u32> = alone.wait(tap).unwrap().into_iter().map(f32::to_bits).collect();
                assert!(got == all[place * len..(place + 1) * len], "{tap:?} of image {place}");
            }
        }
        let mut moved = images.clone();
        moved[0].data[0] += 1.0;
        assert!(by_threads(2, || self::backbone(&case), &moved) != one, "the comparison can fail");
    }
}

#[test]
fn bytes_give_what_their_tensors_give_and_passes_may_overlap() {
    let case = small();
    let backbone = backbone(&case);
    let [batch, _, height, width] = case.input;
    let photos: Vec<ImageBytes> = (0..batch)
        .map(|seed| ImageBytes {
            height,
            width,
            data: (0..height * width * 3).map(|i| formula::byte(&format!("photo {seed}"), i)).collect(),
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.5, 1.0],
        })
        .collect();
    let tensors: Vec<ImageTensor> = photos.iter().map(ImageBytes::tensor).collect();
    let passes: Vec<Vec<f32>> = std::thread::scope(|scope| {
        let pass = |i: usize| {
            let pending = if i.is_multiple_of(2) { backbone.submit_bytes(&photos) } else { backbone.submit(&tensors) };
            pending.unwrap().wait(Tap::Features).unwrap()
        };
        let threads: Vec<_> = (0..4).map(|i| scope.spawn(move || pass(i))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(passes[0].iter().any(|value| *value != passes[0][0]));
    assert!(passes.iter().all(|pass| *pass == passes[0]));
}

#[test]
fn nan_is_never_lost() {
    let case = small();
    let mut images = images(&case);
    let middle = images[0].data.len() / 2;
    images[0].data[middle] = f32::NAN;
    let backbone = backbone(&case);
    let mut pending = backbone.submit(&images).unwrap();
    for (tap, least) in [(Tap::Stem, 1), (Tap::Pool, 1), (Tap::Stage(1), 1), (Tap::Features, 256), (Tap::Logits, 10)] {
        let len = backbone.len_of(tap).unwrap();
        let values = pending.wait(tap).unwrap();
        let count = |values: &[f32]| values.iter().filter(|value| value.is_nan()).count();
        assert!(count(&values[..len]) >= least, "{tap:?}");
        assert_eq!(count(&values[len..]), 0, "{tap:?}: other images' are their own");
    }
}

#[test]
fn bad_options_are_told() {
    let case = small();
    let weights = case.weights();
    let good = Options { batch: 1, input_size: [64, 64], taps: &[Tap::Features] };
    let new = |options: &Options| Backbone::new(&weights, options);
    for (bad, words) in [
        (Options { batch: 0, ..good }, "none may be empty"),
        (Options { input_size: [0, 64], ..good }, "none may be empty"),
        (Options { taps: &[], ..good }, "none may be empty"),
        (Options { taps: &[Tap::Stage(5)], ..good }, "stages are 1 to 4"),
        (Options { batch: usize::MAX, ..good }, "more values than can be counted"),
    ] {
        let error = new(&bad).unwrap_err();
        assert!(matches!(&error, Error::Options(text) if text.contains(words)), "{error}");
    }
    let error = new(&Options { batch: 1 << 34, ..good }).unwrap_err();
    assert!(matches!(error, Error::Memory { .. }) && error.is_too_large(), "{error}");
    let mut architecture = case.architecture();
    architecture.classes = None;
    let headless = WeightFile::from_bytes(formula::weights(&architecture.tensors())).unwrap();
    assert!(matches!(Backbone::new(&headless, &Options { taps: &[Tap::Logits], ..good }), Err(Error::NoHead { .. })));
    let backbone = new(&good).unwrap();
    let image = ImageTensor { height: 32, width: 64, data: vec![0.0; 32 * 64 * 3] };
    let error = backbone.submit(&[image]).unwrap_err();
    assert_eq!(error.to_string(), "backbone: image 0 is [32, 64], the backbone takes [64, 64]");
    assert!(matches!(backbone.submit(&[]), Err(Error::Options(_))));
    let image = ImageTensor { height: 64, width: 64, data: vec![0.0; 64 * 64 * 3] };
    let error = backbone.submit(&[image]).unwrap().wait(Tap::Stem).unwrap_err();
    assert_eq!(error.to_string(), "backbone: Stem isn't among the taps that the backbone was made with");
}
