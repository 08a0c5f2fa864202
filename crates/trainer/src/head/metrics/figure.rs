//! A figure that tells how good a head is, with what is needed to read it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What a figure counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A share in [0, 1], which people read in percent.
    Share,
    /// An area in [0, 1].
    Area,
    /// Nats.
    Nats,
}

/// A figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Its name in JSON.
    pub name: Cow<'static, str>,
    /// Its name for people.
    pub title: Cow<'static, str>,
    /// What it counts in.
    pub unit: Unit,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// Its value; none where it isn't defined.
    pub value: Option<f64>,
    /// The 95 % interval of the value, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// What else is to be known of the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
