//! Outlines of things, as signed distances.

use super::math::{Point, Rng, dot, length, polar, sin, sub};

/// A family of outlines; [`Silhouette::shape`] makes one of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silhouette {
    Disc,
    Triangle,
    Square,
    Star,
    Gear,
    Cross,
    Ring,
    Crescent,
    Flower,
    Drop,
    Bolt,
    Spiral,
    Arrow,
    Fish,
    Heart,
    Key,
}

impl Silhouette {
    /// The families of the source task.
    pub(super) const SOURCE: [Self; 12] = [
        Self::Disc,
        Self::Triangle,
        Self::Square,
        Self::Star,
        Self::Gear,
        Self::Cross,
        Self::Ring,
        Self::Crescent,
        Self::Flower,
        Self::Drop,
        Self::Bolt,
        Self::Spiral,
    ];

    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Disc => "disc",
            Self::Triangle => "triangle",
            Self::Square => "square",
            Self::Star => "star",
            Self::Gear => "gear",
            Self::Cross => "cross",
            Self::Ring => "ring",
            Self::Crescent => "crescent",
            Self::Flower => "flower",
            Self::Drop => "drop",
            Self::Bolt => "bolt",
            Self::Spiral => "spiral",
            Self::Arrow => "arrow",
            Self::Fish => "fish",
            Self::Heart => "heart",
            Self::Key => "key",
        }
    }

    /// Draws one member of the family, about the unit disc in size.
    pub(super) fn shape(self, rng: &mut Rng) -> Shape {
        let shape = Shape::default();
        match self {
            Self::Disc => shape.disc([0.0, 0.0], 0.92),
            Self::Triangle => {
                let tip = rng.range(-0.25, 0.25);
                shape.polygon(vec![[tip, -1.0], [0.95, 0.72], [-0.95, 0.72]])
            }
            Self::Square => {
                let h = rng.range(0.66, 0.82);
                shape.polygon(vec![[-0.8, -h], [0.8, -h], [0.8, h], [-0.8, h]])
            }
            Self::Star => {
                let points = rng.whole(5, 7);
                let inner = rng.range(0.42, 0.55);
                shape.polygon(outline(2 * points, |i, t| polar(if i % 2 == 0 { 1.05 } else { inner }, t - 0.25)))
            }
            Self::Gear => {
                let teeth = rng.whole(8, 11);
                let root = rng.range(0.72, 0.78);
                let toothed = outline(4 * teeth, |i, t| polar(if i % 4 < 2 { 1.0 } else { root }, t));
                shape.polygon(toothed).cut_disc([0.0, 0.0], rng.range(0.2, 0.3))
            }
            Self::Cross => {
                let (w, h) = (rng.range(0.26, 0.36), 0.96);
                shape.polygon(vec![[-w, -h], [w, -h], [w, h], [-w, h]]).polygon(vec![
                    [-h, -w],
                    [h, -w],
                    [h, w],
                    [-h, w],
                ])
            }
            Self::Ring => shape.disc([0.0, 0.0], 0.95).cut_disc([0.0, 0.0], rng.range(0.42, 0.56)),
            Self::Crescent => {
                let bite = rng.range(0.38, 0.52);
                shape.disc([-0.1, 0.0], 0.98).cut_disc([bite, 0.0], rng.range(0.68, 0.78))
            }
            Self::Flower => {
                let petals = rng.whole(5, 7);
                let size = rng.range(0.33, 0.38);
                (0..petals).fold(shape.disc([0.0, 0.0], 0.45), |shape, i| {
                    shape.disc(polar(0.66, i as f32 / petals as f32), size)
                })
            }
            Self::Drop => {
                let r = rng.range(0.58, 0.68);
                // The tip's sides touch the disc where its radius is at right angles to them.
                let (y, height) = (0.3, 1.35);
                let up = r * r / height;
                let side = (r * r - up * up).sqrt();
                shape.disc([0.0, y], r).polygon(vec![[0.0, y - height], [side, y - up], [-side, y - up]])
            }
            Self::Bolt => {
                let k = rng.range(-0.08, 0.08);
                shape.polygon(vec![
                    [0.25, -1.05],
                    [-0.6, 0.15 + k],
                    [-0.05, 0.15 + k],
                    [-0.3, 1.05],
                    [0.62, -0.2 + k],
                    [0.08, -0.2 + k],
                    [0.6, -1.05],
                ])
            }
            Self::Spiral => {
                let turns = rng.range(1.5, 1.8);
                let path = (0..=32).map(|i| i as f32 / 32.0).map(|s| polar(0.1 + 0.76 * s, turns * s)).collect();
                shape.stroke(path, 0.18)
            }
            Self::Arrow => {
                let (shaft, neck) = (rng.range(0.2, 0.28), rng.range(-0.1, 0.15));
                shape.polygon(vec![
                    [1.05, 0.0],
                    [neck, 0.72],
                    [neck, shaft],
                    [-1.0, shaft],
                    [-1.0, -shaft],
                    [neck, -shaft],
                    [neck, -0.72],
                ])
            }
            Self::Fish => {
                let (fat, tail) = (rng.range(0.46, 0.58), rng.range(0.45, 0.58));
                let body = outline(24, |_, t| {
                    let [x, y] = polar(1.0, t);
                    // Blunt at the head, narrow at the tail.
                    [0.72 * x + 0.3, fat * y * (0.85 + 0.15 * x)]
                });
                shape
                    .polygon(body)
                    .polygon(vec![[-0.1, 0.0], [-1.0, -tail], [-0.8, 0.0], [-1.0, tail]])
                    .cut_disc([0.66, -0.14], 0.09)
            }
            Self::Heart => {
                let cleft = rng.range(0.4, 0.48);
                let r = 0.92 - cleft;
                shape.disc([-cleft, -0.32], r).disc([cleft, -0.32], r).polygon(vec![
                    [-cleft - 0.72 * r, -0.32 + 0.69 * r],
                    [-cleft, -0.32],
                    [0.0, -0.42],
                    [cleft, -0.32],
                    [cleft + 0.72 * r, -0.32 + 0.69 * r],
                    [0.0, 0.95],
                ])
            }
            Self::Key => {
                let bow = rng.range(0.46, 0.54);
                let bit = rng.range(0.42, 0.55);
                shape
                    .disc([-0.55, 0.0], bow)
                    .cut_disc([-0.62, 0.0], 0.19)
                    .polygon(vec![[-0.2, -0.18], [1.05, -0.18], [1.05, 0.18], [-0.2, 0.18]])
                    .polygon(vec![[0.8, 0.0], [1.05, 0.0], [1.05, bit], [0.8, bit]])
                    .polygon(vec![[0.35, 0.0], [0.6, 0.0], [0.6, bit], [0.35, bit]])
            }
        }
    }
}

