//! Drawn pictures to learn from: a patterned object in a cluttered, lit, noisy scene.
//!
//! A class is a silhouette with a surface pattern ("scaly fish"). Everything else is drawn at random, and tells
//! nothing about the class: pose, size, place, colours, light and shadow, background, things beside and in front,
//! blur, exposure and sensor noise. Two tasks come from the same generator and share no silhouette and no pattern,
//! so that what a network learnt on one can be tried on the other.
//!
//! A picture depends on its class, index and seed alone, to the last bit, on every platform.

mod math;
mod silhouette;
mod texture;

use math::{Point, Rng, clouds, dot, length, lerp, noise, polar, smooth, sub};
use silhouette::{Shape, Silhouette};
use std::fmt;
use texture::{Pattern, Texture};

/// Width and height of a picture, in pixels.
pub const SIDE: usize = 64;

/// Samples a pixel and axis.
const SAMPLES: usize = 2;
/// Width and height of the canvas, in samples. All lengths below are in samples.
const CANVAS: usize = SIDE * SAMPLES;
const MIDDLE: f32 = 0.5 * CANVAS as f32;

/// Which classes there are to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Every pair of 12 silhouettes and 8 patterns: 96 classes to pretrain on.
    Source,
    /// 8 classes of 4 silhouettes and 4 patterns, none of them in [`Task::Source`]. Each silhouette comes with two
    /// patterns and each pattern on two silhouettes, so neither alone gives the class away.
    Target,
}

impl Task {
    /// Lists the task's classes, in the order of their labels.
    pub fn classes(self) -> Vec<Class> {
        let class = |(silhouette, pattern)| Class { silhouette, pattern };
        match self {
            Self::Source => Silhouette::SOURCE
                .into_iter()
                .flat_map(|silhouette| Pattern::SOURCE.map(|pattern| class((silhouette, pattern))))
                .collect(),
            Self::Target => [
                (Silhouette::Fish, Pattern::Scaly),
                (Silhouette::Fish, Pattern::Plaid),
                (Silhouette::Heart, Pattern::Plaid),
                (Silhouette::Heart, Pattern::Zigzag),
                (Silhouette::Arrow, Pattern::Zigzag),
                (Silhouette::Arrow, Pattern::Woven),
                (Silhouette::Key, Pattern::Woven),
                (Silhouette::Key, Pattern::Scaly),
            ]
            .map(class)
            .into(),
        }
    }
}

/// A silhouette with a surface pattern. Its `Display` is the name: `striped gear`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    silhouette: Silhouette,
    pattern: Pattern,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pattern.adjective(), self.silhouette.noun())
    }
}

/// A drawn picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Columns, in pixels.
    pub width: usize,
    /// Rows, in pixels.
    pub height: usize,
    /// `height · width · 3` bytes: rows from the top, red, green and blue interleaved.
    pub rgb: Vec<u8>,
}

impl Class {
    /// Draws the picture number `index` of this class. Another `seed` gives another, independent series.
    pub fn draw(self, index: u64, seed: u64) -> Picture {
        let mut rng = Rng::new(&[seed, self.silhouette as u64, self.pattern as u64, index]);
        let rng = &mut rng;
        // Bright on dark, whatever the hues: what there is to see is where the brightness changes.
        let (ground, bright, dark) = (colour(0.1, 0.5, rng), colour(0.7, 1.0, rng), colour(0.1, 0.6, rng));
        let light = Light::new(rng);
        let mut canvas = background(ground, rng);

        for _ in 0..rng.whole(0, 2) {
            let (thing, plain) = (Thing::beside(rng), colour(0.1, 1.0, rng));
            thing.paint(&mut canvas, &light, |_| plain);
        }

        let thing = Thing::main(self.silhouette, rng);
        let texture = Texture::new(self.pattern, rng.range(2.1, 3.1), rng);
        thing.paint(&mut canvas, &light, |p| blend(bright, dark, texture.at(p)));

        for _ in 0..rng.whole(0, 1) {
            let (thing, plain) = (Thing::in_front(rng), colour(0.1, 1.0, rng));
            thing.paint(&mut canvas, &light, |_| plain);
        }
        develop(&canvas, rng)
    }
}

/// Red, green and blue, in linear light.
type Rgb = [f32; 3];

fn blend(a: Rgb, b: Rgb, t: f32) -> Rgb {
    [0, 1, 2].map(|i| lerp(a[i], b[i], t))
}

