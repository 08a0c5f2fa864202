//! The memory that photos are decoded in: allocated with an error where there is none, and bounded for all decoders of the process together.

use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Asks for so many bytes before they are allocated. The reason why they can't be had is in words.
pub(crate) type Room<'a> = &'a mut dyn FnMut(u64) -> Result<(), String>;

/// The bytes for each core: enough for a photo of 24 megapixels.
const FOR_A_CORE: u64 = 256 << 20;

/// Memory that decoders share.
struct Budget {
    all: u64,
    taken: Mutex<u64>,
    freed: Condvar,
}

impl Budget {
    fn new(all: u64) -> Self {
        Self { all, taken: Mutex::new(0), freed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        // Nothing that can panic happens while it is held.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&'static self, bytes: u64, patience: Duration) -> Result<Share, String> {
        let mut taken = self.lock();
        // One photo alone is never too large: that is for the limits to say.
        while *taken > 0 && taken.saturating_add(bytes) > self.all {
            let (lock, waited) = self.freed.wait_timeout(taken, patience).unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() {
                return Err(format!(
                    "decoding it takes up to {} MiB, and {} MiB are held by photos that weren't decoded in time",
                    bytes >> 20,
                    *lock >> 20
                ));
            }
            taken = lock;
        }
        *taken += bytes;
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
    /// For as long as `patience` lasts nobody gave any back: who decodes has no more time than that, so all is held by decoders that were
    /// left behind.
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
        *self.budget.lock() -= self.bytes;
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

    fn budget(all: u64) -> &'static Budget {
        Box::leak(Box::new(Budget::new(all)))
    }

    const SHORT: Duration = Duration::from_millis(50);

    #[test]
    fn a_share_is_had_as_soon_as_another_is_given_back() {
        let budget = budget(100);
        let first = budget.take(60, SHORT).unwrap();
        let small = budget.take(40, SHORT).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.take(30, Duration::from_secs(60)).map(|share| share.bytes));
            std::thread::sleep(SHORT);
            assert!(!waiting.is_finished());
            drop(small);
            assert_eq!(waiting.join().unwrap(), Ok(30));
        });
        drop(first);
        assert_eq!(*budget.lock(), 0);
    }

    #[test]
    fn what_is_never_given_back_is_an_error_that_says_so() {
        let budget = budget(100 << 20);
        let start = Instant::now();
        let _left_behind = budget.take(90 << 20, SHORT).unwrap();
        let error = budget.take(20 << 20, SHORT).err().unwrap();
        assert_eq!(error, "decoding it takes up to 20 MiB, and 90 MiB are held by photos that weren't decoded in time");
        assert!(start.elapsed() >= SHORT);
    }

    #[test]
    fn one_alone_always_has_room() {
        let budget = budget(100);
        drop(budget.take(1000, SHORT).unwrap());
        let _one = budget.take(u64::MAX, SHORT).unwrap();
        assert!(budget.take(1, SHORT).is_err());
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
