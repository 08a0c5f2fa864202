//! The adapter: which there are, which is taken, and what it says when it fails.

use std::path::PathBuf;

use bytemuck::Pod;
use kernels::wgpu::{self, Adapter, Backends, DeviceType};
use kernels::{Context, Family, Host, Precision, Tune, cooperative_features};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::machine::compiled::Compiled;
use crate::machine::tune::{self, Tuned};
use crate::threads;
use crate::words::{count, shown};

/// The features by which an adapter's own clock is read.
pub(crate) const TIMING: wgpu::Features =
    wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS);

/// Which adapter is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The graphics interfaces to look at; all where none is given.
    pub backends: Option<Backends>,
    /// A part of its name, in any case, or its number in the list of [`adapters`]; [`ALL`] for as many as there are.
    pub adapter: Option<String>,
    /// The family of kernels to use instead of the one that suits the adapter.
    pub family: Option<Family>,
    /// Whether shaders check their indices at run time, instead of as suits the adapter.
    pub checks: Option<bool>,
    /// The folder with tables of measured kernels; none for the default kernel of each shape.
    pub tables: Option<PathBuf>,
    /// How the backbone's weights and activations are stored.
    pub precision: Precision,
    /// The folder in which what the driver compiles is kept for the next time.
    pub compiled: Option<PathBuf>,
}

impl Selection {
    /// Tells whether something is asked for that only an adapter has.
    pub(crate) fn of_adapters(&self) -> bool {
        let Self { backends, adapter, family, checks, tables: _, precision, compiled: _ } = self;
        let named = backends.is_some() || adapter.is_some();
        named || family.is_some() || checks.is_some() || *precision != Precision::F32
    }
}

/// The name by which all adapters are selected, in any case.
pub const ALL: &str = "all";

/// An adapter or a CPU, in a few words that can be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// `discrete GPU`, `integrated GPU`, `virtual GPU`, `software` or `other`; `CPU` where no adapter computes.
    pub kind: String,
    /// The graphics interface: `vulkan`, `metal`, `dx12`; `native` where no adapter computes.
    pub backend: String,
    /// The driver and its version; of a CPU the instructions that it computes by.
    pub driver: String,
}

impl Summary {
    /// Summarises an adapter.
    pub fn of(adapter: &Adapter) -> Self {
        let info = adapter.get_info();
        let kind = match info.device_type {
            DeviceType::DiscreteGpu => "discrete GPU",
            DeviceType::IntegratedGpu => "integrated GPU",
            DeviceType::VirtualGpu => "virtual GPU",
            DeviceType::Cpu => "software",
            DeviceType::Other => "other",
        };
        Self {
            name: shown(&info.name).into_owned(),
            kind: kind.to_owned(),
            backend: info.backend.to_string(),
            driver: shown(format!("{} {}", info.driver, info.driver_info).trim()).into_owned(),
        }
    }
}

/// An open adapter.
pub struct Gpu {
    /// The adapter.
    pub adapter: Adapter,
    /// Its device, with all the limits it has and the features that kernels can use.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: wgpu::Queue,
    /// Its kernels.
    pub context: Context,
    /// The table of measured kernels in use, if there is one for this adapter.
    pub tuned: Option<Tuned>,
    /// Why the table of measured kernels was refused, if it was.
    pub table_problem: Option<String>,
    /// How the backbone's weights and activations are stored.
    pub precision: Precision,
    /// What its driver compiled, where that can be kept and a folder was given.
    pub compiled: Option<Compiled>,
    /// The other adapters that share the photos with this one, where all were selected. What isn't photos is computed by this one alone.
    pub others: Vec<Gpu>,
    host: Host,
}

/// Lists all adapters of these graphics interfaces, the fastest kind first.
pub async fn adapters(backends: Option<Backends>) -> Vec<Adapter> {
    let backends = backends.unwrap_or(Backends::PRIMARY);
    let mut description = wgpu::InstanceDescriptor::new_without_display_handle();
    description.backends = backends;
    let mut adapters = wgpu::Instance::new(description).enumerate_adapters(backends).await;
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    });
    adapters
}

/// Opens the adapter that `selection` names, or the first; where it names [`ALL`], those too that are of the first one's graphics interface and, like
/// it, hardware or software.
///
/// # Errors
/// There is none, or none such; the driver refuses; no thread can be had for the work besides.
pub async fn open(selection: &Selection) -> Result<Gpu> {
    open_one(adapters(selection.backends).await, selection).await
}

