//! Mini-batches on the CPU's cores: loss and gradient in f32, as the optimum's are, and the update of the weights in f64.

use rayon::prelude::*;

use crate::error::Result;
use crate::head::options::{Optimizer, TrainOptions};
use crate::head::solve::native::Pass;
use crate::head::solve::objective::{Loss, Posed};
use crate::head::solve::slopes::Slopes;
use crate::head::solve::update::has_no_epochs;

/// Weights with what changes them, `[classes, width + 1]`, the biases last.
pub(crate) struct NativeLearner<'a> {
    posed: &'a Posed<'a>,
    options: &'a TrainOptions,
    pass: Pass<'a>,
    weight: Vec<f64>,
    best: Vec<f64>,
    /// Means of the gradient and of its square; of SGD the momentum is the first.
    means: [Vec<f64>; 2],
}

impl<'a> NativeLearner<'a> {
    /// Begins at weights of zero.
    ///
    /// # Errors
    /// The optimiser doesn't go by mini-batches.
    pub fn new(posed: &'a Posed<'a>, options: &'a TrainOptions) -> Result<Self> {
        if !options.optimizer.has_epochs() {
            return Err(has_no_epochs());
        }
        let slopes = Slopes::new(&posed.class_weights, options.label_smoothing);
        let zeros = || vec![0.0; posed.class_weights.len() * (posed.standard.width() + 1)];
        let pass = Pass::new(&posed.samples, &posed.standard, slopes);
        Ok(Self { posed, options, pass, weight: zeros(), best: zeros(), means: [zeros(), zeros()] })
    }

    /// Takes the steps of an epoch, on all rows in this order, and gives the sum of their losses.
    ///
    /// # Errors
    /// As [`Pass::over`].
    pub fn learn(&mut self, order: &[usize], epoch: usize) -> Result<f64> {
        let batch = self.options.batch_of(order.len());
        let steps = order.len().div_ceil(batch);
        let mut sum = 0.0;
        for (step, rows) in (epoch * steps..).zip(order.chunks(batch)) {
            let Loss { value, gradient } = self.loss(rows)?;
            sum += rows.len() as f64 * value;
            self.update(&gradient, self.options.learning_rate_at(step, steps), step + 1);
        }
        Ok(sum)
    }

    /// Computes the mean loss of a batch by its samples' weights, and its gradient.
    fn loss(&mut self, rows: &[usize]) -> Result<Loss> {
        let Posed { samples, class_weights, .. } = self.posed;
        let of_class = |row: usize| f64::from(class_weights[samples.classes()[row].index()]);
        let all: f64 = rows.iter().map(|&row| of_class(row) * samples.weight(row)).sum();
        let share = if all > 0.0 { 1.0 / all } else { 0.0 };
        let weights: Vec<f32> = self.weight.iter().map(|&weight| weight as f32).collect();
        let mut loss = [Loss { value: 0.0, gradient: vec![0.0; weights.len()] }];
        self.pass.over(&weights, rows, |_, place| share * samples.weight(rows[place]), &mut loss)?;
        let [loss] = loss;
        Ok(loss)
    }

    /// Changes the weights by a step's gradient; the first step's number is 1. Biases don't decay.
    fn update(&mut self, gradient: &[f64], rate: f64, step: usize) {
        let wide = self.posed.standard.width() + 1;
        let (optimizer, weight_decay) = (self.options.optimizer, self.options.weight_decay);
        let [first, second] = &mut self.means;
        let means = first.par_chunks_mut(wide).zip(second.par_chunks_mut(wide));
        let of_classes = self.weight.par_chunks_mut(wide).zip(gradient.par_chunks(wide)).zip(means);
        of_classes.for_each(|((weights, gradient), (first, second))| {
            for (place, (w, &g)) in weights.iter_mut().zip(gradient).enumerate() {
                let (m, v) = (&mut first[place], &mut second[place]);
                let decay = if place + 1 < wide { weight_decay * *w } else { 0.0 };
                match optimizer {
                    Optimizer::Lbfgs { .. } => {}
                    Optimizer::Sgd { momentum, nesterov } => {
                        let g = g + decay;
                        *m = momentum * *m + g;
                        *w -= rate * if nesterov { g + momentum * *m } else { *m };
                    }
                    Optimizer::AdamW { beta1, beta2, eps } => {
                        let unbiased = |mean: f64, beta: f64| mean / (1.0 - beta.powf(step as f64));
                        *m = beta1 * *m + (1.0 - beta1) * g;
                        *v = beta2 * *v + (1.0 - beta2) * g * g;
                        *w -= rate * (decay + unbiased(*m, beta1) / (unbiased(*v, beta2).sqrt() + eps));
                    }
                }
            }
        });
    }

    /// Keeps the present weights as the best.
    pub fn keep(&mut self) {
        self.best.copy_from_slice(&self.weight);
    }

    /// Gives the present weights, `[classes, width + 1]` with the biases last.
    pub fn weight(&self) -> &[f64] {
        &self.weight
    }

    /// Gives the best weights, likewise.
    pub fn best(&self) -> &[f64] {
        &self.best
    }
}
