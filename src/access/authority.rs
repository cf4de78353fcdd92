//! The host that a request is for, in its one spelling.

use std::{borrow::Cow, fmt, net::Ipv6Addr, str::FromStr, sync::Arc};

use thiserror::Error;

use super::bytes::ByteClasses;

const UPPER: u8 = 1;
const ILLEGAL: u8 = 2;
const DOT: u8 = 4;
/// A dot at the beginning, or after another.
const EMPTY_LABEL: u8 = 8;

/// The bytes of a name.
static BYTES: ByteClasses = ByteClasses::of(
    &[(b"abcdefghijklmnopqrstuvwxyz0123456789-_", 0), (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", UPPER), (b".", DOT)],
    ILLEGAL,
);

/// The text is not `host` or `host:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a host with an optional port")]
pub struct InvalidAuthority;

/// A host and an optional port: lower case, one trailing dot removed, ports 80 and 443 removed as the scheme's default.
///
/// The host is a DNS name (labels of letters, digits, `-` and `_`), an IPv4 address or a bracketed IPv6 address. User
/// information, percent escapes and anything else are refused (RFC 9110, section 7.2 and section 4.2.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    // The host, and if there is a port, `:` and the port.
    text: Arc<str>,
    host_length: usize,
    port: Option<u16>,
}

impl Authority {
    /// Reads `host[:port]` and removes `default_port`.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, InvalidAuthority> {
        let (host, port) = parts(text)?;
        Ok(Self::new(&host, port.filter(|port| *port != default_port)))
    }

    fn new(host: &str, port: Option<u16>) -> Self {
        let text = port.map_or_else(|| Arc::from(host), |port| format!("{host}:{port}").into());
        Self { text, host_length: host.len(), port }
    }

    /// The host, and `:` and the port unless it is the scheme's default.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host without its port; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        self.text.get(..self.host_length).unwrap_or_default()
    }

    /// The port, unless it is the scheme's default.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl FromStr for Authority {
    type Err = InvalidAuthority;

    fn from_str(text: &str) -> Result<Self, InvalidAuthority> {
        let (host, port) = parts(text)?;
        Ok(Self::new(&host, port))
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parts(text: &str) -> Result<(Cow<'_, str>, Option<u16>), InvalidAuthority> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or(InvalidAuthority)?;
            let address: Ipv6Addr = address.parse().map_err(|_| InvalidAuthority)?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or(InvalidAuthority)?) };
            (Cow::Owned(format!("[{address}]")), port)
        }
        None => match text.bytes().position(|byte| byte == b':') {
            Some(colon) => (name(text.get(..colon).unwrap_or_default())?, text.get(colon + 1..)),
            None => (name(text)?, None),
        },
    };
    Ok((host, port.map(number).transpose()?))
}

fn name(text: &str) -> Result<Cow<'_, str>, InvalidAuthority> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let mut before = DOT;
    let found = text.bytes().fold(0, |found, byte| {
        let class = BYTES.class(byte);
        let empty_label = (before & class & DOT) << 1;
        before = class;
        found | class | empty_label
    });
    // A label has 1 to 63 characters; the whole name may be shorter than the longest of them.
    let has_short_labels = text.len() <= 63 || text.split('.').all(|label| label.len() <= 63);
    if found & (ILLEGAL | EMPTY_LABEL) != 0 || before == DOT || !has_short_labels || text.len() > 253 {
        return Err(InvalidAuthority);
    }
    Ok(if found & UPPER == 0 { Cow::Borrowed(text) } else { Cow::Owned(text.to_ascii_lowercase()) })
}

fn number(text: &str) -> Result<u16, InvalidAuthority> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if plain { text.parse().map_err(|_| InvalidAuthority) } else { Err(InvalidAuthority) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_has_one_spelling() {
        for text in ["crm.acme.example", "CRM.Acme.Example.", "crm.acme.example:80"] {
            assert_eq!(Authority::parse(text, 80).unwrap().to_string(), "crm.acme.example", "{text}");
        }
        assert_eq!(Authority::parse("[0::1]:8080", 80).unwrap().to_string(), "[::1]:8080");
        assert_eq!(Authority::parse("10.0.0.1:443", 80).unwrap().to_string(), "10.0.0.1:443");
    }

    #[test]
    fn names_and_labels_have_their_longest() {
        let label = "a".repeat(63);
        let name = [label.as_str(); 3].join(".");
        assert!(name.parse::<Authority>().is_ok() && format!("{label}.").parse::<Authority>().is_ok());
        assert!(format!("{name}.{}", "a".repeat(61)).parse::<Authority>().is_ok());
        for text in
            [format!("a{label}"), format!("{name}.{}", "a".repeat(62)), format!("{label}..a"), format!(".{label}")]
        {
            assert!(text.parse::<Authority>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        for text in [
            "",
            ".",
            "a..b",
            "a b",
            "a,b",
            "user@host",
            "host:",
            "host:0",
            "host:080",
            "host:65536",
            "host:8x",
            "a%41",
            "[::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "::1",
            "a/b",
            "é.example",
            "a:1:2",
            "host:+80",
        ] {
            assert!(Authority::parse(text, 80).is_err(), "{text}");
        }
    }
}
