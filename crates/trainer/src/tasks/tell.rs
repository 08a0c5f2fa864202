//! What users are told about photos that can't be used.

use crate::data::Rejected;
use crate::error::Error;
use crate::progress::Progress;
use crate::report;
use crate::words::count;

/// Names what was left out, with the reasons.
pub(crate) fn tell_rejected(rejected: &[Rejected], progress: &dyn Progress) {
    if !rejected.is_empty() {
        let photos = count(rejected.len(), "photo");
        progress.warn(&format!("{photos} left out:\n{}", report::rejections(rejected).trim_end()));
    }
}

/// Makes the error of a folder, class or part of which no photo can be used, with the first reason.
pub(crate) fn nothing_readable<'a>(what: String, rejected: impl IntoIterator<Item = &'a Rejected>) -> Error {
    let mut rejected = rejected.into_iter();
    let reason = rejected.next().map(|Rejected { name, reason }| format!("{name}: {reason}"));
    let found = rejected.count() + usize::from(reason.is_some());
    Error::NothingReadable { what, found, reason: reason.unwrap_or_else(|| "there is none".to_owned()) }
}
