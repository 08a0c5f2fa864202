//! A part: the lines of a shard in a Parquet file, by whose digest damage is seen.

use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use sha2::{Digest as _, Sha256};

use crate::digest::hex;
use crate::error::Result;
use crate::export::Table;
use crate::shards::about::{ABOUT, About, Job, WHAT, damaged};
use crate::shards::line::{Line, Order};
use crate::shards::reader::Groups;
use crate::shards::shard::Shard;

/// A part that is being written; it appears, whole, when it is finished.
pub(crate) struct Draft {
    table: Table,
    about: About,
    hash: Sha256,
}

impl Draft {
    /// Begins a part.
    ///
    /// # Errors
    /// The folder takes no files; [`Error::NotBuiltIn`]: this build writes no Parquet.
    pub(crate) fn begin(path: &Path, job: Job, shard: Shard) -> Result<Self> {
        let table = Table::begin(path, WHAT, &Line::columns(job.width))?;
        let about = About { job, shard: [shard.index(), shard.of()], rows: 0, errors: 0, sha256: String::new() };
        Ok(Self { table, about, hash: Sha256::new() })
    }

    /// Adds a line; they come in their order.
    ///
    /// # Errors
    /// The disk is full.
    pub(crate) fn add(&mut self, line: &Line) -> Result<()> {
        self.about.rows += 1;
        self.about.errors += usize::from(line.outcome.is_err());
        line.hash(&mut self.hash);
        line.cells(|cells| self.table.add(cells))
    }

    /// Finishes the part.
    ///
    /// # Errors
    /// It can't be written; what was there stays.
    pub(crate) fn finish(self) -> Result<About> {
        let Self { mut table, mut about, hash } = self;
        about.sha256 = hex(&hash.finalize());
        table.note(ABOUT, serde_json::to_string(&about).expect("plain data"));
        table.finish().map(|()| about)
    }
}

/// A part that is read, line by line.
pub(crate) struct Part {
    path: PathBuf,
    pub(crate) about: About,
    shard: Shard,
    groups: Groups,
    lines: IntoIter<Line>,
    rows: usize,
    hash: Sha256,
    before: Option<Order>,
}

impl Part {
    /// Opens a part; none where the file is a table of something else.
    ///
    /// # Errors
    /// It can't be read, or is damaged; [`Error::NotBuiltIn`]: this build reads no Parquet.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>> {
        let Some((groups, about)) = Groups::open(path)? else { return Ok(None) };
        let about: Option<About> = serde_json::from_str(&about).ok();
        let found = about.and_then(|about| Some((Shard::new(about.shard[0], about.shard[1]).ok()?, about)));
        let (shard, about) = found.ok_or_else(|| damaged(path, "what it says of itself can't be read"))?;
        let (lines, rows, hash, before) = (Vec::new().into_iter(), 0, Sha256::new(), None);
        Ok(Some(Self { path: path.to_owned(), about, shard, groups, lines, rows, hash, before }))
    }

    /// Gives the next line. After the last one all are known to be what was written.
    ///
    /// # Errors
    /// It can't be read, or is damaged.
    pub(crate) fn next(&mut self) -> Result<Option<Line>> {
        let line = loop {
            match self.lines.next() {
                Some(line) => break line,
                None => match self.groups.next()? {
                    Some(lines) => self.lines = lines.into_iter(),
                    None => {
                        let digest = hex(&self.hash.clone().finalize());
                        let whole = self.rows == self.about.rows && digest == self.about.sha256;
                        let lines = "its lines aren't those that were written";
                        return if whole { Ok(None) } else { Err(damaged(&self.path, lines)) };
                    }
                },
            }
        };
        let order = line.order();
        let sorted = self.before.as_ref().is_none_or(|before| *before < order);
        let fits = line.outcome.as_ref().map_or(true, |(_, row)| row.len() == self.about.job.width);
        if !sorted || !fits || !self.shard.holds(&line.name) {
            return Err(damaged(&self.path, "a line isn't of it, or out of its order"));
        }
        line.hash(&mut self.hash);
        (self.rows, self.before) = (self.rows + 1, Some(order));
        Ok(Some(line))
    }

    /// Reads all lines, to see whether they are what was written.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub(crate) fn check(mut self) -> Result<About> {
        while self.next()?.is_some() {}
        Ok(self.about)
    }
}

