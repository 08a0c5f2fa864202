//! What an adapter's cooperative matrices do: their shapes, what the loads and strides mean, and how fast tiles of a product are.
//!
//! ```text
//! cargo run --release -p kernels --example cooperative [-- --spirv FOLDER]
//! ```
//!
//! Every shader is validated before an adapter is asked, so that mistakes show on machines without the feature.
//! `--spirv` writes them as SPIR-V too.

use bytemuck::Pod;
use half::f16;
use kernels::wgpu::{self, naga, util::DeviceExt};
use std::{fmt::Write, time::Instant};

type Failure = Box<dyn std::error::Error>;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let spirv = arguments.iter().position(|word| word == "--spirv").and_then(|at| arguments.get(at + 1));
    let mut wrong = 0;
    for (name, text) in texts() {
        if let Err(error) = validate(&name, &text, spirv) {
            wrong += 1;
            println!("{name}: {error}\n{text}");
        }
    }
    println!("{} shaders validated, {wrong} wrong", texts().len());
    if wrong > 0 {
        std::process::exit(1);
    }
    // A driver may hang; this doesn't.
    std::thread::spawn(|| {
        std::thread::sleep(std::time::Duration::from_secs(55));
        println!("55 s are over: stopping");
        std::process::exit(3);
    });
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN | wgpu::Backends::METAL,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    for adapter in pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all())) {
        if let Err(error) = measure(&adapter) {
            println!("FAILED: {error}");
        }
    }
}

/// Every shader by name.
fn texts() -> Vec<(String, String)> {
    let smoke = Source::ALL.iter().flat_map(|&source| {
        [(false, false), (false, true), (true, false), (true, true)].map(|(load, store)| {
            (format!("smoke {source:?} {load} {store}"), smoke_text(source, source.strides()[0], load, store))
        })
    });
    let gemms = tiles().into_iter().map(|tile| (tile.name(), tile.text()));
    smoke.chain(gemms).chain([("lanes".into(), LANES.into())]).collect()
}

fn validate(name: &str, text: &str, folder: Option<&String>) -> Result<(), Failure> {
    let module = naga::front::wgsl::parse_str(text).map_err(|error| error.emit_to_string(text))?;
    let capabilities = naga::valid::Capabilities::all();
    let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|error| error.emit_to_string(text))?;
    let Some(folder) = folder else { return Ok(()) };
    let options = naga::back::spv::Options { lang_version: (1, 6), ..Default::default() };
    let words = naga::back::spv::write_vec(&module, &info, &options, None)?;
    std::fs::write(format!("{folder}/{}.spv", name.replace([' ', ','], "_")), bytemuck::cast_slice(&words))?;
    Ok(())
}

fn measure(adapter: &wgpu::Adapter) -> Result<(), Failure> {
    let info = adapter.get_info();
    println!("\n{} ({:?}, {:?}, {} {})", info.name, info.backend, info.device_type, info.driver, info.driver_info);
    println!("subgroups of {} to {}", info.subgroup_min_size, info.subgroup_max_size);
    let limits = adapter.limits();
    println!(
        "workgroup memory {}, invocations {}",
        limits.max_compute_workgroup_storage_size, limits.max_compute_invocations_per_workgroup
    );
    let wanted = wgpu::Features::SHADER_F16 | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    let has = adapter.features();
    for feature in [
        wgpu::Features::SHADER_F16,
        wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
        wgpu::Features::SUBGROUP,
        wgpu::Features::TIMESTAMP_QUERY,
    ] {
        println!("{feature:?}: {}", has.contains(feature));
    }
    for shape in adapter.cooperative_matrix_properties() {
        println!("  {}x{}x{} {:?} to {:?}", shape.m_size, shape.n_size, shape.k_size, shape.ab_type, shape.cr_type);
    }
    if !has.contains(wanted) {
        println!("no cooperative matrices here");
        return Ok(());
    }
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: wanted | (has & wgpu::Features::SUBGROUP),
        required_limits: limits,
        // SAFETY: what this example is for: to see what the feature does. Its shaders index nothing out of bounds.
        experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
        ..Default::default()
    }))?;
    device.on_uncaptured_error(std::sync::Arc::new(|error| println!("UNCAUGHT: {error}")));
    let gpu = Gpu { device, queue };
    if has.contains(wgpu::Features::SUBGROUP) {
        match gpu.lanes() {
            Ok(line) => println!("{line}"),
            Err(error) => println!("lanes: FAILED: {error}"),
        }
    }
    for source in Source::ALL {
        for stride in source.strides() {
            for (load, store) in [(true, true), (false, true), (true, false), (false, false)] {
                match gpu.smoke(source, stride, load, store) {
                    Ok(found) => println!(
                        "{source:?} stride {stride}: {} {} is {found}",
                        if load { "coopLoadT" } else { "coopLoad" },
                        if store { "coopStoreT" } else { "coopStore" }
                    ),
                    Err(error) => println!("{source:?} stride {stride} {load} {store}: FAILED: {error}"),
                }
            }
        }
    }
    let small = Problem::new([256, 256, 192]);
    let exact = small.product();
    let large = [Problem::new([2048, 2048, 2048]), Problem::new([4096, 4096, 4096])];
    for tile in tiles() {
        print!("{:<44}", tile.name());
        match gpu.tile(&tile, &small, &exact, &large) {
            Ok(line) => println!("{line}"),
            Err(error) => println!("FAILED: {}", error.to_string().replace('\n', " ")),
        }
    }
    Ok(())
}

