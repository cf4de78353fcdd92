//! What proxies in front of this one say of the client that they pass on.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};

use super::request::{Malformed, Scheme};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whose request it is, by the word of the proxies that it came through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// The addresses that trusted proxies have seen, the client's first; empty if they say nothing.
    pub addresses: Vec<IpAddr>,
    /// How the client reached the first of them, if they say so.
    pub scheme: Option<Scheme>,
}

impl Forwarded {
    /// Reads the last `hops` entries of `X-Forwarded-For`, each of which was written by a trusted proxy: what stands before
    /// them anybody may have written, and nobody looks at it. Fewer entries are what there is. Of `X-Forwarded-Proto` the one
    /// value is read, if there is one.
    ///
    /// Refuses what is no address, with or without a port, and what is not the scheme of HTTP or of a WebSocket.
    pub fn read(headers: &HeaderMap, hops: usize) -> Result<Self, Malformed> {
        let mut addresses = Vec::new();
        let fields = headers.get_all(FORWARDED_FOR).iter().rev();
        for entry in fields.flat_map(|field| field.as_bytes().rsplit(|byte| *byte == b',')).take(hops) {
            let seen = str::from_utf8(entry).ok().and_then(|entry| address(entry.trim()));
            addresses.push(seen.ok_or(Malformed::Header("X-Forwarded-For holds no address"))?);
        }
        addresses.reverse();
        let mut schemes = headers.get_all(FORWARDED_PROTO).iter();
        let scheme = match (schemes.next().map(|value| value.as_bytes()), schemes.next()) {
            (None, _) => None,
            // Some name those of a WebSocket.
            (Some(b"http" | b"ws"), None) => Some(Scheme::Http),
            (Some(b"https" | b"wss"), None) => Some(Scheme::Https),
            (Some(_), _) => return Err(Malformed::Header("X-Forwarded-Proto is neither http nor https")),
        };
        Ok(Self { addresses, scheme })
    }
}

/// `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::7`, `[2001:db8::7]` or `[2001:db8::7]:4711`.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|bare| bare.contains(':'));
    let address = bare.unwrap_or(entry).parse::<IpAddr>();
    let address = address.or_else(|_| entry.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(hops: usize, fields: &[(&'static str, &str)]) -> Result<Forwarded, Malformed> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        Forwarded::read(&headers, hops)
    }

    fn addresses(hops: usize, fields: &[&str]) -> Option<Vec<String>> {
        let fields: Vec<_> = fields.iter().map(|field| ("x-forwarded-for", *field)).collect();
        read(hops, &fields).ok().map(|it| it.addresses.iter().map(IpAddr::to_string).collect())
    }

    #[test]
    fn the_last_entries_are_those_of_trusted_proxies() {
        for (hops, fields, expected) in [
            (1, &["192.0.2.7"][..], &["192.0.2.7"][..]),
            (1, &["1.1.1.1, 192.0.2.7"], &["192.0.2.7"]),
            (1, &["<script>, 192.0.2.7:4711"], &["192.0.2.7"]),
            (1, &["unknown", "192.0.2.7"], &["192.0.2.7"]),
            (1, &["\u{e9}, 192.0.2.7"], &["192.0.2.7"]),
            (2, &["1.1.1.1,192.0.2.7 ,10.0.0.1"], &["192.0.2.7", "10.0.0.1"]),
            (2, &["1.1.1.1, 192.0.2.7", "10.0.0.1"], &["192.0.2.7", "10.0.0.1"]),
            (3, &["192.0.2.7"], &["192.0.2.7"]),
            (1, &["2001:db8::7"], &["2001:db8::7"]),
            (1, &["[2001:db8::7]:443"], &["2001:db8::7"]),
            (1, &["[2001:db8::7]"], &["2001:db8::7"]),
            (1, &["::ffff:192.0.2.7"], &["192.0.2.7"]),
            (1, &[], &[]),
        ] {
            assert_eq!(addresses(hops, fields).as_deref().unwrap(), expected, "{hops} {fields:?}");
        }
    }

    #[test]
    fn what_a_trusted_proxy_does_not_write_is_refused() {
        for field in
            ["", "unknown", "192.0.2.7,", "192.0.2.7, x", "192.0.2", "[192.0.2.7]", "192.0.2.7 1.1.1.1", "_hidden"]
        {
            assert_eq!(addresses(1, &[field]), None, "{field}");
        }
        assert_eq!(addresses(2, &["x, 192.0.2.7"]), None);
    }

    #[test]
    fn a_scheme_is_one_of_two() {
        let scheme = |values: &[&str]| {
            let fields: Vec<_> = values.iter().map(|value| ("x-forwarded-proto", *value)).collect();
            read(1, &fields).map(|it| it.scheme)
        };
        assert_eq!(scheme(&[]), Ok(None));
        assert_eq!(scheme(&["https"]), Ok(Some(Scheme::Https)));
        assert_eq!(scheme(&["http"]), Ok(Some(Scheme::Http)));
        assert_eq!((scheme(&["ws"]), scheme(&["wss"])), (Ok(Some(Scheme::Http)), Ok(Some(Scheme::Https))));
        for values in [&["HTTPS"][..], &["https, http"], &["https", "https"], &["ftp"], &[""]] {
            assert!(scheme(values).is_err(), "{values:?}");
        }
    }
}
