//! Results on the standard output, and what a verb ends with. What people read steers no terminal, whatever others have put in.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::words::escaped;

/// How many photos were rejected, which decides the exit code under `--strict`.
pub(crate) type Outcome = Result<usize>;

/// Tells something beside the result, on stderr. That it can't be told (a closed stream, a full disk) decides nothing about the work.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", legible(line));
}

/// Escapes what steers a terminal, whoever wrote it, but for the lines and columns of a text.
fn legible(text: &str) -> Cow<'_, str> {
    escaped(text.into(), &['\n', '\t'])
}

/// Prints a result for a machine.
pub(crate) fn emit_json(value: &Value) -> Result<()> {
    write(&plain(&format!("{value:#}\n")))
}

/// Prints one of many results for a machine, on a line.
pub(crate) fn emit_line(value: &Value) -> Result<()> {
    write(&plain(&format!("{value}\n")))
}

/// Escapes what JSON allows beyond ASCII as it is and a terminal obeys.
fn plain(json: &str) -> String {
    json.chars().fold(String::new(), |mut text, c| {
        let _ = if c.is_control() && c != '\n' { write!(text, "\\u{:04x}", u32::from(c)) } else { text.write_char(c) };
        text
    })
}

/// Prints a result for people.
pub(crate) fn emit(text: &str) -> Result<()> {
    write(&legible(text))
}

/// Writes a result. A reader that has had enough (`| head`) is no failure.
fn write(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Error::io("write to", Path::new("the standard output"))),
    }
}