/// Where the smoke test's operands lie, and in what elements.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Source {
    Storage,
    StorageVec4,
    Workgroup,
    WorkgroupVec4,
}

impl Source {
    const ALL: [Source; 4] = [Source::Storage, Source::StorageVec4, Source::Workgroup, Source::WorkgroupVec4];

    /// Rows are 24 f16 apart. Of vectors, the stride may be meant in vectors or in numbers: one of the two is right.
    fn strides(self) -> Vec<u32> {
        match self {
            Source::Storage | Source::Workgroup => vec![24],
            Source::StorageVec4 | Source::WorkgroupVec4 => vec![6, 24],
        }
    }
}

/// A and B, and then C, of 16x16 in rows of 24 numbers; the arrays are long enough for strides of 24 vectors.
fn smoke_text(source: Source, stride: u32, load: bool, store: bool) -> String {
    let (t, st) = (if load { "T" } else { "" }, if store { "T" } else { "" });
    let vectors = matches!(source, Source::StorageVec4 | Source::WorkgroupVec4);
    let element = if vectors { "vec4<f16>" } else { "f16" };
    let len = if vectors { 16 * 24 } else { 16 * 24 + 16 };
    let (a, b, copy) = match source {
        Source::Storage | Source::StorageVec4 => ("a", "b", String::new()),
        _ => (
            "wa",
            "wb",
            format!("for (var i = t; i < {len}u; i += 32u) {{ wa[i] = a[i]; wb[i] = b[i]; }} workgroupBarrier();"),
        ),
    };
    let workgroup = match source {
        Source::Storage | Source::StorageVec4 => String::new(),
        _ => format!("var<workgroup> wa: array<{element}, {len}>; var<workgroup> wb: array<{element}, {len}>;"),
    };
    format!(
        "enable f16; enable wgpu_cooperative_matrix;
@group(0) @binding(0) var<storage, read> a: array<{element}>;
@group(0) @binding(1) var<storage, read> b: array<{element}>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
{workgroup}
@compute @workgroup_size(32)
fn main(@builtin(local_invocation_index) t: u32) {{
    {copy}
    let ma = coopLoad{t}<coop_mat16x16<f16, A>>(&{a}[0], {stride}u);
    let mb = coopLoad{t}<coop_mat16x16<f16, B>>(&{b}[0], {stride}u);
    var mc: coop_mat16x16<f32, C>;
    mc = coopMultiplyAdd(ma, mb, mc);
    coopStore{st}(mc, &y[0], 16u);
}}"
    )
}

const LANES: &str = "
@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) t: u32, @builtin(subgroup_id) s: u32, @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) size: u32) {
    y[t] = s * 65536u + lane + size * 256u;
}";

/// A tile of a product: how much of C a workgroup and a subgroup make, and how.
#[derive(Debug, Clone, Copy)]
struct Tile {
    /// Rows and columns of C, and the depth of a step.
    block: [u32; 3],
    /// Rows and columns of a subgroup.
    subgroup: [u32; 2],
    buffers: u32,
    /// By how many f16 rows in workgroup memory are longer.
    pad: u32,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    /// Eight f16 a load, workgroup memory of vec4, C stored as it is.
    Plain,
    /// As plain, with wgpu's runtime checks.
    Checked,
    /// Four f16 a load.
    Short,
    /// Workgroup memory of single f16.
    Scalars,
    /// C through workgroup memory, as an epilogue would.
    Staged,
    /// As staged, and `subgroup_id` in place of a division.
    Straight,
    /// No workgroup memory: operands from storage.
    Global,
}

