//! Bounds what one photo may take, so that no file exhausts the machine.

use std::time::Duration;

/// Bounds that hold before and while a photo is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest file, in bytes.
    pub bytes: u64,
    /// The most pixels: a decoder takes up to 8 bytes for each, on every core.
    pub pixels: u64,
    /// The longest that one photo may take.
    pub time: Duration,
}

impl Default for Limits {
    /// Allows 256 MiB, 128 Mi pixels and 60 seconds: beyond any camera, short of a decompression bomb.
    fn default() -> Self {
        Self { bytes: 1 << 28, pixels: 1 << 27, time: Duration::from_secs(60) }
    }
}

impl Limits {
    /// Checks a photo's size before it is decoded, and counts its pixels.
    ///
    /// # Errors
    /// It has more pixels than allowed, in words.
    pub(super) fn check_pixels(&self, width: u32, height: u32) -> Result<u64, String> {
        match u64::from(width) * u64::from(height) {
            pixels if pixels > self.pixels => {
                Err(format!("{width} x {height} pixels are more than the limit of {}", self.pixels))
            }
            pixels => Ok(pixels),
        }
    }
}
