//! The options that every verb takes, and what they build: the device, the limits, the session.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use kernels::{Family, Precision, wgpu::Backends};
use pollster::block_on;

use crate::cli::terminal::Terminal;
use crate::error::{Error, Result};
use crate::features::{self, StoreOptions};
use crate::machine::cache_dir::cache_dir;
use crate::machine::{Device, Selection, Wanted};
use crate::photos::Limits;
use crate::progress::{Progress as _, Stage, watched};
use crate::session::Session;

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Compute on an adapter by WGSL kernels, or on the CPU by native code. auto: an adapter that is hardware, or one that --adapter, --backend,
    /// --kernels, --checks or --precision f16 asks for, else the CPU; the demo and `tune` take software adapters too
    #[arg(long, global = true, value_enum, default_value = "auto", env = "REHEAD_ENGINE", help_heading = "Everywhere")]
    pub(crate) engine: Engine,
    /// Take the adapter with this number or part of its name (see `trainer doctor`), or share the photos among all of them
    #[arg(long, global = true, value_name = "NAME|INDEX|all", help_heading = "Everywhere")]
    pub(crate) adapter: Option<String>,
    /// Take only adapters of this graphics interface
    #[arg(long, global = true, value_enum, help_heading = "Everywhere")]
    pub(crate) backend: Option<Backend>,
    /// Take these kernels: `texture` for software adapters, `tiled` for GPUs
    #[arg(long, global = true, value_enum, default_value = "auto", help_heading = "Everywhere")]
    pub(crate) kernels: Kernels,
    /// Let shaders check every index at run time on GPUs too, as they do on software adapters: slower, to find faults of kernels and drivers
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) checks: bool,
    /// Leave the measurements of `trainer tune` aside: the default kernel of each shape
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) no_tune: bool,
    /// Store the backbone's weights and activations in 32 bits or, on GPUs, in 16: half the memory and traffic, features
    /// that differ by about 0.1 %
    #[arg(long, global = true, value_enum, default_value = "f32", help_heading = "Everywhere")]
    pub(crate) precision: PrecisionName,
    /// Photos that pass through the backbone at once, halved where memory doesn't suffice; without it 8 on the CPU or a software
    /// adapter, 16 on an integrated GPU, 64 on a discrete one, fewer where photos are large or few
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "Everywhere")]
    pub(crate) batch: Option<u16>,
    /// Keep features in this folder, and find there what was kept: a photo passes through a backbone once [default: `features` in the
    /// user's cache folder]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere")]
    pub(crate) store: Option<PathBuf>,
    /// Keep no features, and look for none
    #[arg(long, global = true, conflicts_with = "store", help_heading = "Everywhere")]
    pub(crate) no_store: bool,
    /// Read every photo's file again, also where its size and dates say that it hasn't changed
    #[arg(long, global = true, conflicts_with = "no_store", help_heading = "Everywhere")]
    pub(crate) rehash: bool,
    /// Gigabytes of kept features at most: what was read longest ago is dropped
    #[arg(long, global = true, value_name = "N", default_value_t = StoreOptions::at("").most as f64 / 1e9, help_heading = "Everywhere")]
    pub(crate) store_gb: f64,
    /// Another seed, another split and another training
    #[arg(long, global = true, value_name = "N", default_value_t = 0, help_heading = "Everywhere")]
    pub(crate) seed: u64,
    /// Print results as JSON
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) json: bool,
    /// Show no progress
    #[arg(long, short, global = true, help_heading = "Everywhere")]
    pub(crate) quiet: bool,
    /// Exit with 1 if a photo had to be left out
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) strict: bool,
    /// Leave out photos of more pixels
    #[arg(long, global = true, value_name = "N", default_value_t = Limits::default().pixels, value_parser = clap::value_parser!(u64).range(1..), help_heading = "Everywhere")]
    pub(crate) max_pixels: u64,
    /// Leave out files of more bytes
    #[arg(long, global = true, value_name = "N", default_value_t = Limits::default().bytes, value_parser = clap::value_parser!(u64).range(1..), help_heading = "Everywhere")]
    pub(crate) max_bytes: u64,
    /// Leave out photos that take longer to decode
    #[arg(long, global = true, value_name = "N", default_value_t = Limits::default().time.as_secs(), value_parser = clap::value_parser!(u64).range(1..), help_heading = "Everywhere")]
    pub(crate) max_seconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Auto,
    Gpu,
    Cpu,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Backend {
    Vulkan,
    Metal,
    Dx12,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kernels {
    Auto,
    Texture,
    Tiled,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PrecisionName {
    F32,
    F16,
}

impl Global {
    /// Opens the device that was asked for, and tells why a table of measured kernels isn't used.
    pub(crate) fn session<'a>(&self, terminal: &'a Terminal) -> Result<Session<'a>> {
        self.session_on(self.wanted(Wanted::Auto)?, terminal)
    }

    /// Opens the device that is wanted likewise.
    pub(crate) fn session_on<'a>(&self, wanted: Wanted, terminal: &'a Terminal) -> Result<Session<'a>> {
        let store = self.store()?;
        let device = watched(terminal, Stage::DEVICE, || block_on(Device::open(wanted, &self.selection())))?;
        if let Some(problem) = device.gpu().and_then(|gpu| gpu.table_problem.as_deref()) {
            terminal.warn(problem);
        }
        let (batch, limits) = (self.batch.map(usize::from), self.limits());
        Ok(Session { batch, limits, store, progress: terminal, ..Session::new(device) })
    }

    /// Says which device is wanted; `auto` where that is left open.
    ///
    /// # Errors
    /// The CPU is asked for, and with it something that only an adapter has.
    pub(crate) fn wanted(&self, auto: Wanted) -> Result<Wanted> {
        match self.engine {
            Engine::Auto => Ok(auto),
            Engine::Gpu => Ok(Wanted::Gpu),
            Engine::Cpu if self.selection().of_adapters() => Err(Error::InvalidOption {
                option: "--engine",
                value: "cpu".to_owned(),
                expected: "auto or gpu with --adapter, --backend, --kernels, --checks and --precision f16, which are for adapters",
            }),
            Engine::Cpu => Ok(Wanted::Cpu),
        }
    }

    /// Finds the folder in which features are kept, and checks one that was asked for.
    fn store(&self) -> Result<Option<StoreOptions>> {
        match &self.store {
            Some(folder) => features::check_store(folder)?,
            None if self.no_store => return Ok(None),
            None => {}
        }
        let most = (self.store_gb * 1e9) as u64;
        let options = |folder| StoreOptions { folder, rehash: self.rehash, most };
        Ok(self.store_folder().map(options))
    }

    /// Finds the folder in which features are kept, where the user's cache folder is known or another was asked for.
    pub(crate) fn store_folder(&self) -> Option<PathBuf> {
        self.store.clone().or_else(|| cache_dir().map(|folder| folder.join("features")))
    }

    fn limits(&self) -> Limits {
        Limits { bytes: self.max_bytes, pixels: self.max_pixels, time: Duration::from_secs(self.max_seconds) }
    }

    pub(crate) fn selection(&self) -> Selection {
        Selection {
            backends: self.backend.map(|backend| match backend {
                Backend::Vulkan => Backends::VULKAN,
                Backend::Metal => Backends::METAL,
                Backend::Dx12 => Backends::DX12,
            }),
            adapter: self.adapter.clone(),
            family: match self.kernels {
                Kernels::Auto => None,
                Kernels::Texture => Some(Family::Texture),
                Kernels::Tiled => Some(Family::Tiled),
            },
            checks: self.checks.then_some(true),
            tables: tables().filter(|_| !self.no_tune),
            precision: match self.precision {
                PrecisionName::F32 => Precision::F32,
                PrecisionName::F16 => Precision::F16,
            },
            compiled: cache_dir().map(|folder| folder.join("pipelines")),
        }
    }
}

/// Finds the folder in which `trainer tune` keeps its tables.
pub(crate) fn tables() -> Option<PathBuf> {
    Some(cache_dir()?.join("tune"))
}
