//! The command line as it is typed: verbs, the options that each shows, and a folder of photos where a verb is left out.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::cli::compare::Compare;
use crate::cli::doctor::Doctor;
use crate::cli::embed::Embed;
use crate::cli::evaluate::Evaluate;
use crate::cli::features::Features;
use crate::cli::global::Global;
use crate::cli::inspect::Inspect;
use crate::cli::predict::Predict;
use crate::cli::store::Store;
use crate::cli::train::Train;
use crate::cli::tune::Tune;
use crate::cli::verify::Verify;
use crate::cli::watch::Watch;
use crate::data::{self, Origin};

/// Gives a ResNet that knows ImageNet a new head for your own photos, on any GPU.
///
/// Without a command, the demo runs: no files, no network, less than a minute. A folder in the place of a command is trained on.
#[derive(Debug, Parser)]
#[command(
    name = "trainer",
    version,
    max_term_width = 110,
    after_help = "Examples:
  trainer                                                     the demo
  trainer photos                                              the same as `trainer train photos`
  trainer predict run new.jpg
  trainer doctor                                              what this machine can do
  trainer tune                                                the fastest kernels for it

Exit codes: 0 done, 1 done but photos were rejected (with --strict), 2 usage, 3 bad input, 4 device, 5 I/O, 130 interrupted."
)]
pub(crate) struct Line {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Train(Box<Train>),
    Watch(Box<Watch>),
    Evaluate(Evaluate),
    Compare(Compare),
    Verify(Verify),
    Predict(Predict),
    Embed(Embed),
    Features(Features),
    Store(Store),
    Inspect(Inspect),
    Doctor(Doctor),
    Tune(Tune),
}

/// Options for photos that are passed through a network, which some verbs have none of.
const OF_PHOTOS: [&str; 8] =
    ["strict", "max_pixels", "max_bytes", "max_seconds", "store", "no_store", "rehash", "store_gb"];

/// Options for a network's pass on a device, which verbs have none of that read what is kept.
const OF_A_PASS: [&str; 8] = ["no_tune", "batch", "kernels", "precision", "engine", "adapter", "backend", "checks"];

/// The options that a verb takes and makes no use of: its help doesn't list them.
fn unused(verb: &str) -> Vec<&'static str> {
    match verb {
        "evaluate" | "predict" | "embed" | "features" => vec!["seed"],
        "inspect" => [&OF_PHOTOS[..], &["seed"]].concat(),
        "doctor" => OF_PHOTOS.to_vec(),
        "store" => [&OF_A_PASS[..], &["max_pixels", "max_bytes", "max_seconds", "seed", "no_store", "rehash"]].concat(),
        "compare" => [&OF_A_PASS[..], &OF_PHOTOS, &["seed"]].concat(),
        "verify" => [&OF_PHOTOS[..4], &["rehash", "store_gb", "no_store", "seed", "no_tune", "batch"]].concat(),
        "tune" => [&OF_PHOTOS[..], &["seed", "no_tune"]].concat(),
        _ => Vec::new(),
    }
}

/// Describes the command line to clap.
fn command() -> clap::Command {
    let line = Line::command();
    let global: Vec<clap::Arg> = line.get_arguments().filter(|option| option.is_global_set()).cloned().collect();
    line.mut_subcommands(|verb| {
        let unused = unused(verb.get_name());
        let hidden = global.iter().filter(|option| unused.contains(&option.get_id().as_str()));
        verb.args(hidden.map(|option| option.clone().hide(true)))
    })
}

/// Reads the command line. Where the verb should be, a folder may be named, which is trained on.
///
/// # Errors
/// clap's, which also stand for help and version.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Line, clap::Error> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let read = |arguments: &[OsString]| {
        let mut command = command();
        let matches = command.try_get_matches_from_mut(arguments)?;
        check_seed(&mut command, &matches)?;
        Line::from_arg_matches(&matches)
    };
    match read(&arguments) {
        Err(mut error) if error.kind() == ErrorKind::InvalidSubcommand => {
            let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return Err(error) };
            match arguments.iter().position(|argument| argument == word.as_str()) {
                Some(place) if data::check(&Origin::from(word)).is_ok() => {
                    arguments.insert(place, "train".into());
                    return read(&arguments);
                }
                _ if error.get(ContextKind::SuggestedSubcommand).is_none() => {
                    let tip = format!("a folder of photos may stand here, and there is none called '{word}'").into();
                    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
                }
                _ => {}
            }
            Err(error)
        }
        outcome => outcome,
    }
}

