//! The head itself: one dense layer from features to classes.

use rayon::prelude::*;

use crate::data::Class;
use crate::error::{Error, Result};
use crate::features::Rows;
use crate::head::sigmoid::sigmoid;

/// A dense layer with a label for each output: logits = features · weightᵀ + bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// `[classes, features]`.
    pub weight: Vec<f32>,
    /// `[classes]`.
    pub bias: Vec<f32>,
    /// The labels, in the order of the outputs.
    pub classes: Vec<String>,
    /// From which probability on a photo counts as of a class, `[classes]`, where it may be of several: each class has a probability by itself then, the sigmoid of its logit. None where a
    /// photo is of exactly one class, and the probabilities of all are a softmax.
    pub thresholds: Option<Vec<f64>>,
}

impl Head {
    /// Gives the number of features that it takes.
    pub fn width(&self) -> usize {
        self.weight.len() / self.classes.len().max(1)
    }

    /// Names the classes of a photo by its logits, in ascending order: those whose probability is at or above their threshold. None where it is of exactly one.
    pub fn named(&self, logits: &[f32]) -> Option<Vec<Class>> {
        let thresholds = self.thresholds.as_ref()?;
        let classes = logits.iter().zip(thresholds).enumerate();
        let classes = classes.filter(|(_, (logit, least))| sigmoid(f64::from(**logit)) >= **least);
        Some(classes.map(|(class, _)| Class::new(class)).collect())
    }

    /// Adds a multiple of some numbers to the biases.
    pub(crate) fn adjust(&mut self, by: &[f64], times: f64) {
        self.bias.iter_mut().zip(by).for_each(|(bias, by)| *bias = (f64::from(*bias) + times * by) as f32);
    }

    /// Computes the logits of rows of features.
    ///
    /// # Shapes
    /// From `[rows, features]` to `[rows, classes]`.
    ///
    /// # Numerics
    /// Each sum is taken in f64 on the CPU and rounded once; a row's logits don't depend on the rows beside it.
    ///
    /// # Errors
    /// The rows aren't as wide as the head.
    pub fn logits(&self, rows: &Rows) -> Result<Vec<f32>> {
        let width = self.width();
        if width == 0 || rows.width() != width {
            let got = rows.width();
            return Err(Error::Shape { operation: "head", operand: "a row of features", expected: width, got });
        }
        let dot = |row: &[f32], weight: &[f32]| -> f64 {
            row.iter().zip(weight).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum()
        };
        let logits = (0..rows.len()).into_par_iter().flat_map_iter(|index| {
            let row = rows.row(index);
            let outputs = self.weight.chunks_exact(width).zip(&self.bias);
            outputs.map(move |(weight, &bias)| (dot(row, weight) + f64::from(bias)) as f32)
        });
        Ok(logits.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_are_a_product_and_a_bias() {
        let classes = vec!["a".to_owned(), "b".to_owned()];
        let head =
            Head { weight: vec![1.0, 2.0, 3.0, -1.0, 0.0, 1.0], bias: vec![0.5, 0.0], classes, thresholds: None };
        let rows = |values| Rows::new(values, 3).unwrap();
        assert_eq!(head.logits(&rows(&[1.0, 1.0, 1.0, 2.0, 0.0, 0.0])).unwrap(), [6.5, 0.0, 2.5, -2.0]);
        assert!(head.logits(&Rows::new(&[1.0; 4], 2).unwrap()).is_err());
        assert_eq!(head.named(&[1.0, 2.0]), None);
        let of_sets = Head { thresholds: Some(vec![0.5, 0.75]), ..head };
        let named = |logits: [f32; 2]| of_sets.named(&logits).unwrap();
        assert_eq!((named([0.0, 1.0]), named([-0.1, 1.1])), (vec![Class::new(0)], vec![Class::new(1)]));
        assert_eq!(named([-1.0, 1.0]), []);
    }
}
