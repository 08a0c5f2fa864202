//! What a run knows its photos by: their features and classes, the score that tells which photos are none of these, and how probable heads found the true
//! classes of photos that they hadn't learnt from.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;

use half::f16;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use crate::data::Class;
use crate::error::{Error, Result};
use crate::features::Rows;
use crate::head::reject::Choice;
use crate::run::config::Config;
use crate::run::folder::KNOWN;

/// The version of the file that is written here.
const VERSION: u32 = 1;
/// The key of the metadata.
const KEY: &str = "known";
/// So many probabilities are kept at most: of more, as many quantiles.
const PROBABILITIES: usize = 20_000;

/// What `known.safetensors` holds: `features` (`[photos, width]`, f16), `classes` (`[photos]`, u32), `probabilities` of the true class (ascending, f32),
/// and in the metadata, under `known`, a JSON object with the score.
#[derive(Clone, Debug, PartialEq)]
pub struct Likeness {
    /// Features of photos that were learnt from, as f16 tells them, `[photos, width]`.
    pub features: Vec<f32>,
    /// Values of a row.
    pub width: usize,
    /// The photos' classes.
    pub classes: Vec<Class>,
    /// The probabilities of true classes by heads that hadn't learnt from their photo, in ascending order; quantiles of them where there are very many.
    pub probabilities: Vec<f64>,
    /// The score that tells which photos are none of these; none where no score could be chosen.
    pub chosen: Option<Chosen>,
    /// What features are divided by in the file, a power of two, so that f16 holds them.
    scale: f32,
}

/// A score, and below which value of it a photo is none of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// How it was chosen.
    #[serde(flatten)]
    pub choice: Choice,
    /// The threshold; none where there are too few photos for one.
    pub threshold: Option<f64>,
    /// The share of known photos that it rejects falsely, at most.
    pub rate: f64,
}

/// The metadata.
#[derive(Serialize, Deserialize)]
struct Described {
    version: u32,
    scale: f32,
    chosen: Option<Chosen>,
}

impl Likeness {
    /// Takes photos with their classes, and the probabilities in any order.
    ///
    /// # Errors
    /// Features aren't finite.
    pub(crate) fn new(rows: &Rows, classes: Vec<Class>, mut probabilities: Vec<f64>) -> Result<Self> {
        let most = rows.iter().flatten().fold(0f32, |most, value| most.max(value.abs()));
        if rows.iter().flatten().any(|value| !value.is_finite()) {
            let what = "a feature of a known photo".to_owned();
            return Err(Error::NotFinite { operation: "keep known photos", what });
        }
        // Their greatest is then in [1, 2): f16 has its 11 bits there, and room both ways.
        let scale = if most > 0.0 { most.log2().floor().clamp(-126.0, 126.0).exp2() } else { 1.0 };
        let features = rows.iter().flatten().map(|value| f16::from_f32(value / scale).to_f32() * scale).collect();
        probabilities.sort_by(f64::total_cmp);
        let count = probabilities.len();
        if count > PROBABILITIES {
            let place = |quantile: usize| quantile * (count - 1) / (PROBABILITIES - 1);
            probabilities = (0..PROBABILITIES).map(|quantile| probabilities[place(quantile)]).collect();
        }
        // As the file holds them.
        probabilities.iter_mut().for_each(|probability| *probability = f64::from(*probability as f32));
        Ok(Self { features, width: rows.width(), classes, probabilities, chosen: None, scale })
    }

