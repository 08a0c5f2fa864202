//! The arithmetic behind "On paper: three GPUs" in docs/performance.md: what each network asks of a GPU, and how long three GPUs
//! would take by their specifications. Nothing is run; any adapter will do to plan on.
//!
//! ```text
//! cargo run -p resnet --example roofline
//! ```

use kernels::{Context, Family, Precision, Tune, Variant, wgpu};
use resnet::{Architecture, BackboneOptions, LayerPlan, PlannedLayer};

/// A GPU by its specifications; their sources are in docs/performance.md.
struct Gpu {
    name: &'static str,
    cores: f64,
    /// Multiply-adds of a core in a clock.
    lanes: f64,
    gigahertz: f64,
    /// The bandwidth of its memory, GB/s.
    bandwidth: f64,
    /// Bytes of workgroup memory that a core reads in a clock.
    shared: f64,
}

const GPUS: [Gpu; 3] = [
    Gpu { name: "Iris Xe", cores: 6.0, lanes: 128.0, gigahertz: 1.4, bandwidth: 68.0, shared: 128.0 },
    Gpu { name: "Apple M1", cores: 8.0, lanes: 128.0, gigahertz: 1.278, bandwidth: 68.0, shared: 64.0 },
    Gpu { name: "RTX 4060", cores: 24.0, lanes: 128.0, gigahertz: 2.46, bandwidth: 272.0, shared: 128.0 },
];
const NETWORKS: [&str; 3] = ["resnet18", "resnet50", "resnext50_32x4d"];
const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::F16];

/// What is taken for granted.
struct Assumptions {
    /// Share of the arithmetic peak that address arithmetic, loads and barriers leave.
    issue: f64,
    /// Share of the bandwidth that is reached.
    memory: f64,
    /// Seconds from one dispatch to the next.
    dispatch: f64,
    /// Whether lanes that read the same word of workgroup memory are served at once.
    broadcast: bool,
}

const LOW: Assumptions = Assumptions { issue: 0.6, memory: 0.7, dispatch: 10e-6, broadcast: false };
const HIGH: Assumptions = Assumptions { issue: 0.85, memory: 0.9, dispatch: 3e-6, broadcast: true };

/// A dispatch: multiply-adds that it does, bytes that it moves, workgroups.
struct Dispatch {
    products: f64,
    bytes: f64,
    groups: f64,
}

const MANY: f64 = 1e9;

/// The dispatches of a layer. What is moved comes from memory and goes back there: caches are left out.
fn dispatches(layer: &PlannedLayer) -> Vec<Dispatch> {
    let bytes = layer.bytes as f64;
    let LayerPlan::Conv2d(plan) = &layer.plan else {
        return vec![Dispatch { products: layer.flops as f64 / 2.0, bytes, groups: MANY }];
    };
    let desc = plan.desc();
    let [height, width] = desc.output_size().unwrap_or_default().map(f64::from);
    let (batch, inputs, outputs) = (f64::from(desc.batch), f64::from(desc.in_channels), f64::from(desc.out_channels));
    let products = plan.computed_flops() as f64 / 2.0;
    let tiles = |pixels: f64, rows: u32| (pixels / f64::from(rows)).ceil() * (outputs / 64.0).ceil();
    match plan.variant() {
        Variant::Direct(tile) | Variant::Cooperative(tile) => {
            let sum = Dispatch { products, bytes, groups: tiles(batch * height * width, tile.rows) };
            // The kernel reads whole vec4: pixels of other lengths, such as f32 photos, are padded by a dispatch before.
            if desc.precision == Precision::F16 || desc.in_channels.is_multiple_of(4) {
                return vec![sum];
            }
            let pixels = batch * f64::from(desc.height * desc.width) * 4.0;
            let [plain, padded] =
                [desc.in_channels, desc.in_channels.next_multiple_of(4)].map(|channels| pixels * f64::from(channels));
            let pack = Dispatch { products: 0.0, bytes: plain + padded, groups: MANY };
            vec![pack, Dispatch { bytes: bytes - plain + padded, ..sum }]
        }
        Variant::Winograd { tile, band } => {
            let count = batch * (height / 4.0).ceil() * (width / 4.0).ceil();
            let [v, m, u] = [count * inputs, count * outputs, inputs * outputs].map(|values| values * 36.0 * 4.0);
            let words = |channels: u32| f64::from(plan.desc().precision.words(channels)) * 4.0;
            let x = batch * f64::from(desc.height * desc.width) * words(desc.in_channels);
            let y = batch * height * width * words(desc.out_channels) * if desc.residual { 2.0 } else { 1.0 };
            // Tiles are taken in bands of so many MiB of transformed values, whole groups of 32 where there are so many.
            let fit = f64::from(band) * f64::from(1 << 18) / 36.0 / inputs.max(outputs);
            let whole = if fit < 32.0 { 16.0 } else { (fit / 32.0).floor() * 32.0 };
            let bands = (count / whole).ceil() as usize;
            let of_band = |index: usize| {
                let here = whole.min(count - whole * index as f64);
                let share = here / count;
                [
                    Dispatch { products: 0.0, bytes: (x + v) * share, groups: MANY },
                    Dispatch {
                        products: products * share,
                        bytes: (v + m) * share + u,
                        groups: 36.0 * tiles(here, tile.rows),
                    },
                    Dispatch { products: 0.0, bytes: (m + y) * share, groups: MANY },
                ]
            };
            (0..bands).flat_map(of_band).collect()
        }
        _ => vec![Dispatch { products, bytes, groups: MANY }],
    }
}

