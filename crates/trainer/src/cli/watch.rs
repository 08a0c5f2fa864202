//! `trainer watch`: trains again whenever the photos change.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;

use crate::cli::global::Global;
use crate::cli::print::{Outcome, emit, emit_line, tell};
use crate::cli::terminal::Terminal;
use crate::cli::train::{self, Train};
use crate::data::{self, Origin};
use crate::error::{Error, Fault};
use crate::machine::Planned;
use crate::progress::Progress as _;
use crate::run;
use crate::tasks::{self, Again};
use crate::words::{chain, shown};

/// How often the folder is looked at, at the most; it is let alone for four times as long as looking takes.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Train whenever the photos change
///
/// A run is trained as `trainer train` does, or again where there is one, and then whenever photos are added, removed, moved or renamed, as soon as
/// nothing has changed for a moment. What can't be trained on is told, and the last run stays. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer watch photos --out run
  trainer watch photos --out run --backbone resnet50 --json       a line of JSON for each training")]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) train: Train,
}

pub(crate) fn watch(args: &Watch, global: &Global, terminal: &Terminal) -> Outcome {
    let args = &args.train;
    if let Some(features) = &args.of.features {
        let (value, expected) = (shown(features).into_owned(), "`trainer train`, since it is photos that are watched");
        return Err(Error::InvalidOption { option: "--features", value, expected });
    }
    let dir = args.dir.as_deref().unwrap_or(Path::new("."));
    let origin = args.data.origin(dir);
    data::check(&origin)?;
    let (value, expected) = ("none".to_owned(), "the folder of the run, which is replaced at each change");
    let out =
        args.out.clone().or(args.again.clone()).ok_or(Error::InvalidOption { option: "--out", value, expected })?;
    let mut session = global.session(terminal)?;
    // A few new photos take less time than planning the network for them.
    session.planned = Some(Planned::default());
    // Nothing looks like this.
    let mut seen = None;
    while !terminal.cancelled() {
        let start = Instant::now();
        let now = Some(state(&origin));
        let looked = start.elapsed();
        if now != seen {
            // A copy that is under way: the next look will find it done.
            std::thread::sleep(LOOK_EVERY);
            if Some(state(&origin)) != now {
                continue;
            }
            seen = now;
            let trained = match out.join(run::CONFIG).is_file() {
                true => {
                    let again = Again { data: Some(origin.clone()), out: None, force: true };
                    tasks::train_again(&session, &out, again).map(|trained| (trained, out.clone()))
                }
                false => args.check(global).and_then(|checked| train::first(args, checked, terminal, &session)),
            };
            match trained {
                Ok((trained, out)) if global.json => emit_line(&train::as_json(&trained, &out))?,
                Ok((trained, out)) => {
                    emit(&format!("{}\n", train::text(&trained, &out, start.elapsed().as_secs_f64())))?
                }
                Err(Error::Interrupted { .. }) => break,
                Err(error) if error.fault() == Fault::Input => tell(&format!("not trained: {}", chain(&error))),
                Err(error) => return Err(error),
            }
            if !global.quiet {
                tell(&format!("watching {}; ctrl-c ends it", shown(dir)));
            }
        }
        std::thread::sleep(LOOK_EVERY.max(4 * looked).min(Duration::from_secs(10)));
    }
    Ok(0)
}

/// Says in a number what photos there are: their names, sizes and dates, or those of the table or archive that lists them. What can't be
/// listed is a state too.
fn state(origin: &Origin) -> u64 {
    let mut hash = DefaultHasher::new();
    let mut file = |path: &Path| {
        let told = path.metadata().map(|data| (data.len(), data.modified().unwrap_or(SystemTime::UNIX_EPOCH)));
        (path, told.ok()).hash(&mut hash);
    };
    if !origin.path.is_dir() {
        file(&origin.path);
        return hash.finish();
    }
    match data::list(origin) {
        Ok(listing) => {
            listing.photos.iter().for_each(|photo| file(&photo.path));
            listing.rejected.iter().for_each(|rejected| rejected.name.hash(&mut hash));
        }
        Err(error) => chain(&error).hash(&mut hash),
    }
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_of_the_photos_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let origin = Origin::from(dir.path());
        let mut states = vec![state(&origin)];
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("a.jpg", "a");
        states.push(state(&origin));
        write("a.jpg", "ab");
        states.push(state(&origin));
        std::fs::rename(dir.path().join("a.jpg"), dir.path().join("b.jpg")).unwrap();
        states.push(state(&origin));
        write("a.heic", "");
        states.push(state(&origin));
        assert_eq!(state(&origin), states[4]);
        states.sort_unstable();
        states.dedup();
        assert_eq!(states.len(), 5);
    }
}
