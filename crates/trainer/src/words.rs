//! Numbers, names and lists as people write them.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::Path;

use serde::Serializer;

/// Writes a name or a path, which others chose, as one line of plain text: characters that steer a terminal or end a line are escaped (`\n`,
/// `\u{1b}`), bytes that aren't UTF-8 replaced. Every name passes here before it enters a message, a list or a table.
pub fn shown<'a>(name: &'a (impl AsRef<OsStr> + ?Sized)) -> Cow<'a, str> {
    escaped(name.as_ref().to_string_lossy(), &[])
}

/// Escapes what steers a terminal or ends a line, but for what is `kept`.
pub fn escaped<'a>(text: Cow<'a, str>, kept: &[char]) -> Cow<'a, str> {
    // The two separators end a line for some readers of lists.
    let steers = |c: char| (c.is_control() || ['\u{2028}', '\u{2029}'].contains(&c)) && !kept.contains(&c);
    if !text.contains(steers) {
        return text;
    }
    let mut plain = String::new();
    for c in text.chars() {
        if steers(c) { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    plain.into()
}

/// Serialises a path, whatever its bytes: those that aren't UTF-8 are replaced.
pub(crate) fn path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// Words a count: `1 photo`, `2 photos`, `2 classes`.
pub fn count(count: usize, what: &str) -> String {
    let ending = match what {
        _ if count == 1 => "",
        _ if what.ends_with('s') => "es",
        _ => "s",
    };
    format!("{count} {what}{ending}")
}

/// What a spreadsheet takes for the beginning of a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Writes a name as a cell of a table: an apostrophe before it where a spreadsheet would take it for a formula, and before apostrophes that might be
/// such a mark.
///
/// # Reference
/// OWASP, *CSV Injection*.
pub fn cell(name: &str) -> Cow<'_, str> {
    if name.trim_start_matches('\'').starts_with(FORMULA) { format!("'{name}").into() } else { name.into() }
}

/// What stands between labels in one cell.
pub const SEPARATOR: &str = " | ";

/// Writes labels of one photo as one name, the same whatever their order.
pub fn joined<'a>(labels: impl Iterator<Item = &'a str>) -> String {
    let mut labels: Vec<&str> = labels.collect();
    labels.sort_unstable();
    labels.join(SEPARATOR)
}

/// Reads a name back that [`cell`] has written.
pub fn of_cell(cell: &str) -> &str {
    let name = cell.strip_prefix('\'').unwrap_or(cell);
    if name.trim_start_matches('\'').starts_with(FORMULA) { name } else { cell }
}

/// Words that none of so many photos can be `used`: `none of its 3 photos can be used`, `its only photo can't be used`.
pub fn none_of(count: usize, used: &str) -> String {
    match count {
        1 => format!("its only photo can't be {used}"),
        _ => format!("none of its {count} photos can be {used}"),
    }
}

/// Lists the first few names, and says that there are more.
pub fn first(names: &[String], count: usize) -> String {
    let more = if names.len() > count { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(count)].join(", "))
}

/// Words an error with its causes: `can't read a.csv: Permission denied`. A cause that is told already isn't told again.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let mut told = cause.to_string();
        // It quotes what it read as it stands there.
        if cause.is::<serde_json::Error>() {
            told = shown(&told).into_owned();
        }
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_line_of_plain_text() {
        let name = "a\nb\u{1b}[2J\t\u{7f}\u{9b}\u{2028}é\\.jpg";
        assert_eq!(shown(name), r"a\nb\u{1b}[2J\t\u{7f}\u{9b}\u{2028}é\.jpg");
        assert_eq!(escaped(name.into(), &['\n', '\t']), "a\nb\\u{1b}[2J\t\\u{7f}\\u{9b}\\u{2028}é\\.jpg");
        assert!(matches!(shown(Path::new("a/b.jpg")), Cow::Borrowed("a/b.jpg")));
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt as _;
            assert_eq!(shown(OsStr::from_bytes(b"a\xff\r")), "a\u{fffd}\\r");
        }
    }

    #[test]
    fn no_cell_is_a_formula_and_each_is_read_back() {
        for (name, written) in [
            ("=1+1", "'=1+1"),
            ("-a.jpg", "'-a.jpg"),
            ("@x", "'@x"),
            ("+1", "'+1"),
            ("\tx", "'\tx"),
            ("\rx", "'\rx"),
            ("'=1", "''=1"),
            ("'a'", "'a'"),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!((cell(name).as_ref(), of_cell(written)), (written, name));
        }
    }

    #[test]
    fn one_has_no_ending() {
        let counted = [(1, "photo"), (2, "photo"), (0, "class"), (1, "class")].map(|(n, what)| count(n, what));
        assert_eq!(counted, ["1 photo", "2 photos", "0 classes", "1 class"]);
        let none = [none_of(1, "read"), none_of(2, "used")];
        assert_eq!(none, ["its only photo can't be read", "none of its 2 photos can be used"]);
    }

    #[test]
    fn a_long_list_is_cut() {
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!([first(&names, 3), first(&names, 2)], ["a, b, c", "a, b, …"]);
    }

    #[test]
    fn errors_come_with_their_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Said(&'static str, #[source] Option<Box<Said>>);
        let inner = Said("the disk is full", None);
        assert_eq!(chain(&inner), "the disk is full");
        let middle = Said("can't write a", Some(Box::new(inner)));
        assert_eq!(chain(&Said("no model", Some(Box::new(middle)))), "no model: can't write a: the disk is full");
        let twice = Said("no disk: it is full", Some(Box::new(Said("it is full", None))));
        assert_eq!(chain(&twice), "no disk: it is full");
    }
}
