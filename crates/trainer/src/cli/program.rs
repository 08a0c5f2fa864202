//! How the program was called, to word the next command as its user would type it.

use std::ffi::OsStr;
use std::path::Path;

use crate::words::shown;

/// Words the program as it was called: `trainer`, `./target/release/trainer`, `cargo run --release -p trainer --`.
pub(crate) fn program() -> String {
    let package = env!("CARGO_PKG_NAME");
    let by_cargo = std::env::var_os("CARGO").is_some()
        && std::env::var_os("CARGO_PKG_NAME").is_some_and(|running| running == *package);
    match std::env::args_os().next() {
        _ if by_cargo && cfg!(debug_assertions) => format!("cargo run -p {package} --"),
        _ if by_cargo => format!("cargo run --release -p {package} --"),
        Some(called) => word(&called),
        None => package.to_owned(),
    }
}

/// Words a path as an argument.
pub(crate) fn argument(path: &Path) -> String {
    word(path.as_os_str())
}

/// Quotes what a shell would take apart. What steers a terminal is told and can't be typed.
fn word(argument: &OsStr) -> String {
    let text = shown(argument);
    let plain = |letter: char| letter.is_alphanumeric() || "-_./~:+@,\\".contains(letter);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.into_owned(),
        false if cfg!(windows) => format!("\"{text}\""),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        for (path, expected) in [
            ("run-2", "run-2"),
            ("./target/release/trainer", "./target/release/trainer"),
            ("my run", "'my run'"),
            ("that's it", r"'that'\''s it'"),
            ("a;b", "'a;b'"),
            ("", "''"),
        ] {
            assert_eq!(argument(Path::new(path)), expected);
        }
    }
}
