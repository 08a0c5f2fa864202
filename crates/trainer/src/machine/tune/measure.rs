//! The measurement: every variant of every shape, timed in turns.

use std::time::{Duration, Instant};

use kernels::wgpu::DeviceType;
use kernels::{Commands, Context, TuneTable, Variant};
use resnet::{Architecture, BackboneOptions, PlannedLayer};
use serde::{Serialize, Serializer};

use crate::error::{Error, Result};
use crate::machine::gpu::Gpu;
use crate::machine::timer::Timer;
use crate::machine::tune::operands::Operands;
use crate::progress::{Progress, Stage};

/// Rounds in which a shape's candidates are timed, one after the other in each.
const ROUNDS: usize = 9;
/// A candidate this much slower than the best so far is timed no more.
const HOPELESS: f64 = 1.5;
/// What a candidate must take of the default's time to win: less may be noise, and another result in the last digits.
const WINS: f64 = 0.97;
/// How long a GPU works before it is timed: while it waits for the compiler its clock falls to a fifth, under which memory seems fast.
const WARM_UP: Duration = Duration::from_millis(150);

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Tuning {
    /// The shapes that can be computed in more than one way, the costliest first.
    pub shapes: Vec<Shape>,
    /// The shapes for which no time was left; they keep their default.
    pub unmeasured: Vec<String>,
    /// `timestamps` of the adapter or `submit and wait`.
    pub timer: &'static str,
    /// How long it took.
    pub seconds: f64,
}

/// A class of shapes.
#[derive(Clone, Debug, Serialize)]
pub struct Shape {
    /// Its name in the table.
    pub class: String,
    /// The layers of the network that belong to it.
    pub layers: Vec<String>,
    /// The variant used without a table.
    #[serde(serialize_with = "as_text")]
    pub default: Variant,
    /// The fastest variant.
    #[serde(serialize_with = "as_text")]
    pub chosen: Variant,
    /// Every way there is, the default first.
    pub candidates: Vec<Candidate>,
}

/// A way to compute a shape.
#[derive(Clone, Debug, Serialize)]
pub struct Candidate {
    /// The variant.
    #[serde(serialize_with = "as_text")]
    pub variant: Variant,
    /// Milliseconds, the best of its rounds (other load only adds to it); none if it was refused.
    pub ms: Option<f64>,
    /// Why it was refused.
    pub refused: Option<String>,
}

fn as_text<S: Serializer>(variant: &Variant, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(variant)
}

impl Shape {
    /// Looks up the milliseconds of a variant.
    pub fn ms(&self, variant: Variant) -> Option<f64> {
        self.candidates.iter().find(|candidate| candidate.variant == variant)?.ms
    }
}

impl Tuning {
    /// Gathers the winners into a table.
    pub fn table(&self) -> TuneTable {
        self.shapes.iter().map(|shape| (shape.class.clone(), shape.chosen)).collect()
    }
}

/// Measures the variants of every shape among `layers`, in about `budget`.
///
/// A candidate's result must agree with the default's before it may win. The costliest shapes come first, and each gets its share
/// of the time that is left; at least one round, so that a slow adapter may take longer.
///
/// # Errors
/// The adapter fails or refuses the default itself; the user stopped it.
pub fn measure(gpu: &Gpu, layers: &[PlannedLayer], budget: Duration, progress: &dyn Progress) -> Result<Tuning> {
    let start = Instant::now();
    let timer = Timer::new(gpu);
    let mut classes: Vec<Class> = Vec::new();
    for layer in layers.iter().filter(|layer| layer.variants().len() > 1) {
        let name = layer.class().unwrap_or_default();
        match classes.iter_mut().find(|known| known.name == name) {
            Some(known) => known.layers.push(layer.name.clone()),
            None => classes.push(Class { name, first: layer, layers: vec![layer.name.clone()] }),
        }
    }
    classes.sort_by_key(|class| std::cmp::Reverse(class.first.flops * class.layers.len() as u64));
    progress.begin(Stage::TUNE, classes.len());
    let (mut shapes, mut unmeasured) = (Vec::new(), Vec::new());
    let left = classes.len();
    for (done, class) in classes.into_iter().enumerate() {
        progress.note(&class.layers[0]);
        match budget.checked_sub(start.elapsed()) {
            Some(time) => {
                let share = time / (left - done) as u32;
                let compared = compare(&timer, class, share, progress);
                if compared.is_err() {
                    progress.end();
                }
                shapes.push(compared?);
            }
            None => unmeasured.push(class.name),
        }
        progress.advance(1);
    }
    progress.note("");
    progress.end();
    for shape in &shapes {
        for Candidate { variant, refused, .. } in &shape.candidates {
            if let Some(why) = refused {
                progress.warn(&format!("{}: `{variant}` is left out: {why}", shape.class));
            }
        }
    }
    Ok(Tuning { shapes, unmeasured, timer: timer.method(), seconds: start.elapsed().as_secs_f64() })
}

/// A class of shapes, and the layers of a network that belong to it.
struct Class<'a> {
    name: String,
    first: &'a PlannedLayer,
    layers: Vec<String>,
}