fn tiles() -> Vec<Tile> {
    use How::*;
    let tile = |block, subgroup, buffers, pad, how| Tile { block, subgroup, buffers, pad, how };
    vec![
        tile([128, 64, 32], [64, 32], 2, 8, Plain),
        tile([128, 64, 32], [64, 32], 1, 8, Plain),
        tile([64, 64, 32], [32, 32], 2, 8, Plain),
        tile([64, 64, 64], [32, 32], 1, 8, Plain),
        tile([128, 128, 32], [64, 64], 2, 8, Plain),
        tile([128, 128, 32], [64, 64], 1, 8, Plain),
        tile([128, 128, 32], [64, 32], 2, 8, Plain),
        tile([128, 128, 32], [64, 32], 1, 8, Plain),
        tile([128, 64, 64], [64, 32], 1, 8, Plain),
        tile([256, 64, 32], [64, 32], 1, 8, Plain),
        tile([128, 64, 32], [32, 64], 2, 8, Plain),
        tile([128, 64, 32], [64, 32], 2, 0, Plain),
        tile([128, 64, 32], [64, 32], 2, 8, Checked),
        tile([128, 64, 32], [64, 32], 2, 8, Short),
        tile([128, 64, 32], [64, 32], 2, 8, Scalars),
        tile([128, 64, 32], [64, 32], 2, 8, Staged),
        tile([128, 64, 32], [64, 32], 1, 8, Staged),
        tile([128, 64, 32], [64, 32], 1, 8, Straight),
        tile([128, 128, 16], [64, 64], 1, 8, Global),
        tile([128, 64, 16], [64, 32], 1, 8, Global),
    ]
}

impl Tile {
    fn name(&self) -> String {
        let [m, n, k] = self.block;
        let [sm, sn] = self.subgroup;
        format!("{m}x{n}x{k} by {sm}x{sn}, {} buffers, pad {}, {:?}", self.buffers, self.pad, self.how)
    }

    fn invocations(&self) -> u32 {
        self.block[0] / self.subgroup[0] * (self.block[1] / self.subgroup[1]) * 32
    }