/// Draws any hue, from grey to vivid, of a brightness between `dark` and `bright`.
fn colour(dark: f32, bright: f32, rng: &mut Rng) -> Rgb {
    let hue = rng.range(0.0, 6.0);
    let saturation = rng.range(0.0, 0.8);
    let value = rng.range(dark, bright);
    [5.0, 3.0, 1.0].map(|n: f32| {
        let k = (n + hue) % 6.0;
        let v = value * (1.0 - saturation * k.min(4.0 - k).clamp(0.0, 1.0));
        v * v
    })
}

/// Where the light comes from, and how hard it is.
struct Light {
    /// Unit vector across the picture, towards the light.
    towards: Point,
    ambient: f32,
    shadow: f32,
    softness: f32,
    gloss: f32,
}

impl Light {
    fn new(rng: &mut Rng) -> Self {
        Self {
            towards: polar(1.0, rng.range(0.0, 1.0)),
            ambient: rng.range(0.5, 0.8),
            shadow: rng.range(0.2, 0.75),
            softness: rng.range(2.0, 10.0),
            gloss: rng.range(0.0, 0.5),
        }
    }
}

/// A shape in the scene.
struct Thing {
    shape: Shape,
    centre: Point,
    /// From the canvas to the shape's own plane, where it is about the unit disc: two rows of a matrix.
    inverse: [Point; 2],
    /// Samples per unit of the shape's plane.
    scale: f32,
    /// Height above the ground: how far its shadow falls.
    height: f32,
}

impl Thing {
    /// Places a shape turned by `turns`, stretched and sheared a little, and flipped or not.
    fn new(mut shape: Shape, centre: Point, scale: f32, turns: f32, rng: &mut Rng) -> Self {
        shape.ripple = [rng.range(0.0, 0.035), rng.range(0.5, 1.2), rng.range(0.0, 1.0)];
        let (stretch, shear) = (rng.range(0.88, 1.14), rng.range(-0.15, 0.15));
        let flip = if rng.chance(0.5) { -1.0 } else { 1.0 };
        let [c, s] = polar(1.0 / scale, turns);
        let (across, down) = ([flip * c * stretch, flip * s * stretch], [-s / stretch, c / stretch]);
        let inverse = [[across[0] + shear * down[0], across[1] + shear * down[1]], down];
        Self { shape, centre, inverse, scale, height: rng.range(3.0, 9.0) }
    }

    /// Draws the object that the picture is of.
    fn main(silhouette: Silhouette, rng: &mut Rng) -> Self {
        let shape = silhouette.shape(rng);
        let scale = rng.range(42.0, 54.0);
        let offset = rng.point((62.0 - scale).max(10.0));
        let turns = 0.05 * rng.normal();
        Self::new(shape, [MIDDLE + offset[0], MIDDLE + offset[1]], scale, turns, rng)
    }

    /// Draws a small plain thing somewhere near the edge.
    fn beside(rng: &mut Rng) -> Self {
        let kind = rng.whole(0, Silhouette::SOURCE.len() as u32 - 1) as usize;
        let shape = Silhouette::SOURCE[kind].shape(rng);
        let [x, y] = polar(rng.range(52.0, 84.0), rng.range(0.0, 1.0));
        let (scale, turns) = (rng.range(9.0, 20.0), rng.range(0.0, 1.0));
        Self::new(shape, [MIDDLE + x, MIDDLE + y], scale, turns, rng)
    }

    /// Draws a twig or a pebble, lying over what is there.
    fn in_front(rng: &mut Rng) -> Self {
        let shape = if rng.chance(0.6) {
            let bend = rng.range(-0.7, 0.7);
            let arc = (-4..=4).map(|i| i as f32 / 4.0).map(|t| [1.4 * t, bend * (t * t - 0.5)]);
            Shape::default().stroke(arc.collect(), rng.range(0.05, 0.1))
        } else {
            Shape::default().disc([0.0, 0.0], rng.range(0.15, 0.28))
        };
        let offset = rng.point(50.0);
        let (scale, turns) = (rng.range(36.0, 56.0), rng.range(0.0, 1.0));
        Self::new(shape, [MIDDLE + offset[0], MIDDLE + offset[1]], scale, turns, rng)
    }

    fn to_plane(&self, x: usize, y: usize) -> Point {
        let p = sub([x as f32 + 0.5, y as f32 + 0.5], self.centre);
        [dot(self.inverse[0], p), dot(self.inverse[1], p)]
    }

