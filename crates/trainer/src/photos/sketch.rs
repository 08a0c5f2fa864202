//! Sketches: what is left of a picture at 64 pixels, by which two files are seen to hold the same photo, cropped, mirrored, resized or compressed
//! again.

use crate::photos::picture::Picture;

/// The longer side of what shows detail, in pixels.
const FINE: usize = 64;
/// The longer side of what is laid over another in every way there is, in pixels.
const COARSE: usize = 16;
/// How far around a pixel its surroundings reach, which are subtracted from it, as a share of the longer side.
const AROUND: f32 = 1.0 / 12.0;
/// The least deviation of what is compared, in grey levels: a clear sky looks like any other.
const DETAIL: f32 = 2.0;
/// How much of the smaller picture must lie on the other.
const OVERLAP: f32 = 0.6;
/// How much larger or smaller one may show what both do.
const SCALES: [f32; 9] = [0.56, 0.65, 0.75, 0.87, 1.0, 1.15, 1.33, 1.54, 1.78];
/// How many ways to lay one over the other are looked at, for each of the picture and its mirror image.
const TRIED: usize = 4;
/// How many of all are looked at as closely as can be.
const CLOSELY: usize = 2;
/// The correlation that a way must promise to be looked at.
const PROMISE: f32 = 0.4;

/// A picture small enough to keep thousands, and large enough to tell whether two are of one photo.
pub(crate) struct Sketch {
    /// Grey without its surroundings' mean, `[height, width, 1]`: edges and texture, whatever the light.
    fine: Plane<1>,
    /// The same of the coarse picture.
    coarse: Plane<1>,
    /// The coarse picture's colours, `[height, width, 3]`.
    colours: Plane<3>,
}

/// How one picture lies on another: where its pixels are found there, from centre to centre.
#[derive(Clone, Copy)]
struct Pose {
    scale: [f32; 2],
    shift: [f32; 2],
}

impl Sketch {
    /// Draws a picture's sketch.
    pub(crate) fn new(picture: &Picture) -> Self {
        let (pixels, _) = picture.rgb.as_chunks::<3>();
        let fine = shrunk([picture.width, picture.height], FINE, |place| pixels[place].map(f32::from));
        let colours = shrunk(fine.size, COARSE, |place| fine.rgb[place]);
        Self { fine: fine.grey().detail(), coarse: colours.grey().detail(), colours: colours.into_signed() }
    }

    /// Computes how alike two pictures are where they lie best on each other, in [-1, 1]: the lesser of the correlations of their detail and of
    /// their colours. Of a picture and its crop, mirror image, smaller or compressed edition, or one in other light, it is near 1.
    ///
    /// Pictures without detail (a wall, a gradient) are like nothing: 0.
    pub(crate) fn likeness(&self, other: &Self) -> f32 {
        let mirrored = other.mirrored();
        let mut ways: Vec<(f32, Pose, &Self)> = Vec::new();
        for other in [other, &mirrored] {
            let quickly = |pose| self.refined(other, pose, (&[3.0, 1.5], 4));
            ways.extend(self.promising(other).into_iter().map(quickly).map(|(detail, pose)| (detail, pose, other)));
        }
        ways.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
        let closely = ways.into_iter().take(CLOSELY).filter(|(detail, ..)| *detail > PROMISE / 2.0);
        let likeness = closely.map(|(_, pose, other)| {
            let (detail, pose) = self.refined(other, pose, (&[1.5, 0.75], 2));
            detail.min(self.colours.correlation(&other.colours, pose.times(COARSE as f32 / FINE as f32), 1))
        });
        likeness.fold(0.0, f32::max)
    }

    fn mirrored(&self) -> Self {
        Self { fine: self.fine.mirrored(), coarse: self.coarse.mirrored(), colours: self.colours.mirrored() }
    }

