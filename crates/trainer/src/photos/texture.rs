//! Pictures for tests: textures that look like no other.

use image::RgbImage;

use crate::random::SplitMix64;

/// Draws a texture of patches in several sizes and colours. The largest patches are those of `layout`, so that pictures can be laid out alike.
pub(crate) fn texture(layout: u64, seed: u64) -> RgbImage {
    let (width, height) = (320, 240);
    let mut values = vec![[110.0f32; 3]; width * height];
    for (octave, (cells, weight)) in [(3usize, 50.0), (7, 35.0), (15, 30.0), (31, 25.0)].into_iter().enumerate() {
        let mut random = SplitMix64(if octave == 0 { layout } else { seed * 100 + octave as u64 });
        let grid: Vec<[f32; 3]> = (0..(cells + 2) * (cells + 2))
            .map(|_| std::array::from_fn(|_| (random.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0))
            .collect();
        for (index, value) in values.iter_mut().enumerate() {
            let [x, y] = [index % width, index / width].map(|place| place as f32 * cells as f32 / width as f32);
            let (left, top) = (x as usize, y as usize);
            let (u, v) = (x - left as f32, y - top as f32);
            for (channel, value) in value.iter_mut().enumerate() {
                let at = |dx: usize, dy: usize| grid[(top + dy) * (cells + 2) + left + dx][channel];
                let upper = at(0, 0) * (1.0 - u) + at(1, 0) * u;
                let lower = at(0, 1) * (1.0 - u) + at(1, 1) * u;
                *value += weight * (upper * (1.0 - v) + lower * v);
            }
        }
    }
    let pixels = values.into_iter().flat_map(|value| value.map(|value| value.clamp(0.0, 255.0) as u8)).collect();
    RgbImage::from_raw(width as u32, height as u32, pixels).unwrap()
}
