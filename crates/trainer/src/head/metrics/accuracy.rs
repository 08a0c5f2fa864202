//! Accuracy: the share that is right, among the first or the first five, and how sure that share is.

use crate::data::Class;

/// The normal distribution's 97.5 % quantile: 95 % lie within ± this.
pub(crate) const Z95: f64 = 1.959_963_984_540_054;

/// Counts how often the true class is the most probable, or among the five most probable.
#[derive(Default)]
pub(crate) struct Accuracy {
    pub count: usize,
    pub right: usize,
    pub among_five: usize,
}

impl Accuracy {
    /// Adds a photo whose most probable classes, five of them or all, come in their order.
    pub fn add(&mut self, ranking: &[Class], truth: Class) {
        self.count += 1;
        self.right += usize::from(ranking.first() == Some(&truth));
        self.among_five += usize::from(ranking.contains(&truth));
    }

    /// Computes the share whose most probable class is the true one.
    pub fn top1(&self) -> f64 {
        share(self.right, self.count)
    }

    /// Computes the share whose true class is among the five most probable.
    pub fn top5(&self) -> f64 {
        share(self.among_five, self.count)
    }

    /// Computes the 95 % confidence interval of [`Accuracy::top1`].
    pub fn interval(&self) -> [f64; 2] {
        wilson(self.right, self.count)
    }
}

/// Divides a part by the whole; of nothing, the share is 0.
pub(crate) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Computes Wilson's score interval of a share, 95 %.
///
/// # Reference
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
pub(crate) fn wilson(hits: usize, count: usize) -> [f64; 2] {
    if count == 0 {
        return [0.0, 1.0];
    }
    let (n, p, z2) = (count as f64, share(hits, count), Z95 * Z95);
    let centre = p + z2 / (2.0 * n);
    let spread = Z95 * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    [((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_counts_once_and_the_first_five_all_the_same() {
        let mut accuracy = Accuracy::default();
        let ranking = [4, 2, 0, 1, 3].map(Class::new);
        [4, 3, 7].iter().for_each(|&truth| accuracy.add(&ranking, Class::new(truth)));
        assert_eq!((accuracy.top1(), accuracy.top5()), (1.0 / 3.0, 2.0 / 3.0));
        assert_eq!(accuracy.interval(), wilson(1, 3));
        assert_eq!(Accuracy::default().top1(), 0.0);
    }

    #[test]
    fn interval_of_wilson() {
        // Known values: 0 of 10 gives [0, 0.2775], 8 of 10 [0.4902, 0.9433], 81 of 263 [0.2553, 0.3662].
        for (hits, count, expected) in
            [(0, 10, [0.0, 0.277_533]), (8, 10, [0.490_162, 0.943_318]), (81, 263, [0.255_294, 0.366_214])]
        {
            let interval = wilson(hits, count);
            for (got, expected) in interval.iter().zip(expected) {
                assert!((got - expected).abs() < 1e-4, "{interval:?}");
            }
        }
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
    }
}
