//! A run's network: writes `model.safetensors`, and reads it back as a classifier to predict with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use resnet::{Recipe, WeightFile};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, Result};
use crate::head::Head;
use crate::photos::{Reading, Views};
use crate::run::commit;
use crate::run::config::Config;
use crate::run::folder::{LABELS, MODEL};
use crate::run::likeness::Likeness;
use crate::run::named::{Named, classes_of, plain};
use crate::run::parts::Seen;
use crate::run::preparation::{reading_of, views_of};

/// Makes the bytes of [`MODEL`]: the backbone's tensors as they were in their file, the head as `fc.weight` and `fc.bias`, labels and
/// preprocessing as metadata, and views where there are others than the plain one. The same network gives the same bytes.
///
/// # Errors
/// The head's width isn't the backbone's.
pub fn model(
    weights: &WeightFile,
    head: &Head,
    recipe: &Recipe,
    (reading, views): (&Reading, Views),
) -> Result<Vec<u8>> {
    let json = |value: serde_json::Result<String>| value.expect("plain data");
    let mut more =
        vec![("recipe", json(serde_json::to_string(recipe))), ("reading", json(serde_json::to_string(reading)))];
    if !views.is_plain() {
        more.push(("views", views.to_string()));
    }
    network(weights.backbone_tensors().collect(), (head, weights.architecture().features()), more)
}

/// Makes the bytes of a backbone and a head behind it, which takes so many features, with its labels and `more` as metadata.
fn network(
    backbone: Vec<(&str, TensorView)>,
    (head, features): (&Head, usize),
    more: impl IntoIterator<Item = (&'static str, String)>,
) -> Result<Vec<u8>> {
    let classes = head.classes.len();
    if head.weight.len() != classes * features || head.bias.len() != classes {
        let (expected, got) = (classes * features, head.weight.len());
        return Err(Error::Shape { operation: "save the model", operand: "fc.weight", expected, got });
    }
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let (weight, bias) = (bytes(&head.weight), bytes(&head.bias));
    let view = |shape, data| TensorView::new(Dtype::F32, shape, data).expect("as many bytes as the shape says");
    let mut tensors = backbone;
    tensors.push(("fc.weight", view(vec![classes, features], &weight)));
    tensors.push(("fc.bias", view(vec![classes], &bias)));
    let labels = serde_json::to_string(&head.classes).expect("plain data");
    let thresholds = head.thresholds.as_ref().map(|values| serde_json::to_string(values).expect("plain data"));
    let thresholds = thresholds.map(|thresholds| (THRESHOLDS, thresholds));
    let metadata =
        [("format", "pt".to_owned()), ("labels", labels)].into_iter().chain(thresholds).chain(more).collect();
    Ok(serialize(tensors, &metadata))
}

/// Makes the bytes of [`MODEL`] for a head of features that another program computed: `fc.weight` and `fc.bias`, with the labels and what it is as metadata.
///
/// # Errors
/// The weight isn't as long as classes and rows say.
pub fn head_alone(head: &Head, width: usize) -> Result<Vec<u8>> {
    network(Vec::new(), (head, width), [(HEAD_OF, "features".to_owned())])
}

/// What the metadata of [`MODEL`] say a head is of that stands alone.
pub(super) const HEAD_OF: &str = "head_of";

/// The key of the metadata of [`MODEL`] under which the thresholds stand of a head whose photos may be of several classes: a JSON array. Its outputs are logits of sigmoids then.
pub(super) const THRESHOLDS: &str = "thresholds";

/// Reads the thresholds of so many classes, as the metadata of [`MODEL`] have them.
///
/// # Errors
/// They aren't a probability for each class, in words.
pub(super) fn thresholds_of(text: Option<&String>, classes: usize) -> Result<Option<Vec<f64>>, String> {
    let Some(text) = text else { return Ok(None) };
    let values: Vec<f64> = serde_json::from_str(text).map_err(|error| format!("{THRESHOLDS}: {error}"))?;
    match values.len() == classes && values.iter().all(|value| (0.0..=1.0).contains(value)) {
        true => Ok(Some(values)),
        false => Err(format!("{THRESHOLDS}: not a probability for each of {classes} classes")),
    }
}

/// Tells whether these bytes are those of [`head_alone`].
pub(super) fn is_head_alone(bytes: &[u8]) -> bool {
    let metadata = SafeTensors::read_metadata(bytes).ok().and_then(|(_, metadata)| metadata.metadata().clone());
    metadata.is_some_and(|metadata| metadata.contains_key(HEAD_OF))
}

/// Opens a weight file.
///
/// # Errors
/// As [`WeightFile::open`]; a [`head_alone`], which is no network, is told by that.
pub(crate) fn open_weights(path: &Path) -> Result<WeightFile> {
    WeightFile::open(path).map_err(|error| match resnet::regular::read(path) {
        Ok(bytes) if is_head_alone(&bytes) => Error::MadeOfFeatures { path: path.to_owned() },
        _ => error.into(),
    })
}

/// Writes safetensors whose metadata keep their order: the library's own writer puts them in another one each time.
fn serialize(tensors: Vec<(&str, TensorView)>, metadata: &BTreeMap<&str, String>) -> Vec<u8> {
    let mut bytes = safetensors::serialize(tensors, None).expect("plain tensors under distinct names");
    // A length of 8 bytes, then the header, which is a JSON object and padded with blanks to whole groups of 8.
    let end = 8 + u64::from_le_bytes(std::array::from_fn(|i| bytes[i])) as usize;
    let metadata = serde_json::to_string(metadata).expect("plain data");
    let mut header = format!("{{\"__metadata__\":{metadata},").into_bytes();
    header.extend(bytes[9..end].trim_ascii_end());
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = (header.len() as u64).to_le_bytes();
    bytes.splice(..end, length.into_iter().chain(header));
    bytes
}

/// A finished run, to predict with.
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// The network.
    pub weights: WeightFile,
    /// The network's head.
    pub head: Head,
    /// Where the names of its classes come from.
    pub named: Named,
    /// The recipe, from the network's metadata.
    pub recipe: Recipe,
    /// How it was made; none where that isn't known, as of a weight file that no training wrote.
    pub config: Option<Config>,
    /// How photos are read, from the network's metadata.
    pub reading: Reading,
    /// The views of each photo by whose mean it judges, from the network's metadata.
    pub views: Views,
}

