//! Numbers that come out the same on every platform: integers, and floats by `+ - * / % sqrt floor` alone,
//! which IEEE 754 fixes to the last bit. `sin`, `exp` and their kin come from each platform's own library and may differ.

use crate::random::SplitMix64;

/// A point or direction of the plane.
pub(super) type Point = [f32; 2];

/// Pseudorandom numbers of the kinds that drawing needs.
pub(super) struct Rng(SplitMix64);

/// Takes the upper 24 bits as a float in `[0, 1)`.
fn unit(bits: u64) -> f32 {
    (bits >> 40) as f32 / (1u32 << 24) as f32
}

impl Rng {
    /// Starts a stream of its own for each list of words.
    pub(super) fn new(words: &[u64]) -> Self {
        let mix = SplitMix64::mix;
        let seed = words.iter().fold(0, |state: u64, &word| mix(state.wrapping_add(SplitMix64::GOLDEN) ^ mix(word)));
        Self(SplitMix64(seed))
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0.bits()
    }

    /// Draws uniformly from `[low, high)`.
    pub(super) fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * unit(self.bits())
    }

    /// Draws uniformly from `low..=high`.
    pub(super) fn whole(&mut self, low: u32, high: u32) -> u32 {
        low + (((self.bits() >> 32) * u64::from(high - low + 1)) >> 32) as u32
    }

    pub(super) fn chance(&mut self, probability: f32) -> bool {
        self.range(0.0, 1.0) < probability
    }

    /// Draws from nearly the normal distribution: the sum of four uniforms, scaled to variance 1.
    pub(super) fn normal(&mut self) -> f32 {
        let sum: f32 = (0..4).map(|_| self.range(-1.0, 1.0)).sum();
        sum * 0.866_025_4
    }

    /// Draws a point in the square `[-reach, reach)²`.
    pub(super) fn point(&mut self, reach: f32) -> Point {
        [self.range(-reach, reach), self.range(-reach, reach)]
    }
}

/// Gives a fixed random number in `[0, 1)` for each point of the integer lattice.
pub(super) fn lattice(x: f32, y: f32, salt: u64) -> f32 {
    let key = (x as i64 as u64).wrapping_mul(SplitMix64::GOLDEN) ^ (y as i64 as u64).rotate_left(32);
    unit(SplitMix64::mix(key.wrapping_add(salt)))
}

/// Computes value noise in `[0, 1)`, smooth, of period about 1.
pub(super) fn noise(p: Point, salt: u64) -> f32 {
    let (x, y) = (p[0].floor(), p[1].floor());
    let (u, v) = (smooth(p[0] - x), smooth(p[1] - y));
    let top = lerp(lattice(x, y, salt), lattice(x + 1.0, y, salt), u);
    let bottom = lerp(lattice(x, y + 1.0, salt), lattice(x + 1.0, y + 1.0, salt), u);
    lerp(top, bottom, v)
}

/// Computes three octaves of [`noise`], in `[0, 1)`.
pub(super) fn clouds(p: Point, salt: u64) -> f32 {
    let octave = |k: f32| noise([p[0] * k, p[1] * k], salt ^ k as u64);
    (4.0 * octave(1.0) + 2.0 * octave(2.0) + octave(4.0)) / 7.0
}

pub(super) fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// Computes the cubic from 0 to 1 that is flat at both ends, clamped.
pub(super) fn smooth(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

pub(super) fn fract(x: f32) -> f32 {
    x - x.floor()
}

/// Computes `sin(2π · turns)`, to about 1e-6.
pub(super) fn sin(turns: f32) -> f32 {
    // Folded to a quarter turn either side of zero, where the Taylor series to the ninth power is enough.
    let t = fract(turns + 0.25);
    let x = (if t < 0.5 { t - 0.25 } else { 0.75 - t }) * std::f32::consts::TAU;
    let s = x * x;
    x * (1.0 - s / 6.0 * (1.0 - s / 20.0 * (1.0 - s / 42.0 * (1.0 - s / 72.0 * (1.0 - s / 110.0)))))
}

/// Computes `cos(2π · turns)`.
pub(super) fn cos(turns: f32) -> f32 {
    sin(turns + 0.25)
}

/// Finds the point at `radius` and `turns` (0 is right, a quarter turn is down, as rows go).
pub(super) fn polar(radius: f32, turns: f32) -> Point {
    [radius * cos(turns), radius * sin(turns)]
}

pub(super) fn sub(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1]]
}

pub(super) fn dot(a: Point, b: Point) -> f32 {
    a[0] * b[0] + a[1] * b[1]
}

pub(super) fn length(a: Point) -> f32 {
    dot(a, a).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sine_is_the_sine() {
        for i in -2000..2000 {
            let turns = i as f32 / 640.0;
            let (got, expected) = (f64::from(sin(turns)), (f64::from(turns) * std::f64::consts::TAU).sin());
            let difference = (got - expected).abs();
            assert!(difference <= 2e-6, "sin of {turns} turns: {got}, expected {expected}");
        }
    }

    #[test]
    fn normal_has_mean_0_and_variance_1() {
        let mut rng = Rng::new(&[1]);
        let draws: Vec<f32> = (0..20_000).map(|_| rng.normal()).collect();
        let mean = draws.iter().sum::<f32>() / draws.len() as f32;
        let variance = draws.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / draws.len() as f32;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "mean {mean}, variance {variance}");
    }

    #[test]
    fn whole_numbers_reach_both_ends() {
        let mut rng = Rng::new(&[2]);
        let mut seen = [0; 4];
        (0..4000).for_each(|_| seen[rng.whole(3, 6) as usize - 3] += 1);
        assert!(seen.iter().all(|&n| (800..1200).contains(&n)), "{seen:?}");
    }
}
