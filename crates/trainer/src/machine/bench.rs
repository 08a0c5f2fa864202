//! Measures each layer of a network by itself, beside what the machine can do at best, to find what is slow.

use std::time::{Duration, Instant};

use kernels::wgpu::{BufferDescriptor, BufferUsages, DeviceType};
use kernels::{Commands, Family, Matmul, MatmulBuffers, MatmulDesc};
use rayon::prelude::*;
use resnet::{Backbone, BackboneOptions, LayerPlan, PlannedLayer, Tap, WeightFile};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::machine::device::Gpu;
use crate::machine::timer::{Timer, median};
use crate::progress::{Progress, Stage};

/// A layer below this share of the yardstick is called slow, and why is said.
pub const SLOW: f64 = 0.2;
/// Passes that are measured, behind one that isn't; fewer where they take longer than [`ENOUGH`] together.
const PASSES: usize = 7;
const ENOUGH: Duration = Duration::from_secs(15);
/// Rows and columns of the matrices of the yardstick.
const SIZES: [u32; 2] = [1024, 2048];
/// Bytes that are copied to measure memory.
const COPIED: u64 = 64 << 20;
/// A layer that takes less is mostly the cost of starting it.
const STARTING_MS: f64 = 0.2;
/// Workgroups that a GPU needs to be full: a few for each of its dozens of cores.
const FULL: u64 = 128;
/// Products of a sum that a software driver computes in the time in which it stores it.
const SHORT: u64 = 256;

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
    /// The layers in their order.
    pub layers: Vec<Layer>,
    /// The five that take the longest, the slowest first: their places among the layers.
    pub slowest: Vec<usize>,
    /// Milliseconds of all layers, each timed by itself.
    pub layers_ms: f64,
    /// Milliseconds of a whole pass, its layers without a wait between them.
    pub pass_ms: f64,
    /// Images a second of whole passes.
    pub images_per_second: f64,
}

/// The fastest matrix product at hand, measured in turns with the layers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Yardstick {
    /// The name of the product.
    pub name: String,
    /// 10⁹ multiplications and additions a second.
    pub gflops: f64,
}

