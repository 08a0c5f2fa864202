//! `trainer store`: what is kept of photos, and its upkeep.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::global::Global;
use crate::cli::print::{Outcome, emit, emit_json};
use crate::cli::terminal::Terminal;
use crate::error::{Error, Result};
use crate::features::{self, Cap, Dropped, Shelf};
use crate::words::{count, shown};

/// Look after the features that are kept, so that photos pass through a backbone once
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer store info
  trainer store verify --json
  trainer store prune --unread-days 90
  trainer store clear 5f70b6

The store is the folder that --store names, else `features` in the user's cache folder. All that it holds can be computed again.")]
pub(crate) struct Store {
    #[command(subcommand)]
    pub(crate) what: What,
}

#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Say what is kept: for each backbone and way of preparing photos, how many rows of features
    Info,
    /// Read every row and compare its checksum
    Verify,
    /// Drop what is too old, or too much: what was read longest ago goes first
    Prune {
        /// Gigabytes that may stay; what was in use within a day stays in any case [default: as --store-gb]
        #[arg(long, value_name = "N")]
        max_gb: Option<f64>,
        /// Drop what nobody has read for so many days
        #[arg(long, value_name = "N")]
        unread_days: Option<u32>,
    },
    /// Drop all features, or those of one key
    Clear {
        /// The first digits of a key, as `info` lists them
        key: Option<String>,
    },
}

pub(crate) fn store(args: &Store, global: &Global, terminal: &Terminal) -> Outcome {
    let root = folder(global)?;
    if !root.exists() {
        return nothing(global, &root);
    }
    match &args.what {
        What::Info => {
            let shelves = features::info(&root)?;
            match global.json {
                true => emit_json(&json!({ "folder": root.to_string_lossy(), "keys": shelves }))?,
                false => emit(&info(&shown(&root), &shelves))?,
            }
            Ok(0)
        }
        What::Verify => {
            let verified = features::verify(&root, terminal)?;
            if global.json {
                emit_json(&serde_json::to_value(&verified).expect("plain data"))?;
            } else {
                let damage = match verified.damaged {
                    0 => String::new(),
                    damaged => format!(", {damaged} damaged: their photos' features are computed anew"),
                };
                let problems = verified.problems.iter().map(|problem| format!("{problem}\n")).collect::<String>();
                emit(&format!("{problems}{} whole{damage}\n", count(verified.whole, "row")))?;
            }
            Ok(verified.damaged + verified.problems.len())
        }
        What::Prune { max_gb, unread_days } => {
            let bytes = Some((max_gb.unwrap_or(global.store_gb) * 1e9) as u64);
            let unread = unread_days.map(|days| Duration::from_secs(24 * 3600) * days);
            dropped(features::prune(&root, &Cap { bytes, unread })?, global)
        }
        What::Clear { key } => dropped(features::clear(&root, key.as_deref())?, global),
    }
}

fn folder(global: &Global) -> Result<PathBuf> {
    let value = "none".to_owned();
    let expected = "a folder, since no cache folder of this user is known";
    global.store_folder().ok_or(Error::InvalidOption { option: "--store", value, expected })
}

/// Says that there is no store yet, which is no failure.
fn nothing(global: &Global, root: &std::path::Path) -> Outcome {
    match global.json {
        true => emit_json(&json!({ "folder": root.to_string_lossy(), "keys": [] }))?,
        false => emit(&format!("{}: nothing is kept yet\n", shown(root)))?,
    }
    Ok(0)
}

fn dropped(dropped: Dropped, global: &Global) -> Outcome {
    match global.json {
        true => emit_json(&serde_json::to_value(dropped).expect("plain data"))?,
        false => emit(&format!("{} dropped, {}\n", count(dropped.rows, "row"), size(dropped.bytes)))?,
    }
    Ok(0)
}

fn info(folder: &str, shelves: &[Shelf]) -> String {
    let rows = shelves.iter().map(|shelf| shelf.rows).sum();
    let bytes = shelves.iter().map(|shelf| shelf.bytes).sum();
    let mut out = format!("{folder}: {} of features, {}\n", count(rows, "row"), size(bytes));
    for Shelf { key, parts, width, rows, bytes, unread, .. } in shelves {
        let word = |name: &str| parts[name].as_str().unwrap_or("?").to_owned();
        let weights: String = word("weights").chars().take(12).collect();
        let [height, wide] = [0, 1].map(|side| parts["recipe"]["input_size"][side].as_u64().unwrap_or(0));
        let read = match unread / 86_400 {
            0 => "today".to_owned(),
            days => format!("{} ago", count(days as usize, "day")),
        };
        let _ = writeln!(
            out,
            "  {}  {rows:>9} rows x {width}  {:>9}  read {read}  weights {weights}, {height} x {wide} pixels, {}, {}",
            &key[..12],
            size(*bytes),
            word("precision"),
            word("jpeg_decoder"),
        );
    }
    out
}

/// Words a number of bytes.
fn size(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        bytes if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        bytes => format!("{:.1} kB", bytes / 1e3),
    }
}
