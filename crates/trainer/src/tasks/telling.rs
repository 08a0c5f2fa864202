//! What a run can tell of a photo besides its class: whether it is like none of the classes, and among which classes the true one is.

use crate::error::{Error, Result};
use crate::features::Rows;
use crate::head::conformal;
use crate::head::reject::Detector;
use crate::report::{Asked, Prediction};
use crate::run::{HeadRun, Likeness, Run};

/// What a run can tell of a photo besides its class.
#[derive(Clone, Debug)]
pub struct Telling {
    detector: Option<Detector>,
    /// Why it can't be told whether a photo is like none of the classes.
    silent: Option<&'static str>,
    /// The least probability that a class of a set has.
    least: Option<f64>,
    /// Whether it could be asked whether photos are like none of the classes.
    asks: bool,
}

impl Telling {
    /// Reads what the run knows its photos by. With `coverage`, sets of classes hold the true one so often.
    ///
    /// # Errors
    /// What the run keeps can't be read, is damaged or another run's. Sets are asked for, and the run can't make any: it keeps nothing to make them by, or has learnt from too few photos.
    pub fn of(run: &Run, coverage: Option<f64>) -> Result<Self> {
        match run.head.thresholds {
            None => Self::from(run.likeness()?, run.config.is_some(), coverage),
            Some(_) => Self::of_sets(coverage),
        }
    }

    /// Reads what a run that may have been made of features can tell, as [`Telling::of`] does.
    ///
    /// # Errors
    /// As [`Telling::of`].
    pub fn of_head(run: &HeadRun, coverage: Option<f64>) -> Result<Self> {
        match run.head.thresholds {
            None => Self::from(run.likeness()?, run.config.is_some(), coverage),
            Some(_) => Self::of_sets(coverage),
        }
    }

    /// Tells nothing but the classes of a photo that may be of several, or of none.
    fn of_sets(coverage: Option<f64>) -> Result<Self> {
        match coverage {
            None => {
                let silent = Some("they may have several labels, or none");
                Ok(Self { detector: None, silent, least: None, asks: false })
            }
            Some(coverage) => {
                let expected = "a run of one class a photo: of several, the set that is named has no such promise";
                Err(Error::InvalidOption { option: "coverage", value: coverage.to_string(), expected })
            }
        }
    }

    fn from(likeness: Option<Likeness>, is_a_run: bool, coverage: Option<f64>) -> Result<Self> {
        let least = match (coverage, &likeness) {
            (None, _) => None,
            (Some(coverage), Some(likeness)) => Some(conformal::threshold_of(&likeness.probabilities, coverage)?),
            (Some(coverage), None) => {
                let expected = match is_a_run {
                    true => {
                        "a run that keeps how probable heads found true classes that they hadn't learnt: `known.safetensors`, which cross-validation writes and this one lacks"
                    }
                    false => {
                        "a run that was trained with cross-validation: of a head whose training isn't known nothing can be said of how often it is right"
                    }
                };
                return Err(Error::InvalidOption { option: "coverage", value: coverage.to_string(), expected });
            }
        };
        let Some(Likeness { features, width, classes, chosen, .. }) = likeness else {
            return Ok(Self {
                detector: None,
                silent: Some("it keeps no known.safetensors, which a training with cross-validation writes"),
                least,
                asks: true,
            });
        };
        let Some(chosen) = chosen else {
            return Ok(Self {
                detector: None,
                silent: Some("no score could be chosen when it was trained"),
                least,
                asks: true,
            });
        };
        let silent = chosen.threshold.is_none().then_some("it has learnt from too few photos");
        let detector = Detector::new((chosen.choice.score, chosen.threshold), &features, width, &classes)?;
        Ok(Self { detector: Some(detector), silent, least, asks: true })
    }

    /// Says why it can't be told whether photos are like none of the classes, where that is so.
    pub fn silent(&self) -> Option<&'static str> {
        self.silent
    }

    /// Gives the least probability that a class of a set has, where sets were asked for.
    pub fn least(&self) -> Option<f64> {
        self.least
    }

    /// Says which columns a table of predictions has besides.
    pub fn asked(&self) -> Asked {
        Asked { known: self.asks, set: self.least.is_some() }
    }

    /// Tells of photos with these features.
    ///
    /// # Errors
    /// Their features aren't the run's, or a score isn't finite.
    pub(crate) fn tell(&self, rows: &Rows<'_>, predictions: &mut [Prediction]) -> Result<()> {
        if let Some(detector) = &self.detector {
            let logits: Vec<&[f32]> = predictions.iter().map(|photo| &photo.logits[..]).collect();
            let verdicts = detector.judge(rows, &logits)?;
            predictions.iter_mut().zip(verdicts).for_each(|(photo, verdict)| photo.verdict = Some(verdict));
        }
        if let Some(least) = self.least {
            predictions.iter_mut().for_each(|photo| photo.set = Some(conformal::set(&photo.probabilities(), least)));
        }
        Ok(())
    }
}
