//! Photos ranked by a score: what areas under curves are taken of.

/// How many positives and negatives have each score, by descending score: equal scores are one step of a curve.
pub(crate) struct Ranked {
    pub steps: Vec<[usize; 2]>,
    /// How many positives and negatives there are.
    pub counts: [usize; 2],
}

impl Ranked {
    /// Ranks scores, none of them NaN, each with whether it is a positive's.
    pub fn new(scores: impl IntoIterator<Item = (f64, bool)>) -> Self {
        let mut scores: Vec<(f64, bool)> = scores.into_iter().collect();
        scores.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));
        let mut counts = [0; 2];
        let steps = scores.chunk_by(|(a, _), (b, _)| a == b).map(|equal| {
            let positives = equal.iter().filter(|(_, positive)| *positive).count();
            let step = [positives, equal.len() - positives];
            counts = [counts[0] + step[0], counts[1] + step[1]];
            step
        });
        let steps = steps.collect();
        Self { steps, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_are_one_step() {
        let ranked = Ranked::new([(0.0, true), (1.0, false), (-0.0, false), (1.0, true), (2.0, true)]);
        assert_eq!((ranked.steps, ranked.counts), (vec![[1, 0], [1, 1], [1, 1]], [3, 2]));
    }
}