/// Opens that of these adapters which `selection` names, or the first.
pub(crate) async fn open_one(adapters: Vec<Adapter>, selection: &Selection) -> Result<Gpu> {
    threads::start_pool()?;
    let names: Vec<String> = adapters.iter().map(|adapter| Summary::of(adapter).name).collect();
    let wanted = selection.adapter.as_deref();
    let all = wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case(ALL));
    let chosen = choose(&names, wanted.filter(|_| !all))?;
    let mut adapters = adapters.into_iter().skip(chosen);
    let adapter = adapters.next().ok_or_else(none)?;
    let kind = |adapter: &Adapter| (adapter.get_info().backend, adapter.get_info().device_type == DeviceType::Cpu);
    let first = kind(&adapter);
    let limits = adapter.limits();
    let mut gpu = open_with(adapter, limits, selection).await?;
    // A card is listed once for each graphics interface, and the CPU keeps no pace with cards.
    for other in adapters.filter(|adapter| all && kind(adapter) == first) {
        let limits = other.limits();
        gpu.others.push(open_with(other, limits, selection).await?);
    }
    Ok(gpu)
}

/// Opens an adapter for work within these limits.
pub(crate) async fn open_with(adapter: Adapter, limits: wgpu::Limits, selection: &Selection) -> Result<Gpu> {
    let name = Summary::of(&adapter).name;
    // Experimental in wgpu: only who asks for half precision gets them.
    let matrices = match selection.precision {
        Precision::F16 => cooperative_features(&adapter),
        Precision::F32 => wgpu::Features::empty(),
    };
    let host = Host::open(&adapter, TIMING | matrices, limits).await.map_err(|error| match failed(error) {
        Error::Device(message) => Error::Device(format!("{name}: {message}")),
        other => other,
    })?;
    let (device, queue) = (host.device.clone(), host.queue.clone());
    let mut tune = Tune::for_device(&device);
    tune.family = selection.family.unwrap_or(tune.family);
    if selection.precision == Precision::F16 && tune.family == Family::Texture {
        return Err(Error::NoF16);
    }
    tune.checks = selection.checks;
    let (mut tuned, mut table_problem) = (None, None);
    if let Some(folder) = &selection.tables {
        match tune::load(folder, &tune::Key::of(&adapter.get_info())) {
            Ok(Some((table, found))) => (tune.table, tuned) = (table, Some(found)),
            Ok(None) => {}
            Err(problem) => table_problem = Some(problem),
        }
    }
    let compiled = match &selection.compiled {
        Some(folder) => Compiled::open(&device, &adapter.get_info(), folder).await,
        None => None,
    };
    let context = Context::with_cache(&device, tune, compiled.as_ref().map(Compiled::cache));
    let precision = selection.precision;
    Ok(Gpu { adapter, device, queue, context, tuned, table_problem, precision, compiled, others: Vec::new(), host })
}

/// Saves the driver's cache when the adapter is closed.
impl Drop for Gpu {
    fn drop(&mut self) {
        if let Some(compiled) = &mut self.compiled {
            // It spares the next start some time: not being able to is no failure of this one.
            let _ = compiled.save();
        }
    }
}

impl Gpu {
    /// Suggests how many photos of this size pass through a backbone at once: as many as fill the adapter and leave memory for others.
    pub fn batch(&self, input_size: [usize; 2]) -> usize {
        batch(self.adapter.get_info().device_type, input_size)
    }

    /// Blocks until all that was submitted is done.
    ///
    /// # Errors
    /// The device failed or was lost.
    pub fn wait(&self) -> Result<()> {
        self.host.wait().map_err(failed)
    }

    /// Reads a buffer back, blocking. It needs the usage COPY_SRC.
    ///
    /// # Errors
    /// The device failed or was lost.
    pub fn read<T: Pod>(&self, buffer: &wgpu::Buffer) -> Result<Vec<T>> {
        self.host.block_on(self.host.read(buffer)).map_err(failed)
    }

    /// Says in a few words what it is, and how many share the photos with it.
    pub fn summary(&self) -> Summary {
        let of_one = Summary::of(&self.adapter);
        match self.others.len() {
            0 => of_one,
            others => Summary { name: format!("{} and {}", of_one.name, count(others, "other")), ..of_one },
        }
    }

