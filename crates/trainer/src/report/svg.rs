//! The curve of a training, drawn as SVG: losses by epoch, or by the strength of the regularisation.

use std::fmt::Write as _;

use crate::head::{Candidate, CrossValidation, Epoch, History, Scaling};

/// The colours of the two losses.
pub(crate) const TRAINING: &str = "#3a7bd5";
pub(crate) const VALIDATION: &str = "#d5533a";

/// Draws the losses by epoch, and a dashed line at the best epoch; nothing of fewer than two epochs.
pub(crate) fn curve(history: &History) -> Option<String> {
    let epochs = history.epochs.len();
    if epochs < 2 {
        return None;
    }
    let losses = history.epochs.iter().flat_map(|epoch| [Some(epoch.train_loss), epoch.validation_loss]).flatten();
    let ceiling = losses.filter(|loss| loss.is_finite()).fold(1e-9, f64::max);
    let (width, height) = (640.0, 220.0);
    let (bottom, right) = (height - 30.0, width - 10.0);
    let x = |epoch: usize| 40.0 + (width - 50.0) * epoch as f64 / (epochs - 1) as f64;
    let y = |loss: f64| 10.0 + (height - 40.0) * (1.0 - loss / ceiling);
    let mut out = format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=img aria-label=\"loss by epoch\">\
         <path d=\"M40 10V{bottom}H{right}\" fill=none stroke=#99a /><text x=4 y=16>{ceiling:.2}</text>\
         <text x=20 y={bottom}>0</text><text x={right} y={} text-anchor=end>epoch {epochs}</text>",
        height - 14.0,
    );
    let mut line = |colour: &str, loss: fn(&Epoch) -> Option<f64>| {
        let points: Vec<String> = (history.epochs.iter().enumerate())
            .filter_map(|(epoch, figures)| Some((x(epoch), y(loss(figures).filter(|loss| loss.is_finite())?))))
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = write!(out, "<polyline fill=none stroke={colour} stroke-width=2 points=\"{}\"/>", points.join(" "));
    };
    line(TRAINING, |epoch| Some(epoch.train_loss));
    line(VALIDATION, |epoch| epoch.validation_loss);
    let best = x(history.best.saturating_sub(1));
    let _ = write!(out, "<path d=\"M{best:.1} 10V{bottom}\" stroke=#99a stroke-dasharray=3 /></svg>");
    Some(out)
}

/// Draws the out-of-fold loss of softmax regressions by the strength of the penalty, on a scale of decades, a line for each scaling, and a dashed line at the chosen one, where it is one of them;
/// nothing of fewer than two strengths.
pub(crate) fn strengths(found: &CrossValidation) -> Option<String> {
    let all = || found.candidates.iter().filter_map(|candidate| Some((candidate, candidate.regularisation.l2()?)));
    let chosen = found.candidates.get(found.chosen)?;
    let decades = || all().map(|(_, l2)| l2.log10());
    let (least, most) = (decades().fold(f64::INFINITY, f64::min), decades().fold(f64::NEG_INFINITY, f64::max));
    let ceiling = all().map(|(candidate, _)| candidate.log_loss).filter(|loss| loss.is_finite()).fold(1e-9, f64::max);
    if least >= most {
        return None;
    }
    let (width, height) = (640.0, 220.0);
    let (bottom, right) = (height - 30.0, width - 10.0);
    let x = |l2: f64| 40.0 + (width - 50.0) * (l2.log10() - least) / (most - least);
    let y = |loss: f64| 10.0 + (height - 40.0) * (1.0 - loss / ceiling);
    let mut out = format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=img aria-label=\"loss by strength\">\
         <path d=\"M40 10V{bottom}H{right}\" fill=none stroke=#99a /><text x=4 y=16>{ceiling:.2}</text>\
         <text x=20 y={bottom}>0</text><text x=40 y={0}>L2 {1}</text><text x={right} y={0} text-anchor=end>{2}</text>",
        height - 14.0,
        10f64.powf(least),
        10f64.powf(most),
    );
    for (scaling, colour) in [(Scaling::Common, TRAINING), (Scaling::Each, VALIDATION)] {
        let of_scaling = |(candidate, _): &(&Candidate, f64)| {
            candidate.regularisation.scaling() == scaling && candidate.log_loss.is_finite()
        };
        let points: Vec<String> = (all().filter(of_scaling))
            .map(|(candidate, l2)| format!("{:.1},{:.1}", x(l2), y(candidate.log_loss)))
            .collect();
        let _ = write!(out, "<polyline fill=none stroke={colour} stroke-width=2 points=\"{}\"/>", points.join(" "));
    }
    if let Some(l2) = chosen.regularisation.l2() {
        let _ = write!(out, "<path d=\"M{:.1} 10V{bottom}\" stroke=#99a stroke-dasharray=3 />", x(l2));
    }
    out.push_str("</svg>");
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Regularisation;

    #[test]
    fn losses_are_lines_and_the_best_epoch_is_marked() {
        let epoch = |loss, validation_loss| Epoch {
            train_loss: loss,
            validation_loss,
            validation_top1: None,
            learning_rate: 0.1,
        };
        let history =
            History { epochs: vec![epoch(1.0, Some(2.0)), epoch(0.5, Some(1.5)), epoch(0.25, None)], best: 2 };
        let drawn = curve(&history).unwrap();
        assert!(drawn.contains("points=\"40.0,100.0 335.0,145.0 630.0,167.5\""), "{drawn}");
        assert!(drawn.contains("points=\"40.0,10.0 335.0,55.0\"") && drawn.contains("d=\"M335.0 10V190\""), "{drawn}");
        assert_eq!(curve(&History { epochs: vec![epoch(1.0, None)], best: 1 }), None);
    }

    #[test]
    fn strengths_are_decades_and_the_chosen_one_is_marked() {
        let candidate = |scaling, l2, log_loss| Candidate {
            regularisation: Regularisation::Logistic { scaling, l2 },
            log_loss,
            log_loss_error: 0.1,
            top1: 0.5,
        };
        let candidates = vec![
            candidate(Scaling::Common, 10.0, 2.0),
            candidate(Scaling::Common, 1.0, 1.0),
            candidate(Scaling::Common, 0.1, 0.5),
            candidate(Scaling::Each, 0.1, 1.5),
        ];
        let mut found =
            CrossValidation { folds: 5, candidates, chosen: 1, top1: vec![0.5], nested: false, ..Default::default() };
        let drawn = strengths(&found).unwrap();
        assert!(drawn.contains("points=\"630.0,10.0 335.0,100.0 40.0,145.0\""), "{drawn}");
        assert!(drawn.contains("points=\"40.0,55.0\"") && drawn.contains("d=\"M335.0 10V190\""), "{drawn}");
        found.candidates.truncate(1);
        found.chosen = 0;
        assert_eq!(strengths(&found), None);
    }
}
