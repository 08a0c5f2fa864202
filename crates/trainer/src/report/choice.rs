//! What was tried side by side in a training, and which of it was kept: backbones, views of photos.

use serde::{Deserialize, Serialize};

use crate::head::metrics::{Baseline, Paired};
use crate::photos::Views;
use crate::words::count;

/// How good a head is that was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// The share that is right of what judges the run: the test part, or all by cross-validation; none where nothing judges.
    pub top1: Option<f64>,
    /// Its 95 % interval.
    pub top1_interval: Option<[f64; 2]>,
    /// The log loss there, in nats.
    pub log_loss: Option<f64>,
    /// The log loss out of fold on what was learnt from, in nats, the mean over all deals of the folds: what is chosen by.
    pub out_of_fold: f64,
}

/// A backbone that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriedBackbone {
    /// What it is called.
    pub name: String,
    /// Its architecture.
    pub architecture: String,
    /// How many features it gives.
    pub width: usize,
    /// The size of its file.
    pub bytes: u64,
    /// Floating-point operations for one photo, two a multiply-add: what "cheaper" goes by.
    pub flops: u64,
    /// Milliseconds a photo took that went through it now, reading and planning included; none where all were known.
    pub milliseconds: Option<f64>,
    /// How good its head is.
    #[serde(flatten)]
    pub scores: Scores,
    /// By how much its log loss out of fold is above the lowest, photo by photo.
    pub behind: Paired,
}

/// Backbones that were compared on the same photos and folds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backbones {
    /// All, in the order in which they were given.
    pub tried: Vec<TriedBackbone>,
    /// The place among them of the one that was kept.
    pub kept: usize,
    /// Whether it is the cheapest whose log loss is within a standard error of the lowest.
    pub within_error: bool,
}

/// Views of photos that were compared with the plain view alone, on the same photos and folds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriedViews {
    /// The views.
    pub views: Views,
    /// How many passes a photo takes for them.
    pub passes: usize,
    /// How good the head is that knows the plain view alone.
    pub plain: Scores,
    /// How good the head is that learnt from all, and judges by their mean.
    pub seen: Scores,
    /// By how much the log loss out of fold is lower, photo by photo.
    pub gain: Paired,
    /// Whether the run has them: the gain is more than its standard error, and more than [`TriedViews::LEAST`] of the loss.
    pub kept: bool,
}

/// What heads reach on features that no network has learnt, on the same photos as that of the run, and on its folds as they are first dealt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// The run's own head.
    pub own: Scores,
    /// The head on the same network with random weights.
    pub random: Scores,
    /// The head on how often each colour occurs in a photo: see [`colours`](crate::photos::colours).
    pub colours: Scores,
}

/// A table for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What it shows.
    pub title: &'static str,
    /// The names of the columns; the first is that of what is compared.
    pub head: Vec<&'static str>,
    /// The cells, row by row.
    pub rows: Vec<Vec<String>>,
    /// How it is to be read.
    pub note: String,
}

impl Table {
    /// Writes it for a terminal: the first column to the left, the others to the right.
    pub fn text(&self) -> String {
        let wide = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.head[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(wide).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded = cells.zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
                0 => format!("{cell:width$}"),
                _ => format!("  {cell:>width$}"),
            });
            padded.collect::<String>() + "\n"
        };
        let mut out = format!("{}\n", self.title);
        out += &line(&mut self.head.iter().copied());
        self.rows.iter().for_each(|row| out += &line(&mut row.iter().map(String::as_str)));
        out + &self.note + "\n"
    }
}

impl Scores {
    /// The columns of what judges.
    pub(super) const HEAD: [&'static str; 4] = ["right", "95 % interval", "log-loss", "out of fold"];

    /// Words them, a cell for each column.
    pub(super) fn cells(&self) -> [String; 4] {
        let none = || "·".to_owned();
        [
            self.top1.map_or_else(none, |share| format!("{:.1} %", 100.0 * share)),
            self.top1_interval.map_or_else(none, |[low, high]| format!("{:.1} to {:.1}", 100.0 * low, 100.0 * high)),
            self.log_loss.map_or_else(none, |loss| format!("{loss:.3}")),
            format!("{:.4}", self.out_of_fold),
        ]
    }
}

impl Baselines {
    /// Makes the table, with what guessing reaches.
    pub fn table(&self, guessing: Option<&Baseline>) -> Table {
        let row = |(name, scores): (&str, &Scores)| {
            let mut cells = vec![name.to_owned()];
            cells.extend(scores.cells());
            cells
        };
        let rows = [
            ("the backbone", &self.own),
            ("the same network, random weights", &self.random),
            ("how often each colour occurs", &self.colours),
        ];
        let mut head = vec!["features"];
        head.extend(Scores::HEAD);
        let note =
            guessing.map(|Baseline { class, top1 }| format!("Always guessing \"{class}\": {:.1} %", 100.0 * top1));
        Table {
            title: "What learning is worth: heads on other features, on the same photos",
            head,
            rows: rows.into_iter().map(row).collect(),
            note: note.unwrap_or_default(),
        }
    }
}

impl TriedViews {
    /// The share of the loss that views must gain to be worth a pass each for every photo, and to be told from what the solver leaves open.
    pub const LEAST: f64 = 0.01;

