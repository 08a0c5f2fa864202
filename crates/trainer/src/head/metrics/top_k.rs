//! Top-k accuracy: the share whose true class is among the k most probable, for any k.

use crate::data::Class;
use crate::error::{Error, Result};
use crate::head::labelled::width;

/// Computes the share of photos whose true class is among the `k` with the greatest logits. Equal logits are ranked by the number of their class.
///
/// # Shapes
/// `logits` is `[photos, classes]`, `truths` `[photos]`.
///
/// # Units
/// In [0, 1]; 1 where there are no more than `k` classes.
///
/// # Examples
/// ```
/// use trainer::{data::Class, head::metrics::top_k};
///
/// let truths = [0, 2].map(Class::new);
/// assert_eq!(top_k(&[0.3, 0.5, 0.2, 0.3, 0.5, 0.2], &truths, 2)?, 0.5);
/// # Ok::<(), trainer::Error>(())
/// ```
///
/// # Errors
/// There are no photos; logits aren't a row each; a class is beyond the row; `k` is 0.
pub fn top_k(logits: &[f32], truths: &[Class], k: usize) -> Result<f64> {
    let width = width("top-k", logits.len(), truths)?;
    if k == 0 {
        return Err(Error::InvalidOption { option: "k", value: "0".to_owned(), expected: "1 or more" });
    }
    let among = |(row, truth): &(&[f32], &Class)| {
        let own = row[truth.index()];
        let before = |(class, logit): &(usize, &f32)| **logit > own || (**logit == own && *class < truth.index());
        row.iter().enumerate().filter(before).count() < k
    };
    let hits = logits.chunks_exact(width).zip(truths).filter(among).count();
    Ok(hits as f64 / truths.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::softmax::top;
    use crate::random::SplitMix64;

    #[test]
    fn it_is_what_a_sorted_list_says() {
        let mut random = SplitMix64(5);
        // Few values, so that many are equal.
        let logits: Vec<f32> = (0..40 * 7).map(|_| (random.bits() % 4) as f32).collect();
        let truths: Vec<Class> = (0..40).map(|photo| Class::new(photo % 7)).collect();
        for k in 1..=8 {
            let hits = logits.chunks(7).zip(&truths).filter(|(row, truth)| top(row, k).contains(truth)).count();
            assert_eq!(top_k(&logits, &truths, k).unwrap(), hits as f64 / 40.0);
        }
        assert!(top_k(&logits, &truths, 0).unwrap_err().to_string().contains("1 or more"));
        assert!(top_k(&logits[1..], &truths, 1).is_err());
    }
}
