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
}