fn seconds(dispatches: &[Dispatch], gpu: &Gpu, given: &Assumptions) -> f64 {
    // 8x4 of the output an invocation reads 48 bytes for 32 multiply-adds.
    let shared = if given.broadcast { 1.0 } else { (gpu.shared / 1.5 / gpu.lanes).min(1.0) };
    let rate = gpu.cores * gpu.lanes * gpu.gigahertz * 1e9 * shared.min(given.issue);
    let time = |dispatch: &Dispatch| {
        // The last round of workgroups leaves cores idle.
        let rounds = dispatch.groups / gpu.cores;
        let computed = dispatch.products * rounds.ceil() / rounds / rate;
        computed.max(dispatch.bytes / (gpu.bandwidth * 1e9 * given.memory)) + given.dispatch
    };
    dispatches.iter().map(time).sum()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let (device, _queue) = pollster::block_on(adapter.request_device(&Default::default()))?;
    let context = Context::with_tune(&device, Tune::new(Family::Tiled));
    let plan = |name: &str, precision, batch| -> Result<(Vec<Dispatch>, f64), Box<dyn std::error::Error>> {
        let architecture = Architecture::named(name, None).ok_or("not a published name")?;
        let layers = architecture.layers(&context, &BackboneOptions { precision, ..BackboneOptions::new(batch) })?;
        let asked = layers.iter().map(|layer| layer.flops as f64).sum();
        Ok((layers.iter().flat_map(dispatches).collect(), asked))
    };
    println!("| an image of a batch of 8 | GFLOP asked for | computed | MB moved | FLOP a byte | dispatches |");
    println!("|---|---|---|---|---|---|");
    for name in NETWORKS {
        for precision in PRECISIONS {
            let (all, asked) = plan(name, precision, 8)?;
            let computed = 2.0 * all.iter().map(|dispatch| dispatch.products).sum::<f64>();
            let moved = all.iter().map(|dispatch| dispatch.bytes).sum::<f64>();
            let (asked, computed, intensity) = (asked / 8e9, computed / 8e9, computed / moved);
            let (moved, count, precision) = (moved / 8e6, all.len(), precision.name());
            println!("| {name} {precision} | {asked:.2} | {computed:.2} | {moved:.0} | {intensity:.0} | {count} |");
        }
    }
    println!("\n| images/s, not measured | f32 | f16 |\n|---|---|---|");
    for gpu in &GPUS {
        for name in NETWORKS {
            for batch in [8, 32] {
                let mut row = format!("| {}, {name}, batch {batch} |", gpu.name);
                for precision in PRECISIONS {
                    let (all, _) = plan(name, precision, batch)?;
                    let [low, high] = [LOW, HIGH].map(|given| batch as f64 / seconds(&all, gpu, &given));
                    row += &format!(" {low:.0} to {high:.0} |");
                }
                println!("{row}");
            }
        }
    }
    Ok(())
}
