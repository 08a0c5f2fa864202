//! Which photo played which part in a training, by content, so that an evaluation can leave out what the head has seen.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::{Class, Part, Target};
use crate::digest::{Digest, hex, of_hex};
use crate::error::{Error, Result};
use crate::head::metrics::{majority, most_frequent};
use crate::run::config::Config;
use crate::run::folder::{PARTS, PREDICTIONS};
use crate::run::judged::{self, Judged};

/// The version of the file that is written here: version 3 where photos may be of several classes, else version 2. Version 1 has no `labels`.
const VERSIONS: [u32; 2] = [2, 3];

/// What `parts.json` holds: the SHA-256 of the photos of each part, their classes, and how many photos each class has to learn from.
///
/// ```json
/// {"version":2,"train":["ab12…"],"validation":[],"test":["cd34…"],"labels":[[0],[],[1]],"counts":[1,0]}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    version: u32,
    train: Vec<String>,
    validation: Vec<String>,
    test: Vec<String>,
    /// What is true of each photo, by part.
    #[serde(default)]
    labels: [Vec<Noted>; 3],
    /// What each photo of the training part counts, in their order; none where each counts 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    weights: Vec<f64>,
    /// Photos of the training part, by class, in the order of the labels.
    counts: Vec<usize>,
}

/// What is true of a photo, as the file has it: a class, or none that is known, or a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Noted {
    Class(Option<Class>),
    Set(Vec<Class>),
}

impl Noted {
    fn of(target: &Target) -> Self {
        match target {
            Target::Set(set) => Self::Set(set.clone()),
            target => Self::Class(target.class()),
        }
    }

    fn target(&self) -> Target {
        match self {
            Self::Set(set) => Target::Set(set.clone()),
            Self::Class(class) => class.map_or(Target::None, Target::Class),
        }
    }

    fn classes(&self) -> &[Class] {
        match self {
            Self::Set(set) => set,
            Self::Class(class) => class.as_slice(),
        }
    }
}

impl Parts {
    /// Starts without photos, for so many classes.
    pub fn new(classes: usize) -> Self {
        let (train, validation, test, labels, weights) = Default::default();
        Self { version: VERSIONS[0], train, validation, test, labels, weights, counts: vec![0; classes] }
    }

    /// Adds a photo of which this is true.
    ///
    /// # Panics
    /// Where there are fewer classes.
    pub fn add(&mut self, part: Part, digest: &Digest, target: &Target) {
        let digests = match part {
            Part::Train => &mut self.train,
            Part::Validation => &mut self.validation,
            Part::Test => &mut self.test,
        };
        digests.push(hex(digest));
        if part == Part::Train {
            target.classes().iter().for_each(|class| self.counts[class.index()] += 1);
        }
        if let Target::Set(_) = target {
            self.version = VERSIONS[1];
        }
        self.labels[part as usize].push(Noted::of(target));
    }

    /// Lists the photos with their parts and, as far as that is noted, what is true of them.
    pub fn photos(&self) -> impl Iterator<Item = (Digest, Part, Target)> {
        Part::ALL.into_iter().flat_map(move |part| {
            let digests = match part {
                Part::Train => &self.train,
                Part::Validation => &self.validation,
                Part::Test => &self.test,
            };
            let labels = &self.labels[part as usize];
            let photo = move |(place, digest): (usize, &String)| {
                Some((of_hex(digest)?, part, labels.get(place).map(Noted::target).unwrap_or_default()))
            };
            digests.iter().enumerate().filter_map(photo)
        })
    }

    /// Tells whether the photos' classes are noted.
    pub fn has_labels(&self) -> bool {
        self.version > 1
    }

    /// Notes what each photo of the training part counts, in the order in which they were added.
    pub fn weigh(&mut self, weights: Vec<f64>) {
        let all_one = weights.iter().all(|weight| *weight == 1.0);
        self.weights = if all_one { Vec::new() } else { weights };
    }

    /// Lists the photos of the training part with what is true of each and what it counts.
    pub fn learnt(&self) -> Vec<(Digest, Target, f64)> {
        let weights = self.weights.iter().copied().chain(std::iter::repeat(1.0));
        let photos = self.photos().filter(|(_, part, _)| *part == Part::Train);
        photos.zip(weights).map(|((digest, _, target), weight)| (digest, target, weight)).collect()
    }

    /// Finds what is most often true of photos to train on.
    fn majority(&self) -> Target {
        match self.version == VERSIONS[1] {
            false => majority(&self.counts).into(),
            true => most_frequent(self.labels[Part::Train as usize].iter().map(Noted::classes)),
        }
    }

