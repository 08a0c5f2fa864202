//! What users are told about photos that can't be used.

use crate::data::Rejected;
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
