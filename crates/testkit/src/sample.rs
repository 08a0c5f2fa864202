//! Seeded samples: signed, and not all of one size.

/// A stream of pseudo-random numbers (splitmix64), the same on every platform.
#[derive(Debug, Clone)]
pub struct Samples(u64);

impl Samples {
    /// Starts the stream of a seed.
    pub fn new(seed: u64) -> Self {
        Samples(seed)
    }

    /// Draws the next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Draws a number in [-1, 1), of either sign.
    pub fn signed(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// Draws a number in `0..end`.
    pub fn below(&mut self, end: u32) -> u32 {
        (self.bits() % u64::from(end)) as u32
    }

    /// Draws `len` numbers in [-1, 1).
    pub fn vec(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.signed()).collect()
    }

    /// Draws `len` numbers in [-scale, scale).
    pub fn scaled(&mut self, len: usize, scale: f32) -> Vec<f32> {
        (0..len).map(|_| self.signed() * scale).collect()
    }
}
