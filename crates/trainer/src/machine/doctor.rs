//! Examines the machine: what it has, what will be slow on it, and what to do about it.

use std::path::PathBuf;
use std::time::Instant;

use kernels::wgpu::{self, Adapter, BufferUsages, DeviceType, util::DeviceExt as _};
use kernels::{Family, Matmul, MatmulBuffers, MatmulDesc, Precision, Tune};
use native::{Matrix, MatrixMut, product};
use serde::{Serialize, Serializer};

use crate::error::{Error, Result};
use crate::machine::bench::{Bench, Passes};
use crate::machine::compiled::Found;
use crate::machine::device::is_hardware;
use crate::machine::gpu::{Gpu, Summary, TIMING};
use crate::machine::heap;
use crate::machine::timer::Timer;
use crate::machine::tune::Tuned;
use crate::machine::{Cpu, Device, Wanted};

/// Rows and columns of the matrices that are multiplied to measure speed.
pub const SIZE: u32 = 1024;

/// The findings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnosis {
    /// What computes: `gpu` or `cpu`.
    pub engine: &'static str,
    /// Why it does.
    pub why: &'static str,
    /// The CPU.
    pub cpu: Processor,
    /// Every adapter there is; by their numbers.
    pub adapters: Vec<Summary>,
    /// What was found of an adapter, if one was opened.
    #[serde(flatten)]
    pub examined: Option<Examined>,
    /// What is slow, and what to do.
    pub advice: Vec<Advice>,
    /// The layers of a network on the adapter, where that was asked for.
    pub bench: Option<Bench>,
    /// Passes through the same network on the CPU, likewise.
    pub cpu_bench: Option<Passes>,
}

/// What is found of the CPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Processor {
    /// Its name.
    pub name: String,
    /// The instructions that it computes by.
    pub instructions: String,
    /// Threads that compute, and decode photos.
    pub threads: usize,
    /// 10⁹ multiplications and additions a second of a 1024 x 1024 matrix product, checked.
    pub matmul_gflops: f64,
}

