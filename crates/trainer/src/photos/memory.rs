//! The memory that photos are decoded in: allocated with an error where there is none, and bounded for all decoders of the process together.

use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Asks for so many bytes before they are allocated. The reason why they can't be had is in words.
pub(crate) type Room<'a> = &'a mut dyn FnMut(u64) -> Result<(), String>;

/// The bytes for each core: enough for a photo of 40 megapixels.
const FOR_A_CORE: u64 = 256 << 20;
/// Who takes no more, for 10 megapixels, never waits: on all cores together that is a quarter of all.
const SMALL: u64 = FOR_A_CORE / 4;

/// Memory that decoders share.
struct Budget {
    all: u64,
    taken: Mutex<Taken>,
    freed: Condvar,
}

struct Taken {
    bytes: u64,
    /// When the last share was taken that isn't small.
    last: Instant,
}

impl Budget {
    fn new(all: u64) -> Self {
        Self { all, taken: Mutex::new(Taken { bytes: 0, last: Instant::now() }), freed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing that can panic happens while it is held.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&'static self, needed: u64, patience: Duration) -> Result<Share, String> {
        // One photo is never too large, which is for the limits to say, and leaves room for others even if its decoder is left behind.
        let bytes = needed.min(self.all / 2);
        let mut taken = self.lock();
        while needed > SMALL && taken.bytes + bytes > self.all {
            let patience = patience.saturating_sub(taken.last.elapsed());
            if patience.is_zero() {
                return Err(format!(
                    "decoding it takes up to {} MiB, and too much is held by photos that weren't decoded in time",
                    needed >> 20
                ));
            }
            taken = self.freed.wait_timeout(taken, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
        taken.bytes += bytes;
        if needed > SMALL {
            taken.last = Instant::now();
        }
        Ok(Share { budget: self, bytes })
    }
}

/// A part of the memory that all decoders of the process share, until it is dropped.
pub(crate) struct Share {
    budget: &'static Budget,
    bytes: u64,
}

impl Share {
    /// Takes so many bytes, as soon as there is room for them.
    ///
    /// # Errors
    /// For as long as `patience` nobody has taken any: who decodes has no more time than that, so all is held by decoders that were left
    /// behind.
    pub(super) fn take(bytes: u64, patience: Duration) -> Result<Self, String> {
        static BUDGET: LazyLock<Budget> = LazyLock::new(|| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
            Budget::new(cores.max(4) * FOR_A_CORE)
        });
        BUDGET.take(bytes, patience)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.lock().bytes -= self.bytes;
        self.budget.freed.notify_all();
    }
}

/// Allocates zeros, by the system where it can, so that memory isn't touched before there are pixels: a header may promise more than there
/// are. Takes `memory` where it is large enough, whatever it holds.
///
/// # Errors
/// There is too little memory, in words.
pub(super) fn allocate(mut memory: Vec<u8>, size: u64) -> Result<Vec<u8>, String> {
    let none = || format!("no memory for the {} MiB of its pixels", size >> 20);
    let size = usize::try_from(size).map_err(|_| none())?;
    if memory.len() < size {
        memory = bytemuck::allocation::try_zeroed_vec(size).map_err(|()| none())?;
    }
    memory.truncate(size);
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn budget(mebibytes: u64) -> &'static Budget {
        Box::leak(Box::new(Budget::new(mebibytes << 20)))
    }

    const SHORT: Duration = Duration::from_millis(50);

    #[test]
    fn a_share_is_had_as_soon_as_another_is_given_back() {
        let budget = budget(1000);
        let first = budget.take(500 << 20, SHORT).unwrap();
        let second = budget.take(300 << 20, SHORT).unwrap();
        std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| budget.take(400 << 20, Duration::from_secs(60)).map(|share| share.bytes >> 20));
            std::thread::sleep(SHORT);
            assert!(!waiting.is_finished());
            drop(second);
            assert_eq!(waiting.join().unwrap(), Ok(400));
        });
        drop(first);
        assert_eq!(budget.lock().bytes, 0);
    }

    #[test]
    fn what_is_never_given_back_is_an_error_that_says_so() {
        let budget = budget(1000);
        let start = Instant::now();
        // Nothing alone is too large.
        let _one = budget.take(u64::MAX, SHORT).unwrap();
        let _two = budget.take(450 << 20, SHORT).unwrap();
        let error = budget.take(100 << 20, SHORT).err().unwrap();
        let told = "decoding it takes up to 100 MiB, and too much is held by photos that weren't decoded in time";
        assert_eq!(error, told);
        assert!(start.elapsed() >= SHORT);
        // Another one isn't kept waiting for what doesn't come, and what is small or fits has room.
        let start = Instant::now();
        assert!(budget.take(100 << 20, SHORT).is_err());
        assert!(start.elapsed() < SHORT);
        let _small = budget.take(SMALL, SHORT).unwrap();
        let _none = budget.take(0, SHORT).unwrap();
    }

    #[test]
    fn memory_that_cannot_be_had_is_an_error() {
        assert_eq!(allocate(vec![7; 9], 5).unwrap(), [7; 5]);
        assert_eq!(allocate(vec![7; 9], 12).unwrap(), [0; 12]);
        for size in [1 << 62, u64::MAX] {
            assert!(allocate(Vec::new(), size).unwrap_err().starts_with("no memory for the "));
        }
    }
}
