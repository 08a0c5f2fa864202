//! Decodes within a time limit, on a thread that may be left behind, so that no photo hangs the program or ends it.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Instant;

use crate::error::Error;
use crate::photos::decode::decode_into;
use crate::photos::file::Failure;
use crate::photos::limits::Limits;
use crate::photos::memory::{Room, Share};
use crate::photos::picture::Picture;
use crate::photos::reading::Reading;
use crate::threads::{patiently, waiting};

/// The name of threads that decode. A decoder that panics there costs one photo and is reported with it, so that a program
/// may want to keep the panic's own message to itself.
pub const THREAD: &str = "decode";

/// A function that decodes, such as [`decode_into`]. It may use the memory that it is given for the pixels, and asks before it allocates any.
pub(crate) type Decoder = fn(&[u8], &Reading, &Limits, Vec<u8>, Room) -> Result<Picture, String>;

/// Decodes a photo; its content says what it is, not its name.
///
/// As Pillow's `convert("RGB")`: grey is repeated, palettes looked up, CMYK converted without colour profiles, the first frame of an
/// animation or page of a document taken; of 16 bits a channel the upper 8 stay, but 16-bit grey is cut off at 255.
/// The pixels of a JPEG are libjpeg's with the feature `turbojpeg`, which is on by default; they may differ by a few levels without it.
///
/// Decodes on a thread of its own. A thread that isn't done in time is left behind, and goes on to take memory and a core until it
/// ends by itself. The decoders of the process share 256 MiB for each core, 1 GiB at least: one of more than 10 megapixels that finds no
/// room waits, which isn't counted as its time. One photo alone may take more.
///
/// # Errors
/// The reason, in words: an unknown or damaged format, a file cut short, more pixels or more time than `limits` allow; no memory besides
/// what decoders hold that were left behind; no thread. A decoder that panics costs this photo only.
///
/// # Example
/// ```
/// use trainer::photos::{Limits, Reading, decode};
/// let text = b"no photo at all";
/// let reason = decode(text.to_vec(), &Reading::default(), &Limits::default()).unwrap_err();
/// assert!(reason.starts_with("not a photo"));
/// ```
pub fn decode(bytes: Vec<u8>, reading: &Reading, limits: &Limits) -> Result<Picture, String> {
    let decoded = decode_by(decode_into, bytes, reading, limits, Vec::new());
    decoded.map(|(picture, _)| picture).map_err(|failure| failure.to_string())
}

/// What a decoder's thread says.
enum Said {
    /// It needs so many bytes, and waits until it is given its share.
    Needs(u64, SyncSender<Share>),
    /// It is done, and gives back the share that the picture lies in.
    Done(Result<Picture, String>, Option<Share>),
}

/// What a decoder's thread does.
struct Work {
    decoder: Decoder,
    bytes: Vec<u8>,
    reading: Reading,
    limits: Limits,
    memory: Vec<u8>,
    say: SyncSender<Said>,
}

impl Work {
    fn run(self) {
        let Self { decoder, bytes, reading, limits, memory, say } = self;
        // Kept until this thread ends, though nobody waits for it any more.
        let mut share = None;
        let mut room = |needed| {
            let (give, given) = sync_channel(1);
            // Nobody hears it who has given up on this photo.
            let nobody = || "given up".to_owned();
            say.send(Said::Needs(needed, give)).map_err(|_| nobody())?;
            share = Some(given.recv().map_err(|_| nobody())?);
            Ok(())
        };
        let outcome = decoder(&bytes, &reading, &limits, memory, &mut room);
        drop(bytes);
        let _ = say.send(Said::Done(outcome, share));
    }
}

/// Decodes as [`decode`] does, by another decoder and into memory that is used again. The share of memory is held as long as the picture is.
pub(crate) fn decode_by(
    decoder: Decoder,
    bytes: Vec<u8>,
    reading: &Reading,
    limits: &Limits,
    memory: Vec<u8>,
) -> Result<(Picture, Option<Share>), Failure> {
    let thread = patiently(|| waiting(Builder::new().name(THREAD.into()), Work::run));
    let thread = thread.map_err(|error| Failure::Machine(Error::Thread(error)))?;
    let (say, said) = sync_channel(1);
    let mut end = Instant::now() + limits.time;
    // It waits for this and ends only then.
    let _ = thread.send(Work { decoder, bytes, reading: *reading, limits: *limits, memory, say });
    loop {
        let reason = match said.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(Said::Needs(needed, give)) => {
                let asked = Instant::now();
                let share = Share::take(needed, limits.time).map_err(Failure::Photo)?;
                end += asked.elapsed();
                let _ = give.send(share);
                continue;
            }
            Ok(Said::Done(outcome, share)) => {
                return outcome.map(|picture| (picture, share)).map_err(Failure::Photo);
            }
            Err(RecvTimeoutError::Timeout) => {
                format!("not decoded within the limit of {} seconds", limits.time.as_secs_f64())
            }
            // It panicked, and dropped the sender with all else.
            Err(RecvTimeoutError::Disconnected) => "the decoder failed on it: a damaged file".into(),
        };
        return Err(Failure::Photo(reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_decoder_that_panics_or_hangs_is_left_behind() {
        let by = |decoder: Decoder, milliseconds| {
            let limits = Limits { time: Duration::from_millis(milliseconds), ..Limits::default() };
            let decoded = decode_by(decoder, vec![1], &Reading::default(), &limits, Vec::new());
            decoded.err().unwrap().to_string()
        };
        // A panic that doesn't print.
        let panics: Decoder = |_, _, _, _, _| std::panic::resume_unwind(Box::new("as planned"));
        assert_eq!(by(panics, 60_000), "the decoder failed on it: a damaged file");
        let hang: Decoder = |_, _, _, _, _| loop {
            std::thread::sleep(Duration::from_secs(1));
        };
        assert_eq!(by(hang, 50), "not decoded within the limit of 0.05 seconds");
    }

    #[test]
    fn what_a_decoder_left_behind_took_is_given_back_when_its_thread_ends() {
        static LEFT: std::sync::Mutex<()> = std::sync::Mutex::new(());
        // Counted as half of all: one or two of them leave no room for another, and the small photos of other tests have room.
        const LARGE: u64 = 1 << 62;
        let limits = Limits { time: Duration::from_millis(300), ..Limits::default() };
        let by = |decoder: Decoder, limits| {
            decode_by(decoder, vec![1], &Reading::default(), limits, Vec::new()).map(|(picture, _)| picture)
        };
        let one: Decoder = |_, _, _, _, room| {
            room(LARGE)?;
            Ok(Picture { width: 1, height: 1, rgb: vec![7; 3] })
        };
        let held = LEFT.lock().unwrap();
        let hang: Decoder = |_, _, _, _, room| {
            room(LARGE)?;
            drop(LEFT.lock());
            Err("at last".into())
        };
        let outcomes = [(); 3].map(|()| by(hang, &limits).unwrap_err().to_string());
        assert_eq!(outcomes[0], "not decoded within the limit of 0.3 seconds");
        for outcome in [&outcomes[2], &by(one, &limits).unwrap_err().to_string()] {
            assert!(outcome.contains("too much is held by photos that weren't decoded in time"), "{outcome}");
        }
        drop(held);
        let patient = Limits { time: Duration::from_secs(60), ..limits };
        assert_eq!(by(one, &patient).unwrap().rgb, [7; 3]);
    }
}