/// A layer's figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// torchvision's name.
    pub name: String,
    /// The operation.
    pub op: &'static str,
    /// The sizes of its input and output.
    pub shape: String,
    /// The kernel and its variant.
    pub kernel: String,
    /// Floating-point operations of the batch by the definition.
    pub flops: u64,
    /// Bytes that it must move at least.
    pub bytes: u64,
    /// Workgroups of its largest dispatch.
    pub workgroups: u64,
    /// Milliseconds, the median.
    pub ms: f64,
    /// 10⁹ operations a second; Winograd may exceed the yardstick, since it needs fewer than the definition.
    pub gflops: f64,
    /// 10⁹ bytes a second.
    pub gb_s: f64,
    /// The part of the yardstick that it reaches; of the memory's speed where it has no products.
    pub share: f64,
    /// Why it is slow, if it is.
    pub slow: Option<String>,
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
    let software = gpu.adapter.get_info().device_type == DeviceType::Cpu;
    let timer = Timer::new(gpu);
    let ours = if software { None } else { Some(Products::new(gpu)?) };
    let sgemm = Sgemm::new(SIZES[0] as usize);

    let (mut layers, mut passes, mut yardstick) = (vec![Vec::new(); backbone.layers().len()], Vec::new(), Vec::new());
    let pieces: Vec<&Commands> = backbone.layer_commands().iter().collect();
    progress.begin(Stage::BENCH, PASSES + 1);
    let start = Instant::now();
    for pass in 0..=PASSES {
        if progress.cancelled() {
            progress.end();
            return Err(Error::Interrupted);
        }
        if pass > 1 && start.elapsed() > ENOUGH {
            break;
        }
        let seconds = timer.each(&pieces)?;
        // The first pass compiles, and lets the memory be touched.
        if pass > 0 {
            passes.push(timer.pass(&pieces, &seconds)?.as_secs_f64());
            layers.iter_mut().zip(seconds).for_each(|(layer, seconds)| layer.push(seconds));
            yardstick.push(match &ours {
                Some(products) => products.gflops(&timer)?,
                None => sgemm.gflops(),
            });
        }
        progress.advance(1);
    }
    progress.end();

    let yardstick = Yardstick {
        name: match &ours {
            Some(_) => "the adapter's best matmul".to_owned(),
            None => format!("sgemm on {}", crate::words::count(rayon::current_num_threads(), "core")),
        },
        gflops: median(yardstick),
    };
    let memory_gb_s = memory(gpu, &timer)?;
    // The first layers may run in parts of the batch.
    let mut measured: Vec<(PlannedLayer, f64, u64)> = Vec::new();
    for ((layer, commands), seconds) in backbone.layers().iter().zip(&pieces).zip(layers) {
        let (seconds, workgroups) = (median(seconds), commands.workgroups());
        match measured.iter_mut().find(|(known, ..)| known.name == layer.name) {
            Some((known, all, most)) => {
                known.flops += layer.flops;
                known.bytes += layer.bytes;
                *all += seconds;
                *most = workgroups.max(*most);
            }
            None => measured.push((layer.clone(), seconds, workgroups)),
        }
    }
    let layers: Vec<Layer> = (measured.iter())
        .map(|&(ref layer, seconds, workgroups)| {
            let (gflops, gb_s) = (layer.flops as f64 / seconds / 1e9, layer.bytes as f64 / seconds / 1e9);
            let share = if layer.flops > 0 { gflops / yardstick.gflops } else { gb_s / memory_gb_s };
            let ms = seconds * 1e3;
            let memory_share = gb_s / memory_gb_s;
            Layer {
                name: layer.name.clone(),
                op: layer.op(),
                shape: layer.shape(),
                kernel: layer.kernel(),
                flops: layer.flops,
                bytes: layer.bytes,
                workgroups,
                ms,
                gflops,
                gb_s,
                share,
                slow: (share < SLOW).then(|| reasons(layer, ms, memory_share, workgroups, software)),
            }
        })
        .collect();
    let mut slowest: Vec<usize> = (0..layers.len()).collect();
    slowest.sort_by(|&a, &b| layers[b].ms.total_cmp(&layers[a].ms));
    slowest.truncate(5);
    let pass = median(passes);
    Ok(Bench {
        architecture: architecture.to_string(),
        batch,
        input_size,
        timer: timer.method(),
        yardstick,
        memory_gb_s,
        slowest,
        layers_ms: layers.iter().map(|layer| layer.ms).sum(),
        layers,
        pass_ms: pass * 1e3,
        images_per_second: batch as f64 / pass,
    })
}

/// Lists the outputs to measure: features, and logits where the file has a head.
pub fn taps(classes: Option<usize>) -> Vec<Tap> {
    if classes.is_some() { vec![Tap::Features, Tap::Logits] } else { vec![Tap::Features] }
}

/// Says why a layer is slow: all reasons that apply.
fn reasons(layer: &PlannedLayer, ms: f64, memory_share: f64, workgroups: u64, software: bool) -> String {
    let mut reasons = Vec::new();
    let family = match &layer.plan {
        LayerPlan::Conv2d(plan) => {
            let times = plan.computed_flops() as f64 / plan.desc().flops() as f64;
            if times > 1.5 && !plan.is_winograd() {
                let what = if plan.desc().groups > 1 { "the zeros of other groups" } else { "the rest of its tiles" };
                reasons.push(format!("with {what} it computes {times:.1} times the products asked for"));
            }
            let sums = plan.desc().flops() / plan.desc().output_len() / 2;
            if software && plan.family() == Family::Texture && sums <= SHORT {
                reasons.push(format!(
                    "its sums have {sums} products, and a software driver takes as long to copy and store values"
                ));
            }
            Some(plan.family())
        }
        LayerPlan::Matmul(plan) => {
            if plan.family() == Family::Texture && plan.desc().transpose_b {
                reasons.push("its weights are turned and copied in every pass".to_owned());
            }
            Some(plan.family())
        }
        _ => None,
    };
    if memory_share > 0.5 {
        reasons.push(format!("bound by memory, at {:.0} % of its speed", 100.0 * memory_share));
    }
    if software && family == Some(Family::Tiled) {
        reasons.push("tiled kernels are made for GPUs, this is a software adapter".to_owned());
    }
    if ms < STARTING_MS {
        reasons.push("so short that starting it is most of it".to_owned());
    }
    if !software && workgroups < FULL {
        reasons.push(format!("{workgroups} workgroups don't fill a GPU: a larger batch does"));
    }
    if layer.flops == 0 && ms >= STARTING_MS {
        reasons.push("it compares or adds value by value".to_owned());
    }
    match reasons.is_empty() {
        true => "no reason known: tuning may find a better variant, else it is worth a report".to_owned(),
        false => reasons.join("; "),
    }
}