/// Lists `count` points of a closed curve, given index and turns.
fn outline(count: u32, at: impl Fn(u32, f32) -> Point) -> Vec<Point> {
    (0..count).map(|i| at(i, i as f32 / count as f32)).collect()
}

/// Discs, polygons and strokes, joined and cut in order.
pub(super) struct Shape {
    parts: Vec<Part>,
    /// Amplitude, period and phase of a ripple that keeps edges from being drawn with a ruler.
    pub(super) ripple: [f32; 3],
}

impl Default for Shape {
    fn default() -> Self {
        Self { parts: Vec::new(), ripple: [0.0, 1.0, 0.0] }
    }
}

enum Part {
    Disc { centre: Point, radius: f32, cut: bool },
    Polygon(Vec<Point>),
    Stroke { path: Vec<Point>, radius: f32 },
}

impl Shape {
    fn with(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    pub(super) fn disc(self, centre: Point, radius: f32) -> Self {
        self.with(Part::Disc { centre, radius, cut: false })
    }

    fn cut_disc(self, centre: Point, radius: f32) -> Self {
        self.with(Part::Disc { centre, radius, cut: true })
    }

    fn polygon(self, corners: Vec<Point>) -> Self {
        self.with(Part::Polygon(corners))
    }

    pub(super) fn stroke(self, path: Vec<Point>, radius: f32) -> Self {
        self.with(Part::Stroke { path, radius })
    }

    /// Computes the signed distance of `p` to the outline, negative inside.
    pub(super) fn distance(&self, p: Point) -> f32 {
        let [amplitude, period, phase] = self.ripple;
        let p = [p[0] + amplitude * sin(p[1] / period + phase), p[1] + amplitude * sin(p[0] / period + 2.0 * phase)];
        self.parts.iter().fold(f32::INFINITY, |d, part| match part {
            Part::Disc { centre, radius, cut: false } => d.min(length(sub(p, *centre)) - radius),
            Part::Disc { centre, radius, cut: true } => d.max(radius - length(sub(p, *centre))),
            Part::Polygon(corners) => d.min(polygon(corners, p)),
            Part::Stroke { path, radius } => {
                let nearest = path.windows(2).map(|ab| segment(ab[0], ab[1], p)).fold(f32::INFINITY, f32::min);
                d.min(nearest.sqrt() - radius)
            }
        })
    }
}

/// Computes the squared distance of `p` to the segment from `a` to `b`.
fn segment(a: Point, b: Point, p: Point) -> f32 {
    let (ab, ap) = (sub(b, a), sub(p, a));
    let t = (dot(ap, ab) / dot(ab, ab)).clamp(0.0, 1.0);
    let away = [ap[0] - t * ab[0], ap[1] - t * ab[1]];
    dot(away, away)
}

/// Computes the signed distance to a simple polygon; inside by the even-odd rule.
fn polygon(corners: &[Point], p: Point) -> f32 {
    let mut nearest = f32::INFINITY;
    let mut inside = false;
    let mut a = corners[corners.len() - 1];
    for &b in corners {
        nearest = nearest.min(segment(a, b, p));
        if (a[1] > p[1]) != (b[1] > p[1]) && p[0] < a[0] + (b[0] - a[0]) * (p[1] - a[1]) / (b[1] - a[1]) {
            inside = !inside;
        }
        a = b;
    }
    if inside { -nearest.sqrt() } else { nearest.sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_to_a_square_are_exact() {
        let square = Shape::default().polygon(vec![[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]);
        let square = Shape { ripple: [0.0, 1.0, 0.0], ..square };
        for (p, expected) in [([0.0, 0.0], -1.0), ([0.75, 0.5], -0.25), ([3.0, 0.0], 2.0), ([4.0, 5.0], 5.0)] {
            let got = square.distance(p);
            assert!((got - expected).abs() <= 1e-6, "{p:?}: {got}, expected {expected}");
        }
    }

    #[test]
    fn every_family_is_about_the_unit_disc_in_size() {
        let target = [Silhouette::Arrow, Silhouette::Fish, Silhouette::Heart, Silhouette::Key];
        for family in Silhouette::SOURCE.into_iter().chain(target) {
            let shape = family.shape(&mut Rng::new(&[family as u64]));
            let at = |i: i32| (i % 128 - 64, i / 128 - 64);
            let inside = |&(x, y): &(i32, i32)| shape.distance([x as f32 / 32.0, y as f32 / 32.0]) < 0.0;
            let filled: Vec<(i32, i32)> = (0..128 * 128).map(at).filter(inside).collect();
            let reach = filled.iter().map(|&(x, y)| length([x as f32 / 32.0, y as f32 / 32.0])).fold(0.0, f32::max);
            assert!((0.9..1.4).contains(&reach), "{} reaches {reach}", family.noun());
            // Of the square of side 2.
            let share = filled.len() as f32 / (64.0 * 64.0);
            assert!((0.15..0.85).contains(&share), "{} fills {share}", family.noun());
        }
    }
}
