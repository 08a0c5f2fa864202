//! The shaders: what loads and stores mean, and products in tiles.

use std::fmt::Write;

/// Where the smoke test's operands lie, and in what elements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Source {
    Storage,
    StorageVec4,
    Workgroup,
    WorkgroupVec4,
}

impl Source {
    pub const ALL: [Source; 4] = [Source::Storage, Source::StorageVec4, Source::Workgroup, Source::WorkgroupVec4];

    /// Rows are 24 f16 apart. Of vectors, the stride may be meant in vectors or in numbers: one of the two is right.
    pub fn strides(self) -> Vec<u32> {
        match self {
            Source::Storage | Source::Workgroup => vec![24],
            Source::StorageVec4 | Source::WorkgroupVec4 => vec![6, 24],
        }
    }
}

/// A and B, and then C, of 16x16 in rows of 24 numbers; the arrays are long enough for strides of 24 vectors.
pub fn smoke_text(source: Source, stride: u32, load: bool, store: bool) -> String {
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

pub const LANES: &str = "
@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) t: u32, @builtin(subgroup_id) s: u32, @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) size: u32) {
    y[t] = s * 65536u + lane + size * 256u;
}";

/// A tile of a product: how much of C a workgroup and a subgroup make, and how.
#[derive(Debug, Clone, Copy)]
pub struct Tile {
    /// Rows and columns of C, and the depth of a step.
    pub block: [u32; 3],
    /// Rows and columns of a subgroup.
    subgroup: [u32; 2],
    buffers: u32,
    /// By how many f16 rows in workgroup memory are longer.
    pad: u32,
    pub how: How,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum How {
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

pub fn tiles() -> Vec<Tile> {
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
    pub fn name(&self) -> String {
        let [m, n, k] = self.block;
        let [sm, sn] = self.subgroup;
        format!("{m}x{n}x{k} by {sm}x{sn}, {} buffers, pad {}, {:?}", self.buffers, self.pad, self.how)
    }

    pub fn invocations(&self) -> u32 {
        self.block[0] / self.subgroup[0] * (self.block[1] / self.subgroup[1]) * 32
    }

    pub fn text(&self) -> String {
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