/// Times every variant of a class of shapes in turns and chooses.
fn compare(timer: &Timer<'_>, class: Class<'_>, share: Duration, progress: &dyn Progress) -> Result<Shape> {
    let (start, gpu) = (Instant::now(), timer.gpu());
    let Class { name: class, first: layer, layers } = class;
    let mut variants = layer.variants();
    // The network's choice first: it may spare memory where the kernel alone would not.
    let default = variants.iter().position(|&variant| Some(variant) == layer.variant()).unwrap_or_default();
    variants[..=default].rotate_right(1);
    let operands = Operands::new(gpu, layer);
    let bound = operands.bind(gpu, layer, &variants)?;
    let mut expected = Vec::new();
    let mut refused = Vec::new();
    // Compiled, and checked, before anything is timed.
    for (index, commands) in bound.iter().enumerate() {
        if progress.cancelled() {
            return Err(Error::Interrupted { kept: 0 });
        }
        let problem = match commands {
            Ok(commands) => {
                timer.submit(|encoder| {
                    encoder.clear_buffer(&operands.output, 0, None);
                    commands.encode(encoder);
                })?;
                let result = operands.result(gpu)?;
                if index == 0 {
                    expected = result;
                    None
                } else {
                    differs(&expected, &result, operands.tolerance())
                }
            }
            Err(error) => Some(error.to_string()),
        };
        refused.push(problem);
    }
    if let Some(Ok(commands)) = bound.first()
        && gpu.adapter.get_info().device_type != DeviceType::Cpu
    {
        let start = Instant::now();
        while start.elapsed() < WARM_UP {
            timer.each(&[commands])?;
        }
    }
    // Seconds, the best of all rounds.
    let mut best = vec![f64::INFINITY; variants.len()];
    for round in 0..ROUNDS {
        if round > 0 && start.elapsed() > share {
            break;
        }
        let fastest = best.iter().copied().fold(f64::INFINITY, f64::min);
        let mut running = Vec::new();
        for (index, commands) in bound.iter().enumerate() {
            if let (Ok(commands), None) = (commands, &refused[index])
                && (index == 0 || round == 0 || best[index] <= HOPELESS * fastest)
            {
                running.push((index, commands));
            }
        }
        // Each has a turn at being the first, which may pay for what the submit costs.
        let turn = round % running.len().max(1);
        running.rotate_left(turn);
        let commands: Vec<&Commands> = running.iter().map(|&(_, commands)| commands).collect();
        for (&(index, _), seconds) in running.iter().zip(timer.each(&commands)?) {
            best[index] = best[index].min(seconds);
        }
    }
    let ms = |index: usize| best[index].is_finite().then(|| 1e3 * best[index]);
    let candidates: Vec<Candidate> = (variants.iter().zip(refused).enumerate())
        .map(|(index, (&variant, refused))| Candidate { variant, ms: ms(index), refused })
        .collect();
    Ok(Shape { class, layers, default: variants[0], chosen: choose(&candidates), candidates })
}

/// Chooses the fastest candidate if it is clearly faster than the default, which is the first.
fn choose(candidates: &[Candidate]) -> Variant {
    let default = &candidates[0];
    let time = |candidate: &Candidate| candidate.ms.unwrap_or(f64::INFINITY);
    let fastest = candidates.iter().min_by(|a, b| time(a).total_cmp(&time(b))).unwrap_or(default);
    if time(fastest) <= WINS * time(default) { fastest.variant } else { default.variant }
}

/// Says where a result differs from the default's by more than rounding, if it does.
fn differs(expected: &[f32], got: &[f32], tolerance: f32) -> Option<String> {
    let scale = expected.iter().fold(0.0f32, |scale, value| scale.max(value.abs()));
    // NaN isn't within.
    let wrong = expected.iter().zip(got).position(|(want, got)| !((got - want).abs() <= tolerance * scale))?;
    Some(format!("it gives {} at element {wrong}, the default {}", got[wrong], expected[wrong]))
}

