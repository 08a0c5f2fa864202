//! How far a photo is from the nearest class, if each class is a normal distribution of features and all have one covariance.

use rayon::prelude::*;

use crate::data::Class;
use crate::error::{Error, Result};
use crate::features::Rows;
use crate::head::cholesky::Cholesky;
use crate::head::reject::covariance::ledoit_wolf;

/// The operation, as errors name it.
const OPERATION: &str = "fit the distance";

/// Classes as normal distributions of features around their means with one covariance.
///
/// # Reference
/// Lee, Lee, Lee and Shin, "A simple unified framework for detecting out-of-distribution samples and adversarial attacks", 2018, section 2.1; the covariance is
/// shrunk as [`ledoit_wolf`] says, since there are often fewer photos than features.
#[derive(Clone, Debug)]
pub struct Gaussian {
    width: usize,
    /// L of the covariance L Lᵀ.
    factor: Cholesky,
    /// L⁻¹ of each mean.
    means: Vec<Vec<f64>>,
    /// By how much the covariance is shrunk.
    pub shrinkage: f64,
}

impl Gaussian {
    /// Fits means and covariance. Classes of which there are no rows have none.
    ///
    /// # Shapes
    /// `[rows, width]` and `[rows]`. It takes 8 bytes for each value of the rows and for each of the covariance, `[width, width]`.
    ///
    /// # Errors
    /// There are no rows, or not a class for each; values aren't finite, or all rows of each class are alike, so that nothing is known of distances.
    pub fn fit(rows: &Rows, classes: &[Class]) -> Result<Self> {
        let width = rows.width();
        if rows.is_empty() || classes.len() != rows.len() {
            let (expected, got) = (rows.len().max(1), classes.len());
            return Err(Error::Shape { operation: OPERATION, operand: "classes", expected, got });
        }
        let all = classes.iter().map(|class| class.index() + 1).max().unwrap_or(0);
        let (mut means, mut counts) = (vec![vec![0.0; width]; all], vec![0usize; all]);
        for (row, class) in rows.iter().zip(classes) {
            counts[class.index()] += 1;
            means[class.index()].iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        for (mean, &count) in means.iter_mut().zip(&counts) {
            mean.iter_mut().for_each(|sum| *sum /= count.max(1) as f64);
        }
        let centred: Vec<f64> = rows
            .iter()
            .zip(classes)
            .flat_map(|(row, class)| {
                row.iter().zip(&means[class.index()]).map(|(&value, mean)| f64::from(value) - mean)
            })
            .collect();
        let shrunk = ledoit_wolf(&centred, width)?;
        let factor = Cholesky::of(&shrunk.covariance, width).ok_or_else(|| Error::NotFinite {
            operation: OPERATION,
            what: "the inverse of the covariance".to_owned(),
        })?;
        let present = means.iter().zip(&counts).filter(|(_, count)| **count > 0);
        let means = present.map(|(mean, _)| factor.solve_lower(mean.iter().copied())).collect();
        Ok(Self { width, factor, means, shrinkage: shrunk.shrinkage })
    }

    /// Computes for each row the square of the Mahalanobis distance from the nearest mean, with a minus, so that it is greater for what is known:
    /// −min over classes of (x − μ)ᵀ Σ⁻¹ (x − μ).
    ///
    /// # Shapes
    /// From `[rows, width]` to `[rows]`.
    ///
    /// # Units
    /// Of a row of a class, −width on average, if the covariance is the true one.
    ///
    /// # Errors
    /// The rows have another width; a distance isn't finite.
    pub fn scores(&self, rows: &Rows) -> Result<Vec<f64>> {
        if !rows.is_empty() && rows.width() != self.width {
            let (expected, got) = (self.width, rows.width());
            return Err(Error::Shape { operation: "distance", operand: "a row", expected, got });
        }
        let score = |row: usize| {
            let place = self.factor.solve_lower(rows.row(row).iter().map(|&value| f64::from(value)));
            let square = |mean: &Vec<f64>| place.iter().zip(mean).map(|(x, mean)| (x - mean).powi(2)).sum::<f64>();
            -self.means.iter().map(square).min_by(f64::total_cmp).expect("some class has rows")
        };
        let scores: Vec<f64> = (0..rows.len()).into_par_iter().map(score).collect();
        match scores.iter().position(|score| !score.is_finite()) {
            Some(row) => Err(Error::NotFinite { operation: "distance", what: format!("that of row {row}") }),
            None => Ok(scores),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_class_counts() {
        // Two classes of four points each, at (±1, 0) and (0, ±1) around (0, 0) and (10, 0): the covariance is I / 2.
        let around = |x: f32| [x + 1.0, 0.0, x - 1.0, 0.0, x, 1.0, x, -1.0];
        let values = [around(0.0), around(10.0)].concat();
        let rows = Rows::new(&values, 2).unwrap();
        // Class 1 has no rows.
        let classes: Vec<Class> = [0, 0, 0, 0, 2, 2, 2, 2].map(Class::new).to_vec();
        let fitted = Gaussian::fit(&rows, &classes).unwrap();
        let scores = fitted.scores(&Rows::new(&[0.0, 0.0, 7.0, 0.0, 4.0, 3.0], 2).unwrap()).unwrap();
        for (score, expected) in scores.iter().zip([0.0, -18.0, -50.0]) {
            assert!((score - expected).abs() < 1e-9, "{scores:?}");
        }
        assert!(fitted.scores(&Rows::new(&[1.0; 3], 3).unwrap()).is_err());
        assert!(fitted.scores(&Rows::new(&[f32::NAN, 0.0], 2).unwrap()).is_err());
        assert!(Gaussian::fit(&rows, &classes[1..]).is_err());
        let alike = Rows::new(&[1.0, 2.0, 1.0, 2.0], 2).unwrap();
        let error = Gaussian::fit(&alike, &[Class::new(0); 2]).unwrap_err().to_string();
        assert_eq!(error, "fit the distance: the inverse of the covariance is not finite");
    }
}
