//! What the conductor (`benches/peers/measure.py`) asks of a peer on its command line, and what it hears back.
//!
//! A peer reads the task, loads, does the work once, writes the answer to `--out` and prints `first`, so that the conductor
//! knows how long the start took. Then it repeats the work until `--seconds` have passed, at least `--repeats` times, and prints
//! the seconds of each time as a JSON list; where `--repeats` is 0, those of that first time. `peers.py` does the same in Python.

use std::{
    collections::HashMap,
    error::Error,
    fs,
    io::Write as _,
    str::FromStr,
    time::{Duration, Instant},
};

/// What can go wrong in a peer: it's told and ends the process.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A command line: the kind of work and its `--name value` pairs.
pub struct Task {
    /// `forward`, `matmul`, …
    pub kind: String,
    options: HashMap<String, String>,
}

impl Task {
    /// The process's own.
    pub fn from_args() -> Result<Self> {
        let mut args = std::env::args().skip(1);
        let kind = args.next().ok_or("which task? benches/peers/run says")?;
        let mut options = HashMap::new();
        while let Some(name) = args.next() {
            let name = name.strip_prefix("--").ok_or_else(|| format!("`{name}` should be a --name"))?;
            options.insert(name.to_owned(), args.next().ok_or_else(|| format!("--{name} needs a value"))?);
        }
        Ok(Task { kind, options })
    }

    /// The text of an option.
    pub fn text(&self, name: &str) -> Result<&str> {
        Ok(self.options.get(name).ok_or_else(|| format!("{} needs --{name}", self.kind))?)
    }

    /// An option as a number.
    pub fn number<T: FromStr<Err: Error + 'static>>(&self, name: &str) -> Result<T> {
        Ok(self.text(name)?.parse()?)
    }

    /// The f32 of the file that an option names.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>> {
        let words = self.words(name)?;
        Ok(words.into_iter().map(f32::from_bits).collect())
    }

    /// The little-endian words of the file that an option names.
    pub fn words(&self, name: &str) -> Result<Vec<u32>> {
        let path = self.text(name)?;
        let bytes = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
        Ok(bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect())
    }

    /// Writes the first answer and says so.
    pub fn first(&self, answer: &[f32]) -> Result<()> {
        let bytes: Vec<u8> = answer.iter().flat_map(|value| value.to_le_bytes()).collect();
        say("first")?;
        Ok(fs::write(self.text("out")?, bytes)?)
    }

    /// Does the work as often as asked and reports.
    pub fn serve(&self, mut work: impl FnMut() -> Result<Vec<f32>>) -> Result<()> {
        let start = Instant::now();
        self.first(&work()?)?;
        if self.number::<usize>("repeats")? == 0 {
            return self.report(&[start.elapsed().as_secs_f64()]);
        }
        let (least, seconds) = (self.number("repeats")?, Duration::from_secs_f64(self.number("seconds")?));
        let begin = Instant::now();
        let mut times = Vec::new();
        while times.len() < least || begin.elapsed() < seconds {
            let start = Instant::now();
            work()?;
            times.push(start.elapsed().as_secs_f64());
        }
        self.report(&times)
    }

    /// Prints the seconds of each time.
    pub fn report(&self, times: &[f64]) -> Result<()> {
        say(&format!("{times:?}"))
    }
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
