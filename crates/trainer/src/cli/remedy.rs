//! Words what would help against an error in the terms of this command line, since library errors name no option.

use crate::error::{Error, Remedy};

/// Words what to add to an error's message, or nothing.
pub(crate) fn worded(error: &Error) -> &'static str {
    match error.remedy() {
        Some(Remedy::ReplaceOutput) => ": give another name, or --force to replace it",
        Some(Remedy::IncludeSeen) => ": --all includes them",
        Some(Remedy::FreeMemory) => {
            "; close other programs that use the adapter, take another with --adapter, or a smaller backbone"
        }
        Some(Remedy::TakeF32) => ": take --precision f32, or --kernels tiled, which is slow here",
        Some(Remedy::LowerLearningRate) => ": try a lower --learning-rate",
        Some(Remedy::TrainAgain) => "; `trainer train` makes one, with --force in the place of this",
        _ => "",
    }
}