impl Run {
    /// Opens the run in `folder`: its [`MODEL`] alone is enough.
    ///
    /// # Errors
    /// There is none, or it isn't one that a run wrote, or another than the files beside it were written with.
    pub fn open(folder: &Path) -> Result<Self> {
        /// How often a training may put a new run there while this one is read.
        const TRIES: usize = 3;
        let mut opened = Self::open_once(folder);
        for _ in 1..TRIES {
            match opened {
                Err(Error::InvalidRun { .. }) => opened = Self::open_once(folder),
                _ => break,
            }
        }
        opened
    }

    fn open_once(folder: &Path) -> Result<Self> {
        commit::whole(folder)?;
        let invalid = |reason: String| Error::InvalidRun { path: folder.to_owned(), reason };
        let path = folder.join(MODEL);
        if !path.is_file() {
            return Err(invalid(format!("no {MODEL} in it")));
        }
        let weights = open_weights(&path)?;
        let read = |key: &str| {
            let text = weights.metadata().get(key);
            text.ok_or_else(|| invalid(format!("{MODEL} has no {key:?} in its metadata: a run didn't write it")))
        };
        let parsed = |error: serde_json::Error| invalid(format!("metadata of {MODEL}: {error}"));
        let classes: Vec<String> = serde_json::from_str(read("labels")?).map_err(parsed)?;
        let classes = plain(&classes);
        let recipe: Recipe = serde_json::from_str(read("recipe")?).map_err(parsed)?;
        let (reading, views) = (reading_of(&weights, &path)?, views_of(&weights, &path)?);
        let linear = weights.head()?;
        if linear.classes != classes.len() {
            let reason = format!("{} labels for {} outputs in {MODEL}", classes.len(), linear.classes);
            return Err(invalid(reason));
        }
        let thresholds = thresholds_of(weights.metadata().get(THRESHOLDS), classes.len())
            .map_err(|reason| invalid(format!("metadata of {MODEL}: {reason}")))?;
        let head = Head { weight: linear.weight, bias: linear.bias, classes, thresholds };
        let config = Config::read(folder)?;
        if let Some(config) = &config {
            config.check_file(folder, MODEL, weights.bytes())?;
        }
        Ok(Self { folder: folder.to_owned(), weights, head, named: Named::Stated, recipe, reading, views, config })
    }

    /// Tells whether a folder is a run, finished or damaged, or nothing better: not one of weights alone.
    pub fn is_at(folder: &Path) -> bool {
        let labelled = || folder.join(LABELS).is_file() || !folder.join(MODEL).is_file();
        folder.is_dir() && (commit::is_pending(folder) || labelled())
    }

