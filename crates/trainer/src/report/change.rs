//! What changed between two trainings of a run, and whether the head got better.

use serde::{Deserialize, Serialize};

use crate::words::{count, first};

/// What changed since the run that was trained again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Photos that weren't there, by content.
    pub added: usize,
    /// Photos that are gone, or can't be read any more.
    pub removed: usize,
    /// Photos that are of another class now, besides those whose class was renamed; none where the earlier run didn't note classes.
    pub moved: Option<usize>,
    /// New classes.
    pub classes_added: Vec<String>,
    /// Classes that are gone.
    pub classes_removed: Vec<String>,
    /// Classes all of whose photos are now of a new class: the old label and the new one.
    pub classes_renamed: Vec<[String; 2]>,
    /// Both heads on the same photos, where there are some that both have never learnt from.
    pub compared: Option<Compared>,
}

/// Two heads on the same photos: those to test now that neither learnt from, of classes that both know.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// How many photos.
    pub photos: usize,
    /// The share that the earlier head gets right.
    pub before: f64,
    /// The share that the new head gets right.
    pub now: f64,
}

impl Change {
    /// Says it for people, in a line or two.
    pub fn text(&self) -> String {
        let mut parts = Vec::new();
        let photos = [(self.added, "added"), (self.removed, "removed"), (self.moved.unwrap_or(0), "of another class")];
        for (photos, what) in photos.into_iter().filter(|(photos, _)| *photos > 0) {
            parts.push(format!("{} {what}", count(photos, "photo")));
        }
        for (classes, what) in [(&self.classes_added, "new"), (&self.classes_removed, "gone")] {
            if !classes.is_empty() {
                let names: Vec<String> = classes.iter().map(|class| format!("{class:?}")).collect();
                parts.push(format!("{} {what} ({})", count(classes.len(), "class"), first(&names, 5)));
            }
        }
        parts.extend(self.classes_renamed.iter().map(|[old, new]| format!("class {old:?} is {new:?} now")));
        let mut out = match parts.is_empty() {
            true => "Since the run before: nothing changed\n".to_owned(),
            false => format!("Since the run before: {}\n", parts.join(", ")),
        };
        if let Some(Compared { photos, before, now }) = self.compared {
            out += &format!(
                "On the same {} that neither learnt from: {:.1} % right before, {:.1} % now\n",
                count(photos, "photo"),
                100.0 * before,
                100.0 * now
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_said_and_what_did_not_is_not() {
        assert_eq!(Change::default().text(), "Since the run before: nothing changed\n");
        let change = Change {
            added: 1,
            moved: Some(2),
            classes_added: vec!["owl".to_owned()],
            classes_renamed: vec![["a".to_owned(), "b".to_owned()]],
            compared: Some(Compared { photos: 7, before: 0.5, now: 1.0 }),
            ..Change::default()
        };
        assert_eq!(
            change.text(),
            "Since the run before: 1 photo added, 2 photos of another class, 1 class new (\"owl\"), class \"a\" is \"b\" now\n\
             On the same 7 photos that neither learnt from: 50.0 % right before, 100.0 % now\n"
        );
    }
}
