//! Heads in closed form: the nearest of the classes' means, where distances are taken as they are or as the covariance within all classes says.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::head::cholesky::Cholesky;
use crate::head::solve::objective::Learning;
use crate::head::solve::vector::{add, dot, largest};

/// What a linear discriminant is made of: means of the classes and the scatter within them.
///
/// Of features f, scaled as a [`Penalty`](crate::head::solve::Penalty)'s, with shares r of the rows that add up to 1: the mean m of each class, its share π, and
/// Σ = (1 − s) S + s μ I, where S = Σ r (f − m) (f − m)ᵀ / (1 − Σ r² / π), each row less the mean of its class, and μ is the mean of the diagonal of S. Of n rows that count alike the
/// divisor is (n − K) / n for K classes: without it, the fewer rows a fold leaves the surer its head would be. With a sharpness β the
/// head is `logit = β (Σ⁻¹ m · f − m · Σ⁻¹ m / 2 + ν tr(Σ⁻¹ S) / 2) + ln π`. With the shrinkage s = 1 that is the nearest mean. ν = Σ r² / π² over the rows of the class, 1 / n of n rows: a mean
/// of few rows is further from everything than the true one, by ν tr(Σ⁻¹ S) on average, which is taken back.
///
/// A class without rows has the mean of all and half the share of the least row. Where no row differs from the mean of its class, as with one a class, μ is 1: features are
/// scaled so that they change by about that.
///
/// # Numerics
/// In f64. With fewer rows than features the inverse is that of a matrix as wide as the rows are many (Woodbury).
///
/// # Reference
/// Snell, Swersky and Zemel, "Prototypical networks for few-shot learning", 2017, section 2.4 (nearest means as a linear head);
/// Moran and Murphy, "A closer look at two alternative methods of statistical discrimination", 1979 (the unbiased distance);
/// Friedman, "Regularized discriminant analysis", 1989, equations 16 to 18 (shrinkage).
pub(crate) struct Discriminant<'a> {
    scale: &'a [f64],
    width: usize,
    /// `[classes, width]`.
    means: Vec<f64>,
    /// `[classes]`: ln π.
    log_shares: Vec<f64>,
    /// `[classes]`: ν.
    noise: Vec<f64>,
    /// `[rows, width]`, C in S = Cᵀ C.
    centred: Vec<f64>,
    /// μ.
    variance: f64,
}

impl<'a> Discriminant<'a> {
    /// Takes means and scatter of the rows that one of the heads of `learning` learns from; `scale` is a [`Penalty`](crate::head::solve::Penalty)'s.
    pub fn of(learning: &Learning, head: usize, scale: &'a [f64]) -> Self {
        let (width, classes) = (learning.standard.width(), learning.class_weights.len());
        let class = |row: usize| learning.samples.classes[row].index();
        let share = |(row, share): (usize, f64)| (row, share * f64::from(learning.class_weights[class(row)]));
        let shares: Vec<(usize, f64)> =
            learning.shares(head).into_iter().enumerate().map(share).filter(|(_, share)| *share > 0.0).collect();
        let mut centred = vec![0.0; shares.len() * width];
        let (mut means, mut of_classes) = (vec![0.0; classes * width], vec![0.0; classes]);
        for (&(row, share), features) in shares.iter().zip(centred.chunks_exact_mut(width)) {
            learning.standard.apply_f64(learning.samples.rows.row(row), features);
            features.iter_mut().zip(scale).for_each(|(feature, scale)| *feature *= scale);
            of_classes[class(row)] += share;
            add(&mut means[class(row) * width..][..width], share, features);
        }
        let present = means.chunks_exact_mut(width).zip(&of_classes).filter(|(_, share)| **share > 0.0);
        present.for_each(|(mean, share)| mean.iter_mut().for_each(|value| *value /= share));
        let mut noise = vec![0.0; classes];
        shares.iter().for_each(|(row, share)| noise[class(*row)] += (share / of_classes[class(*row)]).powi(2));
        let known: f64 = noise.iter().zip(&of_classes).map(|(noise, share)| noise * share).sum();
        // Rounding leaves a little where each class has one row.
        let free = if 1.0 - known > 1e-9 { 1.0 - known } else { 1.0 };
        for (&(row, share), features) in shares.iter().zip(centred.chunks_exact_mut(width)) {
            add(features, -1.0, &means[class(row) * width..][..width]);
            features.iter_mut().for_each(|value| *value *= (share / free).sqrt());
        }
        let least = shares.iter().map(|(_, share)| *share).fold(1.0, f64::min);
        let log_shares = of_classes.iter().map(|&share| if share > 0.0 { share } else { least / 2.0 }.ln()).collect();
        let variance = dot(&centred, &centred) / width as f64;
        // A row less a mean of that row alone is zero but for rounding.
        let variance = if variance > 1e-12 { variance } else { 1.0 };
        Self { scale, width, means, log_shares, noise, centred, variance }
    }