    /// Takes weights that were read from `path`, with their own head, as if they were a run that prepares photos so.
    ///
    /// The classes are those of the file's metadata or of the `config.json` beside it (`label_names`, as timm writes them,
    /// or `id2label`, as transformers does); else ImageNet's, where there are a thousand; else their numbers.
    ///
    /// # Errors
    /// The weights have no head.
    pub fn of_weights(weights: WeightFile, path: &Path, recipe: Recipe, reading: Reading) -> Result<Self> {
        let (linear, views) = (weights.head()?, views_of(&weights, path)?);
        let (classes, named) = classes_of(&weights, path, linear.classes);
        let thresholds = thresholds_of(weights.metadata().get(THRESHOLDS), classes.len())
            .map_err(|reason| Error::InvalidRun { path: path.to_owned(), reason: format!("its metadata, {reason}") })?;
        let head = Head { weight: linear.weight, bias: linear.bias, classes, thresholds };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        // A `config.json` beside a weight file may be anybody's: one that isn't ours says nothing here.
        let config = Config::read(&folder).ok().flatten();
        let config = config.filter(|config| config.check_file(&folder, MODEL, weights.bytes()).is_ok());
        Ok(Self { folder, weights, head, named, recipe, reading, views, config })
    }

    /// Reads what the run knows its photos by; none where it was written without.
    ///
    /// # Errors
    /// As [`Likeness::read`].
    pub fn likeness(&self) -> Result<Option<Likeness>> {
        let width = self.weights.architecture().features();
        self.config.as_ref().map_or(Ok(None), |config| Likeness::read(&self.folder, config, width))
    }