    /// Writes the bytes of the file.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let features: Vec<u8> =
            self.features.iter().flat_map(|value| f16::from_f32(value / self.scale).to_le_bytes()).collect();
        let classes: Vec<u8> = self.classes.iter().flat_map(|class| (class.index() as u32).to_le_bytes()).collect();
        let probabilities: Vec<u8> =
            self.probabilities.iter().flat_map(|probability| (*probability as f32).to_le_bytes()).collect();
        let photos = self.classes.len();
        let view = |dtype, shape, data| TensorView::new(dtype, shape, data).expect("as many bytes as the shape says");
        let tensors = [
            ("features", view(Dtype::F16, vec![photos, self.width], &features)),
            ("classes", view(Dtype::U32, vec![photos], &classes)),
            ("probabilities", view(Dtype::F32, vec![self.probabilities.len()], &probabilities)),
        ];
        let described = Described { version: VERSION, scale: self.scale, chosen: self.chosen.clone() };
        let described = serde_json::to_string(&described).expect("plain data");
        // One key: several would stand in another order each time.
        let metadata = HashMap::from([(KEY.to_owned(), described)]);
        safetensors::serialize(tensors, Some(metadata)).expect("plain tensors under distinct names")
    }

    /// Reads the file of the run in `folder` with that configuration, whose head takes rows of `width`; none where it was written without, or isn't there any
    /// more: the run classifies as well.
    ///
    /// # Errors
    /// It can't be read, is damaged or another run's.
    pub fn read(folder: &Path, config: &Config, width: usize) -> Result<Option<Self>> {
        if !config.files.contains_key(KNOWN) {
            return Ok(None);
        }
        let path = folder.join(KNOWN);
        let bytes = match resnet::regular::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(Error::io("read", &path))?,
        };
        config.check_file(folder, KNOWN, &bytes)?;
        let damaged = |reason| Error::InvalidRun { path: folder.to_owned(), reason: format!("{KNOWN}: {reason}") };
        Self::from_bytes(&bytes, config.classes.len(), width).map(Some).map_err(damaged)
    }

    /// Reads the bytes of the file, and checks that they are of a head with so many classes for rows of `width`.
    fn from_bytes(bytes: &[u8], classes: usize, width: usize) -> Result<Self, String> {
        /// The field that any version holds.
        #[derive(Deserialize)]
        struct Any {
            version: u32,
        }
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let described = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let described = described.ok_or_else(|| format!("no {KEY:?} in its metadata"))?;
        let Any { version } = serde_json::from_str(described).map_err(|error| error.to_string())?;
        if version != VERSION {
            return Err(format!("version {version}, of which this program knows nothing; it reads version {VERSION}"));
        }
        let Described { scale, chosen, .. } = serde_json::from_str(described).map_err(|error| error.to_string())?;
        let tensor = |name: &str, dtype: Dtype, dimensions: usize| {
            let tensor = file.tensor(name).map_err(|error| error.to_string())?;
            match (tensor.dtype(), tensor.shape().len()) {
                found if found == (dtype, dimensions) => Ok(tensor),
                _ => Err(format!("{name} is {:?} of shape {:?}", tensor.dtype(), tensor.shape())),
            }
        };
        let features = tensor("features", Dtype::F16, 2)?;
        let [photos, found] = [0, 1].map(|dimension| features.shape()[dimension]);
        if found != width || photos == 0 {
            return Err(format!("features of shape {:?} for rows of {width}", features.shape()));
        }
        let features: Vec<f32> =
            features.data().as_chunks().0.iter().map(|&value| f16::from_le_bytes(value).to_f32() * scale).collect();
        if !(scale > 0.0 && features.iter().all(|value| value.is_finite())) {
            return Err("a feature isn't finite".to_owned());
        }
        let of_photos = tensor("classes", Dtype::U32, 1)?;
        let of_photos = of_photos.data().as_chunks().0.iter().map(|&class| u32::from_le_bytes(class) as usize);
        let of_photos: Vec<usize> = of_photos.collect();
        if of_photos.len() != photos {
            return Err(format!("{} classes for {photos} photos", of_photos.len()));
        }
        if let Some(class) = of_photos.iter().find(|class| **class >= classes) {
            return Err(format!("class number {class} of {classes} classes"));
        }
        let probabilities = tensor("probabilities", Dtype::F32, 1)?;
        let probabilities =
            probabilities.data().as_chunks().0.iter().map(|&value| f64::from(f32::from_le_bytes(value)));
        let probabilities: Vec<f64> = probabilities.collect();
        if !(probabilities.is_sorted() && probabilities.iter().all(|value| (0.0..=1.0).contains(value))) {
            return Err("probabilities aren't shares in ascending order".to_owned());
        }
        let classes = of_photos.into_iter().map(Class::new).collect();
        Ok(Self { features, width, classes, probabilities, chosen, scale })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;
    use crate::head::reject::Score;

    fn example() -> Likeness {
        let features = [1e-3, -3.0, 0.5, 70_000.0, 2.0, 0.0];
        let classes = [0, 1, 1].map(Class::new).to_vec();
        let mut made = Likeness::new(&Rows::new(&features, 2).unwrap(), classes, vec![0.9, 0.2, 0.7]).unwrap();
        let choice = Choice {
            score: Score::Distance,
            areas: vec![(Score::Similarity, 0.9), (Score::Distance, 0.95)],
            trials: 2,
        };
        made.chosen = Some(Chosen { choice, threshold: Some(-12.5), rate: 0.05 });
        made
    }

    #[test]
    fn what_was_written_is_read() {
        let made = example();
        assert_eq!(Likeness::from_bytes(&made.to_bytes(), 2, 2).unwrap(), made);
        assert_eq!(made.to_bytes(), made.to_bytes());
        // Beyond f16's own range too, to its eleven bits.
        assert!((made.features[3] - 70_000.0).abs() <= 70_000.0 / 2048.0, "{:?}", made.features);
        assert_eq!(made.probabilities, [0.2f32, 0.7, 0.9].map(f64::from));
        let none = Likeness { chosen: None, ..made };
        assert_eq!(Likeness::from_bytes(&none.to_bytes(), 2, 2).unwrap(), none);
    }

    #[test]
    fn of_very_many_probabilities_quantiles_are_kept() {
        let many: Vec<f64> = (0..60_000).map(|i| f64::from(i) / 60_000.0).collect();
        let made = Likeness::new(&Rows::new(&[1.0], 1).unwrap(), vec![Class::new(0)], many.clone()).unwrap();
        assert_eq!(made.probabilities.len(), PROBABILITIES);
        for coverage in [0.5, 0.9, 0.99] {
            let [of, all] =
                [&made.probabilities, &many].map(|some| crate::head::conformal::threshold_of(some, coverage).unwrap());
            assert!((of - all).abs() < 1e-3, "{of} {all}");
        }
        assert!(Likeness::new(&Rows::new(&[f32::NAN], 1).unwrap(), vec![Class::new(0)], many).is_err());
    }

    #[test]
    fn damage_is_told_plainly() {
        let whole = example().to_bytes();
        let with = |from: &str, to: &str| {
            assert_eq!(from.len(), to.len());
            let place = whole.windows(from.len()).position(|bytes| bytes == from.as_bytes()).unwrap();
            [&whole[..place], to.as_bytes(), &whole[place + from.len()..]].concat()
        };
        // The tensors lie in the order of their types' sizes: the first four bytes of the data are a class or a probability.
        let told = |bytes: &[u8], classes, width| Likeness::from_bytes(bytes, classes, width).unwrap_err();
        for (bytes, classes, width, reason) in [
            (&whole[..whole.len() / 2], 2, 2, "header"),
            (&whole[..whole.len() - 1], 2, 2, "not fully covered"),
            (&whole, 1, 2, "class number 1 of 1 classes"),
            (&whole, 2, 3, "features of shape [3, 2] for rows of 3"),
            (&with("\\\"version\\\":1", "\\\"version\\\":2"), 2, 2, "version 2"),
            (&with("\"known\"", "\"knowm\""), 2, 2, "no \"known\" in its metadata"),
            (&with("distance", "distanse"), 2, 2, "unknown variant"),
            (&with("\"U32\"", "\"I32\""), 2, 2, "classes is I32"),
            (&with("\"features\"", "\"featurez\""), 2, 2, "features"),
        ] {
            let told = told(bytes, classes, width);
            assert!(told.to_lowercase().contains(&reason.to_lowercase()), "{reason}: {told}");
        }
        let mut falling = example();
        falling.probabilities.reverse();
        assert!(told(&falling.to_bytes(), 2, 2).contains("ascending"));
        let few = Likeness { classes: vec![Class::new(0)], width: 6, ..example() };
        assert!(Likeness::from_bytes(&few.to_bytes(), 2, 6).is_ok());
    }

    #[test]
    fn another_runs_file_is_told_and_a_missing_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::example(vec!["a".into(), "b".into()]);
        let read = |config: &Config| Likeness::read(dir.path(), config, 2);
        std::fs::write(dir.path().join(KNOWN), example().to_bytes()).unwrap();
        // A run of before says nothing of it: it isn't the run's.
        assert_eq!(read(&config).unwrap(), None);
        config.files.insert(KNOWN.to_owned(), sha256(&example().to_bytes()));
        assert_eq!(read(&config).unwrap(), Some(example()));
        config.files.insert(KNOWN.to_owned(), sha256(b"another"));
        let error = read(&config).unwrap_err().to_string();
        assert!(error.contains("known.safetensors isn't the one that config.json was written with"), "{error}");
        std::fs::write(dir.path().join(KNOWN), b"nothing").unwrap();
        config.files.insert(KNOWN.to_owned(), sha256(b"nothing"));
        let error = read(&config).unwrap_err().to_string();
        assert!(error.contains("not a usable run: known.safetensors: "), "{error}");
        std::fs::remove_file(dir.path().join(KNOWN)).unwrap();
        assert_eq!(read(&config).unwrap(), None);
    }
}
