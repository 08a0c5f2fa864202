//! Which column of a table holds what: by the usual names, or as told.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::words::shown;

/// What a column says of a photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Where the photo's file is.
    Path,
    /// Its class.
    Label,
    /// All its classes.
    Labels,
    /// Its part: to train, to validate or to test.
    Split,
    /// What it counts in a training.
    Weight,
    /// What it belongs together with.
    Group,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Path, Self::Label, Self::Labels, Self::Split, Self::Weight, Self::Group];

    /// Gives its name, which is also the first of the columns' usual ones.
    pub fn name(self) -> &'static str {
        self.usual()[0]
    }

    /// Finds the role of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Lists the usual names of its column, which may be written in any case.
    fn usual(self) -> &'static [&'static str] {
        match self {
            Self::Path => &["path", "image", "file", "filename", "file_name", "image_path", "filepath", "img"],
            Self::Label => &["label", "class", "category", "species", "target", "label_name"],
            Self::Labels => &["labels"],
            Self::Split => &["split", "part", "subset", "set", "fold"],
            Self::Weight => &["weight", "sample_weight"],
            Self::Group => &["group", "group_id"],
        }
    }
}

/// The names of a table's columns where they aren't the usual ones, in any case (`path`, `image`, `file_name` …; `label`, `class`, `species` …; `labels`;
/// `split`, `part`, `subset` …; `weight`; `group`). An empty name leaves out a column that has a usual one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Columns {
    /// The column of the photos' paths, relative to the table's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The column of each photo's class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The column of all classes of a photo: separated by `;` or `|`, in JSON a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// The column of each photo's part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// The column of what each photo counts in a training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// The column of what photos belong together with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

impl Columns {
    /// Names the column of a role.
    pub fn name(&mut self, role: Role, column: &str) {
        *self.slot(role) = Some(column.to_owned());
    }

    fn slot(&mut self, role: Role) -> &mut Option<String> {
        match role {
            Role::Path => &mut self.path,
            Role::Label => &mut self.label,
            Role::Labels => &mut self.labels,
            Role::Split => &mut self.split,
            Role::Weight => &mut self.weight,
            Role::Group => &mut self.group,
        }
    }

    /// Tells the name that a role's column was given.
    fn told(&self, role: Role) -> Option<&str> {
        match role {
            Role::Path => self.path.as_deref(),
            Role::Label => self.label.as_deref(),
            Role::Labels => self.labels.as_deref(),
            Role::Split => self.split.as_deref(),
            Role::Weight => self.weight.as_deref(),
            Role::Group => self.group.as_deref(),
        }
    }

    /// Tells which columns have which role, of those `seen` in the table `path`. A column that was told must be there.
    ///
    /// # Errors
    /// A told column is missing; two columns have usual names of one role, or one for one class and one for several.
    pub(super) fn places(&self, path: &Path, seen: &[String]) -> Result<Places> {
        let mut places = [None; 6];
        for (place, role) in places.iter_mut().zip(Role::ALL) {
            *place = self.place(role, seen).map_err(|problem| missing(path, role, problem, seen))?;
        }
        if let [_, Some(one), Some(several), ..] = places {
            // Who names one of them doesn't want the other.
            match (self.label.is_some(), self.labels.is_some()) {
                (true, false) => places[2] = None,
                (false, true) => places[1] = None,
                _ => {
                    let problem =
                        format!("{:?} and {:?} both seem to hold classes", shown(&seen[one]), shown(&seen[several]));
                    return Err(missing(path, Role::Label, problem, seen));
                }
            }
        }
        Ok(Places(places))
    }

    fn place(&self, role: Role, seen: &[String]) -> Result<Option<usize>, String> {
        if let Some(told) = self.told(role) {
            return match seen.iter().position(|column| column == told) {
                _ if told.is_empty() => Ok(None),
                None => Err(format!("no column is called {told:?}")),
                place => Ok(place),
            };
        }
        let usual = |column: &String| {
            let is_told = Role::ALL.iter().any(|other| self.told(*other) == Some(column));
            role.usual().contains(&column.trim().to_lowercase().as_str()) && !is_told
        };
        let mut found = (0..seen.len()).filter(|&place| usual(&seen[place]));
        match (found.next(), found.next()) {
            (Some(one), Some(other)) => Err(format!(
                "{:?} and {:?} both seem to hold the {}",
                shown(&seen[one]),
                shown(&seen[other]),
                role.name()
            )),
            (place, _) => Ok(place),
        }
    }

    /// Tells whether one of these may be the column of paths.
    pub(super) fn have_paths(&self, seen: &[String]) -> bool {
        self.place(Role::Path, seen).is_ok_and(|place| place.is_some()) || self.path.is_some()
    }
}

/// The place of each role's column, in the order of [`Role::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places(pub [Option<usize>; 6]);

impl Places {
    /// Gives the place of a role's column.
    pub fn of(&self, role: Role) -> Option<usize> {
        self.0[role as usize]
    }

    /// Puts a role's column at a place.
    pub fn put(&mut self, role: Role, place: usize) {
        self.0[role as usize] = Some(place);
    }

    /// Tells whether some column holds classes.
    pub fn have_labels(&self) -> bool {
        self.of(Role::Label).is_some() || self.of(Role::Labels).is_some()
    }
}

/// Makes the error of a table in which a role has no column.
pub(super) fn missing(path: &Path, role: Role, problem: String, seen: &[String]) -> Error {
    let columns = seen.iter().map(|column| shown(column.as_str()).into_owned()).collect();
    Error::Columns { path: path.to_owned(), role: role.name(), problem, usual: role.usual(), columns }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(columns: &Columns, seen: &str) -> Result<[Option<usize>; 6], String> {
        let seen: Vec<String> = seen.split(',').map(str::to_owned).collect();
        columns.places(Path::new("t"), &seen).map(|Places(places)| places).map_err(|error| error.to_string())
    }

    #[test]
    fn columns_are_known_by_their_usual_names_in_any_case() {
        let usual = Columns::default();
        for role in Role::ALL {
            for name in role.usual() {
                let found = places(&usual, &format!("other,{}", name.to_uppercase())).unwrap();
                let expected: [Option<usize>; 6] = std::array::from_fn(|place| (place == role as usize).then_some(1));
                assert_eq!(found, expected, "{name}");
            }
            assert_eq!(Role::named(role.name()), Some(role));
        }
        assert_eq!(places(&usual, "id,width").unwrap(), [None; 6]);
    }

    #[test]
    fn what_is_told_counts_and_what_is_doubtful_is_asked() {
        let mut told = Columns::default();
        assert!(
            places(&told, "path,label,Species")
                .unwrap_err()
                .contains("\"label\" and \"Species\" both seem to hold the label")
        );
        assert!(places(&told, "path,label,labels").unwrap_err().contains("both seem to hold classes"));
        told.name(Role::Label, "Species");
        assert_eq!(places(&told, "path,label,Species").unwrap()[1], Some(2));
        assert_eq!(places(&told, "path,labels,Species").unwrap()[..3], [Some(0), Some(2), None]);
        // As it is written.
        assert!(places(&told, "path,species").unwrap_err().contains("no column is called \"Species\""));
        told.name(Role::Split, "");
        assert_eq!(places(&told, "path,fold,Species").unwrap()[3], None);
        // A usual name that was told for something else.
        told.name(Role::Group, "image");
        assert_eq!(places(&told, "path,image,Species").unwrap(), [Some(0), Some(2), None, None, None, Some(1)]);
    }
}