    /// Finds the most promising ways to lay `other` on this, in pixels of the fine picture.
    fn promising(&self, other: &Self) -> Vec<Pose> {
        let mut ways: Vec<(f32, Pose)> = Vec::new();
        for scale in SCALES {
            self.coarse.shifts(&other.coarse.scaled(scale), |correlation, shift| {
                if correlation > PROMISE {
                    ways.push((correlation, Pose { scale: [scale; 2], shift }));
                }
            });
        }
        ways.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        // As a whole on the whole, however it was stretched.
        let stretched = [0, 1].map(|axis| self.fine.size[axis] as f32 / other.fine.size[axis] as f32);
        let mut poses = vec![Pose { scale: stretched, shift: [0.0; 2] }];
        for (_, pose) in ways {
            let pose = pose.times(FINE as f32 / COARSE as f32);
            let known = |one: &Pose| one.scale == pose.scale && one.distance(&pose) < 6.0;
            if poses.len() <= TRIED && !poses.iter().any(known) {
                poses.push(pose);
            }
        }
        poses
    }

    /// Moves and scales a pose, by so many pixels at a time, as long as that makes the detail more alike; gives what it comes to. Every `stride`-th pixel is
    /// looked at.
    fn refined(&self, other: &Self, mut pose: Pose, (steps, stride): (&[f32], usize)) -> (f32, Pose) {
        let of = |pose: Pose| self.fine.correlation(&other.fine, pose, stride);
        let mut best = of(pose);
        for &step in steps {
            let scale = 1.0 + step / FINE as f32;
            for _ in 0..4 {
                let before = best;
                for (by, shift) in [
                    ([1.0; 2], [step, 0.0]),
                    ([1.0; 2], [-step, 0.0]),
                    ([1.0; 2], [0.0, step]),
                    ([1.0; 2], [0.0, -step]),
                    ([scale; 2], [0.0; 2]),
                    ([1.0 / scale; 2], [0.0; 2]),
                    ([scale, 1.0], [0.0; 2]),
                    ([1.0 / scale, 1.0], [0.0; 2]),
                ] {
                    let moved = Pose {
                        scale: [pose.scale[0] * by[0], pose.scale[1] * by[1]],
                        shift: [pose.shift[0] + shift[0], pose.shift[1] + shift[1]],
                    };
                    let correlation = of(moved);
                    if correlation > best {
                        (best, pose) = (correlation, moved);
                    }
                }
                if best <= before {
                    break;
                }
            }
        }
        (best, pose)
    }
}

impl Pose {
    /// Converts it to pixels of another size.
    fn times(self, factor: f32) -> Self {
        Self { shift: self.shift.map(|shift| shift * factor), ..self }
    }

    fn distance(&self, other: &Self) -> f32 {
        (self.shift[0] - other.shift[0]).abs().max((self.shift[1] - other.shift[1]).abs())
    }
}

/// The sums from which the correlation of pairs of values follows.
#[derive(Default)]
struct Sums {
    count: f32,
    a: f32,
    b: f32,
    aa: f32,
    bb: f32,
    ab: f32,
}

impl Sums {
    fn add(&mut self, a: f32, b: f32) {
        self.count += 1.0;
        self.a += a;
        self.b += b;
        self.aa += a * a;
        self.bb += b * b;
        self.ab += a * b;
    }

    /// Computes Pearson's correlation; 0 where there is too little detail to have one.
    fn correlation(&self) -> f32 {
        let Self { count, a, b, aa, bb, ab } = *self;
        let (var_a, var_b) = ((aa - a * a / count) / count, (bb - b * b / count) / count);
        if !(var_a > DETAIL * DETAIL && var_b > DETAIL * DETAIL) {
            return 0.0;
        }
        (ab - a * b / count) / count / (var_a * var_b).sqrt()
    }
}

/// Values from -128 to 127 in `C` channels, `[height, width, C]`.
struct Plane<const C: usize> {
    /// Columns and rows.
    size: [usize; 2],
    values: Vec<i8>,
}

/// A picture made small, in grey levels, `[height, width, 3]`.
struct Shrunk {
    size: [usize; 2],
    rgb: Vec<[f32; 3]>,
}

