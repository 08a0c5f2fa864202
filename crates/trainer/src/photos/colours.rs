//! The colours of a picture, counted: all that a baseline without a network knows of it.

use crate::photos::picture::Picture;

/// Steps of each channel.
const STEPS: usize = 8;
/// How many colours are told apart.
pub const COLOURS: usize = STEPS.pow(3);

/// Counts how often each of 8 × 8 × 8 colours occurs, wherever in the picture, and gives the square roots of their shares: a vector of length 1, whose scalar product with
/// another's is Bhattacharyya's coefficient.
///
/// # Shapes
/// [`COLOURS`], by red, green and blue.
///
/// # Reference
/// Swain and Ballard, "Color indexing", 1991; Arandjelović and Zisserman, "Three things everyone should know to improve object retrieval", 2012, for the roots.
///
/// # Example
/// ```
/// use trainer::photos::{Picture, colours};
/// let red = Picture { width: 1, height: 1, rgb: vec![255, 0, 0] };
/// assert_eq!(colours(&red)[7 * 64], 1.0);
/// ```
pub fn colours(picture: &Picture) -> Vec<f32> {
    let mut counts = vec![0_u64; COLOURS];
    let (pixels, _) = picture.rgb.as_chunks::<3>();
    for pixel in pixels {
        let [red, green, blue] = pixel.map(|value| usize::from(value) * STEPS / 256);
        counts[(red * STEPS + green) * STEPS + blue] += 1;
    }
    counts.iter().map(|&count| (count as f64 / pixels.len().max(1) as f64).sqrt() as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    #[test]
    fn colours_are_counted_wherever_they_are() {
        // The edges of a step, and a quarter of each of two other colours.
        let mut rgb = [[31, 32, 255], [0, 63, 224], [255, 0, 0], [128, 128, 128]];
        let of = |rgb: &[[u8; 3]]| colours(&Picture { width: 4, height: 1, rgb: rgb.as_flattened().to_vec() });
        let counted = of(&rgb);
        let mut expected = vec![0.0; 512];
        (expected[8 + 7], expected[7 * 64], expected[4 * 73]) = (0.5_f32.sqrt(), 0.5, 0.5);
        assert_eq!(counted, expected);
        rgb.reverse();
        assert_eq!(of(&rgb), expected);
        rgb[0][1] = 64;
        assert_ne!(of(&rgb), expected);
    }

    #[test]
    fn the_vector_has_length_one() {
        let mut random = SplitMix64(3);
        let rgb: Vec<u8> = (0..3 * 37 * 29).map(|_| random.bits() as u8).collect();
        let squares: f64 =
            colours(&Picture { width: 37, height: 29, rgb }).iter().map(|&root| f64::from(root).powi(2)).sum();
        // Each root is rounded to f32, by half a unit in its last place at most: the square by twice that share.
        assert!((squares - 1.0).abs() <= f64::from(f32::EPSILON), "{squares}");
    }
}
