//! Numbers and lists as people write them.

/// Words a count: `1 photo`, `2 photos`, `2 classes`.
pub fn count(count: usize, what: &str) -> String {
    let ending = match what {
        _ if count == 1 => "",
        _ if what.ends_with('s') => "es",
        _ => "s",
    };
    format!("{count} {what}{ending}")
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
        let told = cause.to_string();
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
