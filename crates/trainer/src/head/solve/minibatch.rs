//! Softmax regression by mini-batches: gradient steps in a new order each epoch, until the validation loss stops falling.

use crate::error::{Error, Result};
use crate::head::history::{Fit, History};
use crate::head::options::TrainOptions;
use crate::head::problem::{Classed, Problem};
use crate::head::solve::cross_validation::head_of;
use crate::head::solve::objective::Posed;
use crate::head::solve::steps::Steps;
use crate::head::solve::work::Work;
use crate::progress::{Epoch, Progress, Stage};
use crate::random::SplitMix64;

/// Trains a head by mini-batches and keeps the one of the epoch with the lowest validation loss, or the last without validation.
///
/// Features are standardised by the training part (by feature, mean 0 and deviation 1), so that one learning rate suits every backbone; the head
/// that comes out takes them as they are. The first weights are zero. Each epoch takes the rows in a new order; a last batch
/// that isn't full counts as what it holds. A batch's loss is the mean of its samples' losses by their weights, each times the weight of its class.
///
/// The validation loss is the mean of -w ln p(class) / mean w, w being the class weights, without smoothing.
///
/// # Reference
/// Kingma and Ba, "Adam", 2015, with the decay of Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
pub(crate) fn minibatch(work: &Work, problem: &Problem, options: &TrainOptions) -> Result<Fit> {
    let classes = problem.classes.len();
    let posed = Posed::new(problem, options)?;
    let train = &posed.samples;
    let validation = problem.validation.as_ref().map(|samples| Classed::new(samples, classes)).transpose()?;
    if let Some(other) = validation.as_ref().filter(|other| other.rows.width() != train.rows.width()) {
        let (expected, got) = (train.rows.width(), other.rows.width());
        return Err(Error::Shape { operation: "train", operand: "a row to validate", expected, got });
    }
    let mut steps = Steps::new(work, &posed, validation.as_ref(), options)?;
    work.progress.begin(Stage::HEAD, options.epochs);
    let history = epochs(&mut steps, train.len(), options, work.progress);
    work.progress.end();
    let history = history?;
    let head = head_of(&steps.best()?, &posed.standard, problem.classes);
    Ok(Fit { head, history, certificate: None, cross_validation: None, leave_one_out: None, temperature: None })
}

/// Passes over the training part until patience or epochs run out.
fn epochs(steps: &mut Steps, samples: usize, options: &TrainOptions, progress: &dyn Progress) -> Result<History> {
    let mut history = History::default();
    let mut lowest = f64::INFINITY;
    let mut order: Vec<usize> = (0..samples).collect();
    let mut random = SplitMix64(options.seed);
    let steps_of_epoch = samples.div_ceil(options.batch_of(samples));
    for epoch in 0..options.epochs {
        if progress.cancelled() {
            return Err(Error::Interrupted { kept: 0 });
        }
        shuffle(&mut order, &mut random);
        let train_loss = steps.learn(&order, epoch)? / order.len() as f64;
        let (validation_loss, validation_top1) = steps.validate()?.unzip();
        let decisive = validation_loss.unwrap_or(train_loss);
        if !(decisive.is_finite() && train_loss.is_finite()) {
            return Err(Error::Diverged { epoch: epoch + 1 });
        }
        if validation_loss.is_none() || decisive < lowest {
            lowest = decisive;
            history.best = epoch + 1;
            steps.keep();
        }
        let learning_rate = options.learning_rate_at((epoch + 1) * steps_of_epoch - 1, steps_of_epoch);
        history.epochs.push(Epoch { train_loss, validation_loss, validation_top1, learning_rate });
        progress.epoch(&history.epochs[epoch]);
        progress.note(&figures(&history.epochs[epoch]));
        progress.advance(1);
        if options.patience.is_some_and(|patience| epoch + 1 >= history.best + patience) {
            break;
        }
    }
    if history.epochs.last().is_some_and(|epoch| epoch.validation_loss.is_some()) {
        progress.note(&format!("the best, number {}: {}", history.best, figures(&history.epochs[history.best - 1])));
    }
    Ok(history)
}

