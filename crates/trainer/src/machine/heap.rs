//! How much memory an adapter has, where it can be asked, and the machine; and whether a network takes too much of it.
//!
//! wgpu has no figure for it: its allocator's report counts what was taken, not what there is. Vulkan's own is asked beneath it; Metal and
//! DirectX 12 are left unasked. It matters where a driver doesn't refuse what it lacks: on Windows, and on integrated GPUs, it moves memory
//! to the host instead, and all gets slow without a word.

use kernels::wgpu::{Adapter, DeviceType};
use resnet::Memory;

use crate::error::{Error, Result};
use crate::machine::gpu::Gpu;
use crate::words::{count, shown};

/// Part of a discrete GPU's memory that a network may take: the rest is the screen's and the driver's.
const OF_ITS_OWN: f64 = 0.8;
/// Part of memory that a GPU shares with all else in the machine.
const OF_SHARED: f64 = 0.5;

/// Gives the bytes of an adapter's largest memory of its own; none where it can't be asked.
#[cfg(not(any(target_vendor = "apple", target_arch = "wasm32")))]
pub(crate) fn bytes(adapter: &Adapter) -> Option<u64> {
    use kernels::wgpu::hal::api::Vulkan;
    // VK_MEMORY_HEAP_DEVICE_LOCAL_BIT.
    const LOCAL: u32 = 1;
    // SAFETY: nothing is destroyed or changed: properties are read of a physical device that belongs to this instance, and both live at
    // least as long as the guard, which is dropped behind the call.
    let properties = unsafe {
        let vulkan = adapter.as_hal::<Vulkan>()?;
        vulkan.shared_instance().raw_instance().get_physical_device_memory_properties(vulkan.raw_physical_device())
    };
    let heaps = properties.memory_heaps.iter().take(properties.memory_heap_count as usize);
    heaps.filter(|heap| heap.flags.as_raw() & LOCAL != 0).map(|heap| heap.size).max()
}

/// Here no adapter can be asked.
#[cfg(any(target_vendor = "apple", target_arch = "wasm32"))]
pub(crate) fn bytes(_: &Adapter) -> Option<u64> {
    None
}

/// Warns of a network that takes more of a GPU's memory than it may, in batches of so many photos; nothing where that isn't known.
pub(crate) fn warning(gpu: &Gpu, batch: usize, needs: &Memory) -> Option<String> {
    let (info, bytes) = (gpu.adapter.get_info(), bytes(&gpu.adapter)?);
    let needed = needs.weights + needs.activations + needs.scratch;
    let kind = exceeds(info.device_type, needed, bytes)?;
    let [needed, bytes] = [needed, bytes].map(|bytes| bytes as f64 / 1e9);
    Some(format!(
        "the network takes {needed:.1} GB for {} at once, of {bytes:.1} GB {kind} of {}: a driver that moves memory to the \
         host gets slow instead of failing; smaller batches take less",
        count(batch, "photo"),
        shown(&info.name)
    ))
}

/// Refuses a network that takes more memory than the machine has left, in batches of so many photos of `input_size`: on the CPU, or on a software
/// adapter, whose driver takes the machine's. They take what the system promises, and the system ends the program when it can't keep that.
///
/// # Errors
/// [`Error::OutOfMemory`], which names the size.
pub(crate) fn check(batch: usize, [height, width]: [usize; 2], needs: &Memory) -> Result<()> {
    let Some(left) = left() else { return Ok(()) };
    let needed = needs.weights + needs.activations + needs.scratch;
    if needed <= left {
        return Ok(());
    }
    let [needed, left] = [needed, left].map(|bytes| bytes as f64 / 1e9);
    let photos = count(batch, "photo");
    Err(Error::OutOfMemory(format!(
        "{photos} of the recipe's input_size, {height} x {width}, take {needed:.1} GB at once, and the machine has {left:.1} GB left"
    )))
}

/// Counts the bytes that the machine, or the container that this runs in, has left; none where that isn't known.
fn left() -> Option<u64> {
    let number = |file: &str| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let container = number("/sys/fs/cgroup/memory.max").zip(number("/sys/fs/cgroup/memory.current"));
    let container = container.map(|(most, taken)| most.saturating_sub(taken));
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.as_deref().and_then(available);
    machine.into_iter().chain(container).min()
}

/// Reads the bytes that Linux says could be taken.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Names the memory that `needed` bytes are too much of. A software adapter has the machine's, of which its drivers tell no true size.
fn exceeds(device: DeviceType, needed: u64, bytes: u64) -> Option<&'static str> {
    let (part, kind) = match device {
        DeviceType::Cpu => return None,
        DeviceType::DiscreteGpu => (OF_ITS_OWN, "memory"),
        _ => (OF_SHARED, "shared memory"),
    };
    (needed as f64 > part * bytes as f64).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::gpu::{Selection, open};

    #[test]
    fn a_part_of_the_memory_may_be_taken() {
        const GB: u64 = 1_000_000_000;
        let of = |device, needed| exceeds(device, needed, 8 * GB);
        assert_eq!((of(DeviceType::DiscreteGpu, 6 * GB), of(DeviceType::DiscreteGpu, 7 * GB)), (None, Some("memory")));
        for device in [DeviceType::IntegratedGpu, DeviceType::VirtualGpu, DeviceType::Other] {
            assert_eq!((of(device, 4 * GB), of(device, 5 * GB)), (None, Some("shared memory")));
        }
        assert_eq!(of(DeviceType::Cpu, 100 * GB), None);
    }

    #[test]
    fn the_machine_is_not_asked_for_more_than_it_has() {
        assert_eq!(available("MemTotal:  9 kB\nMemAvailable:   16384 kB\n"), Some(16 << 20));
        assert_eq!(available("MemTotal:  9 kB\n"), None);
        let needs = |activations| Memory { weights: 1, activations, scratch: 1 };
        check(8, [2048, 2000], &needs(1)).unwrap();
        if cfg!(target_os = "linux") {
            let error = check(8, [2048, 2000], &needs(1 << 50)).unwrap_err();
            assert!(error.to_string().contains("8 photos of the recipe's input_size, 2048 x 2000, take "), "{error}");
            assert!(matches!(error, Error::OutOfMemory(_)));
        }
    }

    #[test]
    fn vulkan_tells_its_memory_and_a_small_network_fits() {
        let gpu = pollster::block_on(open(&Selection::default())).unwrap();
        let info = gpu.adapter.get_info();
        let bytes = bytes(&gpu.adapter);
        if info.backend.to_string() == "vulkan" {
            assert!(bytes.is_some_and(|bytes| bytes >= 1 << 26), "{bytes:?}");
        }
        let needs = |activations| Memory { weights: 1, activations, scratch: 1 };
        assert_eq!(warning(&gpu, 8, &needs(1)), None);
        let too_much = warning(&gpu, 8, &needs(1 << 50));
        match (bytes, info.device_type) {
            (None, _) | (_, DeviceType::Cpu) => assert_eq!(too_much, None),
            _ => assert!(too_much.is_some_and(|words| words.contains("8 photos at once")), "{info:?}"),
        }
    }
}
