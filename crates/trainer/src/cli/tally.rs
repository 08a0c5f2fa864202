//! How many photos are of each class, unsure, or of none: what `trainer predict` sums up at its end.

use std::cmp::Reverse;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::data::{Class, Rejected};
use crate::report::Prediction;
use crate::words::count;

/// So many photos are summed up.
const SUMMED: usize = 10;
/// So many classes are listed in a summary.
const LISTED: usize = 20;

/// What a photo counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Of(Class),
    Unsure,
    Unknown,
    /// Any number of classes.
    Several,
}

/// Counts of photos.
pub(crate) struct Tally<'a> {
    classes: &'a [String],
    min_probability: f64,
    counts: Vec<usize>,
    unsure: usize,
    unknown: usize,
    /// Photos that may be of several classes, and those of them of which none is named.
    several: usize,
    without: usize,
}

impl<'a> Tally<'a> {
    /// Begins without photos. Where the most probable class has less than `min_probability`, a photo counts as unsure.
    pub fn new(classes: &'a [String], min_probability: f64) -> Self {
        let (unsure, unknown, several, without) = Default::default();
        Self { classes, min_probability, counts: vec![0; classes.len()], unsure, unknown, several, without }
    }

    /// Counts a photo, and says as what.
    pub fn add(&mut self, prediction: &Prediction) -> Place {
        if let Some(named) = &prediction.named {
            named.iter().for_each(|class| self.counts[class.index()] += 1);
            self.several += 1;
            self.without += usize::from(named.is_empty());
            return Place::Several;
        }
        match prediction.top(1).first() {
            _ if prediction.is_known() == Some(false) => {
                self.unknown += 1;
                Place::Unknown
            }
            Some(&(class, probability)) if probability >= self.min_probability => {
                self.counts[class.index()] += 1;
                Place::Of(class)
            }
            _ => {
                self.unsure += 1;
                Place::Unsure
            }
        }
    }

    /// Counts all.
    pub fn photos(&self) -> usize {
        match self.several {
            0 => self.counts.iter().sum::<usize>() + self.unsure + self.unknown,
            // A photo counts for each of its classes.
            several => several,
        }
    }

    /// Tells whether there are so many that people want a summary.
    pub fn are_many(&self) -> bool {
        self.photos() >= SUMMED
    }

    /// Says it for machines, with what was said of each of the `photos`; `can_tell` whether unknown ones could be told.
    pub fn json(&self, photos: &[Value], rejected: &[Rejected], can_tell: bool) -> Value {
        let found = self.classes.iter().zip(&self.counts).filter(|(_, count)| **count > 0);
        let counts: serde_json::Map<String, Value> =
            found.map(|(class, count)| (class.clone(), (*count).into())).collect();
        let mut said = json!({
            "photos": photos, "rejected": rejected, "counts": counts, "unsure": self.unsure,
            "unknown": can_tell.then_some(self.unknown),
        });
        if self.several > 0 {
            said["without_label"] = self.without.into();
        }
        said
    }

    /// Says it for people, the most frequent class first.
    pub fn text(&self) -> String {
        let mut found: Vec<(usize, &String)> =
            self.counts.iter().copied().zip(self.classes).filter(|(count, _)| *count > 0).collect();
        found.sort_by_key(|(count, _)| Reverse(*count));
        let mut out = format!("\n{}:", count(self.photos(), "photo"));
        let shown = found.iter().take(LISTED).map(|(count, class)| format!(" {count} {class}"));
        out += &shown.collect::<Vec<_>>().join(",");
        if found.len() > LISTED {
            let _ = write!(out, " and {} more", count(found.len() - LISTED, "class"));
        }
        let mut comma = if found.is_empty() { "" } else { "," };
        let rest = [(self.unsure, "unsure"), (self.unknown, "unknown"), (self.without, "with no label")];
        for (count, what) in rest.into_iter().filter(|(count, _)| *count > 0) {
            let _ = write!(out, "{comma} {count} {what}");
            comma = ",";
        }
        out + "\n"
    }
}