    fn text(&self) -> String {
        if self.how == How::Global {
            return self.global_text();
        }
        let [m, n, k] = self.block;
        let [sm, sn] = self.subgroup;
        let (rows, columns) = (sm / 16, sn / 16);
        let threads = self.invocations();
        let across = n / sn;
        let unit = if self.how == How::Scalars { 1 } else { 4 };
        let element = if unit == 1 { "f16" } else { "vec4<f16>" };
        let load = if self.how == How::Short { 4 } else { 8 };
        let loaded = if load == 4 { "vec4<f16>" } else { "mat2x4<f16>" };
        let (stride_a, stride_b) = ((k + self.pad) / unit, (n + self.pad) / unit);
        let (size_a, size_b) = (m * stride_a, k * stride_b);
        let staged = matches!(self.how, How::Staged | How::Straight);
        let mut text = String::from("enable f16;\nenable wgpu_cooperative_matrix;\n");
        let out = &mut text;
        let mut line = |words: String| writeln!(out, "{words}").expect("writing to a string");
        line("struct Params { m: u32, n: u32, k: u32, pad: u32 }".into());
        line("@group(0) @binding(0) var<uniform> p: Params;".into());
        line(format!("@group(0) @binding(1) var<storage, read> a: array<{loaded}>;"));
        line(format!("@group(0) @binding(2) var<storage, read> b: array<{loaded}>;"));
        line("@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;".into());
        line(format!("var<workgroup> ta: array<{element}, {}>;", size_a * self.buffers));
        line(format!("var<workgroup> tb: array<{element}, {}>;", size_b * self.buffers));
        let subgroups = threads / 32;
        if staged {
            // 16 x 32 of each subgroup, rows padded to 36.
            line(format!("var<workgroup> tc: array<vec4<f32>, {}>;", subgroups * 16 * 9));
        }
        let (loads_a, loads_b) = (m * k / load / threads, k * n / load / threads);
        let (wide_a, wide_b) = (k / load, n / load);
        // A place of a tile, in loads, is row and column of it.
        line(format!(
            "fn load_a(i: u32, row0: u32, step: u32) -> {loaded} {{ return a[(row0 + i / {wide_a}u) * (p.k / {load}u) + step * {wide_a}u + i % {wide_a}u]; }}"
        ));
        line(format!(
            "fn load_b(i: u32, column0: u32, step: u32) -> {loaded} {{ return b[(step * {k}u + i / {wide_b}u) * (p.n / {load}u) + column0 / {load}u + i % {wide_b}u]; }}"
        ));
        for (name, wide, stride) in [("a", wide_a, stride_a), ("b", wide_b, stride_b)] {
            let at = format!("base + i / {wide}u * {stride}u + i % {wide}u * {}u", load / unit);
            let stores = match (unit, load) {
                (4, 4) => format!("t{name}[at] = v;"),
                (4, _) => format!("t{name}[at] = v[0]; t{name}[at + 1u] = v[1];"),
                _ => (0..8).map(|j| format!("t{name}[at + {j}u] = v[{}][{}]; ", j / 4, j % 4)).collect(),
            };
            line(format!("fn store_{name}(i: u32, base: u32, v: {loaded}) {{ let at = {at}; {stores} }}"));
        }
        let fetch = |step: &str| {
            let a = (0..loads_a).map(|i| format!("na{i} = load_a(t + {}u, row0, {step}); ", i * threads));
            let b = (0..loads_b).map(|i| format!("nb{i} = load_b(t + {}u, column0, {step}); ", i * threads));
            a.chain(b).collect::<String>()
        };
        let keep = |buffer: &str| {
            let a = (0..loads_a).map(|i| format!("store_a(t + {}u, {buffer} * {size_a}u, na{i}); ", i * threads));
            let b = (0..loads_b).map(|i| format!("store_b(t + {}u, {buffer} * {size_b}u, nb{i}); ", i * threads));
            a.chain(b).collect::<String>()
        };
        let multiply = |buffer: &str| {
            let mut all = format!("for (var kk = 0u; kk < {}u; kk++) {{\n", k / 16);
            for i in 0..rows {
                let at = format!("{buffer} * {size_a}u + (srow + {}u) * {stride_a}u + kk * {}u", i * 16, 16 / unit);
                all += &format!("  let a{i} = coopLoadT<coop_mat16x16<f16, A>>(&ta[{at}], {stride_a}u);\n");
            }
            for j in 0..columns {
                let at =
                    format!("{buffer} * {size_b}u + kk * {}u + scolumn / {unit}u + {}u", 16 * stride_b, j * 16 / unit);
                all += &format!("  let b{j} = coopLoadT<coop_mat16x16<f16, B>>(&tb[{at}], {stride_b}u);\n");
                for i in 0..rows {
                    all += &format!("  c{i}_{j} = coopMultiplyAdd(a{i}, b{j}, c{i}_{j});\n");
                }
            }
            all + "}"
        };
        line(format!("@compute @workgroup_size({threads})"));
        let builtin = if self.how == How::Straight {
            "@builtin(subgroup_id) s: u32, @builtin(subgroup_invocation_id) lane: u32, "
        } else {
            ""
        };
        line(format!(
            "fn main({builtin}@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>) {{"
        ));
        line(format!("let blocks = p.n / {n}u; let row0 = id.x / blocks * {m}u; let column0 = id.x % blocks * {n}u;"));
        if self.how != How::Straight {
            line("let s = t / 32u; let lane = t % 32u;".into());
        }
        line(format!("let srow = s / {across}u * {sm}u; let scolumn = s % {across}u * {sn}u;"));
        line(format!("let steps = p.k / {k}u;"));
        // naga 30 emits expressions in a store's place and stride after the store: they are named before.
        line("let stride = p.n / 4u;".into());
        for i in 0..rows {
            for j in 0..columns {
                line(format!("var c{i}_{j}: coop_mat16x16<f32, C>;"));
            }
        }
        line((0..loads_a).map(|i| format!("var na{i}: {loaded}; ")).collect());
        line((0..loads_b).map(|i| format!("var nb{i}: {loaded}; ")).collect());
        line(fetch("0u"));
        if self.buffers == 2 {
            line(keep("0u"));
            line("workgroupBarrier();".into());
            line("for (var step = 0u; step < steps; step++) {".into());
            line(fetch("min(step + 1u, steps - 1u)"));
            line("let from_buffer = step & 1u;".into());
            line(multiply("from_buffer"));
            line(keep("(1u - from_buffer)"));
            line("workgroupBarrier();\n}".into());
        } else {
            line("for (var step = 0u; step < steps; step++) {\nworkgroupBarrier();".into());
            line(keep("0u"));
            line("workgroupBarrier();".into());
            line(fetch("min(step + 1u, steps - 1u)"));
            line(multiply("0u"));
            line("}".into());
        }
        if staged {
            line("let stage = s * 144u; let stage4 = stage + 4u;".into());
            for i in 0..rows {
                for pair in 0..columns / 2 {
                    line("workgroupBarrier();".into());
                    line(format!(
                        "coopStoreT(c{i}_{}, &tc[stage], 9u); coopStoreT(c{i}_{}, &tc[stage4], 9u);",
                        2 * pair,
                        2 * pair + 1
                    ));
                    line("workgroupBarrier();".into());
                    line(format!(
                        "for (var i = lane; i < 128u; i += 32u) {{ y[(row0 + srow + {}u + i / 8u) * (p.n / 4u) + (column0 + scolumn) / 4u + {}u + i % 8u] = tc[s * 144u + i / 8u * 9u + i % 8u]; }}",
                        i * 16,
                        pair * 8
                    ));
                }
            }
        } else {
            for i in 0..rows {
                for j in 0..columns {
                    let at = format!("((row0 + srow + {}u) * p.n + column0 + scolumn + {}u) / 4u", i * 16, j * 16);
                    line(format!(
                        "let y{i}_{j} = {at}; let r{i}_{j} = c{i}_{j}; coopStoreT(r{i}_{j}, &y[y{i}_{j}], stride);"
                    ));
                }
            }
        }
        line("}".into());
        text
    }
}