/// Plans the layers of a network without a table: what [`measure`] starts from.
///
/// # Errors
/// The network can't be planned here.
pub fn defaults(gpu: &Gpu, architecture: &Architecture, options: &BackboneOptions) -> Result<Vec<PlannedLayer>> {
    let mut tune = gpu.context.tune().clone();
    tune.table.clear();
    Ok(architecture.layers(&Context::with_tune(gpu.context.device(), tune), options)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::gpu::{Selection, open};
    use crate::machine::tune::{Key, save};
    use kernels::{Family, Precision, Tile};

    fn candidate(rows: u32, ms: Option<f64>) -> Candidate {
        Candidate { variant: Variant::Direct(Tile { rows, columns: 64 }), ms, refused: None }
    }

    #[test]
    fn the_default_stays_unless_another_is_clearly_faster() {
        let rows = |variant: Variant| variant.to_string();
        let pick = |others: &[Candidate]| {
            let all: Vec<_> = [candidate(64, Some(10.0))].into_iter().chain(others.iter().cloned()).collect();
            rows(choose(&all))
        };
        assert_eq!(pick(&[]), "direct 64x64");
        assert_eq!(pick(&[candidate(32, Some(9.8)), candidate(128, None)]), "direct 64x64");
        assert_eq!(pick(&[candidate(32, Some(9.0)), candidate(128, Some(8.0))]), "direct 128x64");
    }

    #[test]
    fn wrong_results_are_seen() {
        assert_eq!(differs(&[1.0, -100.0], &[1.005, -100.0], 1e-4), None);
        for wrong in [[1.02, -100.0], [f32::NAN, -100.0], [1.0, f32::INFINITY]] {
            assert!(differs(&[1.0, -100.0], &wrong, 1e-4).is_some(), "{wrong:?}");
        }
    }

    /// A small network's shapes in every family, from measuring to using the winners.
    #[test]
    fn what_is_measured_is_used() {
        let architecture = Architecture::basic([1; 4], [8, 64, 8, 8], Some(10));
        let dir = tempfile::tempdir().unwrap();
        let tiled = Some(Family::Tiled);
        for (family, precision) in [(None, Precision::F32), (tiled, Precision::F32), (tiled, Precision::F16)] {
            let options = BackboneOptions { input_size: [32, 32], precision, ..BackboneOptions::new(2) };
            let selection = Selection { family, precision, tables: Some(dir.path().to_owned()), ..Default::default() };
            let gpu = pollster::block_on(open(&selection)).unwrap();
            let layers = architecture.layers(&gpu.context, &options).unwrap();
            let tuning = measure(&gpu, &layers, Duration::from_secs(20), &()).unwrap();
            assert!(tuning.unmeasured.is_empty() && !tuning.shapes.is_empty(), "{tuning:?}");
            for shape in &tuning.shapes {
                let first = &shape.candidates[0];
                assert!(first.variant == shape.default && shape.candidates.len() > 1, "{shape:?}");
                for Candidate { ms, refused, .. } in &shape.candidates {
                    assert!(refused.is_none() && ms.is_some_and(|ms| ms > 0.0), "{shape:?}");
                }
                let layer = layers.iter().find(|layer| layer.name == shape.layers[0]).unwrap();
                assert_eq!(layer.class().as_ref(), Some(&shape.class));
            }
            // None is left without a measurement that had a choice.
            let measured = tuning.table();
            for layer in layers.iter().filter(|layer| layer.variants().len() > 1) {
                assert!(measured.contains_key(&layer.class().unwrap()), "{layer:?}");
            }

            // Whatever won: the last variant of each shape, as if it had.
            let table =
                tuning.shapes.iter().map(|shape| (shape.class.clone(), shape.candidates.last().unwrap().variant));
            let key = Key::of(&gpu.adapter.get_info());
            let saved = save(dir.path(), &key, &table.collect()).unwrap();
            let tuned = pollster::block_on(open(&selection)).unwrap();
            assert_eq!((tuned.tuned.as_ref(), &tuned.table_problem), (Some(&saved), &None));
            for layer in architecture.layers(&tuned.context, &options).unwrap() {
                assert_eq!(layer.variant(), layer.variants().last().copied(), "{layer:?}");
            }
            let untuned = pollster::block_on(open(&Selection { tables: None, ..selection.clone() })).unwrap();
            assert_eq!(untuned.tuned, None);
            // A damaged one is ignored, with a reason.
            std::fs::write(key.path(dir.path()), "{").unwrap();
            let damaged = pollster::block_on(open(&selection)).unwrap();
            assert!(damaged.tuned.is_none() && damaged.table_problem.as_ref().unwrap().contains("ignored"));
            std::fs::remove_file(key.path(dir.path())).unwrap();
        }
    }

    #[test]
    fn the_user_can_stop_it() {
        struct Stop;
        impl Progress for Stop {
            fn cancelled(&self) -> bool {
                true
            }
        }
        let gpu = pollster::block_on(open(&Selection::default())).unwrap();
        let architecture = Architecture::basic([1; 4], [8; 4], None);
        let options = BackboneOptions { input_size: [32, 32], ..BackboneOptions::new(1) };
        let layers = architecture.layers(&gpu.context, &options).unwrap();
        let stopped = measure(&gpu, &layers, Duration::from_secs(20), &Stop);
        assert!(matches!(stopped, Err(Error::Interrupted { .. })), "{stopped:?}");
    }

    #[test]
    fn no_time_means_no_measurement() {
        let gpu = pollster::block_on(open(&Selection { family: Some(Family::Tiled), ..Default::default() })).unwrap();
        let architecture = Architecture::basic([1; 4], [8; 4], None);
        let options = BackboneOptions { input_size: [32, 32], ..BackboneOptions::new(1) };
        let layers = architecture.layers(&gpu.context, &options).unwrap();
        let tuning = measure(&gpu, &layers, Duration::ZERO, &()).unwrap();
        assert!(tuning.shapes.is_empty() && !tuning.unmeasured.is_empty());
        assert!(tuning.table().is_empty());
    }
}