/// Words an epoch's figures.
fn figures(epoch: &Epoch) -> String {
    let of_validation = match (epoch.validation_loss, epoch.validation_top1) {
        (Some(loss), Some(top1)) => format!(", validation {loss:.3} ({:.1} % right)", 100.0 * top1),
        _ => String::new(),
    };
    format!("loss {:.3}{of_validation}", epoch.train_loss)
}

/// Shuffles as Fisher and Yates do.
fn shuffle(order: &mut [usize], random: &mut SplitMix64) {
    for last in (1..order.len()).rev() {
        order.swap(last, ((u128::from(random.bits()) * (last as u128 + 1)) >> 64) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Class, Target};
    use crate::features::Rows;
    use crate::head::options::{ClassWeights, Optimizer};
    use crate::head::problem::Samples;
    use crate::head::softmax::log_softmax;
    use crate::head::table::STEPS;
    use crate::head::validate;
    use crate::machine::{Cpu, Device, Selection, open};

    fn gpu() -> Device {
        pollster::block_on(open(&Selection::default())).unwrap().into()
    }

    fn both() -> [Device; 2] {
        [gpu(), Device::Cpu(Cpu::open().unwrap())]
    }

    fn adam() -> TrainOptions {
        TrainOptions { optimizer: Optimizer::ADAMW, ..Default::default() }
    }

    fn classes(count: usize) -> Vec<String> {
        (0..count).map(|class| class.to_string()).collect()
    }

    /// Features `[labels, width]` with the classes' numbers.
    type Labelled<'a> = (&'a [f32], &'a [usize]);

    fn train(
        work: &Work,
        train: Labelled,
        validation: Option<Labelled>,
        classes: &[String],
        options: &TrainOptions,
    ) -> Result<Fit> {
        fn rows<'a>((values, labels): Labelled<'a>) -> Result<Rows<'a>> {
            Rows::new(values, (values.len() / labels.len().max(1)).max(1))
        }
        let targets = |(_, labels): Labelled| -> Vec<Target> {
            labels.iter().map(|&label| Target::from(Class::new(label))).collect()
        };
        let (train_rows, train_targets) = (rows(train)?, targets(train));
        let (other_rows, other_targets) = (validation.map(rows).transpose()?, validation.map(targets));
        let validation = other_rows.as_ref().zip(other_targets.as_deref());
        let problem = Problem {
            classes,
            train: Samples { rows: &train_rows, targets: &train_targets, weights: None },
            validation: validation.map(|(rows, targets)| Samples { rows, targets, weights: None }),
            folds: None,
            views: 1,
        };
        minibatch(work, &problem, options)
    }

    /// Takes a device that holds any number of rows.
    fn ample(device: &Device) -> Work<'_> {
        Work { device, most_rows: usize::MAX, progress: &() }
    }

    /// Photos of `classes` clouds that overlap a little, class by class in turn; the classes have unequal sizes.
    fn clouds(count: usize, classes: usize, width: usize, seed: u64) -> (Vec<f32>, Vec<usize>) {
        let mut state = seed;
        let mut noise = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        let labels: Vec<usize> = (0..count).map(|photo| (photo * photo + photo / 3) % classes).collect();
        let features = labels.iter().flat_map(|&label| {
            (0..width).map(|i| if i % classes == label { 1.5 } else { 0.5 } + 1.2 * noise()).collect::<Vec<_>>()
        });
        (features.collect(), labels)
    }

    /// Trains alike in f64, by definition and without batches' padding.
    fn twin(
        features: &[f32],
        labels: &[usize],
        classes: usize,
        options: &TrainOptions,
    ) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let width = features.len() / labels.len();
        let (mean, deviation): (Vec<f64>, Vec<f64>) = (0..width)
            .map(|i| {
                let values = || features.iter().skip(i).step_by(width).map(|&x| f64::from(x));
                let mean = values().sum::<f64>() / labels.len() as f64;
                (mean, values().map(|x| (x - mean).powi(2)).sum::<f64>() / labels.len() as f64)
            })
            .unzip();
        let floor = 0.01 * deviation.iter().sum::<f64>() / width as f64;
        let deviation: Vec<f64> = deviation.iter().map(|variance| (variance + floor).sqrt()).collect();
        let mut counts = vec![0; classes];
        labels.iter().for_each(|&label| counts[label] += 1);
        let class_weights: Vec<f64> = options.class_weights.of(&counts).into_iter().map(f64::from).collect();
        let all: f64 = class_weights.iter().sum();
        // Bias last in each row.
        let mut weights = vec![vec![0.0; width + 1]; classes];
        let mut memory = vec![vec![(0.0, 0.0); width + 1]; classes];
        let mut order: Vec<usize> = (0..labels.len()).collect();
        let mut random = SplitMix64(options.seed);
        let batch_size = options.batch_of(labels.len());
        let steps = labels.len().div_ceil(batch_size);
        let mut losses = Vec::new();
        for epoch in 0..options.epochs {
            shuffle(&mut order, &mut random);
            let mut sum = 0.0;
            for (step, batch) in order.chunks(batch_size).enumerate() {
                let step = epoch * steps + step;
                let mut grads = vec![vec![0.0; width + 1]; classes];
                let total: f64 = batch.iter().map(|&photo| class_weights[labels[photo]]).sum();
                for &photo in batch {
                    let mut input: Vec<f64> =
                        (0..width).map(|i| (f64::from(features[photo * width + i]) - mean[i]) / deviation[i]).collect();
                    input.push(1.0);
                    let logits: Vec<f64> =
                        weights.iter().map(|row| row.iter().zip(&input).map(|(w, x)| w * x).sum()).collect();
                    let max = logits.iter().copied().fold(f64::MIN, f64::max);
                    let sum_exp: f64 = logits.iter().map(|z| (z - max).exp()).sum();
                    let (label, e) = (labels[photo], options.label_smoothing);
                    for class in 0..classes {
                        let log_p = logits[class] - max - sum_exp.ln();
                        let target = f64::from(u8::from(class == label));
                        let own = class_weights[label] * (1.0 - e);
                        sum -= batch.len() as f64 / total
                            * (own * target + e / classes as f64 * class_weights[class])
                            * log_p;
                        let grad = (own + e / classes as f64 * all) * log_p.exp()
                            - e / classes as f64 * class_weights[class]
                            - own * target;
                        grads[class].iter_mut().zip(&input).for_each(|(g, x)| *g += grad * x / total);
                    }
                }
                let rate = options.learning_rate_at(step, steps);
                for class in 0..classes {
                    for i in 0..=width {
                        let decay = if i < width { options.weight_decay } else { 0.0 };
                        let (w, g, m) = (&mut weights[class][i], grads[class][i], &mut memory[class][i]);
                        match options.optimizer {
                            Optimizer::Lbfgs { .. } => unreachable!("has no epochs"),
                            Optimizer::Sgd { momentum, nesterov } => {
                                let g = g + decay * *w;
                                m.0 = if step == 0 { g } else { momentum * m.0 + g };
                                *w -= rate * if nesterov { g + momentum * m.0 } else { m.0 };
                            }
                            Optimizer::AdamW { beta1, beta2, eps } => {
                                let t = (step + 1) as i32;
                                *m = (beta1 * m.0 + (1.0 - beta1) * g, beta2 * m.1 + (1.0 - beta2) * g * g);
                                let v = (m.1 / (1.0 - beta2.powi(t))).sqrt() + eps;
                                *w -= rate * (decay * *w + m.0 / (1.0 - beta1.powi(t)) / v);
                            }
                        }
                    }
                }
            }
            losses.push(sum / labels.len() as f64);
        }
        let weight =
            weights.iter().flat_map(|row| (0..width).map(|i| row[i] / deviation[i]).collect::<Vec<_>>()).collect();
        let shift = |row: &[f64]| (0..width).map(|i| row[i] / deviation[i] * mean[i]).sum::<f64>();
        (weight, weights.iter().map(|row| row[width] - shift(row)).collect(), losses)
    }

    fn agrees(options: &TrainOptions, count: usize, width: usize) {
        let (features, labels) = clouds(count, 3, width, 1);
        let samples = (&features[..], &labels[..]);
        let expected = twin(&features, &labels, 3, options);
        // Steps longer by a hundredth, a decay stronger by a tenth.
        let longer = TrainOptions { learning_rate: 1.01 * options.learning_rate, ..*options };
        let stronger = TrainOptions { weight_decay: 1.1 * options.weight_decay, ..*options };
        let others = [longer, stronger].map(|other| (other, twin(&features, &labels, 3, &other)));
        for device in both() {
            let Fit { head, history, .. } = train(&ample(&device), samples, None, &classes(3), options).unwrap();
            // f32 against f64 over some hundred steps; a wrong gradient, decay or schedule is off by far more.
            let near = |weight: &[f64], bias: &[f64]| {
                let largest = weight.iter().chain(bias).fold(0.0, |max: f64, w| max.max(w.abs()));
                assert!(largest > 0.01, "nothing was learnt");
                let pairs = head.weight.iter().chain(&head.bias).zip(weight.iter().chain(bias));
                pairs.into_iter().all(|(&got, &expected)| (f64::from(got) - expected).abs() <= 2e-4 * largest)
            };
            let (weight, bias, losses) = &expected;
            assert!(near(weight, bias), "{options:?}");
            // The comparison can fail.
            for (other, (weight, bias, _)) in &others {
                assert!(!near(weight, bias), "{options:?} can't be told from {other:?}");
            }
            for (epoch, expected) in history.epochs.iter().zip(losses) {
                assert!((epoch.train_loss - expected).abs() <= 1e-4, "{} is not {expected}", epoch.train_loss);
            }
            assert_eq!((history.epochs.len(), history.best), (options.epochs, options.epochs));
        }
    }

    #[test]
    fn what_a_sample_counts_is_a_factor_of_its_loss() {
        // Fewer photos of one class.
        let (features, labels) = clouds(120, 3, 6, 4);
        let kept: Vec<usize> = (0..120).filter(|&photo| labels[photo] != 2 || photo % 4 == 0).collect();
        let features: Vec<f32> = kept.iter().flat_map(|&photo| &features[photo * 6..][..6]).copied().collect();
        let labels: Vec<usize> = kept.iter().map(|&photo| labels[photo]).collect();
        let rows = Rows::new(&features, 6).unwrap();
        let targets: Vec<Target> = labels.iter().map(|&label| Class::new(label).into()).collect();
        let (gpu, classes) = (gpu(), classes(3));
        let options = TrainOptions { epochs: 6, warmup_epochs: 1, batch_size: 16, learning_rate: 0.05, ..adam() };
        let of = |weights: Option<&[f64]>, class_weights| {
            let train = Samples { rows: &rows, targets: &targets, weights };
            let problem = Problem { classes: &classes, train, validation: None, folds: None, views: 1 };
            let Fit { head, history, .. } =
                minibatch(&ample(&gpu), &problem, &TrainOptions { class_weights, ..options }).unwrap();
            ([head.weight, head.bias].concat(), history.epochs.last().unwrap().train_loss)
        };
        let near = |a: &(Vec<f32>, f64), b: &(Vec<f32>, f64)| {
            (a.1 - b.1).abs() < 1e-4 && a.0.iter().zip(&b.0).all(|(a, b)| (a - b).abs() < 1e-4)
        };
        let plain = of(None, ClassWeights::None);
        assert!(near(&of(Some(&vec![3.0; labels.len()]), ClassWeights::None), &plain), "a factor of all is none");
        // The weights of classes, given to their samples, are the same.
        let mut counts = vec![0; 3];
        labels.iter().for_each(|&label| counts[label] += 1);
        let balanced = ClassWeights::Balanced.of(&counts);
        let weights: Vec<f64> = labels.iter().map(|&label| f64::from(balanced[label])).collect();
        let by_classes = of(None, ClassWeights::Balanced);
        assert!(near(&of(Some(&weights), ClassWeights::None), &by_classes));
        assert!(!near(&plain, &by_classes), "weights must be seen");
        // And both multiply.
        let squares: Vec<f64> = weights.iter().map(|weight| weight * weight).collect();
        assert!(near(&of(Some(&weights), ClassWeights::Balanced), &of(Some(&squares), ClassWeights::None)));
    }

    #[test]
    fn adamw_and_sgd_do_what_their_definitions_do() {
        let adamw = TrainOptions { epochs: 12, warmup_epochs: 3, batch_size: 16, weight_decay: 0.5, seed: 3, ..adam() };
        // Eps not small against the gradients: an AdamW step of a gradient near zero is a coin toss otherwise.
        let adamw = TrainOptions { optimizer: Optimizer::AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-3 }, ..adamw };
        agrees(&adamw, 101, 8);
        agrees(&TrainOptions { label_smoothing: 0.1, class_weights: ClassWeights::Balanced, ..adamw }, 64, 5);
        let sgd = |momentum, nesterov| TrainOptions {
            optimizer: Optimizer::Sgd { momentum, nesterov },
            learning_rate: 0.05,
            weight_decay: 0.02,
            ..adamw
        };
        agrees(&sgd(0.9, true), 101, 8);
        agrees(&sgd(0.9, false), 50, 7);
        agrees(&sgd(0.0, false), 50, 7);
        // More steps than a submit holds, a batch larger than an eighth of the part.
        agrees(&TrainOptions { batch_size: 1, epochs: 2, warmup_epochs: 0, ..sgd(0.5, false) }, 150, 4);
        agrees(&TrainOptions { batch_size: 4096, ..adamw }, 30, 4);
    }

    #[test]
    fn the_best_epoch_is_kept_and_patience_ends_it() {
        let (features, labels) = clouds(60, 3, 12, 1);
        let (others, truth) = clouds(90, 3, 12, 2);
        // A third of the validation labels is wrong: overconfidence costs.
        let wrong: Vec<usize> =
            truth.iter().enumerate().map(|(i, &l)| if i % 3 == 0 { (l + 1) % 3 } else { l }).collect();
        let options = TrainOptions { learning_rate: 0.05, patience: Some(4), ..adam() };
        let (samples, validation) = ((&features[..], &labels[..]), (&others[..], &wrong[..]));
        let fit = train(&ample(&gpu()), samples, Some(validation), &classes(3), &options);
        let Fit { head, history, .. } = fit.unwrap();
        assert!(history.epochs.len() < options.epochs, "never stopped");
        assert_eq!(history.epochs.len(), history.best + 4);
        let loss = |epoch: usize| history.epochs[epoch - 1].validation_loss.unwrap();
        assert!((1..=history.epochs.len()).all(|epoch| loss(epoch) >= loss(history.best)));
        // The head that came out is the one of that epoch, on features as they are.
        let logits = head.logits(&Rows::new(&others, 12).unwrap()).unwrap();
        let rows = logits.chunks(3).zip(&wrong);
        let losses = rows.map(|(row, &label)| -log_softmax(row, Class::new(label)));
        let again: f64 = losses.sum::<f64>() / wrong.len() as f64;
        assert!((again - loss(history.best)).abs() < 1e-4, "{again} is not {}", loss(history.best));
    }

    #[test]
    fn equal_seeds_give_equal_heads_and_scale_does_not_matter() {
        let (features, labels) = clouds(80, 4, 6, 9);
        let options = TrainOptions { epochs: 5, warmup_epochs: 0, ..adam() };
        let of = |features: &[f32], seed| {
            let options = TrainOptions { seed, ..options };
            train(&ample(&gpu()), (features, &labels), None, &classes(4), &options).unwrap().head
        };
        assert_eq!(of(&features, 1), of(&features, 1));
        assert_ne!(of(&features, 1), of(&features, 2));
        let large: Vec<f32> = features.iter().map(|x| 1024.0 * x).collect();
        let (small, large) = (of(&features, 1), of(&large, 1));
        assert!(small.weight.iter().zip(&large.weight).all(|(a, b)| (a - 1024.0 * b).abs() < 1e-6));
    }

    #[test]
    fn rows_beyond_the_device_are_sent_in_turn_and_change_nothing() {
        struct Warned(std::sync::atomic::AtomicUsize);
        impl Progress for Warned {
            fn warn(&self, message: &str) {
                assert!(message.contains("don't fit the adapter"), "{message}");
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        // Three submits an epoch, and two for the validation part.
        let ((features, labels), (others, truth)) =
            (clouds(150, 3, 7, 1), clouds(STEPS * validate::BATCH + 9, 3, 7, 2));
        let (samples, validation) = ((&features[..], &labels[..]), Some((&others[..], &truth[..])));
        let options = TrainOptions { batch_size: 1, epochs: 2, warmup_epochs: 0, ..adam() };
        let gpu = gpu();
        let of = |most_rows| {
            let warned = Warned(0.into());
            let work = Work { device: &gpu, most_rows, progress: &warned };
            let outcome = train(&work, samples, validation, &classes(3), &options).unwrap();
            (outcome, warned.0.into_inner())
        };
        let (resident, (streamed, both), (mixed, one)) = (of(usize::MAX), of(100), of(1000));
        assert_eq!((resident.1, both, one), (0, 2, 1));
        assert!(streamed == resident.0 && mixed == resident.0);
    }

    #[test]
    fn what_cannot_be_trained_is_refused() {
        let gpu = gpu();
        let run = |features: &[f32], labels: &[usize], options: &TrainOptions| {
            train(&ample(&gpu), (features, labels), None, &classes(2), options).unwrap_err().to_string()
        };
        let options = adam();
        assert!(run(&[], &[], &options).contains("rows has 0 elements"));
        assert!(run(&[1.0; 3], &[0, 1], &options).contains("targets has 2 elements, expected 3"));
        assert!(run(&[1.0; 4], &[0, 2], &options).contains("row 1 has class number 2"));
        assert!(run(&[1.0, f32::NAN], &[0, 1], &options).contains("not finite"));
        let wild = TrainOptions {
            optimizer: Optimizer::Sgd { momentum: 0.0, nesterov: false },
            learning_rate: 1e38,
            weight_decay: 1e3,
            ..options
        };
        let (features, labels) = clouds(20, 2, 4, 1);
        let error = train(&ample(&gpu), (&features, &labels), None, &classes(2), &wild).unwrap_err();
        assert!(matches!(error, Error::Diverged { epoch: 1.. }), "{error}");
        let narrow = Some((&[1.0][..], &[0][..]));
        let error = train(&ample(&gpu), (&[1.0; 4], &[0, 1]), narrow, &classes(2), &options).unwrap_err();
        assert!(error.to_string().contains("a row to validate has 1 elements, expected 2"), "{error}");
    }

    #[test]
    fn interruption_ends_it() {
        struct Stop;
        impl Progress for Stop {
            fn cancelled(&self) -> bool {
                true
            }
        }
        let work = Work { device: &gpu(), most_rows: usize::MAX, progress: &Stop };
        let outcome = train(&work, (&[1.0, 2.0], &[0, 1]), None, &classes(2), &adam());
        assert!(matches!(outcome, Err(Error::Interrupted { .. })));
    }
}