/// The matrix product of a CPU, by the crate matrixmultiply, on all cores.
struct Sgemm {
    size: usize,
    a: Vec<f32>,
    b: Vec<f32>,
}

impl Sgemm {
    fn new(size: usize) -> Self {
        let values = |step: usize| (0..size * size).map(|i| (i * step % 13) as f32 - 6.0).collect();
        Self { size, a: values(5), b: values(7) }
    }

    /// Computes the product, in bands of rows, one for each core.
    fn product(&self) -> Vec<f32> {
        let n = self.size;
        let rows = n.div_ceil(rayon::current_num_threads());
        let mut c = vec![0.0f32; n * n];
        c.par_chunks_mut(rows * n).zip(self.a.par_chunks(rows * n)).for_each(|(c, a)| {
            let (rows, k, row) = (c.len() / n, n, n as isize);
            // SAFETY: a and c are `rows` rows of n values, b is n rows of n, and c is borrowed by this band alone.
            unsafe {
                let (a, b, c) = (a.as_ptr(), self.b.as_ptr(), c.as_mut_ptr());
                matrixmultiply::sgemm(rows, k, n, 1.0, a, row, 1, b, row, 1, 0.0, c, row, 1);
            }
        });
        c
    }

    /// Measures the speed, the best of three runs.
    fn gflops(&self) -> f64 {
        let seconds = (0..3).map(|_| {
            let start = Instant::now();
            std::hint::black_box(self.product());
            start.elapsed().as_secs_f64()
        });
        2.0 * (self.size as f64).powi(3) / seconds.fold(f64::INFINITY, f64::min) / 1e9
    }
}

/// The matrix product of an adapter, in each size and variant.
struct Products(Vec<(u64, Commands)>);

impl Products {
    fn new(gpu: &Gpu) -> Result<Self> {
        let [a, b, output] = [(); 3].map(|()| {
            gpu.device.create_buffer(&BufferDescriptor {
                label: Some("yardstick"),
                size: u64::from(SIZES[1]).pow(2) * 4,
                usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            })
        });
        let mut products = Vec::new();
        for n in SIZES {
            let plan = Matmul::new(&gpu.context, &MatmulDesc::new(n, n, n))?;
            let [a, b, output] = [&a, &b, &output].map(|buffer| buffer.slice(..u64::from(n).pow(2) * 4));
            for variant in plan.variants() {
                let commands = plan.with_variant(variant)?.bind(&MatmulBuffers { a, b, bias: None, output })?;
                products.push((plan.desc().flops(), commands));
            }
        }
        Ok(Self(products))
    }

    fn gflops(&self, timer: &Timer<'_>) -> Result<f64> {
        let seconds = timer.each(&self.0.iter().map(|(_, commands)| commands).collect::<Vec<_>>())?;
        let speeds = self.0.iter().zip(seconds).map(|((flops, _), seconds)| *flops as f64 / seconds / 1e9);
        Ok(speeds.fold(0.0, f64::max))
    }
}