/// Refuses a seed beside a run that keeps its own: an option that stands everywhere can't be told to conflict with another where it stands before the verb.
fn check_seed(command: &mut clap::Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some((verb, of_verb)) = matches.subcommand() else { return Ok(()) };
    let given = |id: &str| {
        let known = of_verb.try_contains_id(id).is_ok();
        known && of_verb.value_source(id) == Some(ValueSource::CommandLine)
    };
    if !(given("again") && given("seed")) {
        return Ok(());
    }
    let message = "the argument '--again <RUN>' cannot be used with '--seed <N>': the run keeps its own seed";
    let verb = command.find_subcommand_mut(verb).expect("it was found before");
    Err(verb.error(ErrorKind::ArgumentConflict, message))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parsed(line: &[&str]) -> Result<Line, clap::Error> {
        parse(["trainer"].iter().chain(line).map(OsString::from))
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn a_folder_without_a_verb_is_trained_on() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().to_str().unwrap();
        for line in
            [&[folder, "--epochs", "3"][..], &["-q", folder, "--epochs", "3"], &["train", folder, "--epochs", "3"]]
        {
            let Some(Command::Train(train)) = parsed(line).unwrap().command else { panic!("{line:?}") };
            assert_eq!((train.dir.as_deref(), train.epochs), (Some(Path::new(folder)), Some(3)));
        }
        // What is no folder is a verb misspelt.
        let error = parsed(&["trian", folder]).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidSubcommand && error.to_string().contains("'train'"), "{error}");
        let error = parsed(&["flowers"]).unwrap_err();
        assert!(error.to_string().contains("there is none called 'flowers'"), "{error}");
    }

    #[test]
    fn a_run_that_is_trained_again_keeps_its_seed() {
        for line in [
            &["train", "--again", "run", "--seed", "0"][..],
            &["--seed", "3", "train", "--again", "run"],
            &["watch", "photos", "--again", "run", "--seed", "3"],
        ] {
            let error = parsed(line).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ArgumentConflict, "{line:?}");
            assert!(error.to_string().contains("'--again <RUN>' cannot be used with '--seed <N>'"), "{error}");
        }
        assert!(parsed(&["train", "--again", "run", "--json"]).is_ok());
        assert_eq!(parsed(&["--seed", "3", "train", "photos"]).unwrap().global.seed, 3);
        // What takes no run has no such option.
        assert_eq!(parsed(&["doctor", "--seed", "3"]).unwrap().global.seed, 3);
    }

    #[test]
    fn help_lists_what_a_verb_uses_and_the_rest_is_taken_all_the_same() {
        let help = |verb: &str| parsed(&[verb, "--help"]).unwrap_err().to_string();
        let lists = |verb: &str, option: &str| help(verb).lines().any(|line| line.contains(&format!("--{option}")));
        assert!(lists("store", "store") && lists("store", "json") && !lists("store", "adapter"));
        assert!(lists("compare", "json") && !lists("compare", "adapter") && !lists("compare", "store"));
        assert!(lists("verify", "store") && lists("verify", "adapter") && !lists("verify", "batch"));
        let verbs = command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect::<Vec<_>>();
        for verb in verbs.into_iter().filter(|verb| !["store", "compare", "verify"].contains(&&**verb)) {
            assert!(lists(&verb, "adapter") && lists(&verb, "json") && lists(&verb, "batch"), "{verb}");
            let of_photos = ["train", "watch", "evaluate", "predict", "embed", "features"].contains(&&*verb);
            assert_eq!((lists(&verb, "max-pixels"), lists(&verb, "no-store")), (of_photos, of_photos), "{verb}");
            assert_eq!(lists(&verb, "seed"), ["train", "watch", "doctor"].contains(&&*verb), "{verb}");
        }
        assert_eq!(parsed(&["inspect", "w", "--seed", "3", "--json"]).unwrap().global.seed, 3);
        assert!(parsed(&["--json", "inspect", "w"]).unwrap().global.json);
    }
}
