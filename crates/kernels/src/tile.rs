//! The tiles that a family's matrix product and direct convolution can be computed in, for planning and tuning.

use crate::{Context, Family, Tile};

/// Lists the tiles for an output of so many rows (of a matrix, or pixels), the default first.
///
/// Tiled: larger tiles read less and leave fewer workgroups. Texture: a texel of columns
/// a lane; the low tile loads as much for half the sums, which is a sixth slower, but wastes fewer rows.
pub(crate) fn tiles(context: &Context, family: Family, rows: u64) -> Vec<Tile> {
    let columns = columns(context, family);
    let heights = match family {
        Family::Tiled => &[64, 128, 32][..],
        Family::Texture if rows.next_multiple_of(32) * 6 > rows.next_multiple_of(16) * 7 => &[16, 32],
        Family::Texture => &[32, 16],
    };
    heights.iter().map(|&rows| Tile { rows, columns }).collect()
}

/// Gives the columns (or output channels) of every tile, and so of packed panels.
pub(crate) fn columns(context: &Context, family: Family) -> u32 {
    match family {
        Family::Tiled => 64,
        Family::Texture => 4 * context.lanes(),
    }
}

/// Gives the tiled family's `override` constants that make a tile: invocations, and rows of each, `invocations / 16` apart.
pub(crate) fn tiled_constants(tile: Tile) -> [(&'static str, f64); 2] {
    let rows = if tile.rows < 64 { 4 } else { 8 };
    [("invocations", f64::from(tile.rows / rows * 16)), ("rows", f64::from(rows))]
}

/// Gives the texture family's `override` constants that make a tile, where a turn of the loop over a row's `texels` may take two.
pub(crate) fn texture_constants(tile: Tile, texels: u32) -> [(&'static str, f64); 3] {
    [
        ("lanes", f64::from(tile.columns / 4)),
        ("tall", f64::from(u8::from(tile.rows == 32))),
        ("double", f64::from(u8::from(texels.is_multiple_of(2)))),
    ]
}