impl Tile {
    fn global_text(&self) -> String {
        let [m, n, _] = self.block;
        let [sm, sn] = self.subgroup;
        let (rows, columns, across) = (sm / 16, sn / 16, n / sn);
        let each = |f: &dyn Fn(u32, u32) -> String| -> String {
            (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))).map(|(i, j)| f(i, j)).collect()
        };
        let variables = each(&|i, j| format!("var c{i}_{j}: coop_mat16x16<f32, C>;\n"));
        let load_a: String = (0..rows)
            .map(|i| {
                let at = format!("(row0 + {}u) * wide_k + step * 4u", i * 16);
                format!("let a{i} = coopLoadT<coop_mat16x16<f16, A>>(&a[{at}], wide_k);\n")
            })
            .collect();
        let load_b: String = (0..columns)
            .map(|j| {
                let at = format!("step * 16u * wide_n + column0 / 4u + {}u", j * 4);
                format!("let b{j} = coopLoadT<coop_mat16x16<f16, B>>(&b[{at}], wide_n);\n")
            })
            .collect();
        let products = each(&|i, j| format!("c{i}_{j} = coopMultiplyAdd(a{i}, b{j}, c{i}_{j});\n"));
        let stores = each(&|i, j| {
            let at = format!("(row0 + {}u) * wide_n + column0 / 4u + {}u", i * 16, j * 4);
            format!("let y{i}_{j} = {at}; let r{i}_{j} = c{i}_{j}; coopStoreT(r{i}_{j}, &y[y{i}_{j}], wide_n);\n")
        });
        format!(
            "enable f16; enable wgpu_cooperative_matrix;
struct Params {{ m: u32, n: u32, k: u32, pad: u32 }}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f16>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
@compute @workgroup_size({})
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) id: vec3<u32>) {{
let blocks = p.n / {n}u; let s = t / 32u;
let row0 = id.x / blocks * {m}u + s / {across}u * {sm}u; let column0 = id.x % blocks * {n}u + s % {across}u * {sn}u;
let wide_k = p.k / 4u; let wide_n = p.n / 4u;
{variables}
for (var step = 0u; step < p.k / 16u; step++) {{
{load_a}{load_b}{products}}}
{stores}}}",
            self.invocations()
        )
    }
}

/// Two operands.
struct Problem {
    size: [u32; 3],
    a: Vec<f16>,
    b: Vec<f16>,
}