    /// Computes the signed distance to the outline at every sample; a large number far away.
    fn field(&self) -> Vec<f32> {
        let at = |i: usize| {
            let p = self.to_plane(i % CANVAS, i / CANVAS);
            let far = length(p) > 1.9;
            if far { CANVAS as f32 } else { self.scale * self.shape.distance(p) }
        };
        (0..CANVAS * CANVAS).map(at).collect()
    }

    /// Paints the shadow, then the body in `colour`, given points of the shape's plane, with a lit and a shaded rim.
    fn paint(&self, canvas: &mut [Rgb], light: &Light, colour: impl Fn(Point) -> Rgb) {
        let field = self.field();
        let at = |x: f32, y: f32| {
            let clamp = |v: f32| v.clamp(0.0, (CANVAS - 1) as f32) as usize;
            field[clamp(y) * CANVAS + clamp(x)]
        };
        let rim = 0.16 * self.scale;
        for (i, pixel) in canvas.iter_mut().enumerate() {
            let (column, row) = (i % CANVAS, i / CANVAS);
            let (x, y) = (column as f32, row as f32);
            let d = field[i];
            let covered = (0.5 - d).clamp(0.0, 1.0);
            if covered < 1.0 {
                let above = at(x + light.towards[0] * self.height, y + light.towards[1] * self.height);
                let shade = light.shadow * smooth(0.5 - above / light.softness);
                *pixel = pixel.map(|v| v * (1.0 - shade));
            }
            if covered > 0.0 {
                let slope = [at(x + 1.0, y) - at(x - 1.0, y), at(x, y + 1.0) - at(x, y - 1.0)];
                let steep = 1.0 - smooth(-d / rim);
                let facing = 0.5 * steep * dot(slope, light.towards);
                let lit = light.ambient + (1.0 - light.ambient) * (0.7 + facing);
                let shine = light.gloss * facing.max(0.0) * facing.max(0.0) * 0.5;
                let body = colour(self.to_plane(column, row)).map(|v| v * lit + shine);
                *pixel = blend(*pixel, body, covered);
            }
        }
    }
}

/// Paints the ground: a faint pattern of the source task, clouds, or nearly nothing, with grain.
fn background(ground: Rgb, rng: &mut Rng) -> Vec<Rgb> {
    let other = blend(ground, colour(0.1, 1.0, rng), rng.range(0.1, 0.3));
    let kind = rng.whole(0, Pattern::SOURCE.len() as u32 - 1) as usize;
    let texture = Texture::new(Pattern::SOURCE[kind], rng.range(0.03, 0.1), rng);
    let (patterned, salt) = (rng.chance(0.25), rng.bits());
    let (grain, cloud) = (rng.range(0.0, 0.3), rng.range(0.015, 0.06));
    (0..CANVAS * CANVAS)
        .map(|i| {
            let p @ [x, y] = [(i % CANVAS) as f32, (i / CANVAS) as f32];
            let share = if patterned { texture.at(p) } else { clouds([x * cloud, y * cloud], salt) };
            let rough = 1.0 + grain * (noise([0.4 * x, 0.4 * y], !salt) - 0.5);
            blend(ground, other, share).map(|v| v * rough)
        })
        .collect()
}