#[cfg(all(test, feature = "parquet"))]
mod tests {
    use super::*;
    use crate::data::{self, Labels, Row};
    use crate::digest::Digest;

    fn job() -> Job {
        Job { key: "5f70".to_owned(), made_by: serde_json::json!({}), manifest: "a1".to_owned(), width: 2 }
    }

    /// Lines in which every cell is filled and empty.
    fn lines() -> Vec<Line> {
        let several = |labels: &[&str]| Labels::Several(labels.iter().map(|&label| label.to_owned()).collect());
        let row = |labels| Row {
            labels,
            weight: 0.25,
            part: Some(data::Part::Test),
            group: Some("ä\n".to_owned()),
            ..Row::default()
        };
        let line = |name: &str, row, outcome: std::result::Result<(Digest, [f32; 2]), &str>| Line {
            name: name.to_owned(),
            row,
            outcome: outcome.map(|(digest, row)| (digest, row.into())).map_err(str::to_owned),
        };
        vec![
            line("b", row(Labels::One("a;b".to_owned())), Ok(([1; 32], [1e-40, -0.0]))),
            line("c", row(several(&["x", "y", "z"])), Ok(([1; 32], [1.0, f32::MAX]))),
            line("a", row(several(&[])), Ok(([2; 32], [0.0, 7.0]))),
            line("d", Row::default(), Ok(([3; 32], [0.5, 2.0]))),
            line("e", row(Labels::None), Err("it is gone")),
        ]
    }

    fn write(path: &Path, lines: &[Line]) -> About {
        let mut draft = Draft::begin(path, job(), Shard::WHOLE).unwrap();
        lines.iter().for_each(|line| draft.add(line).unwrap());
        draft.finish().unwrap()
    }

    fn read(path: &Path) -> Result<Option<Vec<Line>>> {
        let Some(mut part) = Part::open(path)? else { return Ok(None) };
        let mut lines = Vec::new();
        while let Some(line) = part.next()? {
            lines.push(line);
        }
        Ok(Some(lines))
    }

    #[test]
    fn what_is_read_is_what_was_written_whichever_byte_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("part.parquet");
        let about = write(&path, &lines());
        assert_eq!((about.rows, about.errors), (5, 1));
        assert_eq!(read(&path).unwrap().unwrap(), lines());
        let bytes = std::fs::read(&path).unwrap();
        let (mut seen, hook) = (0, std::panic::take_hook());
        std::panic::set_hook(Box::new(|_| {}));
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 0x55;
            std::fs::write(&path, &other).unwrap();
            match read(&path) {
                Err(_) | Ok(None) => seen += 1,
                Ok(Some(read)) => assert_eq!(read, lines(), "byte {place}"),
            }
        }
        std::panic::set_hook(hook);
        // What nobody reads may be damaged: who wrote it, the sizes of pages in a group.
        assert!(seen > bytes.len() / 2, "{seen} of {}", bytes.len());
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(read(&path).is_err(), "{length}");
        }
    }

    #[test]
    fn lines_out_of_their_order_or_of_another_shard_are_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("part.parquet");
        let mut turned = lines();
        turned.swap(1, 2);
        write(&path, &turned);
        assert!(read(&path).unwrap_err().to_string().contains("out of its order"));
        write(&path, &[lines()[0].clone(), lines()[0].clone()]);
        assert!(read(&path).unwrap_err().to_string().contains("out of its order"));
        let other = Shard::new(u32::from(Shard::new(0, 2).unwrap().holds("b")), 2).unwrap();
        let mut draft = Draft::begin(&path, job(), other).unwrap();
        draft.add(&lines()[0]).unwrap();
        draft.finish().unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("isn't of it"));
        write(&path, &[]);
        assert_eq!(read(&path).unwrap().unwrap(), []);
    }
}
