//! The columns of a table that is written for other programs, and what stands in their cells.

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// What a column's cells hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    /// A number in f64.
    Share,
    /// So many numbers in f32.
    Row(usize),
    /// A list of texts.
    Texts,
}

/// A cell of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    Text(Option<&'a str>),
    Share(Option<f64>),
    Row(Option<&'a [f32]>),
    Texts(Option<&'a [String]>),
}

impl Kind {
    /// Estimates the bytes of a cell.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Text | Self::Texts => 64,
            Self::Share => 8,
            Self::Row(width) => 4 * width,
        }
    }
}
