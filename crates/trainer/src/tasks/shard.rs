//! Computes the features of a shard: a share of a manifest's photos, in a part that appears whole.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::data::{self, ManifestEntry, Origin, Photo};
use crate::digest::{Digest, hex, sha256_of};
use crate::error::{Error, Result};
use crate::export::check_built;
use crate::features::{Key, Outcome};
use crate::outputs::Existing;
use crate::progress::{Stage, watched};
use crate::session::{Overrides, Pretrained, Session};
use crate::shards::{About, Draft, Folder, Job, Line, Shard, Spill, Standing};
use crate::tasks::embedder::Embedder;
use crate::words::count;

/// What is asked of a shard.
#[derive(Clone, Debug)]
pub struct ShardRequest {
    /// All photos of the job: a folder, a table or an archive, with labels or without.
    pub manifest: Origin,
    /// Which of them.
    pub shard: Shard,
    /// The folder of the job's parts, which is made where there is none.
    pub out: PathBuf,
    /// The backbone's weights.
    pub weights: PathBuf,
    /// What takes the place of the weights' own way with photos.
    pub overrides: Overrides,
    /// What becomes of a part that is there and is whole, or of another job. A damaged one is written anew in either case.
    pub existing: Existing,
}

/// What came of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sharded {
    /// The part's file.
    #[serde(serialize_with = "crate::words::path")]
    pub path: PathBuf,
    /// Photos of the shard.
    pub photos: usize,
    /// Those that went through the network now.
    pub computed: usize,
    /// Those whose features were kept, or that are copies of others.
    pub known: usize,
    /// Those that can't be used, each of which has a row that says why.
    pub errors: usize,
    /// Whether the part was there already.
    pub skipped: bool,
    /// The length of its file.
    pub bytes: u64,
    /// The SHA-256 of its file, in hexadecimal digits.
    pub sha256: String,
    /// How many parts of the job are still missing; where none is, the job is finished.
    pub missing: usize,
}

/// Passes a shard's photos through a backbone and writes its part, unless that is there: rows in the order of the photos' contents, and for a photo that can't be used
/// one that says why. Whoever finds all parts of the job there says so in [`SUCCESS`](crate::shards::SUCCESS).
///
/// Any number of processes may work on a job, or on the same shard, at once.
///
/// # Memory
/// About half a kilobyte for each photo of the manifest; features wait on disk.
///
/// # Errors
/// [`Error::NotBuiltIn`] without the feature `parquet`; the manifest can't be read; the part is there and of another job; the device or the disk failed. What
/// was computed is kept in the store.
///
/// # Example
/// ```no_run
/// use trainer::{Overrides, Session, machine, outputs::Existing, shards::Shard, tasks};
///
/// let device = pollster::block_on(machine::Device::open(machine::Wanted::Auto, &machine::Selection::default()))?;
/// let request = tasks::ShardRequest {
///     manifest: "photos.csv".into(),
///     shard: Shard::new(3, 17)?,
///     out: "features".into(),
///     weights: "resnet18.safetensors".into(),
///     overrides: Overrides::default(),
///     existing: Existing::Keep,
/// };
/// let done = tasks::shard(&Session::new(device), &request)?;
/// println!("{} photos, {} errors, {} parts to come", done.photos, done.errors, done.missing);
/// # Ok::<(), trainer::Error>(())
/// ```
pub fn shard(session: &Session<'_>, request: &ShardRequest) -> Result<Sharded> {
    let ShardRequest { manifest, shard, out, weights, overrides, existing } = request;
    let folder = Folder { path: out };
    let path = folder.file(*shard);
    check_built(&path)?;
    folder.begin(*shard)?;
    let manifest = watched(session.progress, Stage::LISTING, || data::manifest(manifest))?;
    manifest.warnings.iter().for_each(|word| session.progress.warn(word));
    let embedder = Embedder::open(session, weights, overrides)?;
    let key = embedder.key(session);
    let job = Job {
        key: key.to_string(),
        made_by: serde_json::from_str(key.parts()).expect("JSON as it was written"),
        manifest: hex(&manifest.digest()),
        width: embedder.width(),
    };
    let refused = |problem, finished| Err(Error::OutputExists { path: path.clone(), problem, finished });
    let done = match (folder.look(*shard, &job)?, existing) {
        (Standing::Whole(about), Existing::Keep) => Some((about, 0)),
        (Standing::Other, Existing::Keep) => {
            return refused("is of another job: of another backbone, preparation or manifest", true);
        }
        (Standing::Foreign, _) => {
            return refused("holds something else than this would write: give another folder", false);
        }
        (Standing::Damaged(problem), _) => {
            session.progress.warn(&problem);
            None
        }
        _ => None,
    };
    let skipped = done.is_some();
    let (about, computed) = match done {
        Some(done) => done,
        None => {
            let entries = manifest.entries.into_iter().filter(|entry| shard.holds(&entry.name)).collect();
            let (rows, computed) = compute(session, (&embedder.backbone(), key), entries, out)?;
            folder.reopen()?;
            (rows.write(&path, (job.clone(), *shard))?, computed)
        }
    };
    let (bytes, sha256) = sha256_of(&path).map_err(Error::io("read", &path))?;
    let missing = folder.finish(*shard, &job)?;
    let About { rows: photos, errors, .. } = about;
    let known = photos - errors - computed;
    Ok(Sharded { path, photos, computed, known, errors, skipped, bytes, sha256, missing })
}

