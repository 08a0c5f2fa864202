//! The twin of each operation: its definition in plain f64 Rust, which tests compare kernels with, and a bound on what f32 may do to it.
//!
//! A twin shares no constant and no layout trick with its shader. Besides the values it supplies, for every output
//! element, how far rounding in f32 may carry a correct kernel: `c gamma(K) sum |a b| + atol`, where K is the number of
//! terms of the sum and gamma(K) = K u / (1 - K u) (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed.,
//! section 3.1). Comparing is done as `!(difference <= bound)`, so that NaN fails.

mod adamw;
mod add_relu;
mod avg_pool2d;
mod conv2d;
mod dense;
mod global_avg_pool2d;
mod matmul;
mod max_pool2d;
mod normalize;
mod pack;
mod reduce_sum;
mod scale_add_relu;
mod sgd;
mod sigmoid_cross_entropy;
mod softmax_cross_entropy;

pub use adamw::adamw;
pub use add_relu::add_relu;
pub use avg_pool2d::avg_pool2d;
pub use conv2d::{Conv2dInputs, conv2d};
pub use dense::{dense, dense_backward};
pub use global_avg_pool2d::global_avg_pool2d;
pub use matmul::matmul;
pub use max_pool2d::max_pool2d;
pub use normalize::normalize;
pub use pack::pack;
pub use reduce_sum::reduce_sum;
pub use scale_add_relu::scale_add_relu;
pub use sgd::sgd;
pub use sigmoid_cross_entropy::sigmoid_cross_entropy;
pub use softmax_cross_entropy::softmax_cross_entropy;

/// Unit roundoff of f32: half the distance from 1 to the next number.
pub const UNIT: f64 = 1.0 / 16_777_216.0;

/// The absolute tolerance: sums that cancel to less than this are equal.
pub const ATOL: f64 = 1e-30;

/// Computes gamma(K) = K u / (1 - K u): the relative error of a sum of K products, any order, fused or not.
pub fn gamma(terms: usize) -> f64 {
    let ku = terms as f64 * UNIT;
    ku / (1.0 - ku)
}

/// The result that an operation must give, and how far from it f32 may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// The values, in f64.
    pub values: Vec<f64>,
    /// For each value, the largest difference that rounding explains.
    pub bounds: Vec<f64>,
}

/// The element that is furthest from what was expected, in units of its bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Worst {
    /// Its index.
    pub index: usize,
    /// The value that the kernel gave.
    pub got: f32,
    /// The value that was expected.
    pub want: f64,
    /// `|got - want| / bound`; infinite for NaN. One or less is right.
    pub ratio: f64,
}

impl Expected {
    /// Takes values that are given, not computed, as exact.
    pub fn exact(values: &[f32]) -> Self {
        Expected { values: values.iter().map(|&value| f64::from(value)).collect(), bounds: vec![0.0; values.len()] }
    }

    /// Compares with what a kernel gave: the worst element, or an error when the lengths differ.
    ///
    /// # Errors
    /// A message with both lengths.
    pub fn compare(&self, got: &[f32]) -> Result<Worst, String> {
        if got.len() != self.values.len() {
            return Err(format!("{} values came, {} were expected", got.len(), self.values.len()));
        }
        let mut worst = Worst { index: 0, got: 0.0, want: 0.0, ratio: 0.0 };
        for (index, ((&got, &want), &bound)) in got.iter().zip(&self.values).zip(&self.bounds).enumerate() {
            // Equal infinities are equal.
            let same = f64::from(got) == want;
            let ratio = if same { 0.0 } else { (f64::from(got) - want).abs() / bound };
            if !(ratio <= worst.ratio) {
                let ratio = if ratio.is_nan() { f64::INFINITY } else { ratio };
                worst = Worst { index, got, want, ratio };
            }
        }
        Ok(worst)
    }

    /// Rounds to f16, as [`crate::Precision`] says: a relative 2^-10 (2^-11 where the driver rounds to the nearest), and 2^-14
    /// where it has no smaller numbers.
    pub fn to_f16(mut self) -> Self {
        for (bound, value) in self.bounds.iter_mut().zip(&self.values) {
            *bound += (value.abs() + *bound) / 1024.0 + 1.0 / 16384.0;
        }
        self
    }

    /// Applies max(0, x), which moves no value further than its bound. NaN stays NaN.
    pub fn relu(mut self) -> Self {
        for value in self.values.iter_mut().filter(|value| **value < 0.0) {
            *value = 0.0;
        }
        self
    }
}
