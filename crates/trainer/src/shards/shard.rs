//! A shard: one of so many shares of a manifest's photos, which anyone can tell from their names.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// A shard of a job: which, counted from 0, and of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    index: u32,
    of: u32,
}

impl Shard {
    /// The only shard of a job that isn't shared out.
    pub const WHOLE: Self = Self { index: 0, of: 1 };
    /// The most shards of a job: their numbers have five digits.
    pub const MOST: u32 = 99_999;

    /// Makes the shard `index`, counted from 0, of `of`.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]: there is no such shard, or there are more than [`Shard::MOST`].
    pub fn new(index: u32, of: u32) -> Result<Self> {
        match index < of && of <= Self::MOST {
            true => Ok(Self { index, of }),
            false => Err(Error::InvalidOption {
                option: "the shard",
                value: format!("{index}/{of}"),
                expected: "I/N, I counted from 0 and less than N, N at most 99999",
            }),
        }
    }

    /// Says which it is, counted from 0.
    pub fn index(self) -> u32 {
        self.index
    }

    /// Says how many there are.
    pub fn of(self) -> u32 {
        self.of
    }

    /// Lists all shards of such a job.
    pub(crate) fn all(self) -> impl Iterator<Item = Self> {
        (0..self.of).map(move |index| Self { index, ..self })
    }

    /// Tells whether the photo of this name is of this shard: `floor(h N / 2^64)` is its number, where `h` is the number that the first eight bytes of the SHA-256 of the
    /// name make, the most significant one first.
    ///
    /// ```
    /// use trainer::shards::Shard;
    ///
    /// let of = |name: &str| (0..17).find(|&index| Shard::new(index, 17).unwrap().holds(name));
    /// assert_eq!(of("cat/1.jpg"), Some(6));
    /// ```
    pub fn holds(self, name: &str) -> bool {
        let digest = Sha256::digest(name);
        let hash = digest.iter().take(8).fold(0u64, |hash, byte| hash << 8 | u64::from(*byte));
        (u128::from(hash) * u128::from(self.of)) >> 64 == u128::from(self.index)
    }

    /// Gives the name of its part's file.
    pub fn file_name(self) -> String {
        format!("part-{:05}-of-{:05}.parquet", self.index, self.of)
    }

    /// Reads a shard off the name of its part's file; none of another name.
    pub(crate) fn of_file_name(name: &str) -> Option<Self> {
        let (index, of) = name.strip_prefix("part-")?.strip_suffix(".parquet")?.split_once("-of-")?;
        let shard = Self::new(index.parse().ok()?, of.parse().ok()?).ok()?;
        (shard.file_name() == name).then_some(shard)
    }
}

/// Writes `3/17`.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.index, self.of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_photo_is_of_one_shard_and_shards_are_about_as_large() {
        let names: Vec<String> = (0..17_000).map(|number| format!("{number}.jpg")).collect();
        for of in [1, 3, 17] {
            let mut counts = vec![0; of as usize];
            for name in &names {
                let held: Vec<u32> =
                    Shard { index: 0, of }.all().filter(|shard| shard.holds(name)).map(Shard::index).collect();
                let [index] = held[..] else { panic!("{name} is of {held:?}") };
                counts[index as usize] += 1;
            }
            // Binomial: six standard deviations.
            let (mean, share) = (names.len() as f64 / f64::from(of), 1.0 / f64::from(of));
            let bound = 6.0 * (mean * (1.0 - share)).sqrt();
            assert!(counts.iter().all(|&count| (f64::from(count) - mean).abs() <= bound), "{counts:?}");
        }
    }

    #[test]
    fn a_file_s_name_says_which_it_is() {
        let shard = Shard::new(3, 17).unwrap();
        assert_eq!((shard.file_name().as_str(), shard.to_string().as_str()), ("part-00003-of-00017.parquet", "3/17"));
        assert_eq!(Shard::of_file_name(&shard.file_name()), Some(shard));
        for other in [
            "part-3-of-17.parquet",
            "part-00017-of-00017.parquet",
            "part-00000-of-00000.parquet",
            "part-00000-8f2a.parquet",
            "_SUCCESS",
        ] {
            assert_eq!(Shard::of_file_name(other), None, "{other}");
        }
        for (index, of) in [(0, 0), (3, 3), (0, 100_000)] {
            assert!(Shard::new(index, of).is_err());
        }
    }
}