/// Makes the longer side so long of a picture of this size, whose pixels are given by their places; each is the mean of those that it stands for.
fn shrunk(whole: [usize; 2], side: usize, pixel: impl Fn(usize) -> [f32; 3]) -> Shrunk {
    let longer = whole[0].max(whole[1]);
    let size = whole.map(|length| (length * side).div_ceil(longer).max(1));
    let span = |place: usize, axis: usize| {
        let from = place * whole[axis] / size[axis];
        from..((place + 1) * whole[axis] / size[axis]).max(from + 1)
    };
    let mut rgb = Vec::with_capacity(size[0] * size[1]);
    for y in 0..size[1] {
        for x in 0..size[0] {
            let (columns, rows) = (span(x, 0), span(y, 1));
            let mut sum = [0.0f64; 3];
            for row in rows.clone() {
                let mut line = [0.0f32; 3];
                for column in columns.clone() {
                    let pixel = pixel(row * whole[0] + column);
                    (0..3).for_each(|c| line[c] += pixel[c]);
                }
                (0..3).for_each(|c| sum[c] += f64::from(line[c]));
            }
            let count = (rows.len() * columns.len()) as f64;
            rgb.push(sum.map(|sum| (sum / count) as f32));
        }
    }
    Shrunk { size, rgb }
}

impl Shrunk {
    fn grey(&self) -> Grey {
        Grey { size: self.size, values: self.rgb.iter().map(|[r, g, b]| (r + 2.0 * g + b) / 4.0).collect() }
    }

    fn into_signed(self) -> Plane<3> {
        let signed = |value: f32| (value - 128.0).round() as i8;
        Plane { size: self.size, values: self.rgb.into_iter().flatten().map(signed).collect() }
    }
}

/// Grey levels, `[height, width]`.
struct Grey {
    size: [usize; 2],
    values: Vec<f32>,
}

impl Grey {
    /// Subtracts from each pixel the mean of those around it.
    fn detail(&self) -> Plane<1> {
        let [width, height] = self.size;
        let reach = ((AROUND * width.max(height) as f32).round() as usize).max(1);
        // Sums over all pixels above and left, so that those of a rectangle take four of them.
        let mut sums = vec![0.0f64; (width + 1) * (height + 1)];
        for y in 0..height {
            let mut row = 0.0;
            for x in 0..width {
                row += f64::from(self.values[y * width + x]);
                sums[(y + 1) * (width + 1) + x + 1] = sums[y * (width + 1) + x + 1] + row;
            }
        }
        let at = |x: usize, y: usize| sums[y * (width + 1) + x];
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let (left, right) = (x.saturating_sub(reach), (x + reach + 1).min(width));
                let (top, bottom) = (y.saturating_sub(reach), (y + reach + 1).min(height));
                let sum = at(right, bottom) - at(left, bottom) - at(right, top) + at(left, top);
                let mean = sum as f32 / ((right - left) * (bottom - top)) as f32;
                values.push((self.values[y * width + x] - mean).round() as i8);
            }
        }
        Plane { size: self.size, values }
    }
}

impl<const C: usize> Plane<C> {
    fn at(&self, x: usize, y: usize, channel: usize) -> f32 {
        f32::from(self.values[(y * self.size[0] + x) * C + channel])
    }

    /// Interpolates the value at a place, where there is one.
    fn between(&self, [x, y]: [f32; 2], channel: usize) -> Option<f32> {
        let [right, bottom] = self.size.map(|length| (length - 1) as f32);
        // A pixel at the border stands for what is around it.
        if !(x > -0.5 && y > -0.5 && x < right + 0.5 && y < bottom + 0.5) {
            return None;
        }
        let (x, y) = (x.clamp(0.0, right), y.clamp(0.0, bottom));
        let (left, top) = (x as usize, y as usize);
        let (next, below) = ((left + 1).min(self.size[0] - 1), (top + 1).min(self.size[1] - 1));
        let (u, v) = (x - left as f32, y - top as f32);
        let upper = self.at(left, top, channel) * (1.0 - u) + self.at(next, top, channel) * u;
        let lower = self.at(left, below, channel) * (1.0 - u) + self.at(next, below, channel) * u;
        Some(upper * (1.0 - v) + lower * v)
    }

    fn mirrored(&self) -> Self {
        let (pixels, _) = self.values.as_chunks::<C>();
        let rows = pixels.chunks_exact(self.size[0]);
        Self { size: self.size, values: rows.flat_map(|row| row.iter().rev().flatten().copied()).collect() }
    }