impl Problem {
    fn new([m, n, k]: [u32; 3]) -> Self {
        let mut state = 12345u32;
        let mut values = |len: u32| -> Vec<f16> {
            let one = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f16::from_f32((state >> 8) as f32 / (1 << 23) as f32 - 1.0)
            };
            (0..len).map(one).collect()
        };
        Problem { size: [m, n, k], a: values(m * k), b: values(k * n) }
    }

    /// The product in f64, and the sum of the sizes of its terms.
    fn product(&self) -> Vec<(f64, f64)> {
        let [m, n, k] = self.size.map(|s| s as usize);
        let (a, b): (Vec<f64>, Vec<f64>) =
            (self.a.iter().map(|v| v.to_f64()).collect(), self.b.iter().map(|v| v.to_f64()).collect());
        let mut out = vec![(0.0, 0.0); m * n];
        for i in 0..m {
            for l in 0..k {
                for j in 0..n {
                    let term = a[i * k + l] * b[l * n + j];
                    out[i * n + j].0 += term;
                    out[i * n + j].1 += term.abs();
                }
            }
        }
        out
    }
}

struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
}

impl Gpu {
    /// Does something with the device, and gives its complaints as an error.
    fn caught<T>(&self, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let scopes = [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Internal]
            .map(|filter| self.device.push_error_scope(filter));
        let result = work();
        let mut complaints =
            scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop())).collect::<Vec<_>>();
        match complaints.pop() {
            Some(error) => Err(error.to_string().into()),
            None => result,
        }
    }

    fn pipeline(&self, text: &str, checks: bool) -> Result<wgpu::ComputePipeline, Failure> {
        self.caught(|| {
            let runtime =
                if checks { wgpu::ShaderRuntimeChecks::checked() } else { wgpu::ShaderRuntimeChecks::unchecked() };
            let descriptor =
                wgpu::ShaderModuleDescriptor { label: None, source: wgpu::ShaderSource::Wgsl(text.into()) };
            // SAFETY: the texts above index inside the buffers that this example gives them, and their loops end.
            let module = unsafe { self.device.create_shader_module_trusted(descriptor, runtime) };
            Ok(self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: None,
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: None,
            }))
        })
    }

    fn storage<T: Pod>(&self, values: &[T]) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: bytemuck::cast_slice(values),
            usage,
        })
    }

    fn bind(&self, pipeline: &wgpu::ComputePipeline, buffers: &[&wgpu::Buffer]) -> wgpu::BindGroup {
        let entries: Vec<_> = buffers
            .iter()
            .zip(0..)
            .map(|(buffer, binding)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        })
    }

    /// Dispatches a number of times and waits: how many seconds it took.
    fn dispatch(
        &self,
        pipeline: &wgpu::ComputePipeline,
        group: &wgpu::BindGroup,
        groups: u32,
        times: u32,
    ) -> Result<f64, Failure> {
        let start = Instant::now();
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, group, &[]);
        for _ in 0..times {
            pass.dispatch_workgroups(groups, 1, 1);
        }
        drop(pass);
        self.queue.submit([encoder.finish()]);
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        Ok(start.elapsed().as_secs_f64())
    }

    fn read<T: Pod>(&self, buffer: &wgpu::Buffer) -> Result<Vec<T>, Failure> {
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: buffer.size(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
        self.queue.submit([encoder.finish()]);
        staging.slice(..).map_async(wgpu::MapMode::Read, |_| ());
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        let view = staging.slice(..).get_mapped_range()?;
        Ok(bytemuck::pod_collect_to_vec(&view))
    }

    fn lanes(&self) -> Result<String, Failure> {
        let pipeline = self.pipeline(LANES, true)?;
        let y = self.storage(&[0u32; 256]);
        self.caught(|| {
            let group = self.bind(&pipeline, &[&y]);
            self.dispatch(&pipeline, &group, 1, 1)?;
            let found: Vec<u32> = self.read(&y)?;
            let size = found[0] >> 8 & 255;
            let same = found.iter().zip(0..).all(|(&v, t)| v >> 16 == t / size.max(1) && v & 255 == t % size.max(1));
            Ok(format!("a shader's subgroups have {size} lanes; lanes follow local_invocation_index: {same}"))
        })
    }

    /// What load and store take the rows of memory for.
    fn smoke(&self, source: Source, stride: u32, load: bool, store: bool) -> Result<String, Failure> {
        let pipeline = self.pipeline(&smoke_text(source, stride, load, store), true)?;
        let value = |i: usize, salt: usize| f16::from_f32(((i * 37 + salt * 11 + i * i * 3) % 41) as f32 - 20.0);
        let matrix = |salt: usize| -> Vec<f16> { (0..16 * 24 * 4).map(|i| value(i, salt)).collect() };
        let (a, b) = (matrix(1), matrix(2));
        let (buffer_a, buffer_b, y) = (self.storage(&a), self.storage(&b), self.storage(&[0f32; 256]));
        let found: Vec<f32> = self.caught(|| {
            let group = self.bind(&pipeline, &[&buffer_a, &buffer_b, &y]);
            self.dispatch(&pipeline, &group, 1, 1)?;
            self.read(&y)
        })?;
        for apart in [24, 6, 96] {
            for (rows_in, rows_out) in [(true, true), (true, false), (false, true), (false, false)] {
                let at =
                    |m: &[f16], i: usize, j: usize| m[if rows_in { i * apart + j } else { j * apart + i }].to_f32();
                let right = (0..256).all(|place| {
                    let (i, j) = if rows_out { (place / 16, place % 16) } else { (place % 16, place / 16) };
                    let sum: f32 = (0..16).map(|k| at(&a, i, k) * at(&b, k, j)).sum();
                    sum == found[place]
                });
                if right {
                    let word = |rows| if rows { "rows" } else { "columns" };
                    return Ok(format!("in {} {apart} f16 apart, out {}", word(rows_in), word(rows_out)));
                }
            }
        }
        Ok(format!("nothing known: {:?}", &found[..8]))
    }

    fn tile(&self, tile: &Tile, small: &Problem, exact: &[(f64, f64)], large: &[Problem]) -> Result<String, Failure> {
        let start = Instant::now();
        let pipeline = self.pipeline(&tile.text(), tile.how == How::Checked)?;
        let compiled = start.elapsed().as_secs_f64();
        let mut line = String::new();
        for problem in [small].into_iter().chain(large) {
            let [m, n, k] = problem.size;
            let groups = m / tile.block[0] * (n / tile.block[1]);
            let usage = wgpu::BufferUsages::UNIFORM;
            let params = self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: None,
                contents: bytemuck::cast_slice(&[m, n, k, 0]),
                usage,
            });
            let (a, b) = (self.storage(&problem.a), self.storage(&problem.b));
            let outputs = [(); 2].map(|()| self.storage(&vec![f32::NAN; (m * n) as usize]));
            self.caught(|| {
                let bound = outputs.each_ref().map(|y| self.bind(&pipeline, &[&params, &a, &b, y]));
                for group in &bound {
                    self.dispatch(&pipeline, group, groups, 1)?;
                }
                if m < 4096 {
                    let [first, second] = [self.read::<u32>(&outputs[0])?, self.read::<u32>(&outputs[1])?];
                    let different = first.iter().zip(&second).filter(|(one, other)| one != other).count();
                    if different > 0 {
                        line += &format!("{different} of {} answers DIFFER at {m}; ", first.len());
                    }
                    if m == small.size[0] {
                        let off = first
                            .iter()
                            .zip(exact)
                            .map(|(&bits, &(sum, size))| (f64::from(f32::from_bits(bits)) - sum).abs() / size);
                        // NaN must show.
                        let worst = off.fold(0.0, |worst: f64, v| if worst.is_nan() || v <= worst { worst } else { v });
                        line += &format!("off by {:.2} units of 2^-24 ", worst * f64::from(1 << 24));
                        return Ok(());
                    }
                }
                let once = self.dispatch(&pipeline, &bound[0], groups, 2)? / 2.0;
                let times = (0.05 / once).clamp(2.0, 200.0) as u32;
                let best = (0..3)
                    .map(|_| self.dispatch(&pipeline, &bound[0], groups, times))
                    .collect::<Result<Vec<_>, _>>()?
                    .into_iter()
                    .fold(f64::MAX, f64::min);
                let flops = 2.0 * f64::from(m) * f64::from(n) * f64::from(k) * f64::from(times);
                line += &format!(" {m}: {:6.1} TFLOP/s ", flops / best / 1e12);
                Ok(())
            })?;
        }
        Ok(format!("{line} compiled in {compiled:.2} s"))
    }
}
