//! Vectors of f64: what searches and losses on the CPU are made of.

use rayon::prelude::*;

/// Multiplies in eight sums side by side, which the compiler makes vectors of.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    a.zip(b).for_each(|(a, b)| (0..8).for_each(|i| sums[i] += a[i] * b[i]));
    sums.iter().sum::<f64>() + rest
}

/// Multiplies the first `length` numbers of each of some vectors, laid out `stride` apart, with those of each: `[vectors, vectors]`.
pub(crate) fn products(vectors: &[f64], stride: usize, length: usize) -> Vec<f64> {
    let with_all = |one: &[f64]| {
        let others = vectors.chunks_exact(stride);
        others.map(|other| dot(&one[..length], &other[..length])).collect::<Vec<f64>>()
    };
    vectors.par_chunks_exact(stride).flat_map_iter(with_all).collect()
}

/// Adds a multiple of a vector to another.
pub(crate) fn add(to: &mut [f64], scale: f64, of: &[f64]) {
    to.iter_mut().zip(of).for_each(|(to, of)| *to += scale * of);
}

/// Finds the largest magnitude; NaN where there is one.
pub(crate) fn largest(values: &[f64]) -> f64 {
    values
        .iter()
        .fold(0.0, |most: f64, value| if value.is_nan() || most.is_nan() { f64::NAN } else { most.max(value.abs()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_any_length() {
        for length in [0, 1, 7, 8, 9, 30] {
            let of = |scale: f64| (0..length).map(|i| scale * i as f64).collect::<Vec<f64>>();
            let expected: f64 = (0..length).map(|i| 2.0 * (i * i) as f64).sum();
            assert_eq!(dot(&of(1.0), &of(2.0)), expected);
        }
    }

    #[test]
    fn each_with_each() {
        // Two vectors of two numbers, with one more behind each.
        assert_eq!(products(&[1.0, 2.0, 9.0, 3.0, 4.0, 9.0], 3, 2), [5.0, 11.0, 11.0, 25.0]);
    }

    #[test]
    fn a_gradient_that_is_no_number_is_no_small_one() {
        assert!(largest(&[1.0, f64::NAN, 2.0]).is_nan() && largest(&[-3.0, 2.0]) == 3.0);
    }
}