    /// Correlates with `other` where that lies on this, by every `stride`-th of its pixels; 0 where too little does.
    fn correlation(&self, other: &Self, pose: Pose, stride: usize) -> f32 {
        let centre = |size: [usize; 2]| size.map(|length| (length - 1) as f32 / 2.0);
        let (here, there) = (centre(self.size), centre(other.size));
        let mut sums = Sums::default();
        let mut all = 0.0;
        for y in (0..other.size[1]).step_by(stride) {
            for x in (0..other.size[0]).step_by(stride) {
                all += 1.0;
                let place = [x as f32, y as f32];
                let to = |axis: usize| here[axis] + pose.shift[axis] + pose.scale[axis] * (place[axis] - there[axis]);
                for channel in 0..C {
                    let Some(value) = self.between([to(0), to(1)], channel) else { break };
                    sums.add(value, other.at(x, y, channel));
                }
            }
        }
        let fits = self.size[0] as f32 * self.size[1] as f32 / (pose.scale[0] * pose.scale[1]);
        let least = OVERLAP * fits.min((other.size[0] * other.size[1]) as f32) / (stride * stride) as f32;
        if sums.count < least.min(all) * C as f32 { 0.0 } else { sums.correlation() }
    }
}

impl Plane<1> {
    /// Resamples it at another scale.
    fn scaled(&self, scale: f32) -> Self {
        let size = self.size.map(|length| ((length as f32 * scale).round() as usize).max(1));
        let factor = [0, 1].map(|axis| self.size[axis] as f32 / size[axis] as f32);
        let mut values = Vec::with_capacity(size[0] * size[1]);
        for y in 0..size[1] {
            for x in 0..size[0] {
                let place = [(x as f32 + 0.5) * factor[0] - 0.5, (y as f32 + 0.5) * factor[1] - 0.5];
                values.push(self.between(place, 0).unwrap_or(0.0).round() as i8);
            }
        }
        Self { size, values }
    }

