//! Reads the groups of photos off their names: `patient-07/3.jpg` and `patient-07/4.jpg` show one patient, and play one part.

use regex_lite::Regex;

use crate::data::dataset::Dataset;
use crate::data::photo::Photo;
use crate::error::{Error, Result};
use crate::words::count;

/// Reads a regular expression for groups.
///
/// # Errors
/// It isn't one.
pub(crate) fn pattern(text: &str) -> Result<Regex> {
    Regex::new(text).map_err(|error| Error::InvalidOption {
        option: "groups",
        value: format!("{text:?} ({error})"),
        expected: "a regular expression that finds the group in a photo's name",
    })
}

/// Gives each photo the group in its name: what the first parentheses of the regular expression `by` match, or all that matches where it has none. Photos
/// whose names have no group are taken one by one; says how many those are, if there are any.
///
/// # Errors
/// `by` isn't a regular expression, or no name has a group.
pub fn group_by(photos: &mut [Photo], by: &str) -> Result<Option<String>> {
    let pattern = pattern(by)?;
    for photo in &mut *photos {
        photo.group = pattern.captures(&photo.name).and_then(|found| {
            let group = found.get(usize::from(found.len() > 1))?.as_str();
            // An empty one would hold all.
            (!group.is_empty()).then(|| group.into())
        });
    }
    told(photos, |first, all| match all {
        true => Err((
            format!("{by:?}, which finds nothing in the first, {first}, nor in any other"),
            "a regular expression that finds the group in photos' names",
        )),
        false => Ok(format!("{by:?} finds none in {first}")),
    })
}

/// Gives the photos of a data set the groups that `by` says: those that a column of that name gave them already, or else by [`group_by`]. Warns of photos of no group.
///
/// # Errors
/// As [`group_by`]; the column is empty.
pub(crate) fn grouped(mut dataset: Dataset, by: &str, is_column: bool) -> Result<Dataset> {
    let alone = match is_column {
        true => told(&dataset.photos, |first, all| match all {
            true => Err((format!("the column {by:?}, which is empty"), "a column that says the groups of some photos")),
            false => Ok(format!("the column {by:?} says none for {first}")),
        })?,
        false => group_by(&mut dataset.photos, by)?,
    };
    dataset.warnings.extend(alone);
    Ok(dataset)
}

/// Says how many photos are of no group, if there are any; `word` words why by the first, or what is wrong where all are.
fn told(
    photos: &[Photo],
    word: impl Fn(&str, bool) -> Result<String, (String, &'static str)>,
) -> Result<Option<String>> {
    let mut alone = photos.iter().filter(|photo| photo.group.is_none());
    let Some(first) = alone.next() else { return Ok(None) };
    let alone = 1 + alone.count();
    let why = word(&first.name, alone == photos.len()).map_err(|(value, expected)| Error::InvalidOption {
        option: "groups",
        value,
        expected,
    })?;
    Ok(Some(format!("{} of no group, each taken by itself: {why}", count(alone, "photo"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn grouped(names: &[&str], by: &str) -> Result<(Vec<Option<String>>, Option<String>)> {
        let mut photos: Vec<Photo> = names.iter().map(|name| Photo::at(Path::new(name))).collect();
        let warning = group_by(&mut photos, by)?;
        Ok((photos.iter().map(|photo| photo.group.as_deref().map(str::to_owned)).collect(), warning))
    }

    #[test]
    fn a_group_is_what_the_parentheses_match_else_all() {
        let names = ["cat/p07_1.jpg", "dog/p07_2.jpg", "cat/p08_1.jpg"];
        let of = |groups: [&str; 3]| (groups.map(|group| Some(group.to_owned())).to_vec(), None);
        assert_eq!(grouped(&names, r"/([^/_]+)_").unwrap(), of(["p07", "p07", "p08"]));
        assert_eq!(grouped(&names, r"p\d+").unwrap(), of(["p07", "p07", "p08"]));
        assert_eq!(grouped(&names, "^(cat|dog)/(p..)").unwrap(), of(["cat", "dog", "cat"]));
    }

    #[test]
    fn photos_without_a_group_are_alone_and_counted() {
        let (groups, warning) = grouped(&["p1_a.jpg", "b.jpg", "_c.jpg", "p1_d.jpg"], "^([^_]*)_").unwrap();
        assert_eq!(groups, [Some("p1".to_owned()), None, None, Some("p1".to_owned())]);
        let told = r#"2 photos of no group, each taken by itself: "^([^_]*)_" finds none in b.jpg"#;
        assert_eq!(warning.as_deref(), Some(told));
    }

    #[test]
    fn a_pattern_that_finds_nothing_is_refused_as_is_one_that_is_none() {
        for (by, told) in [("(", "regular expression"), ("x", "finds nothing in the first, a.jpg"), ("x*", "nothing")] {
            let error = grouped(&["a.jpg", "b.jpg"], by).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
            assert_eq!(error.fault(), crate::Fault::Usage);
        }
    }
}
