//! McNemar's test: whether one classifier is better than another on the same photos, by those on which only one is right.

use crate::head::metrics::accuracy::Z95;

/// At which probability a difference counts as told.
const LEVEL: f64 = 0.05;

/// Counts the photos that two classifiers get right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct McNemar {
    /// Photos that both get right.
    pub both: usize,
    /// Photos that only the first gets right.
    pub only_first: usize,
    /// Photos that only the second gets right.
    pub only_second: usize,
    /// Photos that both get wrong.
    pub neither: usize,
}

impl McNemar {
    /// Adds a photo by whether each classifier is right.
    pub fn add(&mut self, first: bool, second: bool) {
        *match (first, second) {
            (true, true) => &mut self.both,
            (true, false) => &mut self.only_first,
            (false, true) => &mut self.only_second,
            (false, false) => &mut self.neither,
        } += 1;
    }

    /// Counts all photos.
    pub fn count(&self) -> usize {
        self.both + self.only_first + self.only_second + self.neither
    }

    /// Computes by how much the second's accuracy is greater: (c − b) / n, with b photos that only the first gets right and c that only the
    /// second does. Of no photos it is 0.
    pub fn difference(&self) -> f64 {
        (self.only_second as f64 - self.only_first as f64) / self.count().max(1) as f64
    }

    /// Computes the exact two-sided p: how probable it is that, were both equally good, the b + c photos on which they differ would be shared out
    /// as unevenly or more: min(1, 2 Σ_{i ≤ min(b, c)} C(b + c, i) / 2^(b + c)).
    ///
    /// # Reference
    /// McNemar, "Note on the sampling error of the difference between correlated proportions or percentages", 1947; the exact form is the sign
    /// test's.
    ///
    /// # Examples
    /// ```
    /// let counts = trainer::head::metrics::McNemar { only_first: 1, only_second: 5, ..Default::default() };
    /// assert!((counts.p() - 2.0 * (1.0 + 6.0) / 64.0).abs() < 1e-15);
    /// ```
    pub fn p(&self) -> f64 {
        two_sided(self.only_first.min(self.only_second), self.only_first + self.only_second)
    }

    /// Computes the 95 % interval of [`McNemar::difference`] by Tango's score: the differences Δ of which (c − b − nΔ) / √(n (2q + Δ(1 − Δ))) is
    /// within ± 1.96, where q, the probability that only the first is right, is the likeliest one given Δ. Of no photos it is [−1, 1].
    ///
    /// # Numerics
    /// The ends are bisected to neighbouring numbers. Its score at 0 is that of McNemar's approximate test, so that near the level it and
    /// [`McNemar::p`], which is exact, may disagree.
    ///
    /// # Reference
    /// Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample design", Statistics in Medicine 17,
    /// 1998, section 3.
    pub fn interval(&self) -> [f64; 2] {
        if self.count() == 0 {
            return [-1.0, 1.0];
        }
        let difference = self.difference();
        // The score falls as Δ grows: below are the differences that are too small.
        let low = bisect(-1.0, difference, |delta| self.score(delta) > Z95);
        let high = bisect(difference, 1.0, |delta| self.score(delta) > -Z95);
        [low, high]
    }

    /// Computes Tango's score of a difference.
    fn score(&self, delta: f64) -> f64 {
        let [n, first, second] = [self.count(), self.only_first, self.only_second].map(|count| count as f64);
        // 2n q² + b q + c = 0.
        let b = -first - second + (2.0 * n - second + first) * delta;
        let c = -first * delta * (1.0 - delta);
        let q = ((b * b - 8.0 * n * c).max(0.0).sqrt() - b) / (4.0 * n);
        let distance = second - first - n * delta;
        let variance = n * (2.0 * q + delta * (1.0 - delta));
        // At Δ = ±1 nothing varies: any distance is beyond all scores.
        if variance > 0.0 { distance / variance.sqrt() } else { distance.signum() * f64::INFINITY }
    }

    /// Tells whether [`McNemar::p`] is 0.05 or less.
    pub fn is_told(&self) -> bool {
        self.p() <= LEVEL
    }

    /// Computes the smallest difference that would be told on as many photos, if the classifiers differed on as many of them: on six at least, for no
    /// fewer can tell anything. None where there are fewer photos than that.
    pub fn smallest_told(&self) -> Option<f64> {
        let (differ, n) = ((self.only_first + self.only_second).max(6), self.count());
        let lesser = (0..=differ / 2).take_while(|&lesser| two_sided(lesser, differ) <= LEVEL).last()?;
        (differ <= n).then(|| (differ - 2 * lesser) as f64 / n as f64)
    }
}

/// Computes how probable it is that of so many even choices the rarer outcome comes `lesser` times or less.
fn two_sided(lesser: usize, all: usize) -> f64 {
    let m = all as f64;
    let logarithm: f64 = (1..=lesser).map(|i| ((m - i as f64 + 1.0) / i as f64).ln()).sum();
    // All terms as multiples of the greatest, which is the last.
    let (mut term, mut sum) = (1.0, 1.0);
    for i in (1..=lesser).rev() {
        term *= i as f64 / (m - i as f64 + 1.0);
        sum += term;
    }
    (2.0 * sum * (logarithm - m * std::f64::consts::LN_2).exp()).min(1.0)
}