    /// Solves for the directions of some shrinkages, each more than 0 and at most 1.
    ///
    /// # Errors
    /// Numbers are too large for f64.
    pub fn directions(&self, shrinkages: &[f64]) -> Result<Vec<Directions>> {
        let rows = self.centred.len() / self.width;
        let few = rows < self.width;
        let columns: Vec<f64> = match few {
            true => Vec::new(),
            false => (0..self.width).flat_map(|of| self.centred[of..].iter().step_by(self.width)).copied().collect(),
        };
        let (vectors, length) = if few { (&self.centred, self.width) } else { (&columns, rows) };
        // Prototypes need no products.
        let products = if shrinkages.iter().all(|s| *s == 1.0) { Vec::new() } else { products(vectors, length) };
        let direction = |&shrinkage: &f64| {
            let floor = shrinkage * self.variance;
            if shrinkage == 1.0 {
                let values = self.means.iter().map(|mean| mean / floor).collect();
                return Ok(Directions { values, trace: dot(&self.centred, &self.centred) / floor });
            }
            let (side, rest) = (vectors.len() / length, 1.0 - shrinkage);
            let mut matrix = products.clone();
            matrix.iter_mut().step_by(side + 1).for_each(|value| *value += floor / rest);
            let factor = Cholesky::of(&matrix, side).ok_or_else(|| Error::NotFinite {
                operation: "train",
                what: "the inverse of the covariance within classes".to_owned(),
            })?;
            let of_mean = |mean: &[f64]| -> Vec<f64> {
                if !few {
                    return factor.solve(mean.iter().map(|value| value / rest));
                }
                let held = factor.solve(self.centred.chunks_exact(self.width).map(|row| dot(row, mean)));
                let mut direction = mean.to_vec();
                held.iter()
                    .zip(self.centred.chunks_exact(self.width))
                    .for_each(|(h, row)| add(&mut direction, -h, row));
                direction.iter_mut().for_each(|value| *value /= floor);
                direction
            };
            let values = self.means.par_chunks_exact(self.width).flat_map_iter(of_mean).collect();
            Ok(Directions { values, trace: (side as f64 - floor / rest * factor.trace_of_inverse()) / rest })
        };
        shrinkages.iter().map(direction).collect()
    }

    /// Makes a head of directions: `[classes, width + 1]` on standardised features, the bias last.
    pub fn head(&self, directions: &Directions, sharpness: f64) -> Vec<f64> {
        let classes = directions.values.chunks_exact(self.width).enumerate();
        let layer = |(class, direction): (usize, &[f64])| {
            let weights = direction.iter().zip(self.scale).map(|(direction, scale)| sharpness * direction * scale);
            let bias = self.bias(class, dot(self.mean(class), direction), (directions.trace, sharpness));
            weights.chain([bias]).collect::<Vec<f64>>()
        };
        classes.flat_map(layer).collect()
    }

    /// Computes how far a head, as [`head`](Self::head) gives it, is from what it should be. Its directions u minimise Σ over classes of u · Σ u / 2 − m · u: gives that value, the
    /// infinity norm of its gradient Σ u − m at the head, and the same at a head of zeros. An error of a bias by a nat counts as much as the latter.
    ///
    /// # Errors
    /// As [`directions`](Self::directions).
    pub fn certify(&self, head: &[f64], (shrinkage, sharpness): (f64, f64)) -> Result<[f64; 3]> {
        let trace = self.directions(&[shrinkage])?[0].trace;
        let start = largest(&self.means);
        let (mut value, mut worst) = (0.0, 0.0);
        for (class, layer) in head.chunks_exact(self.width + 1).enumerate() {
            let scale = &self.scale[..self.width];
            let u: Vec<f64> = layer.iter().zip(scale).map(|(w, scale)| w / scale / sharpness).collect();
            let mut slope: Vec<f64> = u.iter().map(|u| shrinkage * self.variance * u).collect();
            for row in self.centred.chunks_exact(self.width) {
                add(&mut slope, (1.0 - shrinkage) * dot(row, &u), row);
            }
            let agreed = dot(self.mean(class), &u);
            value += 0.5 * dot(&u, &slope) - agreed;
            add(&mut slope, -1.0, self.mean(class));
            let bias = layer[self.width] - self.bias(class, agreed, (trace, sharpness));
            worst = largest(&[worst, largest(&slope), start * bias]);
        }
        Ok([value, worst, start])
    }

    fn mean(&self, class: usize) -> &[f64] {
        &self.means[class * self.width..][..self.width]
    }

    /// Computes the bias of a class whose mean times its direction is `agreed`.
    fn bias(&self, class: usize, agreed: f64, (trace, sharpness): (f64, f64)) -> f64 {
        0.5 * sharpness * (self.noise[class] * trace - agreed) + self.log_shares[class]
    }
}

/// What a shrinkage makes of means and scatter.
pub(crate) struct Directions {
    /// `[classes, width]`: Σ⁻¹ m.
    values: Vec<f64>,
    /// tr(Σ⁻¹ S).
    trace: f64,
}

/// Multiplies each of some vectors, laid out one after another, with each: `[vectors, vectors]`.
fn products(vectors: &[f64], length: usize) -> Vec<f64> {
    let with_all = |one: &[f64]| vectors.chunks_exact(length).map(|other| dot(one, other)).collect::<Vec<f64>>();
    vectors.par_chunks_exact(length).flat_map_iter(with_all).collect()
}
