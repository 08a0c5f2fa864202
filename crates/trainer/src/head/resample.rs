//! Resampling: a figure computed of many random draws, and the range in which the middle 95 % of it lie.

use rayon::prelude::*;

use crate::random::SplitMix64;

/// How many draws.
const DRAWS: usize = 1000;
/// Where the draws begin: the same photos give the same interval.
const SEED: u64 = 0x9a11_da75;

/// Computes the 2.5 % and the 97.5 % quantile of a figure of random draws.
pub(crate) fn middle95(figure: impl Fn(&mut SplitMix64) -> f64 + Sync) -> [f64; 2] {
    let draw = |number: u64| figure(&mut SplitMix64(SplitMix64::mix(SEED ^ number)));
    let mut figures: Vec<f64> = (0..DRAWS as u64).into_par_iter().map(draw).collect();
    figures.sort_by(f64::total_cmp);
    let cut = DRAWS / 40;
    [figures[cut], figures[DRAWS - 1 - cut]]
}

/// Computes Σ a / Σ b of pairs [a, b] and its 95 % interval, for which the pairs are resampled; 0 where Σ b is. The same pairs in whatever order give the same interval.
///
/// # Reference
/// Efron and Tibshirani, "An introduction to the bootstrap", 1993, section 13.3 (percentiles).
pub(crate) fn middle95_of_ratio(pairs: &[[f64; 2]]) -> (f64, [f64; 2]) {
    let mut pairs = pairs.to_vec();
    pairs.sort_by(|[a, b], [c, d]| a.total_cmp(c).then(b.total_cmp(d)));
    let ratio = |of: &mut dyn Iterator<Item = &[f64; 2]>| {
        let [above, below] = of.fold([0.0; 2], |[above, below], [a, b]| [above + a, below + b]);
        if below > 0.0 { above / below } else { 0.0 }
    };
    let interval = middle95(|random| ratio(&mut (0..pairs.len()).map(|_| &pairs[below(random, pairs.len())])));
    (ratio(&mut pairs.iter()), interval)
}

/// Draws a number below `count`, which is less than 2^32 in practice: the bias is below 2^-32.
pub(crate) fn below(random: &mut SplitMix64, count: usize) -> usize {
    ((u128::from(random.bits()) * count as u128) >> 64) as usize
}

/// Draws a number in [0, 1).
pub(crate) fn unit(random: &mut SplitMix64) -> f64 {
    (random.bits() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_what_is_drawn_evenly() {
        let [low, high] = middle95(unit);
        // The 26th of a thousand has mean 0.026 and a standard deviation of 0.005.
        assert!((low - 0.025).abs() < 0.02 && (high - 0.975).abs() < 0.02, "{low} {high}");
        assert_eq!(middle95(unit), [low, high]);
        let mut random = SplitMix64(1);
        let mut counts = [0; 3];
        (0..3000).for_each(|_| counts[below(&mut random, 3)] += 1);
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }
}
