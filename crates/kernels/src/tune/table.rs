//! Tables of measured variants: which of several ways to compute the same shape is the fastest on an adapter.

use std::{collections::BTreeMap, fmt, str::FromStr};

/// Rows and columns of the output that a workgroup (in the texture family, a subgroup) computes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Rows of a matrix, pixels of an image.
    pub rows: u32,
    /// Columns of a matrix, output channels of an image.
    pub columns: u32,
}

/// A way to compute an operation. All give the same result within the operation's stated error, in different times.
///
/// Its text is what tables are kept as: `direct 64x64`, `direct 64x64 k4`, `winograd 16x64 16MiB`.
///
/// ```
/// use kernels::{Tile, Variant};
/// let variant: Variant = "direct 128x64".parse()?;
/// assert_eq!(variant, Variant::Direct(Tile { rows: 128, columns: 64 }));
/// assert_eq!(variant.to_string(), "direct 128x64");
/// # Ok::<(), kernels::UnknownVariant>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Variant {
    /// The sum as it is defined.
    Direct(Tile),
    /// The sum as it is defined, its terms in parts that workgroups of their own add up, and then the parts: where an output is small
    /// and its sums are long.
    Split {
        /// The tile of each workgroup.
        tile: Tile,
        /// Parts of the terms, two or more.
        parts: u32,
    },
    /// The sum as it is defined, of f16 tensors on cooperative matrices (tensor cores).
    Cooperative(Tile),
    /// The sum as it is defined, of narrow groups of channels.
    Grouped,
    /// Winograd F(4x4, 3x3), whose 36 products are computed in tiles.
    Winograd {
        /// The tile of the 36 products.
        tile: Tile,
        /// MiB of transformed values at once, at most: what is written should still be cached when it is read.
        band: u32,
    },
}

impl fmt::Display for Tile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}x{}", self.rows, self.columns)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Variant::Direct(tile) => write!(out, "direct {tile}"),
            Variant::Split { tile, parts } => write!(out, "direct {tile} k{parts}"),
            Variant::Cooperative(tile) => write!(out, "cooperative {tile}"),
            Variant::Grouped => write!(out, "grouped"),
            Variant::Winograd { tile, band } => write!(out, "winograd {tile} {band}MiB"),
        }
    }
}

/// A text that names no [`Variant`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no variant of a kernel")]
pub struct UnknownVariant(String);

impl FromStr for Variant {
    type Err = UnknownVariant;

    fn from_str(text: &str) -> Result<Self, UnknownVariant> {
        let tile = |text: &str| {
            let (rows, columns) = text.split_once('x')?;
            Some(Tile { rows: rows.parse().ok()?, columns: columns.parse().ok()? })
        };
        let words: Vec<&str> = text.split(' ').collect();
        let variant = match words[..] {
            ["direct", size] => tile(size).map(Variant::Direct),
            ["direct", size, parts] => tile(size)
                .zip(parts.strip_prefix('k').and_then(|parts| parts.parse().ok()))
                .map(|(tile, parts)| Variant::Split { tile, parts }),
            ["cooperative", size] => tile(size).map(Variant::Cooperative),
            ["grouped"] => Some(Variant::Grouped),
            ["winograd", size, band] => tile(size)
                .zip(band.strip_suffix("MiB").and_then(|band| band.parse().ok()))
                .map(|(tile, band)| Variant::Winograd { tile, band }),
            _ => None,
        };
        // Only the text that a variant itself gives: a table has one spelling.
        variant.filter(|variant| variant.to_string() == text).ok_or_else(|| UnknownVariant(text.to_owned()))
    }
}

/// The variant of each class of shapes, by [`Conv2d::class`](crate::Conv2d::class) and [`Matmul::class`](crate::Matmul::class).
/// Classes that it doesn't hold, and variants that a plan hasn't got, get the default.
pub type TuneTable = BTreeMap<String, Variant>;

/// Finds the exponent of the power of two that a size is at most: shapes of one class differ in it by less than a factor of two.
pub(crate) fn magnitude(size: u64) -> u32 {
    size.next_power_of_two().trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_read_as_they_are_written() {
        let tile = Tile { rows: 32, columns: 64 };
        let split = Variant::Split { tile, parts: 4 };
        let winograd = Variant::Winograd { tile, band: 4 };
        for variant in [Variant::Direct(tile), split, Variant::Cooperative(tile), Variant::Grouped, winograd] {
            assert_eq!(variant.to_string().parse(), Ok(variant));
        }
        for text in [
            "",
            "direct",
            "direct 64",
            "direct 64x",
            "direct 064x64",
            "winograd 64x64",
            "winograd 64x64 4",
            "direct 64x64 4",
            "x",
        ] {
            assert!(text.parse::<Variant>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn magnitudes() {
        assert_eq!([1, 2, 3, 4, 5, 392].map(magnitude), [0, 1, 2, 2, 3, 9]);
    }
}