    /// Reads the file of the run in `folder`, given its labels and configuration.
    ///
    /// # Errors
    /// It is missing, can't be read, is damaged or another run's.
    pub fn read(folder: &Path, config: &Config) -> Result<Self> {
        let path = folder.join(PARTS);
        let bytes = resnet::regular::read(&path).map_err(Error::io("read", &path))?;
        config.check_file(folder, PARTS, &bytes)?;
        let damaged = |reason| invalid(folder, format!("{PARTS}: {reason}"));
        Self::from_json(&bytes, config.classes.len()).map_err(damaged)
    }

    /// Writes the bytes of the file.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data")
    }

    /// Reads the bytes of the file, and checks that there are so many classes.
    fn from_json(bytes: &[u8], classes: usize) -> Result<Self, String> {
        /// The field that any version holds.
        #[derive(Deserialize)]
        struct Any {
            version: u32,
        }
        let Any { version } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if !(1..=VERSIONS[1]).contains(&version) {
            let most = VERSIONS[1];
            return Err(format!("version {version}, of which this program knows nothing; it reads up to {most}"));
        }
        let parts: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let mut digests = parts.train.iter().chain(&parts.validation).chain(&parts.test);
        if let Some(text) = digests.find(|text| of_hex(text).is_none()) {
            return Err(format!("{text:?} is no SHA-256"));
        }
        let photos = [&parts.train, &parts.validation, &parts.test].map(Vec::len);
        if version > 1 && parts.labels.each_ref().map(Vec::len) != photos {
            return Err("not as many labels as photos".to_owned());
        }
        if !(parts.weights.is_empty() || parts.weights.len() == parts.train.len()) {
            return Err("not as many weights as photos to train on".to_owned());
        }
        if parts.labels.iter().flatten().flat_map(Noted::classes).any(|class| class.index() >= classes) {
            return Err(format!("a label beyond {classes} classes"));
        }
        match parts.counts.len() {
            count if count == classes => Ok(parts),
            count => Err(format!("counts of {count} classes, expected {classes}")),
        }
    }
}

/// The photos that a head has seen, and what is most often true of those that it learnt from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// SHA-256 of the photos of train and validation, in hexadecimal digits.
    pub digests: HashSet<String>,
    /// The class most frequent in training; where photos may be of several, the set.
    pub majority: Target,
}

