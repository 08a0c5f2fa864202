//! Two runs on the photos that both were tested on: which is better, and whether that can be told.

use std::fmt::Write as _;

use serde::Serialize;

use crate::head::metrics::{McNemar, wilson};
use crate::words::{count, first};

/// Two runs compared, photo by photo.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// How many photos both were tested on, and neither has learnt from or was chosen by.
    pub photos: usize,
    /// What each run gets right of them.
    pub runs: [Right; 2],
    /// Photos that only the first gets right.
    pub only_first: usize,
    /// Photos that only the second gets right.
    pub only_second: usize,
    /// By how much the second's accuracy is greater, in [−1, 1].
    pub difference: f64,
    /// The 95 % interval of `difference`, by Tango's score for pairs.
    pub difference_interval: [f64; 2],
    /// McNemar's exact p: how probable it is that two runs that are equally good differ as much or more.
    pub p: f64,
    /// Whether `p` is 0.05 or less.
    pub told: bool,
    /// The smallest difference that would be told on as many photos; none where there are too few for any.
    pub smallest_told: Option<f64>,
    /// The classes of these photos, by label.
    pub classes: Vec<OfClass>,
    /// Photos that were left out because the runs were told different classes of them.
    pub relabelled: usize,
    /// Classes that only one of the runs knows: the first's, the second's.
    pub unshared: [Vec<String>; 2],
}

/// What a run gets right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Right {
    /// How many photos.
    pub right: usize,
    /// The share of all.
    pub top1: f64,
    /// Its 95 % interval by Wilson's score.
    pub top1_interval: [f64; 2],
}

/// What both runs get right of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfClass {
    /// Its label.
    pub label: String,
    /// How many photos it has.
    pub photos: usize,
    /// How many of them each run gets right.
    pub right: [usize; 2],
}

impl Comparison {
    /// Compares by what was counted.
    pub(crate) fn new(counts: &McNemar, classes: Vec<OfClass>, relabelled: usize, unshared: [Vec<String>; 2]) -> Self {
        let photos = counts.count();
        let right = |right: usize| Right {
            right,
            top1: right as f64 / photos.max(1) as f64,
            top1_interval: wilson(right, photos),
        };
        Self {
            photos,
            runs: [right(counts.both + counts.only_first), right(counts.both + counts.only_second)],
            only_first: counts.only_first,
            only_second: counts.only_second,
            difference: counts.difference(),
            difference_interval: counts.interval(),
            p: counts.p(),
            told: counts.is_told(),
            smallest_told: counts.smallest_told(),
            classes,
            relabelled,
            unshared,
        }
    }

    /// Says it for people, given the names of the runs.
    pub fn text(&self, names: [&str; 2]) -> String {
        let mut out = format!("{} that both were tested on\n", count(self.photos, "photo"));
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        for (name, run) in names.iter().zip(&self.runs) {
            let [top1, low, high] = [run.top1, run.top1_interval[0], run.top1_interval[1]].map(|share| 100.0 * share);
            let _ = writeln!(out, "  {name:width$}  {top1:>5.1} % right   95 % interval {low:.1} to {high:.1}");
        }
        let only = |name: &str, photos: usize| format!("{} only {name} gets right", count(photos, "photo"));
        let _ = writeln!(out, "  {}, {}", only(names[0], self.only_first), only(names[1], self.only_second));

        let width = self.classes.iter().map(|class| class.label.chars().count()).max().unwrap_or(0).max(10);
        let columns = names.map(|name| name.chars().count().max(6));
        let _ = write!(out, "\n{:width$}  photos", "right in %");
        for (name, column) in names.iter().zip(columns) {
            let _ = write!(out, "  {name:>column$}");
        }
        for class in &self.classes {
            // Of several labels of a photo there may be none.
            let label = if class.label.is_empty() { "no label" } else { class.label.as_str() };
            let _ = write!(out, "\n{label:width$}  {:>6}", class.photos);
            for (right, column) in class.right.iter().zip(columns) {
                let _ = write!(out, "  {:>column$.1}", 100.0 * *right as f64 / class.photos as f64);
            }
        }
        out.push_str("\n\n");
        if self.relabelled > 0 {
            let photos = count(self.relabelled, "photo");
            let _ = writeln!(out, "{photos} left out: the runs were told different classes of them");
        }
        if self.unshared.iter().any(|labels| !labels.is_empty()) {
            let known = |(name, labels): (&&str, &Vec<String>)| {
                let labels: Vec<String> = labels.iter().map(|label| format!("{label:?}")).collect();
                (!labels.is_empty()).then(|| format!("only {name} knows {}", first(&labels, 5)))
            };
            let known: Vec<String> = names.iter().zip(&self.unshared).filter_map(known).collect();
            let _ = writeln!(out, "The runs have different classes ({}): they are matched by name", known.join("; "));
        }
        out + &self.verdict(names) + "\n"
    }

