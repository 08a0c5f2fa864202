//! The curve of a training, drawn as SVG.

use std::fmt::Write as _;

use crate::head::{Epoch, History};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