    /// Returns the first complaint of the device since it was opened, if there is one. Out of memory is reported once: complaints that
    /// follow from it are dropped with it, and the caller may go on with less.
    ///
    /// # Errors
    /// The first complaint.
    pub fn check(&self) -> Result<()> {
        self.host.check().map_err(failed)
    }
}

/// Photos of 224x224 at once. A ResNet's last stage makes 49 pixels of each, a tile has 64 pixels and 64 of 512 channels: 64 photos are 392
/// workgroups, about three for each of a large GPU's cores, and a ResNet-50 takes 0.9 GB for them. An integrated GPU has fewer cores, and
/// what it takes is the machine's own memory; a virtual one doesn't say. A CPU, as which a software adapter counts, is full at 8. Of larger photos
/// fewer are as much work.
pub(crate) fn batch(kind: DeviceType, [height, width]: [usize; 2]) -> usize {
    // The most, and the side of images up to which that many have room.
    let (most, side) = match kind {
        DeviceType::Cpu => (8, 512),
        DeviceType::DiscreteGpu => (64, 224),
        DeviceType::IntegratedGpu | DeviceType::VirtualGpu | DeviceType::Other => (16, 224),
    };
    (most * side * side / (height * width).max(1)).clamp(1, most)
}

/// Turns a device's complaint into the trainer's error.
fn failed(error: kernels::Error) -> Error {
    match error {
        kernels::Error::OutOfMemory { cause } => Error::OutOfMemory(cause.to_string()),
        kernels::Error::Device { what, cause } => Error::Device(format!("{what} failed: {cause}")),
        other => Error::Device(other.to_string()),
    }
}

fn choose(names: &[String], wanted: Option<&str>) -> Result<usize> {
    if names.is_empty() {
        return Err(none());
    }
    let Some(wanted) = wanted else { return Ok(0) };
    let found = match wanted.parse::<usize>() {
        Ok(index) => (index < names.len()).then_some(index),
        Err(_) => names.iter().position(|name| name.to_lowercase().contains(&wanted.to_lowercase())),
    };
    found.ok_or_else(|| {
        let list: Vec<String> = names.iter().enumerate().map(|(index, name)| format!("{index}: {name}")).collect();
        Error::NoAdapter(format!("no adapter {wanted:?}; choose one of these by number or name: {}", list.join(", ")))
    })
}

fn none() -> Error {
    let advice = if cfg!(target_os = "linux") {
        "install a Vulkan driver: mesa-vulkan-drivers on Debian and Ubuntu (it has a software one too, for machines without a GPU), \
         mesa-vulkan-drivers on Fedora, vulkan-swrast or your GPU's vulkan-* package on Arch, or NVIDIA's own driver; \
         in a container, also pass the GPU through"
    } else if cfg!(target_os = "windows") {
        "install the driver of your graphics card; Windows 10 and later have a software one (WARP) for DX12"
    } else if cfg!(target_os = "macos") {
        "Metal needs macOS 10.13 or later, and isn't there in most virtual machines"
    } else {
        "install a Vulkan driver"
    };
    Error::NoAdapter(format!("no graphics adapter found: {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_suit_the_adapter() {
        let batches = |kind| [[224, 224], [384, 384], [32, 32], [2048, 2048], [0, 0]].map(|size| batch(kind, size));
        assert_eq!(batches(DeviceType::Cpu), [8, 8, 8, 1, 8]);
        assert_eq!(batches(DeviceType::IntegratedGpu), [16, 5, 16, 1, 16]);
        assert_eq!(batches(DeviceType::DiscreteGpu), [64, 21, 64, 1, 64]);
    }

    #[test]
    fn adapters_are_chosen_by_part_of_name_or_number() {
        let names = ["Radeon RX 7600".to_owned(), "llvmpipe (LLVM 15)".to_owned()];
        assert_eq!(choose(&names, None).unwrap(), 0);
        assert_eq!(choose(&names, Some("LLVM")).unwrap(), 1);
        assert_eq!(choose(&names, Some("1")).unwrap(), 1);
        for absent in ["2", "geforce"] {
            let error = choose(&names, Some(absent)).unwrap_err();
            assert!(error.to_string().contains("0: Radeon RX 7600, 1: llvmpipe"), "{error}");
            assert_eq!(error.fault(), crate::Fault::Device);
        }
        assert!(choose(&[], None).unwrap_err().to_string().contains("no graphics adapter found: "));
    }
}
