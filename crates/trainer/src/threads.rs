//! Starts threads where the system may have none to give: patiently, and with an error where it stays so. Nothing here panics for want of one.

use std::io;
use std::sync::Once;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, sleep};
use std::time::Duration;

use crate::error::{Error, Result};

/// How long it is waited before a thread is asked for again, in milliseconds: others may end meanwhile.
const PAUSES: [u64; 4] = [1, 10, 100, 1000];

/// Starts what needs a thread, and tries again for about a second where there is none to be had.
pub(crate) fn patiently<T, E>(mut start: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    for pause in PAUSES {
        if let Ok(started) = start() {
            return Ok(started);
        }
        sleep(Duration::from_millis(pause));
    }
    start()
}

/// Starts a thread that waits for something to do and does it.
pub(crate) fn waiting<T: Send + 'static>(builder: Builder, work: fn(T)) -> io::Result<SyncSender<T>> {
    let (sender, receiver) = sync_channel(1);
    // Without a sender there is nothing to do.
    builder.spawn(move || receiver.recv().map(work))?;
    Ok(sender)
}

/// Starts rayon's threads, unless they were before: by itself it panics where the system has none to give. Where not all can be had, half
/// of those that can are taken: decoders and the driver need some as well.
///
/// # Errors
/// No thread can be had.
pub(crate) fn start_pool() -> Result<()> {
    static STARTED: Once = Once::new();
    let mut outcome = Ok(());
    STARTED.call_once(|| outcome = pool(Builder::new));
    outcome
}

fn pool(builder: impl Fn() -> Builder) -> Result<()> {
    let asked = std::env::var("RAYON_NUM_THREADS").ok().and_then(|threads| threads.parse().ok());
    let wanted = asked.filter(|&threads| threads > 0);
    let wanted = wanted.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    let mut seats = vec![patiently(|| waiting(builder(), rayon::ThreadBuilder::run)).map_err(Error::Thread)?];
    seats.extend((1..wanted).map_while(|_| waiting(builder(), rayon::ThreadBuilder::run).ok()));
    if seats.len() < wanted {
        seats.truncate(seats.len().div_ceil(2));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(seats.len()).spawn_handler(|thread| {
        let seat = seats.pop().ok_or(io::ErrorKind::WouldBlock)?;
        seat.send(thread).map_err(|_| io::ErrorKind::WouldBlock.into())
    });
    // It fails where the program that uses this library has made one.
    let _ = pool.build_global();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that no system has the memory for.
    fn impossible() -> Builder {
        Builder::new().stack_size(usize::MAX / 4)
    }

    #[test]
    fn what_fails_now_and_then_is_tried_again() {
        let mut left = 3;
        let mut start = || {
            left -= 1;
            if left > 0 { Err(left) } else { Ok("started") }
        };
        assert_eq!(patiently(&mut start), Ok("started"));
        assert_eq!(patiently(|| Err::<(), _>("never")), Err("never"));
    }

    #[test]
    fn a_thread_that_cannot_be_had_is_an_error_of_the_machine() {
        let error = pool(impossible).unwrap_err();
        assert_eq!(error.fault(), crate::Fault::Device);
        assert!(error.to_string().starts_with("the system has no thread to give"), "{error}");
    }

    #[test]
    fn a_pool_works_with_the_threads_that_can_be_had() {
        start_pool().unwrap();
        start_pool().unwrap();
        use rayon::prelude::*;
        assert_eq!((0..100).into_par_iter().sum::<i32>(), 4950);
    }
}
