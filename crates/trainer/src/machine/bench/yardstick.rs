//! What layers are measured by: the fastest matrix product at hand, and the speed of memory.

use std::time::Instant;

use kernels::wgpu::{BufferDescriptor, BufferUsages, DeviceType};
use kernels::{Commands, Matmul, MatmulBuffers, MatmulDesc};
use rayon::prelude::*;
use serde::Serialize;

use crate::error::Result;
use crate::machine::device::Gpu;
use crate::machine::timer::Timer;
use crate::words::count;

/// Rows and columns of the matrices of the yardstick.
const SIZES: [u32; 2] = [1024, 2048];
/// Bytes that are copied to measure memory.
const COPIED: u64 = 64 << 20;

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
    pub(crate) fn new(gpu: &Gpu) -> Result<Self> {
        Ok(match gpu.adapter.get_info().device_type {
            DeviceType::Cpu => Self::OfCores(Sgemm::new(SIZES[0] as usize)),
            _ => Self::OfAdapter(Products::new(gpu)?),
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

/// The matrix product of a CPU, by the crate matrixmultiply, on all cores.
pub(crate) struct Sgemm {
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
pub(crate) struct Products(Vec<(u64, Commands)>);

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
pub(crate) fn memory(gpu: &Gpu, timer: &Timer<'_>) -> Result<f64> {
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
}
