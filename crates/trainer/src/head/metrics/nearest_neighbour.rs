//! The baseline of the nearest neighbour: the class of the known photo whose features are the most similar.

use crate::data::Class;
use crate::error::Result;
use crate::features::Rows;
use crate::head::cosine::{compare, scales};

/// So many products of numbers are worth a baseline, at most: a second or two.
const WORTH: usize = 20_000_000_000;

/// Photos with their classes.
///
/// # Shapes
/// `[rows, width]` and `[rows]`.
#[derive(Clone, Copy, Debug)]
pub struct Classified<'a> {
    /// Their features.
    pub rows: &'a Rows<'a>,
    /// Their classes.
    pub classes: &'a [Class],
}

/// Computes the share of photos whose class is that of the known photo with the greatest cosine similarity, the first of equals: what is reached without a head. One that is
/// compared with none is wrong. None where there are no photos, or so many that it takes more than 2 · 10¹⁰ products of numbers.
///
/// `is_hidden` tells, by numbers, which known photos a photo isn't compared with: itself, those of its own fold.
///
/// # Reference
/// Cover and Hart, "Nearest neighbor pattern classification", 1967.
///
/// # Errors
/// The rows differ in width.
pub fn nearest_neighbour(
    photos: &Classified,
    known: &Classified,
    is_hidden: impl Fn(usize, usize) -> bool + Sync,
) -> Result<Option<f64>> {
    let count = photos.rows.len();
    let products = count.saturating_mul(known.rows.len()).saturating_mul(known.rows.width());
    if count == 0 || products > WORTH {
        return Ok(None);
    }
    let more_similar = |nearest: &mut Option<(f64, usize)>, other: usize, similarity: f64| {
        if nearest.is_none_or(|(most, _)| similarity > most) {
            *nearest = Some((similarity, other));
        }
    };
    let nearest = compare(photos.rows, (known.rows, &scales(known.rows)), is_hidden, more_similar)?;
    let is_right = |&(nearest, class): &(&Option<(f64, usize)>, &Class)| {
        nearest.is_some_and(|(_, other)| known.classes[other] == *class)
    };
    let right = nearest.iter().zip(photos.classes).filter(is_right).count();
    Ok(Some(right as f64 / count as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    #[test]
    fn the_class_of_the_most_similar_counts() {
        let classes = [0, 0, 1, 1].map(Class::new);
        // Directions at 0, 20, 80 and 30 degrees; lengths don't matter.
        let values: Vec<f32> = [(0.0, 1.0), (20.0, 9.0), (80.0, 2.0), (30.0, 0.1)]
            .into_iter()
            .flat_map(|(degrees, length): (f32, f32)| {
                let (sine, cosine) = degrees.to_radians().sin_cos();
                [length * cosine, length * sine]
            })
            .collect();
        let rows = Rows::new(&values, 2).unwrap();
        let photos = Classified { rows: &rows, classes: &classes };
        let of = |is_hidden: fn(usize, usize) -> bool| nearest_neighbour(&photos, &photos, is_hidden).unwrap();
        assert_eq!(of(|_, _| false), Some(1.0), "each is its own");
        // 0 finds 20, right; 20 finds 30, wrong; 80 finds 30, right; 30 finds 20, wrong.
        assert_eq!(of(|row, other| row == other), Some(0.5));
        assert_eq!(of(|_, _| true), Some(0.0), "compared with none");
        let none = Rows::new(&[], 2).unwrap();
        assert_eq!(nearest_neighbour(&Classified { rows: &none, classes: &[] }, &photos, |_, _| false).unwrap(), None);
    }

    #[test]
    fn many_photos_are_judged_as_by_the_definition() {
        let (count, known, width) = (150, 300, 6);
        let mut random = SplitMix64(11);
        let mut number = || (random.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0;
        let [values, others] = [count, known].map(|rows| (0..rows * width).map(|_| number()).collect::<Vec<f32>>());
        let [of_values, of_others] =
            [count, known].map(|rows| (0..rows).map(|row| Class::new(row % 4)).collect::<Vec<_>>());
        let (rows, others) = (Rows::new(&values, width).unwrap(), Rows::new(&others, width).unwrap());
        let cosine = |a: &[f32], b: &[f32]| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let right = (0..count).filter(|&row| {
            let most = |a: &usize, b: &usize| {
                cosine(rows.row(row), others.row(*a)).total_cmp(&cosine(rows.row(row), others.row(*b)))
            };
            of_others[(0..known).max_by(most).unwrap()] == of_values[row]
        });
        let expected = right.count() as f64 / count as f64;
        let (photos, known) =
            (Classified { rows: &rows, classes: &of_values }, Classified { rows: &others, classes: &of_others });
        assert_eq!(nearest_neighbour(&photos, &known, |_, _| false).unwrap(), Some(expected));
    }
}
