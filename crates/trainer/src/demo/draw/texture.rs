//! Surfaces of things: how much of the second colour a point has.

use super::math::{Point, Rng, clouds, cos, fract, lattice, length, lerp, noise, polar, smooth, sub};

/// A family of surfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Striped,
    Checked,
    Dotted,
    Speckled,
    Ringed,
    Cellular,
    Marbled,
    Brick,
    Plaid,
    Scaly,
    Woven,
    Zigzag,
}

impl Pattern {
    /// The families of the source task.
    pub(super) const SOURCE: [Self; 8] = [
        Self::Striped,
        Self::Checked,
        Self::Dotted,
        Self::Speckled,
        Self::Ringed,
        Self::Cellular,
        Self::Marbled,
        Self::Brick,
    ];

    pub(super) fn adjective(self) -> &'static str {
        match self {
            Self::Striped => "striped",
            Self::Checked => "checked",
            Self::Dotted => "dotted",
            Self::Speckled => "speckled",
            Self::Ringed => "ringed",
            Self::Cellular => "cellular",
            Self::Marbled => "marbled",
            Self::Brick => "brick",
            Self::Plaid => "plaid",
            Self::Scaly => "scaly",
            Self::Woven => "woven",
            Self::Zigzag => "zigzag",
        }
    }
}

/// One member of a family: turned, scaled, shifted, slightly warped.
pub(super) struct Texture {
    pattern: Pattern,
    /// Cosine and sine of the turn, times the frequency.
    turn: Point,
    shift: Point,
    /// Share of the first colour where the pattern has such a share.
    duty: f32,
    warp: f32,
    salt: u64,
}

/// Rises from 0 to 1 around `x = 0`, soft enough not to flicker between samples.
fn edge(x: f32) -> f32 {
    smooth(x / 0.16 + 0.5)
}

/// Computes a square wave of period 1 that is 1 for a share `1 - duty` of it.
fn bars(x: f32, duty: f32) -> f32 {
    edge((fract(x) - 0.5).abs() - 0.5 * duty)
}

/// Lists the lattice points around `(x, y)` and itself.
fn neighbours(x: f32, y: f32) -> impl Iterator<Item = (f32, f32)> {
    [-1.0, 0.0, 1.0].into_iter().flat_map(move |i| [-1.0, 0.0, 1.0].map(|j| (x + i, y + j)))
}

impl Texture {
    /// Draws a member of a family; `frequency` is in periods per unit of the plane it lies on.
    pub(super) fn new(pattern: Pattern, frequency: f32, rng: &mut Rng) -> Self {
        Self {
            pattern,
            turn: polar(frequency, rng.range(0.0, 1.0)),
            shift: rng.point(8.0),
            duty: rng.range(0.42, 0.58),
            warp: rng.range(0.05, 0.25),
            salt: rng.bits(),
        }
    }

