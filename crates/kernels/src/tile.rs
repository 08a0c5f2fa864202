//! The register tile of the texture family: what a subgroup computes in one go.

use crate::Context;

/// Rows of the output (of a matrix, or pixels) by columns (or channels).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tile {
    lanes: u32,
    tall: bool,
}

impl Tile {
    /// The tile that wastes least on so many rows. A low one does a sixth less in a given time: it feeds as many loads to half
    /// the sums.
    pub fn of(context: &Context, rows: u64) -> Self {
        let (tall, low) = (rows.next_multiple_of(32), rows.next_multiple_of(16));
        Tile { lanes: context.lanes(), tall: tall * 6 <= low * 7 }
    }

    pub fn rows(self) -> u64 {
        if self.tall { 32 } else { 16 }
    }

    /// A texel a lane.
    pub fn columns(self) -> u32 {
        4 * self.lanes
    }

    /// The shaders' constants.
    pub fn constants(self) -> [(&'static str, f64); 2] {
        [("lanes", self.lanes.into()), ("tall", f64::from(u8::from(self.tall)))]
    }
}
