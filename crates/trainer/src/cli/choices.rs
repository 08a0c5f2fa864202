//! What `train` chooses among: backbones, and views of photos.

use std::path::Path;

use clap::Args;

use crate::error::{Error, Result};
use crate::hub;
use crate::photos::Views;
use crate::progress::Progress;
use crate::tasks::Backbone;

/// What a training chooses among.
#[derive(Debug, Args)]
pub(crate) struct ChoiceArgs {
    /// The backbone: `resnet18`, a repository of the Hugging Face hub (`org/name`, `org/name@revision`), a safetensors file,
    /// a folder with one, or `demo`, the small one that is part of this program and needs no download: to try things, since resnet18 is worth more on most photos. Of several, `resnet18,resnet50`, each gets a head of its own on the same photos and folds; all are shown, and the one with
    /// the lowest log-loss by cross-validation is kept
    #[arg(long, alias = "weights", value_name = "NAME|FILE", default_value = hub::DEFAULT)]
    pub(crate) backbone: Vec<String>,
    /// Of several backbones keep the cheapest whose log-loss is within a standard error of the lowest, by the difference photo by photo
    #[arg(long)]
    pub(crate) within_error: bool,
    /// Views to learn from besides each photo as it is, each of which costs a pass, here and wherever the run is used: `flip`, its mirror image, `crops`, the corners of
    /// the resized photo, `flip,crops`, ten in all. A photo is judged by the mean of its views. They are kept where they gain by cross-validation
    #[arg(long, value_name = "flip|crops|flip,crops", default_value_t)]
    pub(crate) views: Views,
}

impl ChoiceArgs {
    /// Lists the backbones' names: the option may be repeated, and hold several with commas between them, unless it is a file's name as it stands.
    pub(crate) fn backbones(&self) -> Vec<String> {
        let names = |value: &'_ String| match Path::new(value).exists() {
            true => vec![value.clone()],
            false => value.split(',').map(|name| name.trim().to_owned()).collect(),
        };
        self.backbone.iter().flat_map(names).collect()
    }

    /// Finds the weights of all, each before any is used: on this machine, or on the hub after `first`.
    pub(crate) fn resolved(&self, progress: &dyn Progress, first: &dyn Fn() -> Result<()>) -> Result<Vec<Backbone>> {
        let resolved = |name: String| -> Result<Backbone> {
            let weights = hub::resolve_after(&name, progress, first)?.weights;
            Ok(Backbone { name, weights })
        };
        self.backbones().into_iter().map(resolved).collect()
    }

    /// Refuses what makes no choice, before anything is downloaded. `optimum` tells whether cross-validation can choose.
    pub(crate) fn check(&self, optimum: bool) -> Result<()> {
        let names = self.backbones();
        let invalid = |option, value: String, expected| Err(Error::InvalidOption { option, value, expected });
        if let Some((_, twice)) = names.iter().enumerate().find(|(place, name)| names[..*place].contains(name)) {
            return invalid("--backbone", format!("{twice} twice"), "each once");
        }
        if names.len() > 1 && !optimum {
            let expected = "--optimizer lbfgs beside several, which are chosen among by its cross-validation";
            return invalid("--backbone", names.join(","), expected);
        }
        if !self.views.is_plain() && !optimum {
            let expected = "--optimizer lbfgs beside it, whose cross-validation tells what views gain";
            return invalid("--views", self.views.to_string(), expected);
        }
        if names.len() == 1 && self.within_error {
            return invalid("--within-error", names.concat(), "several, --backbone resnet18,resnet50, to choose among");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        choices: ChoiceArgs,
    }

    fn parsed(line: &str) -> ChoiceArgs {
        Line::try_parse_from(line.split(' ')).unwrap().choices
    }

    #[test]
    fn backbones_come_with_commas_or_one_by_one() {
        assert_eq!(parsed("train").backbones(), [hub::DEFAULT]);
        assert_eq!(parsed("train --backbone a,b --backbone c").backbones(), ["a", "b", "c"]);
        // A file may have a comma in its name.
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a,b.safetensors");
        std::fs::write(&file, "").unwrap();
        let file = file.to_str().unwrap();
        assert_eq!(parsed(&format!("train --backbone {file}")).backbones(), [file]);
    }

    #[test]
    fn what_makes_no_choice_is_refused() {
        let message = |line: &str, optimum| parsed(line).check(optimum).unwrap_err().to_string();
        assert!(message("train --backbone a,b,a", true).contains("a twice"));
        assert!(message("train --backbone a,b", false).contains("--optimizer lbfgs"));
        assert!(message("train --backbone a --within-error", true).contains("several"));
        assert!(message("train --views flip", false).contains("--optimizer lbfgs"));
        for good in ["train --backbone a,b --views crops", "train --backbone a,b --within-error", "train"] {
            parsed(good).check(true).unwrap();
        }
        parsed("train --backbone a").check(false).unwrap();
    }
}