    /// Computes the share of the second colour at `p`, in `[0, 1]`.
    pub(super) fn at(&self, p: Point) -> f32 {
        let [c, s] = self.turn;
        let straight = [c * p[0] - s * p[1] + self.shift[0], s * p[0] + c * p[1] + self.shift[1]];
        let half = [0.5 * straight[0], 0.5 * straight[1]];
        let [x, y] = [
            straight[0] + self.warp * (noise(half, self.salt) - 0.5),
            straight[1] + self.warp * (noise(half, !self.salt) - 0.5),
        ];
        let duty = self.duty;
        match self.pattern {
            Pattern::Striped => bars(x, duty),
            Pattern::Checked => {
                let (a, b) = (bars(0.6 * x, 0.5), bars(0.6 * y, 0.5));
                a + b - 2.0 * a * b
            }
            Pattern::Dotted => {
                let shifted = if y.floor() % 2.0 == 0.0 { x } else { x + 0.5 };
                edge(0.7 * duty - length([fract(shifted) - 0.5, fract(y) - 0.5]))
            }
            Pattern::Speckled => self.speck([1.2 * x, 1.2 * y]),
            Pattern::Ringed => {
                let centre = sub(self.shift, polar(1.2, duty * 9.0));
                let growth = 0.5 * noise([0.7 * x, 0.7 * y], self.salt);
                bars(length(sub([x, y], centre)) + growth, duty)
            }
            Pattern::Cellular => {
                let (tone, border) = self.cell([0.8 * x, 0.8 * y]);
                (0.75 * tone).max(edge(0.1 - border))
            }
            Pattern::Marbled => {
                let vein = clouds([0.55 * x, 0.55 * y], self.salt);
                smooth(1.6 * (2.0 * fract(2.2 * vein) - 1.0).abs() - 0.3)
            }
            Pattern::Brick => {
                let row = (1.2 * y).floor();
                let along = 0.6 * x + 0.5 * (row - 2.0 * (0.5 * row).floor());
                let mortar = bars(1.2 * y, 0.78).max(bars(along, 0.88));
                let tone = 0.4 * lattice(along.floor(), row, self.salt);
                lerp(tone, 1.0, mortar)
            }
            Pattern::Plaid => {
                let band = |t: f32| 0.55 * bars(0.5 * t, duty) + 0.45 * bars(0.5 * t + 0.25, 0.84);
                (0.6 * (band(x) + band(y))).min(1.0)
            }
            Pattern::Scaly => self.scale([x, y]),
            Pattern::Woven => {
                let (u, v) = (0.6 * x, 0.6 * y);
                let across = (u.floor() + v.floor()) % 2.0 == 0.0;
                let (along, side) = if across { (fract(u), fract(v)) } else { (fract(v), fract(u)) };
                let strand = bars(2.0 * side + 0.5, 0.68);
                // Each strand dives under its neighbours at both ends.
                strand.max(0.85 * smooth(2.6 * (along - 0.5).abs() - 0.55))
            }
            Pattern::Zigzag => bars(y + (2.0 * fract(0.45 * x) - 1.0).abs(), duty),
        }
    }

    /// Finds the random tone of the Voronoi cell around `p`, and distance to its border (about).
    fn cell(&self, p: Point) -> (f32, f32) {
        let (x, y) = (p[0].floor(), p[1].floor());
        let (mut first, mut second, mut tone) = (f32::INFINITY, f32::INFINITY, 0.0);
        for (i, j) in neighbours(x, y) {
            let seed = [i + lattice(i, j, self.salt), j + lattice(i, j, !self.salt)];
            let d = length(sub(p, seed));
            if d < first {
                (first, second, tone) = (d, first, lattice(i, j, self.salt ^ 1));
            } else {
                second = second.min(d);
            }
        }
        (tone, 0.5 * (second - first))
    }

    /// Darkness of the discs, of any size, strewn over the plane.
    fn speck(&self, p: Point) -> f32 {
        let (x, y) = (p[0].floor(), p[1].floor());
        neighbours(x, y).fold(0.0, |darkest, (i, j)| {
            let centre = [i + lattice(i, j, self.salt), j + lattice(i, j, !self.salt)];
            let radius = 0.5 * lattice(i, j, self.salt ^ 1);
            darkest.max(edge(radius - 0.1 - length(sub(p, centre))))
        })
    }

    /// Rows of discs, each row over the next, as roof tiles lie.
    fn scale(&self, p: Point) -> f32 {
        let (x, v) = (p[0], 1.6 * p[1]);
        for row in [v.floor() - 1.0, v.floor(), v.floor() + 1.0] {
            let offset = 0.25 * cos(0.5 * row) + 0.25;
            let d = length([fract(x + offset) - 0.5, (v - row - 0.5) / 1.6]);
            if v - row < 2.0 && d < 0.62 {
                return edge(d - 0.5).max(0.5 * smooth(1.2 * (0.62 - d)));
            }
        }
        1.0
    }
}