    /// Says in a sentence which run is better, or that it can't be told.
    fn verdict(&self, names: [&str; 2]) -> String {
        let p = match self.p {
            p if p < 0.001 => "p < 0.001".to_owned(),
            p if p < 0.1 => format!("p = {p:.3}"),
            p => format!("p = {p:.2}"),
        };
        let photos = count(self.photos, "photo");
        if !self.told {
            return match self.smallest_told {
                Some(least) => format!(
                    "No difference can be told on {photos} ({p}): a difference of at least {:.1} points would show",
                    100.0 * least
                ),
                None => format!("No difference can be told on {photos}, however great: it takes six or more"),
            };
        }
        let [low, high] = self.difference_interval.map(|end| 100.0 * end);
        let (better, low, high) = if self.difference > 0.0 { (names[1], low, high) } else { (names[0], -high, -low) };
        format!("{better} is better by {:.1} points ({low:.1} to {high:.1}); {p}", 100.0 * self.difference.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(both: usize, only_first: usize, only_second: usize, neither: usize) -> Comparison {
        let counts = McNemar { both, only_first, only_second, neither };
        let class =
            OfClass { label: "cat".to_owned(), photos: counts.count(), right: [both + only_first, both + only_second] };
        Comparison::new(&counts, vec![class], 0, Default::default())
    }

    #[test]
    fn all_is_said_and_what_is_not_the_case_is_not() {
        let mut comparison = of(62, 2, 12, 0);
        let expected = "\
76 photos that both were tested on
  run     84.2 % right   95 % interval 74.4 to 90.7
  other   97.4 % right   95 % interval 90.9 to 99.3
  2 photos only run gets right, 12 photos only other gets right

right in %  photos     run   other
cat             76    84.2    97.4

other is better by 13.2 points (4.1 to 23.5); p = 0.013
";
        assert_eq!(comparison.text(["run", "other"]), expected);
        comparison.relabelled = 1;
        comparison.unshared = [vec!["a".to_owned()], vec!["b".to_owned(), "c".to_owned()]];
        let text = comparison.text(["run", "other"]);
        assert!(text.contains("\n1 photo left out: the runs were told different classes of them\n"), "{text}");
        let classes =
            "different classes (only run knows \"a\"; only other knows \"b\", \"c\"): they are matched by name\n";
        assert!(text.contains(classes), "{text}");
    }

    #[test]
    fn the_verdict_is_a_sentence_whichever_is_better() {
        let verdict = |comparison: Comparison| comparison.verdict(["a", "b"]);
        assert_eq!(verdict(of(62, 12, 2, 0)), "a is better by 13.2 points (4.1 to 23.5); p = 0.013");
        assert_eq!(verdict(of(10, 0, 40, 0)), "b is better by 80.0 points (67.0 to 88.8); p < 0.001");
        let told = "No difference can be told on 76 photos (p = 0.69): a difference of at least 7.9 points would show";
        assert_eq!(verdict(of(66, 2, 4, 4)), told);
        assert_eq!(
            verdict(of(3, 0, 1, 0)),
            "No difference can be told on 4 photos, however great: it takes six or more"
        );
    }
}