    /// Compares heads by the losses of the same photos out of fold.
    pub(crate) fn new(views: Views, [plain, seen]: [Scores; 2], gain: Paired) -> Self {
        let kept = gain.difference > gain.error && gain.difference > Self::LEAST * plain.out_of_fold;
        Self { views, passes: views.all().len(), plain, seen, gain, kept }
    }

    /// Makes the table. `tested` tells whether photos were set aside that had no say in the choice.
    pub fn table(&self, tested: bool) -> Table {
        let row = |(views, passes, scores): (Views, usize, &Scores)| {
            let mark = if self.kept != views.is_plain() { "> " } else { "  " };
            let mut cells = vec![format!("{mark}{views}"), passes.to_string()];
            cells.extend(scores.cells());
            cells
        };
        let mut head = vec!["  views", "passes"];
        head.extend(Scores::HEAD);
        let Paired { difference, error } = self.gain;
        let gain = format!("out of fold {} gains {difference:.4} ± {error:.4} in log-loss, photo by photo", self.views);
        let verdict = match self.kept {
            true => "Kept",
            false => "Left off, since a gain must be more than its standard error and a hundredth of the loss",
        };
        let honest = if tested { "; the photos to test had no say in it" } else { "" };
        let rows = [(Views::default(), 1, &self.plain), (self.views, self.passes, &self.seen)];
        Table {
            title: "Views, learnt from side by side and judged by their mean, on the same photos and folds",
            head,
            rows: rows.into_iter().map(row).collect(),
            note: format!("{verdict}: {gain}{honest}"),
        }
    }
}

impl Backbones {
    /// Makes the table. `tested` tells whether photos were set aside that had no say in the choice.
    pub fn table(&self, tested: bool) -> Table {
        let row = |(place, tried): (usize, &TriedBackbone)| {
            let mark = if place == self.kept { "> " } else { "  " };
            let behind = match tried.behind {
                Paired { difference, error } if difference > 0.0 => format!("{difference:.4} ± {error:.4}"),
                _ => "lowest".to_owned(),
            };
            let pass = match tried.milliseconds {
                Some(milliseconds) => format!("{milliseconds:.1}"),
                None => "from the store".to_owned(),
            };
            let mut cells = vec![format!("{mark}{}", tried.name)];
            cells.extend(tried.scores.cells());
            cells.extend([behind, pass, format!("{:.1}", tried.flops as f64 / 1e9)]);
            cells.extend([tried.width.to_string(), format!("{:.1}", tried.bytes as f64 / 1e6)]);
            cells
        };
        let mut head = vec!["  backbone"];
        head.extend(Scores::HEAD);
        head.extend(["above it", "ms/photo", "GFLOP", "features", "MB"]);
        let by = match self.within_error {
            true => "the cheapest by GFLOP whose log-loss out of fold is within a standard error of the lowest",
            false => "the lowest log-loss out of fold",
        };
        let honest = match tested {
            true => "the photos to test had no say in it",
            false => {
                "it was chosen by the photos that judge it, which flatters it a little: the more backbones the more"
            }
        };
        let (all, kept) = (count(self.tried.len(), "backbone"), &self.tried[self.kept].name);
        Table {
            title: "Backbones, each with a head of its own on the same photos and folds",
            head,
            rows: self.tried.iter().enumerate().map(row).collect(),
            note: format!("Kept of {all}: {kept}, {by}; {honest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_kept_for_a_gain_beyond_chance_and_worth_the_passes() {
        let flip = Views { flip: true, crops: false };
        let scores = |out_of_fold| Scores { top1: Some(0.5), out_of_fold, ..Scores::default() };
        let tried = |difference, error| {
            TriedViews::new(flip, [scores(0.5), scores(0.5 - difference)], Paired { difference, error })
        };
        let kept = |difference, error| tried(difference, error).kept;
        assert!(kept(0.02, 0.01));
        assert!(!kept(0.02, 0.03) && !kept(0.004, 0.001) && !kept(-0.02, 0.01) && !kept(f64::NAN, 0.0));
        assert!(!kept(0.1, f64::INFINITY));
        let text = tried(0.02, 0.01).table(false).text();
        assert!(text.contains("\n  plain "), "{text}");
        assert!(text.contains("\n> flip ") && text.contains("Kept: out of fold flip gains 0.0200"), "{text}");
        let text = tried(0.01, 0.02).table(true).text();
        assert!(text.contains("\n> plain ") && text.contains("Left off") && text.contains("had no say"), "{text}");
    }
}
