//! Pseudo-random bits that are the same on every platform, for drawings, the order of samples, and random weights.

/// The generator SplitMix64.
///
/// # Reference
/// Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators (2014), section 4.
pub(crate) struct SplitMix64(pub u64);

impl SplitMix64 {
    /// What the state advances by: 2^64 divided by the golden ratio.
    pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

    /// Mixes 64 bits by the finaliser: a bijection in which each input bit reaches every output bit.
    pub(crate) fn mix(mut z: u64) -> u64 {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Draws the next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::GOLDEN);
        Self::mix(self.0)
    }
}