impl Seen {
    /// Reads what the head of the run in `folder` has seen, given its labels: from [`PARTS`], or from [`PREDICTIONS`] where an earlier
    /// version of the program wrote the run. `config` tells whether the file is the run's own.
    ///
    /// # Errors
    /// Both files are missing, or the one that counts can't be read, is damaged or is another run's.
    pub fn read(folder: &Path, classes: &[String], config: Option<&Config>) -> Result<Self> {
        let path = folder.join(PARTS);
        match resnet::regular::read(&path) {
            Ok(bytes) => {
                config.map_or(Ok(()), |config| config.check_file(folder, PARTS, &bytes))?;
                let damaged = |reason| invalid(folder, format!("{PARTS}: {reason}"));
                let parts = Parts::from_json(&bytes, classes.len()).map_err(damaged)?;
                let majority = parts.majority();
                Ok(Self { digests: parts.train.into_iter().chain(parts.validation).collect(), majority })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Self::from_predictions(folder, classes),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// Reads [`PREDICTIONS`], which earlier versions of the program wrote alone.
    fn from_predictions(folder: &Path, classes: &[String]) -> Result<Self> {
        let path = folder.join(PREDICTIONS);
        let bytes = resnet::regular::read(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => invalid(folder, format!("no {PARTS} in it, which says what the head has seen")),
            _ => Error::io("read", &path)(error),
        })?;
        let (train, test) = (Part::Train.to_string(), Part::Test.to_string());
        let mut digests = HashSet::new();
        let mut counts = vec![0; classes.len()];
        for Judged { digest, part, label, .. } in judged::parse(folder, &bytes)? {
            let class = classes.iter().position(|class| *class == label);
            if let (true, Some(class)) = (part == train, class) {
                counts[class] += 1;
            }
            if part != test {
                digests.insert(digest);
            }
        }
        Ok(Self { digests, majority: majority(&counts).into() })
    }
}

fn invalid(folder: &Path, reason: String) -> Error {
    Error::InvalidRun { path: folder.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "path,part,label,sha256\n1,train,b,01\n2,train,b,02\n3,validation,a,03\n4,test,a,04\n";

    fn labels() -> Vec<String> {
        ["a", "b"].map(str::to_owned).to_vec()
    }

    fn parts() -> Parts {
        let mut parts = Parts::new(2);
        let [a, b] = [0, 1].map(Class::new);
        for (i, (part, class)) in
            [(Part::Train, b), (Part::Train, b), (Part::Validation, a), (Part::Test, a)].into_iter().enumerate()
        {
            parts.add(part, &[i as u8 + 1; 32], &class.into());
        }
        parts
    }

    #[test]
    fn what_was_written_is_read_whatever_became_of_the_predictions() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        write(PARTS, &parts().to_json());
        let seen = Seen::read(dir.path(), &labels(), None).unwrap();
        assert_eq!(seen.digests, [1, 2, 3].map(|byte| hex(&[byte; 32])).into());
        assert_eq!(seen.majority, Class::new(1).into());
        // As a spreadsheet leaves it: a byte-order mark, semicolons, other line ends.
        write(PREDICTIONS, format!("\u{feff}{}", CSV.replace(',', ";").replace('\n', "\r\n")).as_bytes());
        assert_eq!(Seen::read(dir.path(), &labels(), None).unwrap(), seen);
        // Without the file of its own, that is an error and no silence.
        std::fs::remove_file(dir.path().join(PARTS)).unwrap();
        let error = Seen::read(dir.path(), &labels(), None).unwrap_err().to_string();
        assert!(error.ends_with("predictions.csv has no column \"part\""), "{error}");
    }

    #[test]
    fn photos_are_listed_with_part_and_class_and_version_1_has_no_classes() {
        let [a, b] = [0, 1].map(|class| Target::from(Class::new(class)));
        let expected =
            [(1, Part::Train, b.clone()), (2, Part::Train, b), (3, Part::Validation, a.clone()), (4, Part::Test, a)];
        let listed =
            |parts: &Parts| parts.photos().map(|(digest, part, target)| (digest[0], part, target)).collect::<Vec<_>>();
        assert!(parts().has_labels());
        assert_eq!(listed(&parts()), expected);
        let json = String::from_utf8(parts().to_json()).unwrap();
        let json = json.replace("\"version\":2", "\"version\":1").replace("\"labels\":[[1,1],[0],[0]],", "");
        let old = Parts::from_json(json.as_bytes(), 2).unwrap();
        assert_eq!(
            (listed(&old), old.has_labels()),
            (expected.map(|(digest, part, _)| (digest, part, Target::None)).to_vec(), false)
        );
    }

    #[test]
    fn sets_of_classes_are_noted_and_the_most_frequent_is_known() {
        let [a, b] = [0, 1].map(Class::new);
        let sets = [vec![a, b], vec![], vec![b], vec![a, b], vec![b], vec![b]].map(Target::Set);
        let mut parts = Parts::new(2);
        for (i, set) in sets.iter().enumerate() {
            parts.add(if i < 4 { Part::Train } else { Part::Test }, &[i as u8; 32], set);
        }
        let json = String::from_utf8(parts.to_json()).unwrap();
        assert!(
            json.starts_with("{\"version\":3,") && json.contains("\"labels\":[[[0,1],[],[1],[0,1]],[],[[1],[1]]]"),
            "{json}"
        );
        let read = Parts::from_json(json.as_bytes(), 2).unwrap();
        assert_eq!((&read, read.counts.as_slice(), read.majority()), (&parts, &[2, 3][..], Target::Set(vec![a, b])));
        assert_eq!(read.photos().map(|(.., target)| target).collect::<Vec<_>>(), sets);
        assert!(
            Parts::from_json(json.replace("[0,1]", "[0,2]").as_bytes(), 2).unwrap_err().contains("beyond 2 classes")
        );
    }

    #[test]
    fn runs_of_before_are_read_by_their_predictions() {
        let dir = tempfile::tempdir().unwrap();
        let error = Seen::read(dir.path(), &labels(), None).unwrap_err().to_string();
        assert!(error.contains("no parts.json in it"), "{error}");
        std::fs::write(dir.path().join(PREDICTIONS), CSV).unwrap();
        let seen = Seen::read(dir.path(), &labels(), None).unwrap();
        assert_eq!((seen.digests, seen.majority), (["01", "02", "03"].map(str::to_owned).into(), Class::new(1).into()));
    }

    #[test]
    fn a_damaged_file_is_named_with_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(PREDICTIONS), CSV).unwrap();
        let whole = String::from_utf8(parts().to_json()).unwrap();
        for (damaged, reason) in [
            (whole[..whole.len() / 2].to_owned(), "EOF"),
            (String::new(), "EOF"),
            (whole.replace("\"version\":2", "\"version\":4"), "version 4"),
            (whole.replace("[1,1]", "[1]"), "not as many labels"),
            (whole.replace("[1,1]", "[1,7]"), "a label beyond 2 classes"),
            (whole.replace("0101", "01xy"), "is no SHA-256"),
            (whole.replace("[0,2]", "[0,2,1]"), "counts of 3 classes, expected 2"),
            (whole.replace("\"test\"", "\"tests\""), "unknown field"),
        ] {
            std::fs::write(dir.path().join(PARTS), &damaged).unwrap();
            let error = Seen::read(dir.path(), &labels(), None).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("not a usable run: parts.json: ") && text.contains(reason), "{damaged}: {text}");
            assert_eq!(error.fault(), crate::Fault::Input);
        }
    }
}
