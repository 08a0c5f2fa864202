//! The CPU as a device: what it is called, and which instructions the native engine computes by.

use crate::error::Result;
use crate::machine::gpu::Summary;
use crate::threads;

/// The machine's cores, which compute without any adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    instructions: &'static str,
}

impl Cpu {
    /// Takes the cores: starts the threads that compute, as many as there are cores or as `RAYON_NUM_THREADS` says.
    ///
    /// # Errors
    /// No thread can be had; the environment variable `REHEAD_CPU` names instructions that the CPU hasn't.
    pub fn open() -> Result<Self> {
        threads::start_pool()?;
        Ok(Self { instructions: native::instructions()? })
    }

    /// Summarises it in the words of an adapter: its name, and in the place of the driver its instructions.
    pub fn summary(&self) -> Summary {
        Summary {
            name: name(),
            kind: "CPU".to_owned(),
            backend: "native".to_owned(),
            driver: self.instructions.to_owned(),
        }
    }

    /// Counts the threads that compute.
    pub fn threads(&self) -> usize {
        rayon::current_num_threads()
    }
}

/// Asks the system for the CPU's name; where it doesn't tell, its kind must do.
fn name() -> String {
    let listed = std::fs::read_to_string("/proc/cpuinfo").ok();
    let listed = listed.as_deref().and_then(model).map(str::to_owned);
    let named = listed.or_else(|| std::env::var("PROCESSOR_IDENTIFIER").ok());
    named.unwrap_or_else(|| format!("{} CPU", std::env::consts::ARCH))
}

/// Reads the model's name off Linux' list of processors.
fn model(cpuinfo: &str) -> Option<&str> {
    let (_, name) =
        cpuinfo.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == "model name")?;
    Some(name.trim()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_has_a_name() {
        assert_eq!(model("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nmodel name\t: B\n"), Some("A CPU @ 2 GHz"));
        assert_eq!((model("model name\t:\n"), model("processor\t: 0\n")), (None, None));
        let cpu = Cpu::open().unwrap();
        let Summary { name, kind, driver, .. } = cpu.summary();
        assert!(!name.is_empty() && kind == "CPU" && !driver.is_empty() && cpu.threads() > 0);
    }
}
