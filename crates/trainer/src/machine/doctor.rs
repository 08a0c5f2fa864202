//! Examines the machine: what it has, what will be slow on it, and what to do about it.

use std::path::PathBuf;

use kernels::wgpu::{self, Adapter, BufferUsages, DeviceType, util::DeviceExt as _};
use kernels::{Family, Matmul, MatmulBuffers, MatmulDesc, Precision, Tune};
use serde::{Serialize, Serializer};

use crate::error::{Error, Result};
use crate::machine::bench::Bench;
use crate::machine::compiled::Found;
use crate::machine::device::{Gpu, Summary, TIMING};
use crate::machine::heap;
use crate::machine::timer::Timer;
use crate::machine::tune::Tuned;

/// Rows and columns of the matrices that are multiplied to measure speed.
pub const SIZE: u32 = 1024;

/// The findings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnosis {
    /// Every adapter there is; by their numbers.
    pub adapters: Vec<Summary>,
    /// The adapter that was taken.
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
    /// Cores that decode photos.
    pub cores: usize,
    /// What is slow, and what to do.
    pub advice: Vec<Advice>,
    /// The layers of a network, where that was asked for.
    pub bench: Option<Bench>,
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

/// Examines an open adapter, which takes a second or so.
///
/// # Errors
/// The adapter fails, or multiplies wrongly.
pub fn examine(adapters: &[Adapter], gpu: &Gpu) -> Result<Diagnosis> {
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
    Ok(Diagnosis {
        adapters: adapters.iter().map(Summary::of).collect(),
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
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        advice: advice(adapters, &info, family, suited),
        bench: None,
    })
}

fn advice(adapters: &[Adapter], info: &wgpu::AdapterInfo, family: Family, suited: Family) -> Vec<Advice> {
    let mut advice = Vec::new();
    if family != suited {
        advice.push(Advice::Unforce { suited: suited.name() });
    }
    if info.device_type == DeviceType::Cpu {
        advice.push(Advice::SoftwareAdapter);
        let real = adapters.iter().position(|adapter| adapter.get_info().device_type != DeviceType::Cpu);
        advice.push(real.map_or(Advice::NoGpuSeen, Advice::TakeGpu));
        if suited != Family::Texture {
            advice.push(Advice::NoSubgroups);
        }
    }
    if cfg!(debug_assertions) {
        advice.push(Advice::DevelopmentBuild);
    }
    advice
}

/// Measures the speed of the matrix product, the best of several runs, and checks its result.
fn matmul_gflops(gpu: &Gpu) -> Result<f64> {
    let desc = MatmulDesc::new(SIZE, SIZE, SIZE);
    let count = (SIZE * SIZE) as usize;
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
    let buffer = |values: &[f32]| {
        let contents = bytemuck::cast_slice(values);
        gpu.device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: Some("doctor"), contents, usage })
    };
    // Row r of A is r mod 7 everywhere, column c of B is c mod 5: every sum is exact.
    let value = |r: usize, c: usize| (r % 7 * (c % 5)) as f32 * SIZE as f32;
    let a = buffer(&(0..count).map(|i| (i / SIZE as usize % 7) as f32).collect::<Vec<_>>());
    let b = buffer(&(0..count).map(|i| (i % SIZE as usize % 5) as f32).collect::<Vec<_>>());
    let output = buffer(&vec![f32::NAN; count]);
    let buffers = MatmulBuffers { a: a.slice(..), b: b.slice(..), bias: None, output: output.slice(..) };
    let matmul = Matmul::new(&gpu.context, &desc)?.bind(&buffers)?;
    let best = Timer::new(gpu).best(&|encoder| matmul.encode(encoder), 5)?;
    let result: Vec<f32> = gpu.read(&output)?;
    let wrong = (0..count).find(|&i| {
        let expected = value(i / SIZE as usize, i % SIZE as usize);
        // NaN, which an unwritten output holds, is not within.
        let within = (result[i] - expected).abs() <= 1e-4 * expected;
        !within
    });
    match wrong {
        Some(i) => Err(Error::Device(format!(
            "the matrix product is wrong at element {i}: {}; run `cargo run -p kernels --example verify`",
            result[i]
        ))),
        None => Ok(desc.flops() as f64 / best / 1e9),
    }
}