/// The content of a photo and the place of its features, or why it has none.
type Placed = Result<(Digest, u64), String>;

/// The rows of a part, whose features are on disk.
struct Rows {
    rows: Vec<(ManifestEntry, Placed)>,
    spill: Spill,
}

/// Passes photos through a backbone; counts those that went through the network now.
fn compute(
    session: &Session<'_>,
    (backbone, key): (&Pretrained<'_>, Key),
    entries: Vec<ManifestEntry>,
    folder: &Path,
) -> Result<(Rows, usize)> {
    let mut spill = Spill::begin(folder, backbone.weights.architecture().features())?;
    let photos: Vec<Photo> = entries.iter().filter_map(|entry| entry.photo.as_ref().ok().cloned()).collect();
    let mut outcomes = Vec::with_capacity(photos.len());
    let computed = session.stream_evenly((backbone, key), &photos, &mut |_, outcome| {
        outcomes.push(match outcome {
            Outcome::Known(digest, row) => Ok((digest, spill.put(row)?)),
            Outcome::Rejected(rejected) => Err(rejected.reason.clone()),
        });
        Ok(())
    })?;
    let mut outcomes = outcomes.into_iter();
    let outcome = |entry: ManifestEntry| {
        let outcome = match &entry.photo {
            Ok(_) => outcomes.next().expect("an outcome for each photo"),
            Err(reason) => Err(reason.clone()),
        };
        (entry, outcome)
    };
    Ok((Rows { rows: entries.into_iter().map(outcome).collect(), spill }, computed))
}

impl Rows {
    /// Writes the part.
    fn write(self, path: &Path, (job, shard): (Job, Shard)) -> Result<About> {
        let Self { mut rows, mut spill } = self;
        rows.sort_by(|(a, one), (b, other)| {
            let order = |placed: &Placed| placed.as_ref().map(|(digest, _)| *digest).map_err(drop);
            order(one).cmp(&order(other)).then_with(|| a.name.cmp(&b.name))
        });
        let mut draft = Draft::begin(path, job, shard)?;
        for (ManifestEntry { name, row, .. }, outcome) in rows {
            let outcome = match outcome {
                Ok((digest, place)) => Ok((digest, spill.get(place)?)),
                Err(reason) => Err(reason),
            };
            draft.add(&Line { name, row, outcome })?;
        }
        draft.finish()
    }
}

impl Sharded {
    /// Says what came of it, in a sentence.
    pub fn text(&self) -> String {
        let Self { photos, errors, computed, known, skipped, missing, .. } = self;
        let how = match skipped {
            true => "the part was there".to_owned(),
            false => format!("{computed} computed, {known} known"),
        };
        let left = match missing {
            0 => "the job is finished".to_owned(),
            missing => format!("{} of the job to come", count(*missing, "part")),
        };
        format!("{}, {} ({how}); {left}", count(*photos, "photo"), count(*errors, "error"))
    }
}
