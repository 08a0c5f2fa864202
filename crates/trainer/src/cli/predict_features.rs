//! `trainer predict --features`: what a run's head makes of features that were computed elsewhere.

use crate::cli::global::Global;
use crate::cli::predict::{Predict, text};
use crate::cli::print::{Outcome, emit, emit_json, emit_line};
use crate::cli::said::{self, Said};
use crate::cli::tally::Tally;
use crate::cli::terminal::Terminal;
use crate::progress::{Stage, watched};
use crate::run::HeadRun;
use crate::tasks::{self, Telling};

pub(crate) fn predict(args: &Predict, global: &Global, terminal: &Terminal) -> Outcome {
    if let Some(out) = &args.out {
        said::check(out, args.force)?;
    }
    let run = watched(terminal, Stage::WEIGHTS, || HeadRun::open(&args.run))?;
    let telling = said::telling(Telling::of_head(&run, args.coverage), Some(&run.folder), terminal)?;
    let (classes, top) = (&run.head.classes, usize::from(args.top));
    let mut out = args.out.as_deref().map(|path| Said::begin(path, classes, top, telling.asked())).transpose()?;
    let (mut tally, mut json) = (Tally::new(classes, args.min_probability), Vec::new());
    let features = args.features.clone().unwrap_or_default();
    tasks::predict_features(&run, &features, &telling, terminal, &mut |prediction| {
        if let Some(out) = &mut out {
            out.add(Ok(&prediction))?;
        }
        if args.jsonl {
            emit_line(&said::line(Ok(&prediction), classes, top))?;
        } else if global.json {
            json.push(said::prediction(&prediction, classes, top));
        } else if out.is_none() {
            emit(&text(&prediction, classes, top))?;
        }
        tally.add(&prediction);
        Ok(())
    })?;
    let to_file = out.is_some();
    out.map_or(Ok(()), Said::finish)?;
    if global.json {
        emit_json(&tally.json(&json, &[], telling.silent().is_none()))?;
    } else if !args.jsonl && (to_file || tally.are_many()) {
        emit(&tally.text())?;
    }
    Ok(0)
}
