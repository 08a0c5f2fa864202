//! The classes of a weight file's own head: as it names them, or as is known where it doesn't.

use std::path::Path;

use resnet::WeightFile;

use crate::words::shown;

/// ImageNet's classes in the order of their outputs, one a line below the licence.
const IMAGENET: &str = include_str!("../../assets/imagenet.txt");

/// Where the names of a head's classes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A run, or the weight file, or the configuration beside it.
    Stated,
    /// Nothing states them: a thousand outputs are taken for ImageNet's.
    ImageNet,
    /// Nothing is known: they are the outputs' numbers.
    Numbered,
}

/// Names so many classes: by the file's metadata or the `config.json` beside it (`label_names`, as timm writes them, or `id2label`, as
/// transformers does), else by ImageNet's where there are a thousand, else by their numbers.
pub(super) fn classes_of(weights: &WeightFile, path: &Path, classes: usize) -> (Vec<String>, Named) {
    let own = weights.metadata().get("labels").and_then(|text| serde_json::from_str(text).ok());
    let stated = own.or_else(|| labels_beside(path)).filter(|labels: &Vec<String>| labels.len() == classes);
    if let Some(labels) = stated {
        return (plain(&labels), Named::Stated);
    }
    let imagenet: Vec<String> = IMAGENET.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    match classes {
        _ if classes == imagenet.len() => (imagenet, Named::ImageNet),
        _ => ((0..classes).map(|class| class.to_string()).collect(), Named::Numbered),
    }
}

/// Writes labels as plain text: those of others may hold anything.
pub(super) fn plain(labels: &[String]) -> Vec<String> {
    labels.iter().map(|label| shown(label).into_owned()).collect()
}

/// Finds the labels in the `config.json` beside a weight file.
fn labels_beside(path: &Path) -> Option<Vec<String>> {
    let text = resnet::regular::read_to_string(path.with_file_name("config.json")).ok()?;
    let config: serde_json::Value = serde_json::from_str(&text).ok()?;
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    if let Some(names) = config["pretrained_cfg"]["label_names"].as_array().or(config["label_names"].as_array()) {
        return names.iter().map(text).collect();
    }
    let names = config["id2label"].as_object()?;
    // What transformers writes where nobody gave names.
    if names.values().all(|name| name.as_str().is_some_and(|name| name.starts_with("LABEL_"))) {
        return None;
    }
    (0..names.len()).map(|class| text(names.get(&class.to_string())?)).collect()
}

#[cfg(test)]
mod tests {
    use resnet::Architecture;

    use super::*;
    use crate::untrained::random_weights;

    #[test]
    fn classes_have_names_where_they_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        let of = |classes: usize| {
            let architecture = Architecture::basic([1; 4], [4, 4, 8, 8], Some(classes));
            classes_of(&WeightFile::from_bytes(random_weights(&architecture, 1)).unwrap(), &path, classes)
        };
        assert_eq!(of(2), (vec!["0".to_owned(), "1".to_owned()], Named::Numbered));
        let (imagenet, named) = of(1000);
        assert_eq!((imagenet.len(), named), (1000, Named::ImageNet));
        // Facts of the challenge: the first, the last, and the two that WordNet calls alike.
        for (class, name) in [(0, "tench"), (134, "crane (bird)"), (517, "crane (machine)"), (999, "toilet tissue")] {
            assert_eq!(imagenet[class], name);
        }
        let distinct: std::collections::BTreeSet<_> = imagenet.iter().collect();
        assert_eq!(distinct.len(), 1000);

        let beside = |text: &str| std::fs::write(dir.path().join("config.json"), text).unwrap();
        for stated in [
            r#"{"pretrained_cfg": {"label_names": ["cat", "dog"]}}"#,
            r#"{"label_names": ["cat", "dog"]}"#,
            r#"{"id2label": {"1": "dog", "0": "cat"}}"#,
        ] {
            beside(stated);
            assert_eq!(of(2), (vec!["cat".to_owned(), "dog".to_owned()], Named::Stated), "{stated}");
            assert_eq!(of(3).1, Named::Numbered, "{stated}");
        }
        beside(r#"{"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}"#);
        assert_eq!(of(2).1, Named::Numbered);
        #[cfg(unix)]
        {
            // Opened, it would be waited for without end.
            let pipe = dir.path().join("config.json");
            std::fs::remove_file(&pipe).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            assert_eq!(of(2).1, Named::Numbered);
        }
    }
}
