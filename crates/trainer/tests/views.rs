//! Views of photos: learnt from side by side, judged by their mean, and kept where they gain.

mod world;

use image::{Rgb, RgbImage};
use serde_json::Value;
use trainer::data::{Class, Target};
use trainer::features::Rows;
use trainer::head::{Choice, Fit, Folds, Head, Method, Optimizer, Problem, Samples, Scaling, TrainOptions, solve};
use trainer::machine::{Device, Selection, open};
use world::World;

/// The strength is given: among many that are as good, which is chosen hangs on the last digits.
const LINE: &str = "train photos --backbone weights.safetensors --recipe recipe.json --scaling each --l2 0.1";

/// A sequence of numbers between -1 and 1 that looks random.
fn noise(seed: u32) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Photos of three classes in two views: a class's place, what is the photo's own, and what is the view's.
struct Shown {
    rows: Vec<f32>,
    targets: Vec<Target>,
    deal: Vec<usize>,
}

const PHOTOS: usize = 30;
const WIDTH: usize = 6;
const CLASSES: usize = 3;

impl Shown {
    fn new(of_view: f32) -> Self {
        let mut noise = noise(7);
        let mut shown = Self { rows: Vec::new(), targets: Vec::new(), deal: Vec::new() };
        for photo in 0..PHOTOS {
            let own: Vec<f32> = (0..WIDTH).map(|column| noise() + f32::from(column == photo % CLASSES)).collect();
            for _ in 0..2 {
                shown.rows.extend(own.iter().map(|value| value + of_view * noise()));
                shown.targets.push(Class::new(photo % CLASSES).into());
                shown.deal.push(photo / CLASSES % 5);
            }
        }
        shown
    }

    /// Solves for some rows, with a strength that is given; both views of a photo count together what a photo counts.
    fn solve(&self, device: &Device, rows: &[usize], views: usize, folds: bool) -> Fit {
        let all = Rows::new(&self.rows, WIDTH).unwrap();
        let (picked, classes) = (all.select(rows.iter().copied()), ["a", "b", "c"].map(str::to_owned));
        let targets: Vec<Target> = rows.iter().map(|&row| self.targets[row].clone()).collect();
        let deals = vec![rows.iter().map(|&row| self.deal[row]).collect::<Vec<_>>()];
        let weights = vec![0.5; rows.len()];
        let train = Samples { rows: &picked, targets: &targets, weights: Some(&weights) };
        let folds = folds.then_some(Folds { deals: &deals, nested: false });
        let problem = Problem { classes: &classes, train, validation: None, folds, views };
        let (l2, scaling, choice) = (Some(0.1), Some(Scaling::Each), Choice::Best);
        let optimizer =
            Optimizer::Lbfgs { method: Some(Method::Logistic), l2, scaling, tolerance: 1e-6, folds: 5, choice };
        solve(device, &problem, &TrainOptions { optimizer, ..Default::default() }, &()).unwrap()
    }

    /// Judges each photo by the mean over so many of its views, by a head of all rows of other folds: what cross-validation does, by hand.
    fn by_hand(&self, device: &Device, views: usize) -> Vec<f32> {
        let mut logits = vec![0.0; PHOTOS * CLASSES];
        for fold in 0..5 {
            let (inside, outside): (Vec<usize>, Vec<usize>) = (0..2 * PHOTOS).partition(|&row| self.deal[row] == fold);
            let head = self.solve(device, &outside, 2, false).head;
            for photo in inside.iter().step_by(2).map(|row| row / 2) {
                let shown = Rows::new(&self.rows[2 * photo * WIDTH..][..views * WIDTH], WIDTH).unwrap();
                for (place, logit) in head.logits(&shown).unwrap().iter().enumerate() {
                    logits[photo * CLASSES + place % CLASSES] += logit / views as f32;
                }
            }
        }
        logits
    }
}

