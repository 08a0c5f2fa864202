//! The tiles that a family's matrix product and direct convolution can be made of.

use crate::{Context, Family, Tile};

/// Those for an output of so many rows (of a matrix, or pixels), the default first.
///
/// Tiled: an invocation's share is rows / 16 by 4; larger tiles read less and leave fewer workgroups. Texture: a texel of columns
/// a lane; the low tile feeds as many loads to half the sums and so does a sixth less in a given time, but wastes fewer rows.
pub(crate) fn tiles(context: &Context, family: Family, rows: u64) -> Vec<Tile> {
    let columns = columns(context, family);
    let heights = match family {
        Family::Tiled => &[64, 128, 32][..],
        Family::Texture if rows.next_multiple_of(32) * 6 > rows.next_multiple_of(16) * 7 => &[16, 32],
        Family::Texture => &[32, 16],
    };
    heights.iter().map(|&rows| Tile { rows, columns }).collect()
}

/// Columns (or output channels) of every tile, and so of packed panels.
pub(crate) fn columns(context: &Context, family: Family) -> u32 {
    match family {
        Family::Tiled => 64,
        Family::Texture => 4 * context.lanes(),
    }
}

/// The tiled family's `override` that makes a tile.
pub(crate) fn tiled_constants(tile: Tile) -> [(&'static str, f64); 1] {
    [("rows", f64::from(tile.rows / 16))]
}

/// The texture family's likewise.
pub(crate) fn texture_constants(tile: Tile) -> [(&'static str, f64); 2] {
    [("lanes", f64::from(tile.columns / 4)), ("tall", f64::from(u8::from(tile.rows == 32)))]
}