/// What is found of an open adapter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Examined {
    /// The adapter.
    pub adapter: Summary,
    /// The kernels planned on it: `tiled` or `texture`.
    pub kernels: &'static str,
    /// Why these kernels were chosen.
    pub reason: String,
    /// The table of measured kernels in use; none for the default of each shape.
    pub tuned: Option<Tuned>,
    /// The least and the most lanes of a subgroup.
    pub subgroup: [u32; 2],
    /// The features that matter here, and whether it has them.
    pub features: Vec<(&'static str, bool)>,
    /// What our work on it makes use of, and whether it does.
    pub in_use: Vec<(&'static str, bool)>,
    /// The limits that matter here.
    pub limits: Vec<(&'static str, u64)>,
    /// 10⁹ multiplications and additions a second of a 1024 x 1024 matrix product, checked.
    pub matmul_gflops: f64,
    /// Where what the driver compiles is kept, and what was there; `None` where there is no such cache.
    #[serde(serialize_with = "compiled")]
    pub compiled: Option<(PathBuf, Found)>,
    /// The family of kernels that suits it.
    #[serde(skip)]
    suited: Family,
}

/// Serialises the cache of what was compiled, whatever the bytes of its path.
fn compiled<S: Serializer>(compiled: &Option<(PathBuf, Found)>, serializer: S) -> Result<S::Ok, S::Error> {
    compiled.as_ref().map(|(path, found)| (path.to_string_lossy(), found)).serialize(serializer)
}

/// Something to know or to do, for a command line to word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Advice {
    /// The kernels were forced; those of the family `suited` are faster here.
    Unforce {
        /// `tiled` or `texture`.
        suited: &'static str,
    },
    /// The CPU does the GPU's work.
    SoftwareAdapter,
    /// The adapter of this number is a GPU.
    TakeGpu(usize),
    /// No adapter is a GPU: if there is one, its driver can't be seen.
    NoGpuSeen,
    /// The software adapter has no subgroups of 4, 8 or 16 lanes.
    NoSubgroups,
    /// The program was built for development.
    DevelopmentBuild,
}

/// Examines the machine, on which `device` was opened as `wanted`, and an adapter, which takes a second or so.
///
/// # Errors
/// The adapter or the CPU fails, or multiplies wrongly.
pub fn diagnose(wanted: Wanted, adapters: &[Adapter], device: &Device, gpu: Option<&Gpu>) -> Result<Diagnosis> {
    let why = match (wanted, device) {
        (Wanted::Auto | Wanted::Kernels, Device::Cpu(_)) if adapters.is_empty() => "there is no adapter",
        (Wanted::Auto, Device::Cpu(_)) => "no adapter is hardware, and the CPU outruns a software adapter",
        (Wanted::Auto, Device::Gpu(gpu)) if is_hardware(&gpu.adapter) => "there is a hardware adapter",
        _ => "as asked for",
    };
    let cpu = Cpu::open()?;
    let Summary { name, driver: instructions, .. } = cpu.summary();
    let cpu = Processor { name, instructions, threads: cpu.threads(), matmul_gflops: cores_gflops()? };
    let examined = gpu.map(examine).transpose()?;
    let advice = advice(adapters, device, examined.as_ref());
    let adapters = adapters.iter().map(Summary::of).collect();
    Ok(Diagnosis { engine: device.engine(), why, cpu, adapters, examined, advice, bench: None, cpu_bench: None })
}

/// Examines an open adapter.
fn examine(gpu: &Gpu) -> Result<Examined> {
    let info = gpu.adapter.get_info();
    let limits = gpu.device.limits();
    let family = gpu.context.tune().family;
    let suited = Tune::for_device(&gpu.device).family;
    let lanes = format!("subgroups of {} to {} lanes", info.subgroup_min_size, info.subgroup_max_size);
    let reason = match (family == suited, family) {
        (false, _) => format!("forced; {} would be chosen", suited.name()),
        (true, Family::Texture) => format!("a software adapter with {lanes}"),
        (true, _) if info.device_type == DeviceType::Cpu => {
            format!("a software adapter, but with {lanes}, not 4, 8 or 16")
        }
        (true, _) => "a GPU".to_owned(),
    };
    let has = |feature| gpu.adapter.features().contains(feature);
    let matmul_gflops = matmul_gflops(gpu)?;
    let mut known = vec![
        ("bytes a binding", limits.max_storage_buffer_binding_size),
        ("bytes a buffer", limits.max_buffer_size),
        ("bytes of workgroup memory", limits.max_compute_workgroup_storage_size.into()),
        ("invocations a workgroup", limits.max_compute_invocations_per_workgroup.into()),
        ("workgroups an axis", limits.max_compute_workgroups_per_dimension.into()),
        ("texels a texture side", limits.max_texture_dimension_2d.into()),
    ];
    known.extend(heap::bytes(&gpu.adapter).map(|bytes| ("bytes of its memory", bytes)));
    Ok(Examined {
        adapter: Summary::of(&gpu.adapter),
        kernels: family.name(),
        reason,
        tuned: gpu.tuned.clone(),
        subgroup: [info.subgroup_min_size, info.subgroup_max_size],
        features: vec![
            ("subgroup", has(wgpu::Features::SUBGROUP)),
            ("precision-f16", family == Family::Tiled),
            ("timestamp-query", has(wgpu::Features::TIMESTAMP_QUERY)),
        ],
        in_use: vec![
            ("precision-f16", gpu.precision == Precision::F16),
            ("timestamps", gpu.device.features().contains(TIMING)),
            ("run-time checks", gpu.context.checks()),
            ("cooperative matrices", gpu.context.cooperative()),
        ],
        limits: known,
        matmul_gflops,
        compiled: gpu.compiled.as_ref().map(|compiled| (compiled.path().to_owned(), compiled.found())),
        suited,
    })
}

fn advice(adapters: &[Adapter], device: &Device, examined: Option<&Examined>) -> Vec<Advice> {
    let mut advice = Vec::new();
    if let Some(Examined { suited, .. }) = examined.filter(|found| found.kernels != found.suited.name()) {
        advice.push(Advice::Unforce { suited: suited.name() });
    }
    let software = device.gpu().is_some_and(|gpu| !is_hardware(&gpu.adapter));
    if software {
        advice.push(Advice::SoftwareAdapter);
    }
    if software || device.gpu().is_none() {
        let real = adapters.iter().position(is_hardware);
        advice.push(real.map_or(Advice::NoGpuSeen, Advice::TakeGpu));
    }
    if software && examined.is_some_and(|found| found.suited != Family::Texture) {
        advice.push(Advice::NoSubgroups);
    }
    if cfg!(debug_assertions) {
        advice.push(Advice::DevelopmentBuild);
    }
    advice
}

/// The matrices that are multiplied: row r of A is r mod 7 everywhere, column c of B is c mod 5, so that every sum is exact.
fn matrices() -> [Vec<f32>; 2] {
    let size = SIZE as usize;
    let of = |value: fn(usize) -> usize| (0..size * size).map(|i| value(i) as f32).collect();
    [of(|i| i / SIZE as usize % 7), of(|i| i % SIZE as usize % 5)]
}

/// Checks their product.
///
/// # Errors
/// A number is wrong.
fn check(product: &[f32]) -> Result<()> {
    let size = SIZE as usize;
    let expected = |i: usize| (i / size % 7 * (i % size % 5) * size) as f32;
    // NaN, which an unwritten output holds, is not within.
    let within = |i: &usize| (product[*i] - expected(*i)).abs() <= 1e-4 * expected(*i);
    match (0..product.len()).find(|i| !within(i)) {
        Some(i) => Err(Error::Device(format!(
            "the matrix product is wrong at element {i}: {}; run `cargo run -p kernels --example verify`",
            product[i]
        ))),
        None => Ok(()),
    }
}

/// Measures the speed of the adapter's matrix product, the best of several runs, and checks its result.
fn matmul_gflops(gpu: &Gpu) -> Result<f64> {
    let desc = MatmulDesc::new(SIZE, SIZE, SIZE);
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
    let buffer = |values: &[f32]| {
        let contents = bytemuck::cast_slice(values);
        gpu.device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: Some("doctor"), contents, usage })
    };
    let [a, b] = matrices().map(|values| buffer(&values));
    let output = buffer(&vec![f32::NAN; (SIZE * SIZE) as usize]);
    let buffers = MatmulBuffers { a: a.slice(..), b: b.slice(..), bias: None, output: output.slice(..) };
    let matmul = Matmul::new(&gpu.context, &desc)?.bind(&buffers)?;
    let best = Timer::new(gpu).best(&|encoder| matmul.encode(encoder), 5)?;
    check(&gpu.read::<f32>(&output)?)?;
    Ok(desc.flops() as f64 / best / 1e9)
}

/// Measures the speed of the CPU's matrix product likewise.
fn cores_gflops() -> Result<f64> {
    let size = SIZE as usize;
    let [a, b] = matrices();
    let mut output = vec![f32::NAN; a.len()];
    let [a, b] = [&a, &b].map(|values| Matrix::new(values, [size, size], [size, 1]));
    let (a, b, mut best) = (a?, b?, f64::INFINITY);
    for _ in 0..5 {
        let start = Instant::now();
        product(1.0, a, b, 0.0, MatrixMut::new(&mut output, [size, size], [size, 1])?)?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    check(&output)?;
    Ok(MatmulDesc::new(SIZE, SIZE, SIZE).flops() as f64 / best / 1e9)
}
