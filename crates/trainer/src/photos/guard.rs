//! Decodes within a time limit, on a thread that may be left behind, so that no photo hangs the program or ends it.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};

use crate::photos::decode::decode_into;
use crate::photos::limits::Limits;
use crate::photos::picture::Picture;
use crate::photos::reading::Reading;

/// The name of threads that decode. A decoder that panics there costs one photo and is reported with it, so that a program
/// may want to keep the panic's own message to itself.
pub const THREAD: &str = "decode";

/// A function that decodes, such as [`decode_into`]. The last argument is memory that it may use for the pixels.
pub(crate) type Decoder = fn(&[u8], &Reading, &Limits, Vec<u8>) -> Result<Picture, String>;

/// Decodes a photo; its content says what it is, not its name.
///
/// As Pillow's `convert("RGB")`: grey is repeated, palettes looked up, CMYK converted without colour profiles, the first frame of an
/// animation or page of a document taken; of 16 bits a channel the upper 8 stay, but 16-bit grey is cut off at 255.
/// The pixels of a JPEG are libjpeg's with the feature `turbojpeg`, which is on by default; they may differ by a few levels without it.
///
/// Decodes on a thread of its own. A thread that isn't done in time is left behind, and goes on to take memory and a core until it
/// ends by itself.
///
/// # Errors
/// The reason, in words: an unknown or damaged format, a file cut short, more pixels or more time than `limits` allow. A decoder
/// that panics costs this photo only.
///
/// # Example
/// ```
/// use trainer::photos::{Limits, Reading, decode};
/// let text = b"no photo at all";
/// let reason = decode(text.to_vec(), &Reading::default(), &Limits::default()).unwrap_err();
/// assert!(reason.starts_with("not a photo"));
/// ```
pub fn decode(bytes: Vec<u8>, reading: &Reading, limits: &Limits) -> Result<Picture, String> {
    decode_by(decode_into, bytes, reading, limits, Vec::new())
}

/// Decodes as [`decode`] does, by another decoder and into memory that is used again.
pub(crate) fn decode_by(
    decoder: Decoder,
    bytes: Vec<u8>,
    reading: &Reading,
    limits: &Limits,
    memory: Vec<u8>,
) -> Result<Picture, String> {
    let (reading, limits) = (*reading, *limits);
    let (sender, receiver) = sync_channel(1);
    let work = move || {
        // The send fails if the caller has given up on this photo: nothing is lost.
        let _ = sender.send(decoder(&bytes, &reading, &limits, memory));
    };
    let thread = std::thread::Builder::new().name(THREAD.into());
    thread.spawn(work).map_err(|error| format!("no thread to decode it on: {error}"))?;
    match receiver.recv_timeout(limits.time) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => {
            Err(format!("not decoded within the limit of {} seconds", limits.time.as_secs_f64()))
        }
        // It panicked, and dropped the sender with all else.
        Err(RecvTimeoutError::Disconnected) => Err("the decoder failed on it: a damaged file".into()),
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
            decode_by(decoder, vec![1], &Reading::default(), &limits, Vec::new()).unwrap_err()
        };
        // A panic that doesn't print.
        let panics: Decoder = |_, _, _, _| std::panic::resume_unwind(Box::new("as planned"));
        assert_eq!(by(panics, 60_000), "the decoder failed on it: a damaged file");
        let hang: Decoder = |_, _, _, _| loop {
            std::thread::sleep(Duration::from_secs(1));
        };
        assert_eq!(by(hang, 50), "not decoded within the limit of 0.05 seconds");
    }
}
