//! What layers are measured by: the fastest matrix product at hand.

use std::time::Instant;

use kernels::wgpu::util::{BufferInitDescriptor, DeviceExt as _};
use kernels::wgpu::{Buffer, BufferDescriptor, BufferUsages, CommandEncoder, DeviceType};
use kernels::{Commands, Matmul, MatmulBuffers, MatmulDesc};
use rayon::prelude::*;
use serde::Serialize;

use crate::error::Result;
use crate::machine::gpu::Gpu;
use crate::machine::timer::{Timer, Work};
use crate::words::count;

/// Rows and columns of the matrices of the yardstick: the first on cores, all that don't take too long on a GPU.
const SIZES: [u32; 3] = [1024, 2048, 4096];
/// A GPU's product is computed so often that it takes so many seconds, in which its clock and starting don't count.
const ENOUGH: f64 = 5e-3;
/// A size that would take so many seconds is left out: a driver may kill what takes long.
const LONGEST: f64 = 0.1;

/// The fastest matrix product at hand, measured in turns with the layers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Yardstick {
    /// The name of the product.
    pub name: String,
    /// 10⁹ multiplications and additions a second.
    pub gflops: f64,
}

/// A matrix product that is measured in turns with the layers.
pub(crate) enum Product {
    /// A software adapter is measured by the cores that it runs on.
    OfCores(Sgemm),
    /// A GPU by its own best.
    OfAdapter(Products),
}

impl Product {
    /// Chooses the product that suits an adapter.
    pub(crate) fn new(gpu: &Gpu, timer: &Timer<'_>) -> Result<Self> {
        Ok(match gpu.adapter.get_info().device_type {
            DeviceType::Cpu => Self::OfCores(Sgemm::new(SIZES[0] as usize)),
            _ => Self::OfAdapter(Products::new(gpu, timer)?),
        })
    }

    /// Names it, for reports.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::OfCores(_) => format!("sgemm on {}", count(rayon::current_num_threads(), "core")),
            Self::OfAdapter(_) => "the adapter's best matmul".to_owned(),
        }
    }

    /// Measures 10⁹ multiplications and additions a second, now.
    pub(crate) fn gflops(&self, timer: &Timer<'_>) -> Result<f64> {
        match self {
            Self::OfCores(sgemm) => Ok(sgemm.gflops()),
            Self::OfAdapter(products) => products.gflops(timer),
        }
    }
}

/// Values of a square matrix that differ from each other: zeros cost a GPU less power, so it would run faster on them.
fn values(size: usize, step: usize) -> Vec<f32> {
    (0..size * size).map(|i| (i * step % 13) as f32 - 6.0).collect()
}

/// The matrix product of a CPU, by the crate matrixmultiply, on all cores.
pub(crate) struct Sgemm {
    size: usize,
    a: Vec<f32>,
    b: Vec<f32>,
}

impl Sgemm {
    fn new(size: usize) -> Self {
        Self { size, a: values(size, 5), b: values(size, 7) }
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
pub(crate) struct Products(Vec<Repeated>);

/// A product, and how often it is computed between two looks at the clock.
struct Repeated {
    flops: u64,
    commands: Commands,
    times: u32,
}

impl Products {
    fn new(gpu: &Gpu, timer: &Timer<'_>) -> Result<Self> {
        let mut all = Self::of_size(gpu, timer, SIZES[0])?;
        let fastest = all.iter().map(|(_, seconds)| *seconds).fold(f64::INFINITY, f64::min);
        for size in &SIZES[1..] {
            let expected = fastest * f64::from(size / SIZES[0]).powi(3);
            if expected < LONGEST {
                all.extend(Self::of_size(gpu, timer, *size)?);
            }
        }
        let repeated = |(repeated, seconds): (Repeated, f64)| {
            let times = (ENOUGH / seconds).ceil().clamp(1.0, 500.0) as u32;
            Repeated { times, ..repeated }
        };
        Ok(Self(all.into_iter().map(repeated).collect()))
    }

    /// Every variant of the product of `n` rows and columns, and the seconds that it takes.
    fn of_size(gpu: &Gpu, timer: &Timer<'_>, n: u32) -> Result<Vec<(Repeated, f64)>> {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        let label = Some("yardstick");
        let matrix = |step: usize| -> Buffer {
            let contents = values(n as usize, step);
            let contents = bytemuck::cast_slice(&contents);
            gpu.device.create_buffer_init(&BufferInitDescriptor { label, contents, usage })
        };
        let (a, b) = (matrix(5), matrix(7));
        let size = u64::from(n).pow(2) * 4;
        let output = gpu.device.create_buffer(&BufferDescriptor { label, size, usage, mapped_at_creation: false });
        let plan = Matmul::new(&gpu.context, &MatmulDesc::new(n, n, n))?;
        let mut products = Vec::new();
        for variant in plan.variants() {
            let buffers = MatmulBuffers { a: a.slice(..), b: b.slice(..), bias: None, output: output.slice(..) };
            let commands = plan.with_variant(variant)?.bind(&buffers)?;
            products.push(Repeated { flops: plan.desc().flops(), commands, times: 1 });
        }
        let once: Vec<&Commands> = products.iter().map(|product| &product.commands).collect();
        // The first compiles.
        timer.each(&once)?;
        let seconds = timer.each(&once)?;
        // A clock that ticks slowly must not make it infinitely fast.
        Ok(products.into_iter().zip(seconds.into_iter().map(|seconds| seconds.max(1e-6))).collect())
    }

    fn gflops(&self, timer: &Timer<'_>) -> Result<f64> {
        let record = |product: &'_ Repeated, encoder: &mut CommandEncoder| {
            (0..product.times).for_each(|_| product.commands.encode(encoder));
        };
        let pieces: Vec<_> =
            self.0.iter().map(|product| move |encoder: &mut CommandEncoder| record(product, encoder)).collect();
        let seconds = timer.each_work(&pieces.iter().map(|piece| piece as Work<'_>).collect::<Vec<_>>())?;
        let speed = |product: &Repeated, seconds: f64| product.flops as f64 * f64::from(product.times) / seconds / 1e9;
        Ok(self.0.iter().zip(seconds).map(|(product, seconds)| speed(product, seconds)).fold(0.0, f64::max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::gpu::{Selection, open};

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
    }

    /// The adapter's own, as on a GPU. What isn't fast enough for the larger sizes has the smallest alone.
    #[test]
    fn an_adapters_products_are_repeated_until_they_count() {
        let gpu = pollster::block_on(open(&Selection::default())).unwrap();
        let timer = Timer::new(&gpu);
        let products = Products::new(&gpu, &timer).unwrap();
        assert!(!products.0.is_empty() && products.0.iter().all(|product| product.times >= 1));
        let speed = products.gflops(&timer).unwrap();
        let least = products.0.iter().map(|product| product.flops).min().unwrap();
        assert_eq!(least, 2 * u64::from(SIZES[0]).pow(3));
        assert!(speed > 0.0 && speed.is_finite(), "{speed}");
    }
}