/// Measures how many 10⁹ bytes a second a copy reads and writes, the best of several.
fn memory(gpu: &Gpu, timer: &Timer<'_>) -> Result<f64> {
    let size = COPIED.min(gpu.device.limits().max_buffer_size);
    let [from, to] = [BufferUsages::COPY_SRC, BufferUsages::COPY_DST].map(|usage| {
        gpu.device.create_buffer(&BufferDescriptor { label: Some("memory"), size, usage, mapped_at_creation: false })
    });
    let mut best = 0.0f64;
    for _ in 0..4 {
        let copies = 4;
        let seconds = timer.submit(|encoder| {
            (0..copies).for_each(|_| encoder.copy_buffer_to_buffer(&from, 0, &to, 0, size));
        })?;
        best = best.max((2 * copies * size) as f64 / seconds.as_secs_f64() / 1e9);
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::device::{Selection, open};
    use crate::untrained::random_weights;
    use kernels::{Conv2d, Conv2dDesc, Variant};
    use resnet::Architecture;

    #[test]
    fn the_yardstick_multiplies() {
        let size = 67;
        let sgemm = Sgemm::new(size);
        let c = sgemm.product();
        for (i, j) in [(0, 0), (33, 5), (66, 66), (40, 12)] {
            let want: f32 = (0..size).map(|k| sgemm.a[i * size + k] * sgemm.b[k * size + j]).sum();
            assert_eq!(c[i * size + j], want, "{i} {j}");
        }
        assert!(sgemm.gflops() > 0.0);
        let gpu = pollster::block_on(open(&Selection::default())).unwrap();
        assert!(memory(&gpu, &Timer::new(&gpu)).unwrap() > 0.0);
    }

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
            assert!(layer.ms > 0.0 && layer.workgroups > 0 && layer.gb_s > 0.0, "{layer:?}");
            assert_eq!(layer.slow.is_some(), layer.share < SLOW, "{layer:?}");
            sum += layer.ms;
        }
        assert!((bench.layers_ms - sum).abs() < 1e-9 && bench.pass_ms > 0.0);
        let slowest = bench.slowest[0];
        assert!(bench.layers.iter().all(|layer| layer.ms <= bench.layers[slowest].ms));
        let json = serde_json::to_value(&bench).unwrap();
        assert_eq!(json["layers"].as_array().unwrap().len(), once.len());
    }

    #[test]
    fn slow_layers_have_a_reason() {
        let gpu = pollster::block_on(open(&Selection { family: Some(Family::Tiled), ..Default::default() })).unwrap();
        let layer = |desc: Conv2dDesc| PlannedLayer {
            name: "layer".to_owned(),
            plan: LayerPlan::Conv2d(Conv2d::new(&gpu.context, &desc).unwrap()),
            input: [1; 3],
            output: [1; 3],
            flops: desc.flops(),
            bytes: 1,
        };
        let dense = layer(Conv2dDesc::new(1, [32, 32], [64, 64], 3));
        assert!(reasons(&dense, 5.0, 0.1, 1000, false).starts_with("no reason known"));
        assert_eq!(reasons(&dense, 5.0, 0.7, 1000, false), "bound by memory, at 70 % of its speed");
        assert!(reasons(&dense, 5.0, 0.1, 1000, true).contains("made for GPUs"));
        assert!(reasons(&dense, 0.1, 0.1, 1000, false).contains("starting it"));
        assert!(reasons(&dense, 5.0, 0.1, 4, false).contains("4 workgroups"));
        // The default of narrow groups has no such zeros.
        let desc = Conv2dDesc { groups: 16, ..Conv2dDesc::new(1, [32, 32], [64, 64], 3) };
        let plan = Conv2d::new(&gpu.context, &desc).unwrap();
        let direct = plan.variants().into_iter().find(|variant| matches!(variant, Variant::Direct(_))).unwrap();
        let grouped = PlannedLayer { plan: LayerPlan::Conv2d(plan.with_variant(direct).unwrap()), ..layer(desc) };
        let why = reasons(&grouped, 5.0, 0.1, 1000, false);
        assert_eq!(why, "with the zeros of other groups it computes 16.0 times the products asked for");
        let pool = PlannedLayer { plan: LayerPlan::Other("max_pool2d"), flops: 0, ..dense };
        assert!(reasons(&pool, 5.0, 0.1, 1000, false).contains("value by value"));
    }
}
