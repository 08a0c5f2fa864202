//! Words what would help against an error in the terms of this command line, since library errors name no option.

use crate::error::{Error, Remedy};
use crate::words::count;

/// Words what would help, where something is known to.
pub(crate) fn worded(error: &Error) -> Option<String> {
    let words = match error.remedy()? {
        Remedy::GoOn { kept } => {
            return Some(format!(
                "the features of {} are kept, and the same again goes on from there",
                count(kept, "photo")
            ));
        }
        Remedy::NameColumn { role } => {
            return Some(format!("--column {role}=NAME says which it is, --column {role}= that there is none"));
        }
        Remedy::BuildWith { feature } => {
            return Some(format!("`cargo install --path crates/trainer --features {feature}` builds one that can"));
        }
        Remedy::ReplaceOutput => "give another name, or --force to replace it",
        Remedy::IncludeSeen => "--all includes them",
        Remedy::GiveFeatures => {
            "`trainer predict RUN --features FILE` takes features that the same program computed; `trainer train --features FILE --labels TABLE` trains again, and tells how the head was found"
        }
        Remedy::FreeMemory => {
            "close other programs that take its memory, take another device with --engine or --adapter, or a smaller backbone"
        }
        Remedy::TakeCpu => "--engine cpu needs none",
        Remedy::TakeF32 => "take --precision f32, or --kernels tiled, which is slow here",
        Remedy::LowerLearningRate => "try a lower --learning-rate",
        Remedy::TrainAgain => "`trainer train` makes one, with --force in the place of this",
        Remedy::GiveFolder => "`train` and `embed` take it as --backbone FOLDER",
    };
    Some(words.to_owned())
}
