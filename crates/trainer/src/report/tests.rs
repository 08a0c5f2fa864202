//! What the tests of several reports are made from.

use crate::data::{Class, Part, Target};
use crate::head::metrics::{Evaluation, SaidOfSet, evaluate, evaluate_sets};
use crate::report::data::Metrics;
use crate::report::prediction::Prediction;

/// Labels that a page must escape.
pub(super) fn classes(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("class <{class}>")).collect()
}

/// Makes the figures of a training with this evaluation, of which nothing else is known.
pub(super) fn metrics(test: Option<Evaluation>) -> Metrics {
    let (photos, history, seconds) = Default::default();
    let (leaks, test_without_leaks, validation, change, backbones, views, baselines) = Default::default();
    let (cross_validated, cross_validation, certificate, leave_one_out, temperature) = Default::default();
    let schema = Metrics::SCHEMA;
    Metrics {
        schema,
        photos,
        test,
        leaks,
        test_without_leaks,
        validation,
        cross_validated,
        cross_validation,
        certificate,
        leave_one_out,
        temperature,
        change,
        backbones,
        views,
        baselines,
        history,
        seconds,
    }
}

/// Makes an evaluation in which photo i is of class i mod classes; the first is taken for class 1.
pub(super) fn evaluated(count: usize, width: usize) -> (Evaluation, Vec<Prediction>) {
    let guess = |photo: usize| if photo == 0 { 1 } else { photo % width };
    let predictions: Vec<Prediction> = (0..count)
        .map(|photo| Prediction {
            source: Default::default(),
            name: format!("{photo}.jpg"),
            path: format!("{photo}.jpg").into(),
            digest: [7; 32],
            part: Some(Part::Test),
            cross_validated: false,
            weight: 1.0,
            named: None,
            verdict: None,
            set: None,
            target: Target::Class(Class::new(photo % width)),
            logits: (0..width).map(|class| if class == guess(photo) { 4.0 } else { 0.0 }).collect(),
        })
        .collect();
    let photos = predictions.iter().map(|photo| (&photo.logits[..], &photo.target));
    (evaluate(photos, &classes(width), Class::new(0)).unwrap(), predictions)
}

/// Makes an evaluation in which photo i is of class i mod classes, and all but the last of them may be of others too; of the first, class 1 is named besides.
pub(super) fn evaluated_sets(count: usize, width: usize) -> (Evaluation, Vec<Prediction>) {
    let (_, mut predictions) = evaluated(count, width);
    for (place, photo) in predictions.iter_mut().enumerate() {
        let own = place % width;
        photo.logits = (0..width).map(|class| if class == own { 2.0 } else { -2.0 }).collect();
        photo.target = Target::Set(vec![Class::new(own)]);
        photo.named = Some(if place == 0 { vec![Class::new(0), Class::new(1)] } else { vec![Class::new(own)] });
    }
    let said = predictions.iter().map(|photo| {
        let named = photo.named.as_deref().unwrap_or_default();
        SaidOfSet { logits: &photo.logits, named, target: &photo.target }
    });
    (evaluate_sets(said, &classes(width), &Target::Set(Vec::new())).unwrap(), predictions)
}