/// Turns light into bytes: uneven exposure, the lens's blur, the sensor's noise, gamma 2.
fn develop(canvas: &[Rgb], rng: &mut Rng) -> Picture {
    let (exposure, fall) = (rng.range(0.75, 1.2), rng.point(0.3));
    let cast = [(); 3].map(|()| rng.range(0.88, 1.12));
    let share = 1.0 / (SAMPLES * SAMPLES) as f32;
    let mut light = vec![[0.0; 3]; SIDE * SIDE];
    for (i, sample) in canvas.iter().enumerate() {
        let (x, y) = (i % CANVAS / SAMPLES, i / CANVAS / SAMPLES);
        let middle = [x as f32 / SIDE as f32 - 0.5, y as f32 / SIDE as f32 - 0.5];
        let gain = exposure * share * (1.0 + dot(middle, fall));
        for c in 0..3 {
            light[y * SIDE + x][c] += sample[c] * gain * cast[c];
        }
    }

    // The kernel (b, 1 - 2b, b) along rows, then along columns.
    let blur = rng.range(0.0, 0.27);
    for step in [1, SIDE] {
        let sharp = light.clone();
        for (i, pixel) in light.iter_mut().enumerate() {
            let place = i / step % SIDE;
            let before = sharp[if place > 0 { i - step } else { i }];
            let after = sharp[if place + 1 < SIDE { i + step } else { i }];
            *pixel = [0, 1, 2].map(|c| lerp(sharp[i][c], 0.5 * (before[c] + after[c]), 2.0 * blur));
        }
    }

    let (grey, coloured) = (rng.range(0.005, 0.03), rng.range(0.0, 0.02));
    let mut rgb = Vec::with_capacity(SIDE * SIDE * 3);
    for pixel in light {
        let common = grey * rng.normal();
        for v in pixel {
            let v = v.max(0.0).sqrt() + common + coloured * rng.normal();
            rgb.push((255.0 * v.clamp(0.0, 1.0) + 0.5) as u8);
        }
    }
    Picture { width: SIDE, height: SIDE, rgb }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// FNV-1a over the bytes of a few pictures of every kind of class.
    #[test]
    fn pictures_are_the_same_everywhere() {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for class in Task::Source.classes().into_iter().step_by(9).chain(Task::Target.classes()) {
            for index in 0..2 {
                for byte in class.draw(index, 7).rgb {
                    hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                }
            }
        }
        assert_eq!(hash, 2_283_391_231_652_062_658, "the pictures changed: the embedded backbone must be trained anew");
    }

    #[test]
    fn class_index_and_seed_each_make_another_picture() {
        let all: Vec<Class> = [Task::Source, Task::Target].into_iter().flat_map(Task::classes).collect();
        let mut seen: HashSet<Vec<u8>> = all.iter().map(|class| class.draw(0, 0).rgb).collect();
        seen.insert(all[0].draw(1, 0).rgb);
        seen.insert(all[0].draw(0, 1).rgb);
        assert_eq!(seen.len(), 96 + 8 + 2);
        let picture = all[0].draw(0, 0);
        assert_eq!((picture.width, picture.height, picture.rgb.len()), (SIDE, SIDE, SIDE * SIDE * 3));
    }

    #[test]
    fn tasks_share_no_silhouette_and_no_pattern() {
        let (source, target) = (Task::Source.classes(), Task::Target.classes());
        for t in &target {
            assert!(source.iter().all(|s| s.silhouette != t.silhouette && s.pattern != t.pattern), "{t}");
            // One cue alone always leaves two classes.
            assert_eq!(target.iter().filter(|o| o.silhouette == t.silhouette).count(), 2, "{t}");
            assert_eq!(target.iter().filter(|o| o.pattern == t.pattern).count(), 2, "{t}");
        }
        let names: HashSet<String> = source.iter().chain(&target).map(Class::to_string).collect();
        assert_eq!(names.len(), 96 + 8);
    }

    /// Accuracy on 8 classes of the nearest class mean of a picture's mean colour. `tint` adds to the red of a class.
    fn accuracy_by_colour(tint: f32) -> f32 {
        const COUNT: usize = 24;
        let classes = Task::Target.classes();
        let colour = |label: usize, index: usize| {
            let picture = classes[label].draw(index as u64, 3);
            let mut sum = [tint * label as f32 * (SIDE * SIDE) as f32, 0.0, 0.0];
            for pixel in picture.rgb.chunks_exact(3) {
                (0..3).for_each(|c| sum[c] += f32::from(pixel[c]));
            }
            sum
        };
        let means: Vec<Rgb> = (0..classes.len())
            .map(|label| (0..COUNT).fold([0.0; 3], |sum, i| blend(sum, colour(label, i), 1.0 / (i + 1) as f32)))
            .collect();
        let nearest = |v: Rgb| {
            let away = |m: &Rgb| (0..3).map(|c| (v[c] - m[c]) * (v[c] - m[c])).sum::<f32>();
            (0..means.len()).min_by(|&a, &b| away(&means[a]).total_cmp(&away(&means[b])))
        };
        let hits = (0..classes.len())
            .flat_map(|label| (COUNT..2 * COUNT).map(move |i| (label, i)))
            .filter(|&(label, i)| nearest(colour(label, i)) == Some(label))
            .count();
        hits as f32 / (classes.len() * COUNT) as f32
    }

    #[test]
    fn colour_does_not_give_the_class_away() {
        // Chance is 1/8, and 192 guesses at chance deviate by 0.024: four deviations above is not chance.
        let (chance, deviation) = (0.125, 0.024);
        assert!(accuracy_by_colour(0.0) < chance + 4.0 * deviation);
        // The same measure does see a colour that depends on the class.
        assert!(accuracy_by_colour(40.0) > chance + 4.0 * deviation);
    }
}
