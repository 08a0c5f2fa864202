//! Any text as a run's `config.json`, `parts.json`, `metrics.json` and the labels and reading in its model's metadata; what is accepted survives being
//! written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};
use trainer::photos::Reading;
use trainer::report::Metrics;
use trainer::run::{Config, Parts};

fn survives<T: Serialize + DeserializeOwned>(text: &str) {
    if let Ok(value) = serde_json::from_str::<T>(text) {
        let once = serde_json::to_string(&value).expect("plain data");
        let again: T = serde_json::from_str(&once).expect(&once);
        assert_eq!(serde_json::to_string(&again).expect("plain data"), once);
    }
}

fuzz_target!(|text: &str| {
    survives::<Config>(text);
    survives::<Parts>(text);
    survives::<Metrics>(text);
    survives::<Reading>(text);
    survives::<Vec<String>>(text);
});
