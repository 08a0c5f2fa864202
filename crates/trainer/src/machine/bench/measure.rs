//! The measurement: layers, whole passes and the yardstick, in turns.

use std::time::{Duration, Instant};

use kernels::Commands;
use kernels::wgpu::DeviceType;
use resnet::{Backbone, BackboneOptions, Engine as _, ImageTensor, PlannedLayer, Tap, WeightFile};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::machine::bench::filling::{full, starting};
use crate::machine::bench::layer::{Layer, Machine, Measured};
use crate::machine::bench::memory::memory;
use crate::machine::bench::yardstick::{Product, Yardstick};
use crate::machine::gpu::Gpu;
use crate::machine::heap;
use crate::machine::timer::{Timer, median};
use crate::progress::{Progress, Stage};
use crate::random::SplitMix64;

/// Passes that are measured, behind one that isn't; fewer where they take longer than [`ENOUGH`] together.
const PASSES: usize = 7;
const ENOUGH: Duration = Duration::from_secs(15);
/// Passes in flight are so many that they take so many seconds, but two at least.
const IN_FLIGHT: f64 = 0.05;

/// A network, layer by layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bench {
    /// Its architecture.
    pub architecture: String,
    /// Images of a batch.
    pub batch: usize,
    /// Rows and columns of an image.
    pub input_size: [usize; 2],
    /// How time was measured: by `timestamps` of the adapter, or by `submit and wait`.
    pub timer: &'static str,
    /// What the layers are compared with.
    pub yardstick: Yardstick,
    /// 10⁹ bytes a second, read and written, of a copy on the adapter.
    pub memory_gb_s: f64,
    /// Milliseconds of the smallest dispatch, by the clock of the layers.
    pub starting_ms: f64,
    /// Workgroups from which on a GPU is at most of its speed; none on a software adapter, which a few fill.
    pub full_workgroups: Option<u64>,
    /// The layers in their order.
    pub layers: Vec<Layer>,
    /// The five that take the longest, the slowest first: their places among the layers.
    pub slowest: Vec<usize>,
    /// Milliseconds of all layers, each timed by itself.
    pub layers_ms: f64,
    /// Milliseconds of a whole pass from its submit to its end, its layers without a wait between them.
    pub pass_ms: f64,
    /// Milliseconds a pass where each is submitted before the last one is waited for, as features are computed.
    pub pipelined_ms: f64,
    /// Images a second of passes one after the other without a pause, by `pipelined_ms`.
    pub images_per_second: f64,
}

/// Measures a network's layers on its own weights, in a quarter of a minute or a little more.
///
/// # Errors
/// The adapter fails or can't hold the network; the user stopped it.
pub fn measure(
    gpu: &Gpu,
    weights: &WeightFile,
    input_size: [usize; 2],
    batch: usize,
    progress: &dyn Progress,
) -> Result<Bench> {
    let architecture = weights.architecture();
    let options = BackboneOptions {
        input_size,
        taps: taps(architecture.classes),
        precision: gpu.precision,
        ..BackboneOptions::new(batch)
    };
    let backbone = Backbone::new(&gpu.context, &gpu.queue, weights, &options)?;
    gpu.check()?;
    if let Some(warning) = heap::warning(gpu, batch, &backbone.memory()) {
        progress.warn(&warning);
    }
    let timer = Timer::new(gpu);
    // Random ones: a GPU computes zeros with less power, and so faster.
    backbone.submit(&random_images(input_size, batch))?.wait(Tap::Features)?;
    let product = Product::new(gpu, &timer)?;
    let pieces: Vec<&Commands> = backbone.layer_commands().iter().collect();
    let Runs { layers, passes, pipelined, products } = run(&timer, &pieces, &product, progress)?;

    let yardstick = Yardstick { name: product.name(), gflops: median(products) };
    let software = gpu.adapter.get_info().device_type == DeviceType::Cpu;
    let starting = starting(gpu, &timer)?;
    let machine = Machine {
        gflops: yardstick.gflops,
        memory_gb_s: memory(gpu, &timer)?,
        starting_ms: starting * 1e3,
        full_workgroups: if software { None } else { Some(full(gpu, &timer, starting)?) },
    };
    let layers: Vec<Layer> =
        by_name(backbone.layers(), &pieces, layers).iter().map(|measured| Layer::new(measured, &machine)).collect();
    let mut slowest: Vec<usize> = (0..layers.len()).collect();
    slowest.sort_by(|&a, &b| layers[b].ms.total_cmp(&layers[a].ms));
    slowest.truncate(5);
    let (pass, pipelined) = (median(passes), median(pipelined));
    Ok(Bench {
        architecture: architecture.to_string(),
        batch,
        input_size,
        timer: timer.method(),
        yardstick,
        memory_gb_s: machine.memory_gb_s,
        starting_ms: machine.starting_ms,
        full_workgroups: machine.full_workgroups,
        slowest,
        layers_ms: layers.iter().map(|layer| layer.ms).sum(),
        layers,
        pass_ms: pass * 1e3,
        pipelined_ms: pipelined * 1e3,
        images_per_second: batch as f64 / pipelined,
    })
}

/// A batch of images of values in (-2, 2).
pub(super) fn random_images([height, width]: [usize; 2], batch: usize) -> Vec<ImageTensor> {
    let mut random = SplitMix64(1);
    let mut value = || (random.bits() >> 40) as f32 / (1u64 << 22) as f32 - 2.0;
    (0..batch)
        .map(|_| ImageTensor { height, width, data: (0..height * width * 3).map(|_| value()).collect() })
        .collect()
}