fn furthest(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

#[test]
fn cross_validation_keeps_views_in_a_fold_and_judges_by_their_mean() {
    let device: Device = pollster::block_on(open(&Selection::default())).unwrap().into();
    let all: Vec<usize> = (0..2 * PHOTOS).collect();
    let shown = Shown::new(1.0);
    let fit = shown.solve(&device, &all, 2, true);
    let (found, temperature) = (fit.cross_validation.unwrap(), fit.temperature.unwrap().value as f32);
    let logits: Vec<f32> = found.logits.iter().map(|logit| logit * temperature).collect();
    // The centre of features moves with the fold that is left out where it is solved by hand, and not where all folds share it: both are within what that,
    // and the search's end at 1e-3 of the gradient, may change.
    let by_hand = shown.by_hand(&device, 2);
    let scale = by_hand.iter().map(|logit| logit.abs()).fold(0.0, f32::max);
    let apart = furthest(&logits, &by_hand);
    assert!(apart < 0.1 * scale, "{apart} of {scale}");
    let loss = |photo: usize| {
        let row = &found.logits[photo * CLASSES..][..CLASSES];
        let sum: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
        sum.ln() - f64::from(row[photo % CLASSES])
    };
    assert_eq!(found.losses.len(), PHOTOS);
    assert!((0..PHOTOS).all(|photo| (found.losses[photo] - loss(photo)).abs() < 1e-6));
    // Judged by one view it would be something else.
    let single = furthest(&logits, &shown.by_hand(&device, 1));
    assert!(single > 3.0 * apart, "{single} {apart}");

    // Views that are all alike say what one says.
    let alike = Shown::new(0.0);
    let firsts: Vec<usize> = (0..PHOTOS).map(|photo| 2 * photo).collect();
    let (twice, once) = (alike.solve(&device, &all, 2, true), alike.solve(&device, &firsts, 1, true));
    let head = |head: &Head| head.weight.iter().chain(&head.bias).copied().collect::<Vec<f32>>();
    let by = furthest(&head(&twice.head), &head(&once.head));
    assert!(by < 1e-4, "{by}");
    let loss = |fit: &Fit| fit.cross_validation.as_ref().unwrap().candidates[0].log_loss;
    assert!((loss(&twice) / loss(&once) - 1.0).abs() < 1e-3);
    assert_eq!(twice.cross_validation.unwrap().logits.len(), PHOTOS * CLASSES);
}

/// Draws square photos of three colours that hardly differ. From left to right they grow darker or lighter, by chance, unless they are `symmetric`.
fn draw(world: &World, symmetric: bool) {
    std::fs::remove_dir_all(world.path("photos")).unwrap();
    let mut noise = noise(3);
    for (class, colour) in
        [("blue", [112.0, 120.0, 134.0]), ("green", [112.0, 130.0, 124.0]), ("red", [124.0, 120.0, 122.0])]
    {
        for index in 0..24 {
            let path = world.path(&format!("photos/{class}/{index:02}.png"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let (slope, own) = (6.0 * noise(), [4.0 * noise(), 4.0 * noise(), 4.0 * noise()]);
            let mut dots: Vec<f32> = (0..36 * 36).map(|_| 4.0 * noise()).collect();
            if symmetric {
                dots.chunks_mut(36).for_each(|row| (0..18).for_each(|x| row[35 - x] = row[x]));
            }
            let picture = RgbImage::from_fn(36, 36, |x, y| {
                let along = if symmetric { 0.0 } else { slope * (x as f32 - 17.5) };
                let value = |channel: usize| colour[channel] + own[channel] + along + dots[(y * 36 + x) as usize];
                Rgb([0, 1, 2].map(|channel| value(channel).clamp(0.0, 255.0) as u8))
            });
            picture.save(path).unwrap();
        }
    }
}

fn metrics(world: &World, run: &str) -> Value {
    serde_json::from_str(&world.read(&format!("{run}/metrics.json"))).unwrap()
}

#[test]
fn mirror_images_that_say_nothing_new_are_left_off() {
    let world = World::new();
    draw(&world, true);
    let (out, err) = world.expect(0, &format!("{LINE} --views flip --out run"));
    let tried = &metrics(&world, "run")["views"];
    // Were a photo's mirror image in another fold, the head would have learnt it by heart.
    let [plain, seen] = ["plain", "seen"].map(|way| tried[way]["out_of_fold"].as_f64().unwrap());
    assert!((seen / plain - 1.0).abs() < 0.01, "{plain} {seen}");
    assert_eq!((&tried["kept"], &tried["passes"], &tried["views"]), (&false.into(), &2.into(), &"flip".into()));
    assert!(out.contains("\n> plain") && out.contains("Left off") && err.contains("72 photos in"), "{out}{err}");
    assert!(err.lines().any(|line| line.ends_with("  mirrored")), "{err}");
    assert!(!world.read("run/config.json").contains("\"views\""));
    // The run is the one without.
    world.expect(0, &format!("{LINE} --out plain"));
    let model = |run: &str| std::fs::read(world.path(&format!("{run}/model.safetensors"))).unwrap();
    assert!(model("run") == model("plain"));
    // All is kept: another try costs no pass, and a view more costs that one.
    let again = world.json(&format!("{LINE} --views flip --out run --force --json"));
    assert_eq!((&again["photos"]["computed"], &again["views"]), (&0.into(), tried));
}

#[test]
fn views_that_gain_are_kept_and_known_to_all_commands() {
    let world = World::new();
    draw(&world, false);
    let (out, _) = world.expect(0, &format!("{LINE} --views flip --out run --no-store"));
    let tried = &metrics(&world, "run")["views"];
    assert_eq!(tried["kept"], true, "{tried}");
    assert!(out.contains("\n> flip") && world.read("run/report.html").contains("&gt; flip"), "{out}");
    let judged = &metrics(&world, "run")["cross_validated"];
    assert_eq!(judged["log_loss"], tried["seen"]["log_loss"]);
    let config: Value = serde_json::from_str(&world.read("run/config.json")).unwrap();
    assert_eq!(config["views"], "flip");

    // By hand: the mean of what the head makes of a photo and of its mirror image.
    let photo = world.path("photos/red/05.png");
    let mirrored = image::imageops::flip_horizontal(&image::open(&photo).unwrap());
    std::fs::create_dir_all(world.path("two")).unwrap();
    std::fs::copy(&photo, world.path("two/1.png")).unwrap();
    mirrored.save(world.path("two/2.png")).unwrap();
    world.expect(0, "embed two --backbone weights.safetensors --recipe recipe.json --out two.safetensors --no-store");
    let tensor = |file: &str, name: &str| -> Vec<f32> {
        let bytes = std::fs::read(world.path(file)).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        file.tensor(name).unwrap().data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    };
    let features = tensor("two.safetensors", "features");
    let (weight, bias) = (tensor("run/model.safetensors", "fc.weight"), tensor("run/model.safetensors", "fc.bias"));
    let logits = |row: &[f32]| -> Vec<f64> {
        let layer = weight.chunks(row.len()).zip(&bias);
        layer
            .map(|(weight, bias)| weight.iter().zip(row).map(|(w, x)| f64::from(w * x)).sum::<f64>() + f64::from(*bias))
            .collect()
    };
    let shares = |logits: &[f64]| -> Vec<f64> {
        let powers: Vec<f64> = logits.iter().map(|logit| logit.exp()).collect();
        powers.iter().map(|power| power / powers.iter().sum::<f64>()).collect()
    };
    let [one, other] = [&features[..32], &features[32..]].map(logits);
    let mean: Vec<f64> = one.iter().zip(&other).map(|(one, other)| (one + other) / 2.0).collect();
    let (mut expected, mut plain) = (shares(&mean), shares(&one));
    [&mut expected, &mut plain].iter_mut().for_each(|shares| shares.sort_by(|a, b| b.total_cmp(a)));
    let predicted = world.json("predict run two/1.png --json --top 3");
    let text = predicted.to_string();
    let found: Vec<f64> = numbers_of(&predicted, "probability");
    assert_eq!(found.len(), 3, "{text}");
    let off = |of: &[f64]| found.iter().zip(of).map(|(found, of)| (found - of).abs()).fold(0.0, f64::max);
    assert!(off(&expected) < 1e-4, "{found:?} {expected:?}");
    assert!(off(&plain) > 1e-3, "the plain view alone would say {plain:?}");
    // Mirrored, it is the same photo to this run.
    let of_mirrored = numbers_of(&world.json("predict run two/2.png --json --top 3"), "probability");
    assert!(off(&of_mirrored) < 1e-4);

    // The others know them too.
    let (_, err) = world.expect(3, "verify run");
    assert!(err.contains("of the 72 photos that it learnt from aren't kept"), "{err}");
    let evaluated = world.json("evaluate run photos --all --json");
    assert_eq!(evaluated["evaluation"]["count"], 72);
    let (out, _) = world.expect(0, "verify run");
    assert!(out.contains("the optimum for 72 photos"), "{out}");
    let again = world.json("train --again run --json");
    assert_eq!((&again["views"]["kept"], &again["photos"]["computed"]), (&true.into(), &0.into()));
}

/// Collects the numbers of this name, wherever they stand.
fn numbers_of(json: &Value, name: &str) -> Vec<f64> {
    match json {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(field, value)| match value.as_f64() {
                Some(number) if field == name => vec![number],
                _ => numbers_of(value, name),
            })
            .collect(),
        Value::Array(all) => all.iter().flat_map(|value| numbers_of(value, name)).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn views_that_cannot_be_had_are_refused_before_any_pass() {
    let world = World::new();
    let refused = |more: &str, said: &str| {
        let (_, err) = world.expect(2, &format!("train photos --backbone weights.safetensors --out run {more}"));
        assert!(err.contains(said) && !err.contains("photos in"), "{err}");
    };
    let exact = r#"{"input_size": [32, 32], "resize": {"exact": [32, 32]}, "interpolation": "bilinear", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}"#;
    std::fs::write(world.path("exact.json"), exact).unwrap();
    refused("--recipe exact.json --views flip,crops", "leaves nothing to crop");
    refused("--recipe recipe.json --views flop", "\"flop\" is none of flip, crops and plain");
    refused("--recipe recipe.json --views flip --optimizer adamw", "--optimizer lbfgs");
    world.expect(2, "train --again run --views flip");
    world.expect(2, "train --features f.npy --labels l.csv --views flip");
}
