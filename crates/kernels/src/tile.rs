//! The tiles that a family's matrix product and direct convolution can be computed in, for planning and tuning, and the parts that
//! their sums are split into.

use crate::{Context, Family, Tile};

/// Workgroups below which a large GPU has cores without work, and those that give each of them two.
pub(crate) const FEW_WORKGROUPS: u64 = 132;
pub(crate) const ENOUGH_WORKGROUPS: u64 = 264;

/// The fewest terms that are worth a part: its sums are written and read once more.
pub(crate) const PART_DEPTH: u64 = 256;

/// Lists the tiles for an output of so many rows (of a matrix, or pixels) and columns (or output channels), the default first.
///
/// Tiled: larger tiles read less and leave fewer workgroups; of 64 rows half would be idle where there are 32. Texture: a texel of columns
/// a lane; the low tile loads as much for half the sums, which is a sixth slower, but wastes fewer rows.
pub(crate) fn tiles(context: &Context, family: Family, rows: u64, columns: u64) -> Vec<Tile> {
    let width = self::columns(context, family);
    let narrow = |rows| Tile { rows, columns: width };
    let wide = (columns > 64).then_some(Tile { rows: 128, columns: 128 });
    match family {
        Family::Tiled if rows <= 32 => [32, 64, 128].map(narrow).into_iter().chain(wide).collect(),
        Family::Tiled => [64, 128, 32].map(narrow).into_iter().chain(wide).collect(),
        Family::Texture if rows.next_multiple_of(32) * 6 > rows.next_multiple_of(16) * 7 => {
            vec![narrow(16), narrow(32)]
        }
        Family::Texture => vec![narrow(32), narrow(16)],
    }
}

/// Gives the columns (or output channels) of packed panels, and of every tile that isn't two panels wide.
pub(crate) fn columns(context: &Context, family: Family) -> u32 {
    match family {
        Family::Tiled => 64,
        Family::Texture => 4 * context.lanes(),
    }
}

/// Gives the tiled family's `override` constants that make a tile: invocations, those side by side along the columns, and rows and
/// columns of each.
pub(crate) fn tiled_constants(tile: Tile) -> [(&'static str, f64); 4] {
    let [invocations, across, rows, columns] = match (tile.rows, tile.columns) {
        (128, 128) => [256, 16, 8, 8],
        (128, _) => [128, 8, 8, 8],
        (32, _) => [128, 16, 4, 4],
        _ => [128, 16, 8, 4],
    };
    [
        ("invocations", f64::from(invocations)),
        ("across", f64::from(across)),
        ("rows", f64::from(rows)),
        ("columns", f64::from(columns)),
    ]
}

/// Lists numbers of parts that are worth a measurement for so many workgroups of sums of so many terms.
pub(crate) fn worthwhile_parts(workgroups: u64, depth: u64) -> impl Iterator<Item = u32> {
    [2, 4, 8, 16].into_iter().filter(move |&parts| {
        let parts = u64::from(parts);
        workgroups * parts < 2 * ENOUGH_WORKGROUPS && parts * PART_DEPTH <= depth
    })
}

/// Chooses the number of parts for so many workgroups of sums of so many terms: one, but where few workgroups leave
/// cores without work.
pub(crate) fn default_parts(context: &Context, workgroups: u64, depth: u64) -> u32 {
    match context.tune().many_cores && workgroups < FEW_WORKGROUPS {
        true => ENOUGH_WORKGROUPS.div_ceil(workgroups).min(depth / PART_DEPTH).max(1) as u32,
        false => 1,
    }
}

/// Gives the texture family's `override` constants that make a tile, where a turn of the loop over a row's `texels` may take two.
pub(crate) fn texture_constants(tile: Tile, texels: u32) -> [(&'static str, f64); 3] {
    [
        ("lanes", f64::from(tile.columns / 4)),
        ("tall", f64::from(u8::from(tile.rows == 32))),
        ("double", f64::from(u8::from(texels.is_multiple_of(2)))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_worth_a_measurement() {
        let parts = |workgroups, depth| worthwhile_parts(workgroups, depth).collect::<Vec<_>>();
        assert_eq!(parts(56, 4608), [2, 4, 8]);
        assert_eq!(parts(8, 4608), [2, 4, 8, 16]);
        assert_eq!(parts(8, 1024), [2, 4]);
        assert_eq!(parts(8, 511), []);
        assert_eq!(parts(400, 4608), []);
    }
}
