//! Numbers and lists as people write them.

/// `1 photo`, `2 photos`, `2 classes`.
pub fn count(count: usize, what: &str) -> String {
    let ending = match what {
        _ if count == 1 => "",
        _ if what.ends_with('s') => "es",
        _ => "s",
    };
    format!("{count} {what}{ending}")
}

/// The first few names, and that there are more.
pub fn first(names: &[String], count: usize) -> String {
    let more = if names.len() > count { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(count)].join(", "))
}

/// An error with all its causes: `can't read photo.jpg: permission denied`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_no_ending() {
        let counted = [(1, "photo"), (2, "photo"), (0, "class"), (1, "class")].map(|(n, what)| count(n, what));
        assert_eq!(counted, ["1 photo", "2 photos", "0 classes", "1 class"]);
    }

    #[test]
    fn a_long_list_is_cut() {
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!([first(&names, 3), first(&names, 2)], ["a, b, c", "a, b, …"]);
    }

    #[test]
    fn causes_follow_their_error() {
        let inner = std::io::Error::other("no more paper");
        let error = crate::Error::Io { action: "print", path: "letter".into(), source: inner };
        assert_eq!(chain(&error), "can't print letter: no more paper");
    }
}
