//! What computes: an adapter by WGSL kernels, or the CPU's cores by native code; and which of them is taken.

use kernels::Precision;
use kernels::wgpu::{Adapter, DeviceType};

use crate::error::Result;
use crate::machine::cpu::Cpu;
use crate::machine::gpu::{self, Gpu, Selection, Summary};
use crate::machine::tune::Tuned;

/// Which device is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// An adapter that is hardware, or the one that the selection names; else the CPU, which outruns a software adapter.
    #[default]
    Auto,
    /// An adapter of any kind, be it software; the CPU only where there is none.
    Kernels,
    /// An adapter of any kind.
    Gpu,
    /// The CPU.
    Cpu,
}

/// What computes features and heads.
pub enum Device {
    /// An open adapter, by WGSL kernels.
    Gpu(Box<Gpu>),
    /// The CPU's cores, by native code. No adapter is opened.
    Cpu(Cpu),
}

impl Device {
    /// Opens the device that is wanted; `selection` says which adapter, where it is one.
    ///
    /// # Errors
    /// An adapter is wanted, and there is none or none such; its driver refuses; no thread can be had for the work.
    ///
    /// # Example
    /// ```no_run
    /// use trainer::machine::{Device, Selection, Wanted};
    ///
    /// let device = pollster::block_on(Device::open(Wanted::Auto, &Selection::default()))?;
    /// println!("{}: {}", device.engine(), device.summary().name);
    /// # Ok::<(), trainer::Error>(())
    /// ```
    pub async fn open(wanted: Wanted, selection: &Selection) -> Result<Self> {
        if wanted == Wanted::Cpu {
            return Ok(Self::Cpu(Cpu::open()?));
        }
        let adapters = gpu::adapters(selection.backends).await;
        let suits = match wanted {
            Wanted::Auto if !selection.of_adapters() => adapters.iter().any(is_hardware),
            Wanted::Kernels if !selection.of_adapters() => !adapters.is_empty(),
            _ => true,
        };
        if suits { Ok(gpu::open_one(adapters, selection).await?.into()) } else { Ok(Self::Cpu(Cpu::open()?)) }
    }

    /// Names what computes: `gpu` or `cpu`.
    pub fn engine(&self) -> &'static str {
        match self {
            Self::Gpu(_) => "gpu",
            Self::Cpu(_) => "cpu",
        }
    }

    /// Gives the adapter, if it is one.
    pub fn gpu(&self) -> Option<&Gpu> {
        match self {
            Self::Gpu(gpu) => Some(gpu),
            Self::Cpu(_) => None,
        }
    }

    /// Tells whether it is an adapter that is the CPU under another name, on which native code is faster.
    pub(crate) fn is_software(&self) -> bool {
        self.gpu().is_some_and(|gpu| !is_hardware(&gpu.adapter))
    }

    /// Says in a few words what it is.
    pub fn summary(&self) -> Summary {
        match self {
            Self::Gpu(gpu) => gpu.summary(),
            Self::Cpu(cpu) => cpu.summary(),
        }
    }

    /// Suggests how many photos of this size pass through a backbone at once: as many as fill the device and leave memory for others.
    pub fn batch(&self, input_size: [usize; 2]) -> usize {
        match self {
            Self::Gpu(gpu) => gpu.batch(input_size),
            Self::Cpu(_) => gpu::batch(DeviceType::Cpu, input_size),
        }
    }

    /// Says how the backbone's weights and activations are stored.
    pub fn precision(&self) -> Precision {
        self.gpu().map_or(Precision::F32, |gpu| gpu.precision)
    }

    /// Gives the table of measured kernels in use, if there is one.
    pub fn tuned(&self) -> Option<&Tuned> {
        self.gpu()?.tuned.as_ref()
    }
}

/// Tells whether an adapter is more than the CPU under another name.
pub(crate) fn is_hardware(adapter: &Adapter) -> bool {
    adapter.get_info().device_type != DeviceType::Cpu
}

impl From<Gpu> for Device {
    fn from(gpu: Gpu) -> Self {
        Self::Gpu(Box::new(gpu))
    }
}
