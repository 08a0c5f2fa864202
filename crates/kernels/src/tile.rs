//! The tiles of matrix products and direct convolutions.

use crate::{Context, Family, Tile};

/// The tiles to choose from for so many rows of output, the default first.
///
/// Of the tiled family, an invocation's share is rows / 16 by 4; larger tiles read less and leave fewer workgroups. In the
/// texture family the tile is a subgroup's registers, a texel a lane wide; the default is the one that wastes least. A low one does a
/// sixth less in a given time: it feeds as many loads to half the sums.
pub(crate) fn tiles(context: &Context, family: Family, rows: u64) -> Vec<Tile> {
    let heights = match family {
        Family::Tiled => &[64, 128, 32][..],
        Family::Texture => match rows.next_multiple_of(32) * 6 <= rows.next_multiple_of(16) * 7 {
            true => &[32, 16],
            false => &[16, 32],
        },
    };
    heights.iter().map(|&rows| Tile { rows, columns: columns(context, family) }).collect()
}

/// Columns of every tile, which are those of a panel of packed weights.
pub(crate) fn columns(context: &Context, family: Family) -> u32 {
    match family {
        Family::Tiled => 64,
        Family::Texture => 4 * context.lanes(),
    }
}

impl Tile {
    /// The constants of the tiled family's shaders.
    pub(crate) fn tiled_constants(self) -> [(&'static str, f64); 1] {
        [("rows", f64::from(self.rows / 16))]
    }

    /// The constants of the texture family's shaders.
    pub(crate) fn texture_constants(self) -> [(&'static str, f64); 2] {
        [("lanes", f64::from(self.columns / 4)), ("tall", f64::from(u8::from(self.rows == 32)))]
    }
}