    /// Correlates with `other` shifted by whole pixels in every way in which enough of the smaller lies on the other. Tells each correlation and
    /// the shift between their centres.
    fn shifts(&self, other: &Self, mut tell: impl FnMut(f32, [f32; 2])) {
        let area = |size: [usize; 2]| size[0] * size[1];
        let least = OVERLAP * area(self.size).min(area(other.size)) as f32;
        let range = |axis: usize| -(other.size[axis] as isize - 1)..self.size[axis] as isize;
        // Where both have pixels, in this one's.
        let common = |axis: usize, by: isize| {
            let end = (self.size[axis] as isize).min(by + other.size[axis] as isize);
            by.max(0) as usize..end as usize
        };
        for down in range(1) {
            let rows = common(1, down);
            for right in range(0) {
                let columns = common(0, right);
                if ((rows.len() * columns.len()) as f32) < least {
                    continue;
                }
                let (mut a, mut b, mut aa, mut bb, mut ab) = (0i32, 0i32, 0i32, 0i32, 0i32);
                for row in rows.clone() {
                    let here = &self.values[row * self.size[0]..][columns.clone()];
                    let from = (row as isize - down) as usize * other.size[0];
                    let there = &other.values[from + (columns.start as isize - right) as usize..][..columns.len()];
                    for (&x, &y) in here.iter().zip(there) {
                        let (x, y) = (i32::from(x), i32::from(y));
                        a += x;
                        b += y;
                        aa += x * x;
                        bb += y * y;
                        ab += x * y;
                    }
                }
                let [a, b, aa, bb, ab] = [a, b, aa, bb, ab].map(|sum| sum as f32);
                let sums = Sums { count: (rows.len() * columns.len()) as f32, a, b, aa, bb, ab };
                let centre =
                    |axis: usize, by: isize| by as f32 + (other.size[axis] as f32 - self.size[axis] as f32) / 2.0;
                tell(sums.correlation(), [centre(0, right), centre(1, down)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;
    use image::imageops::{self, FilterType};

    use super::*;
    use crate::photos::texture::texture;

    fn sketch(image: &RgbImage) -> Sketch {
        let [width, height] = [image.width(), image.height()].map(|length| length as usize);
        Sketch::new(&Picture { width, height, rgb: image.as_raw().clone() })
    }

    fn crop(image: &RgbImage, [left, top, width, height]: [u32; 4]) -> RgbImage {
        imageops::crop_imm(image, left, top, width, height).to_image()
    }

    fn changed(image: &RgbImage, change: impl Fn(usize, f32) -> f32) -> RgbImage {
        let mut image = image.clone();
        image.pixels_mut().for_each(|pixel| {
            (0..3).for_each(|channel| {
                pixel[channel] = change(channel, f32::from(pixel[channel])).clamp(0.0, 255.0) as u8
            });
        });
        image
    }

    #[test]
    fn a_photo_is_like_what_was_made_of_it_and_like_no_other() {
        let resized = |image: &RgbImage, width, height| imageops::resize(image, width, height, FilterType::Triangle);
        let mut least = 1.0f32;
        let mut most = 0.0f32;
        for seed in 0..6u64 {
            let photo = texture(seed, seed);
            let mirrored = imageops::flip_horizontal(&photo);
            let made = [
                ("the same", photo.clone()),
                ("crop 95 %", crop(&photo, [10, 2, 304, 228])),
                ("crop 80 %", crop(&photo, [50, 20, 256, 192])),
                ("crop 60 %", crop(&photo, [90, 60, 192, 144])),
                ("a square", crop(&photo, [60, 0, 240, 240])),
                ("mirrored", mirrored.clone()),
                ("mirrored and cropped", crop(&mirrored, [20, 30, 250, 190])),
                ("half", resized(&photo, 160, 120)),
                ("tiny", resized(&photo, 80, 60)),
                ("stretched", resized(&photo, 224, 224)),
                ("darker", changed(&photo, |_, value| 0.6 * value)),
                ("brighter", changed(&photo, |_, value| 1.3 * value + 10.0)),
            ];
            for (name, image) in &made {
                for likeness in [sketch(&photo).likeness(&sketch(image)), sketch(image).likeness(&sketch(&photo))] {
                    assert!(likeness > 0.75, "{name} of {seed}: {likeness}");
                    least = least.min(likeness);
                }
            }
            // Two that overlap, of which neither holds the other.
            let [one, two] = [[0, 0, 260, 200], [50, 30, 260, 200]].map(|place| sketch(&crop(&photo, place)));
            assert!(one.likeness(&two) > 0.75, "{}", one.likeness(&two));
            for other in 0..20 {
                let (another, alike) = (texture(100 + other, 100 + other), texture(seed, 200 + other));
                // What is laid out alike, in the same colours, isn't the same.
                for image in [another, alike] {
                    let likeness = sketch(&photo).likeness(&sketch(&image));
                    assert!(likeness < 0.6, "{other} and {seed}: {likeness}");
                    most = most.max(likeness);
                }
            }
        }
        println!("least of one photo {least}, most of two {most}");
    }

    #[test]
    fn other_colours_are_another_picture() {
        let photo = texture(1, 1);
        let red = changed(&photo, |channel, value| if channel == 0 { value * 0.3 + 170.0 } else { value * 0.3 });
        let blue = changed(&photo, |channel, value| if channel == 2 { value * 0.3 + 170.0 } else { value * 0.3 });
        assert!(sketch(&red).likeness(&sketch(&red)) > 0.99);
        assert!(sketch(&red).likeness(&sketch(&blue)) < 0.3);
    }

    #[test]
    fn pictures_without_detail_are_like_nothing() {
        let wall = RgbImage::from_pixel(90, 60, image::Rgb([200, 190, 180]));
        let sky = RgbImage::from_fn(200, 120, |x, y| image::Rgb([x as u8 / 2, y as u8, 180]));
        for image in [wall, sky, RgbImage::new(1, 1), RgbImage::new(700, 1)] {
            assert_eq!(sketch(&image).likeness(&sketch(&image)), 0.0);
            assert_eq!(sketch(&image).likeness(&sketch(&texture(1, 1))), 0.0);
        }
    }
}