/// Finds where `below` ceases to hold, between numbers of which it holds up to some place.
fn bisect(mut low: f64, mut high: f64, below: impl Fn(f64) -> bool) -> f64 {
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return middle;
        }
        if below(middle) { low = middle } else { high = middle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(both: usize, only_first: usize, only_second: usize, neither: usize) -> McNemar {
        McNemar { both, only_first, only_second, neither }
    }

    #[test]
    fn closed_forms_of_p() {
        for (b, c, expected) in [
            (0, 0, 1.0),
            (1, 1, 1.0),
            (0, 5, 2.0 / 32.0),
            (6, 0, 2.0 / 64.0),
            (2, 8, 2.0 * (1.0 + 10.0 + 45.0) / 1024.0),
            (5, 5, 1.0),
        ] {
            let p = of(3, b, c, 2).p();
            assert!((p - expected).abs() < 1e-14, "{b} {c}: {p}");
            assert_eq!(p, of(3, c, b, 2).p());
        }
        // Thousands: by the normal distribution with continuity, Φ(−(100 − 1) / √5000) · 2 = 0.161496.
        assert!((of(0, 2450, 2550, 0).p() - 0.161_496).abs() < 2e-4, "{}", of(0, 2450, 2550, 0).p());
        assert!(of(0, 0, 5000, 0).p() == 0.0);
    }

    /// Every table of a few photos: p is the sum of the probabilities of all tables as uneven.
    #[test]
    fn p_is_an_exhaustive_count() {
        for all in 0..12usize {
            for first in 0..=all {
                let uneven = |hits: usize| (2 * hits).abs_diff(all) >= (2 * first).abs_diff(all);
                let count = (0..1usize << all).filter(|sides| uneven(sides.count_ones() as usize)).count();
                let expected = count as f64 / (1usize << all) as f64;
                assert!((of(1, first, all - first, 4).p() - expected).abs() < 1e-14);
            }
        }
    }

    #[test]
    fn the_interval_is_where_the_score_of_the_likeliest_model_is_1_96() {
        for counts in
            [of(36, 2, 12, 0), of(10, 0, 3, 7), of(40, 5, 5, 26), of(0, 0, 9, 1), of(3, 7, 0, 0), of(500, 31, 52, 90)]
        {
            let [n, b, c] = [counts.count(), counts.only_first, counts.only_second].map(|count| count as f64);
            let log = |count: f64, share: f64| if count == 0.0 { 0.0 } else { count * share.ln() };
            for (end, side) in counts.interval().into_iter().zip([1.0, -1.0]) {
                if end.abs() > 1.0 - 1e-9 {
                    continue;
                }
                // The likelihood is concave in q, the share that only the first gets right.
                let likelihood = |q: f64| log(b, q) + log(c, q + end) + log(n - b - c, 1.0 - 2.0 * q - end);
                let (mut low, mut high) = ((-end).max(0.0), (1.0 - end) / 2.0);
                for _ in 0..200 {
                    let (one, other) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
                    if likelihood(one) < likelihood(other) { low = one } else { high = other }
                }
                let q = (low + high) / 2.0;
                let score = (c - b - n * end) / (n * (q + q + end - end * end)).sqrt();
                assert!((score - side * Z95).abs() < 1e-5, "{counts:?} {end}: {score}");
            }
            let swapped = McNemar { only_first: counts.only_second, only_second: counts.only_first, ..counts };
            let [low, high] = counts.interval();
            let [other_low, other_high] = swapped.interval();
            assert!((low + other_high).abs() < 1e-12 && (high + other_low).abs() < 1e-12);
            assert!(low <= counts.difference() && counts.difference() <= high);
        }
        assert_eq!(McNemar::default().interval(), [-1.0, 1.0]);
    }

    /// Every table of 25 photos, by its probability.
    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        let n = 25;
        let ln: Vec<f64> = (0..=n)
            .scan(0.0, |sum, i: usize| {
                *sum += (i.max(1) as f64).ln();
                Some(*sum)
            })
            .collect();
        for (first, second) in [(0.1, 0.1), (0.05, 0.2), (0.2, 0.4), (0.3, 0.3)] {
            let mut held = 0.0;
            for b in 0..=n {
                for c in 0..=n - b {
                    let [low, high] = of(n - b - c, b, c, 0).interval();
                    if low <= second - first && second - first <= high {
                        let share = |count: usize, share: f64| count as f64 * share.ln() - ln[count];
                        held +=
                            (ln[n] + share(b, first) + share(c, second) + share(n - b - c, 1.0 - first - second)).exp();
                    }
                }
            }
            assert!((0.93..0.985).contains(&held), "{first} {second}: {held}");
        }
    }

    #[test]
    fn what_would_be_told() {
        // Of ten on which they differ, one against nine: p = 22 / 1024; two against eight: 112 / 1024.
        assert_eq!(of(60, 5, 5, 6).smallest_told(), Some(8.0 / 76.0));
        // On few, six all one way: 2 / 64.
        assert_eq!(of(70, 1, 2, 3).smallest_told(), Some(6.0 / 76.0));
        assert_eq!(of(3, 1, 1, 0).smallest_told(), None);
        assert!(of(0, 1, 9, 0).is_told() && !of(0, 2, 8, 0).is_told() && !of(0, 0, 5, 0).is_told());
    }

    #[test]
    fn photos_are_sorted_by_who_is_right() {
        let mut counts = McNemar::default();
        [(true, true), (true, false), (false, true), (false, true), (false, false)]
            .iter()
            .for_each(|&(a, b)| counts.add(a, b));
        assert_eq!((counts, counts.count(), counts.difference()), (of(1, 1, 2, 1), 5, 0.2));
    }
}