/// Seconds of each layer and of whole passes, by themselves and in flight, and the yardstick's speeds, of every pass.
#[derive(Default)]
struct Runs {
    layers: Vec<Vec<f64>>,
    passes: Vec<f64>,
    pipelined: Vec<f64>,
    products: Vec<f64>,
}

/// Times the pieces, the passes that they make up, and the yardstick in turns.
fn run(timer: &Timer<'_>, pieces: &[&Commands], product: &Product, progress: &dyn Progress) -> Result<Runs> {
    let mut runs = Runs { layers: vec![Vec::new(); pieces.len()], ..Runs::default() };
    progress.begin(Stage::BENCH, PASSES + 1);
    let start = Instant::now();
    let mut passes = || -> Result<()> {
        for pass in 0..=PASSES {
            if progress.cancelled() {
                return Err(Error::Interrupted { kept: 0 });
            }
            if pass > 1 && start.elapsed() > ENOUGH {
                break;
            }
            let seconds = timer.each(pieces)?;
            // The first pass compiles, and lets the memory be touched.
            if pass > 0 {
                let whole = timer.pass(pieces, &seconds)?.as_secs_f64();
                let times = (IN_FLIGHT / whole.max(1e-6)).ceil().clamp(2.0, 200.0) as u32;
                runs.passes.push(whole);
                runs.pipelined.push(timer.pipelined(pieces, &seconds, times)?.as_secs_f64());
                runs.layers.iter_mut().zip(seconds).for_each(|(layer, seconds)| layer.push(seconds));
                runs.products.push(product.gflops(timer)?);
            }
            progress.advance(1);
        }
        Ok(())
    };
    let outcome = passes();
    progress.end();
    outcome.map(|()| runs)
}

/// Joins the parts of a layer that runs in parts of the batch, as the first ones may.
fn by_name(layers: &[PlannedLayer], pieces: &[&Commands], seconds: Vec<Vec<f64>>) -> Vec<Measured> {
    let mut joined: Vec<Measured> = Vec::new();
    for ((layer, commands), seconds) in layers.iter().zip(pieces).zip(seconds) {
        let (seconds, dispatches, workgroups) = (median(seconds), commands.dispatches(), commands.workgroups());
        match joined.iter_mut().find(|known| known.plan.name == layer.name) {
            Some(known) => {
                known.plan.flops += layer.flops;
                known.plan.bytes += layer.bytes;
                known.seconds += seconds;
                known.dispatches += dispatches;
                known.workgroups = workgroups.max(known.workgroups);
            }
            None => joined.push(Measured { plan: layer.clone(), seconds, dispatches, workgroups }),
        }
    }
    joined
}

/// Lists the outputs to measure: features, and logits where the file has a head.
pub fn taps(classes: Option<usize>) -> Vec<Tap> {
    if classes.is_some() { vec![Tap::Features, Tap::Logits] } else { vec![Tap::Features] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::bench::SLOW;
    use crate::machine::gpu::{Selection, open};
    use crate::untrained::random_weights;
    use resnet::Architecture;

    #[test]
    fn every_layer_is_measured_and_told() {
        let gpu = pollster::block_on(open(&Selection::default())).unwrap();
        let architecture = Architecture::basic([1; 4], [8, 64, 8, 8], Some(10));
        let weights = WeightFile::from_bytes(random_weights(&architecture, 1)).unwrap();
        let bench = measure(&gpu, &weights, [32, 32], 2, &()).unwrap();
        let options = BackboneOptions { input_size: [32, 32], taps: taps(Some(10)), ..BackboneOptions::new(2) };
        let planned = architecture.layers(&gpu.context, &options).unwrap();
        let names = |layers: &[Layer]| layers.iter().map(|layer| layer.name.clone()).collect::<Vec<_>>();
        // However many parts the first layers have, each is told once.
        let mut once: Vec<String> = Vec::new();
        planned.iter().for_each(|layer| {
            if !once.contains(&layer.name) {
                once.push(layer.name.clone())
            }
        });
        assert!(planned.len() > once.len(), "a stem in parts");
        assert_eq!(names(&bench.layers), once);
        let flops = |layers: &[Layer]| layers.iter().map(|layer| layer.flops).sum::<u64>();
        assert_eq!(flops(&bench.layers), planned.iter().map(|layer| layer.flops).sum::<u64>());
        assert_eq!((bench.layers[0].name.as_str(), bench.layers.last().unwrap().name.as_str()), ("conv1", "fc"));
        let mut sum = 0.0;
        for layer in &bench.layers {
            assert!(layer.ms > 0.0 && layer.workgroups > 0 && layer.dispatches > 0 && layer.gb_s > 0.0, "{layer:?}");
            assert_eq!(layer.slow.is_some(), layer.share < SLOW, "{layer:?}");
            sum += layer.ms;
        }
        assert!((bench.layers_ms - sum).abs() < 1e-9 && bench.pass_ms > 0.0 && bench.pipelined_ms > 0.0);
        assert!((bench.images_per_second * bench.pipelined_ms - 2e3).abs() < 1e-6, "{bench:?}");
        assert!(bench.starting_ms > 0.0 && bench.memory_gb_s > 0.0, "{bench:?}");
        let software = gpu.adapter.get_info().device_type == DeviceType::Cpu;
        assert_eq!(bench.full_workgroups.is_none(), software);
        let slowest = bench.slowest[0];
        assert!(bench.layers.iter().all(|layer| layer.ms <= bench.layers[slowest].ms));
        let json = serde_json::to_value(&bench).unwrap();
        assert_eq!(json["layers"].as_array().unwrap().len(), once.len());
    }
}
