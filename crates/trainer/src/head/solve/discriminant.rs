//! Heads in closed form: the nearest of the classes' means, where distances are taken as they are or as the covariance within all classes says.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::head::cholesky::Cholesky;
use crate::head::solve::objective::Learning;
use crate::head::solve::vector::{add, dot, largest, products};

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
        let class = |row: usize| learning.samples.classes()[row].index();
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
        let products =
            if shrinkages.iter().all(|s| *s == 1.0) { Vec::new() } else { products(vectors, length, length) };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Class, Target};
    use crate::features::Rows;
    use crate::head::problem::{Classed, Samples};
    use crate::head::regularisation::Scaling;
    use crate::head::standardise::Standard;
    use crate::random::SplitMix64;

    #[test]
    fn heads_are_what_the_formula_says() {
        // More rows than features, and fewer; classes are uneven, and of class 3 there is none.
        for (rows, width) in [(9usize, 3usize), (7, 10)] {
            let mut random = SplitMix64(3);
            let features: Vec<f32> = (0..rows * width).map(|_| (random.bits() % 17) as f32 - 8.0).collect();
            let all = Rows::new(&features, width).unwrap();
            let classes: Vec<usize> = (0..rows).map(|row| [0, 0, 1, 2, 0, 1, 0, 2, 0][row]).collect();
            let targets: Vec<Target> = classes.iter().map(|&class| Class::new(class).into()).collect();
            let weights: Vec<f64> = (0..rows).map(|row| 1.0 + (row % 3) as f64).collect();
            let samples = Samples { rows: &all, targets: &targets, weights: Some(&weights) };
            let (samples, standard) = (Classed::new(&samples, 4).unwrap(), Standard::of(&all).unwrap());
            let learning = Learning {
                samples: &samples,
                standard: &standard,
                class_weights: &[1.0; 4],
                label_smoothing: 0.0,
                without: &[[None; 2]],
                folds: &[],
            };
            let scale = Scaling::Common.of(&standard);
            let of_row = |row: usize| {
                let mut z = vec![0.0; width];
                standard.apply_f64(all.row(row), &mut z);
                z.iter().zip(&scale).map(|(z, scale)| z * scale).collect::<Vec<f64>>()
            };
            let sum: f64 = weights.iter().sum();
            let shares: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
            let of_class = |class: usize, of: &dyn Fn(usize) -> f64| -> f64 {
                (0..rows).filter(|&row| classes[row] == class).map(of).sum()
            };
            let share = |class: usize| of_class(class, &|row| shares[row]);
            let mean = |class: usize| -> Vec<f64> {
                (0..width).map(|j| of_class(class, &|row| shares[row] * of_row(row)[j]) / share(class)).collect()
            };
            let noise = |class: usize| of_class(class, &|row| shares[row].powi(2)) / share(class).powi(2);
            let free = 1.0 - (0..3).map(|class| share(class) * noise(class)).sum::<f64>();
            let scatter: Vec<f64> = (0..width * width)
                .map(|at| {
                    let of = |row: usize| {
                        let (f, m) = (of_row(row), mean(classes[row]));
                        shares[row] * (f[at / width] - m[at / width]) * (f[at % width] - m[at % width]) / free
                    };
                    (0..rows).map(of).sum()
                })
                .collect();
            let variance = scatter.iter().step_by(width + 1).sum::<f64>() / width as f64;
            let found = Discriminant::of(&learning, 0, &scale);
            for (shrinkage, sharpness) in [(1.0, 0.5), (0.6, 0.25), (0.1, 1.0)] {
                let mut covariance: Vec<f64> = scatter.iter().map(|value| (1.0 - shrinkage) * value).collect();
                covariance.iter_mut().step_by(width + 1).for_each(|value| *value += shrinkage * variance);
                let inverse = Cholesky::of(&covariance, width).unwrap();
                let trace: f64 =
                    (0..width).map(|j| inverse.solve(scatter[j * width..][..width].iter().copied())[j]).sum();
                let mut head = found.head(&found.directions(&[shrinkage]).unwrap()[0], sharpness);
                for class in 0..3 {
                    let (mean, layer) = (mean(class), &head[class * (width + 1)..][..width + 1]);
                    let u = inverse.solve(mean.iter().copied());
                    let bias = sharpness * (noise(class) * trace - dot(&mean, &u)) / 2.0 + share(class).ln();
                    assert!((layer[width] - bias).abs() < 1e-10, "{} {bias}", layer[width]);
                    for ((weight, u), scale) in layer.iter().zip(&u).zip(&scale) {
                        assert!((weight - sharpness * u * scale).abs() < 1e-10, "{weight} {u}");
                    }
                }
                // Nothing is known of the last but that it is rare.
                let least = shares.iter().copied().fold(1.0, f64::min);
                assert!(
                    (head[3 * (width + 1)..][..width].iter().all(|w| *w == 0.0))
                        && head[4 * (width + 1) - 1] == (least / 2.0).ln()
                );
                // The certificate tells that head from one of which a single number is a hundredth off.
                let share = |head: &[f64]| {
                    let [_, gradient, start] = found.certify(head, (shrinkage, sharpness)).unwrap();
                    gradient / start
                };
                assert!(share(&head) < 1e-12);
                for place in [0, width] {
                    head[place] *= 1.01;
                    assert!(share(&head) > 1e-4, "{place}: {}", share(&head));
                    head[place] /= 1.01;
                }
            }
        }
    }

    #[test]
    fn a_row_a_class_gives_the_nearest_row() {
        let all = Rows::new(&[0.0, 0.0, 4.0, 0.0, 0.0, 4.0], 2).unwrap();
        let targets = [0, 1, 2].map(|class| Class::new(class).into());
        let samples = Classed::new(&Samples { rows: &all, targets: &targets, weights: None }, 3).unwrap();
        let standard = Standard::of(&all).unwrap();
        let learning = Learning {
            samples: &samples,
            standard: &standard,
            class_weights: &[1.0; 3],
            label_smoothing: 0.0,
            without: &[[None; 2]],
            folds: &[],
        };
        let scale = Scaling::Common.of(&standard);
        let found = Discriminant::of(&learning, 0, &scale);
        for directions in found.directions(&[1.0, 0.5]).unwrap() {
            let head = found.head(&directions, 1.0);
            for row in 0..3 {
                let mut z = [0.0, 0.0, 1.0];
                standard.apply_f64(all.row(row), &mut z);
                let logits: Vec<f64> = head.chunks(3).map(|layer| dot(layer, &z)).collect();
                assert!((0..3).all(|class| class == row || logits[class] < logits[row]), "{logits:?}");
            }
        }
    }
}