    /// Says what the head has seen already.
    ///
    /// # Errors
    /// As [`Seen::read`].
    pub fn seen(&self) -> Result<Seen> {
        Seen::read(&self.folder, &self.head.classes, self.config.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use resnet::{Architecture, Interpolation, Resize};

    use super::*;
    use crate::run::preparation::recipe_of;
    use crate::untrained::random_weights;

    fn head() -> Head {
        Head { weight: vec![0.5; 16], bias: vec![0.0; 2], classes: vec!["a".into(), "b".into()], thresholds: None }
    }

    #[test]
    fn a_folder_without_model_is_no_run() {
        let dir = tempfile::tempdir().unwrap();
        let error = Run::open(dir.path()).err().unwrap();
        assert!(error.to_string().contains("no model.safetensors in it"), "{error}");
    }

    #[test]
    fn the_configuration_of_others_beside_a_weight_file_is_none_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        let architecture = Architecture::basic([1; 4], [4, 4, 8, 8], Some(2));
        write("weights.safetensors", &random_weights(&architecture, 1));
        write("config.json", br#"{"architecture": "resnet18", "label_names": ["cat", "dog"]}"#);
        let path = dir.path().join("weights.safetensors");
        let weights = WeightFile::open(&path).unwrap();
        let run = Run::of_weights(weights, &path, Recipe::default(), Reading::default()).unwrap();
        assert_eq!((run.config, run.head.classes), (None, vec!["cat".to_owned(), "dog".to_owned()]));
        // In a run's own folder it is damage.
        let weights = WeightFile::from_bytes(random_weights(&architecture, 1)).unwrap();
        write(MODEL, &model(&weights, &head(), &Recipe::default(), (&Reading::default(), Views::default())).unwrap());
        let error = Run::open(dir.path()).err().unwrap();
        assert!(error.to_string().contains("not a usable run: config.json: "), "{error}");
    }

    #[test]
    fn equal_runs_are_equal_to_the_byte() {
        let bytes = random_weights(&Architecture::basic([1; 4], [4, 4, 8, 8], None), 1);
        let weights = WeightFile::from_bytes(bytes).unwrap();
        let model = || model(&weights, &head(), &Recipe::default(), (&Reading::default(), Views::default())).unwrap();
        let first = model();
        assert!((0..8).all(|_| model() == first));
        // Others read it too: the header is whole, and the data begin at a multiple of 8.
        let (length, metadata) = SafeTensors::read_metadata(&first).unwrap();
        assert!(length % 8 == 0 && metadata.metadata().as_ref().unwrap()["format"] == "pt");
        let file = SafeTensors::deserialize(&first).unwrap();
        assert_eq!(file.tensor("fc.weight").unwrap().shape(), [2, 8]);
        // The backbone is the file's own, whatever head it had.
        let own = random_weights(&Architecture::basic([1; 4], [4, 4, 8, 8], Some(5)), 1);
        let [saved, own] = [first, own].map(|bytes| WeightFile::from_bytes(bytes).unwrap());
        let listed: Vec<_> = saved.backbone_tensors().collect();
        assert!(listed == weights.tensors().collect::<Vec<_>>() && listed.is_sorted_by_key(|(name, _)| *name));
        assert!(listed.iter().map(|(name, _)| *name).eq(own.backbone_tensors().map(|(name, _)| name)));
        assert_eq!([&saved, &own].map(|file| file.tensors().count() - listed.len()), [2, 2]);
    }

    #[test]
    fn thresholds_make_a_head_of_sigmoids_of_it() {
        let bytes = random_weights(&Architecture::basic([1; 4], [4, 4, 8, 8], None), 1);
        let weights = WeightFile::from_bytes(bytes).unwrap();
        let saved =
            |head: &Head| model(&weights, head, &Recipe::default(), (&Reading::default(), Views::default())).unwrap();
        let of_sets = Head { thresholds: Some(vec![0.5, 0.1 + 0.2]), ..head() };
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(MODEL), saved(&of_sets)).unwrap();
        assert_eq!(Run::open(dir.path()).ok().unwrap().head, of_sets);
        assert_ne!(saved(&of_sets), saved(&head()));
        let read = |text: &str| thresholds_of(Some(&text.to_owned()), 2);
        assert_eq!((thresholds_of(None, 2), read("[0.5,1.0]")), (Ok(None), Ok(Some(vec![0.5, 1.0]))));
        for bad in ["[0.5]", "[0.5,1.5]", "[0.5,null]", "0.5"] {
            assert!(read(bad).unwrap_err().starts_with("thresholds: "), "{bad}");
        }
    }

    #[test]
    fn a_recipe_of_others_in_the_metadata_is_none_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        let bytes = random_weights(&Architecture::basic([1; 4], [4, 4, 8, 8], None), 1);
        let with = |recipe: &str| {
            let metadata = std::collections::HashMap::from([("recipe".to_owned(), recipe.to_owned())]);
            let tensors = SafeTensors::deserialize(&bytes).unwrap();
            let bytes = safetensors::serialize(tensors.tensors(), Some(metadata)).unwrap();
            recipe_of(&WeightFile::from_bytes(bytes).unwrap(), &path)
        };
        assert_eq!(with("a1_in1k").unwrap(), (Recipe::default(), None));
        let error = with(r#"{"epochs": 3}"#).unwrap_err();
        assert!(["weights.safetensors", "key `recipe`"].iter().all(|part| error.to_string().contains(part)), "{error}");
    }

    #[test]
    fn weights_own_their_preprocessing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        std::fs::write(&path, random_weights(&Architecture::basic([1; 4], [4, 4, 8, 8], None), 1)).unwrap();
        let weights = WeightFile::open(&path).unwrap();
        assert_eq!(recipe_of(&weights, &path).unwrap(), (Recipe::default(), None));
        // timm's, beside the weights.
        let timm = r#"{"pretrained_cfg": {"input_size": [3, 64, 64], "crop_pct": 1.0, "interpolation": "bicubic"}}"#;
        std::fs::write(dir.path().join("config.json"), timm).unwrap();
        let (recipe, from) = recipe_of(&weights, &path).unwrap();
        assert_eq!(from, Some(dir.path().join("config.json")));
        assert_eq!((recipe.input_size, recipe.resize), ([64, 64], Resize::ShorterSide(64)));
        assert_eq!(recipe.interpolation, Interpolation::Bicubic);
        // A run's own, in the metadata of its model, before any file beside it.
        let head = head();
        let own = Recipe { input_size: [32, 32], ..Recipe::default() };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join(MODEL),
            model(&weights, &head, &own, (&Reading::default(), Views::default())).unwrap(),
        )
        .unwrap();
        let run = Run::open(folder.path()).unwrap();
        assert_eq!(recipe_of(&run.weights, &path).unwrap(), (own.clone(), Some(path.clone())));
        assert_eq!((run.recipe, run.head), (own, head.clone()));
        let narrow = Head { weight: vec![0.5; 8], ..head };
        assert!(model(&weights, &narrow, &Recipe::default(), (&Reading::default(), Views::default())).is_err());
    }
}
