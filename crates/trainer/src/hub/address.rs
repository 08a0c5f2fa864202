//! Addresses of the hub and of where it leads to: what of them is told, and to whom a token may go.

use ureq::http::Uri;

/// Scheme, host and port.
pub(super) type Origin = (String, String, Option<u16>);

/// Parts an address from its user and password.
pub(super) fn parted(address: &str) -> (String, Option<&str>) {
    let start = address.find("://").map_or(0, |at| at + 3);
    let end = address[start..].find(['/', '?', '#']).map_or(address.len(), |length| start + length);
    match address[start..end].rsplit_once('@') {
        Some((user, host)) => ([&address[..start], host, &address[end..]].concat(), Some(user)),
        None => (address.to_owned(), None),
    }
}

pub(super) fn origin(uri: &Uri) -> Option<Origin> {
    let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme))?;
    let default = if scheme == "https" { 443 } else { 80 };
    let port = Some(uri.port_u16().unwrap_or(default));
    Some((scheme.to_owned(), uri.host()?.to_ascii_lowercase(), port))
}

/// Resolves where a `Location` leads from `base`. Never from https to http.
pub(super) fn joined(base: &Uri, location: &str) -> Option<Uri> {
    let (scheme, host) = (base.scheme_str()?, base.authority()?);
    let whole = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{host}{location}")
    } else {
        location.to_owned()
    };
    let uri: Uri = whole.parse().ok()?;
    let (next, ..) = origin(&uri)?;
    (next == scheme || next == "https").then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_joined_and_never_lose_encryption() {
        let base: Uri = "https://hub.example/a/b?x=1".parse().unwrap();
        for (location, expected) in [
            ("/c?y=2", Some("https://hub.example/c?y=2")),
            ("//cdn.example/c", Some("https://cdn.example/c")),
            ("https://cdn.example:8443/c", Some("https://cdn.example:8443/c")),
            ("http://hub.example/c", None),
            ("file:///etc/passwd", None),
            ("c", None),
        ] {
            let joined = joined(&base, location).map(|uri| uri.to_string());
            assert_eq!(joined.as_deref(), expected, "{location}");
        }
        let plain: Uri = "http://hub.example/".parse().unwrap();
        assert!(joined(&plain, "https://cdn.example/c").is_some());
        assert_eq!(
            origin(&"HTTPS://Hub.Example/".parse().unwrap()),
            origin(&"https://hub.example:443/x".parse().unwrap())
        );
        assert_ne!(origin(&plain), origin(&"http://hub.example:81/".parse().unwrap()));
    }
}
