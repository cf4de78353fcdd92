//! The header of the PROXY protocol, versions 1 and 2: whose connection a proxy passes on.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use thiserror::Error;

/// The longest line of version 1, with its CRLF.
pub(super) const LONGEST_LINE: usize = 107;
/// The longest header of version 2 that is read: addresses, and some hundred bytes of what may come after them.
pub(super) const LONGEST_HEADER: usize = 536;
/// What version 2 begins with.
pub(super) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The part of version 2 that says how long it is.
pub(super) const FIXED: usize = 16;

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// Of the client at this address.
    Client(SocketAddr),
    /// The proxy's own (a health check), or of a client that it cannot name: the socket's address stands.
    Unnamed,
}

/// Why a header is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeaderProblem {
    /// The bytes are no header.
    #[error("there is no PROXY header")]
    Missing,
    /// It does not follow the protocol.
    #[error("the PROXY header is malformed")]
    Malformed,
    /// More bytes than a header may have.
    #[error("the PROXY header is too long")]
    TooLong,
}

/// Reads a header of either version that is there as a whole.
pub fn parse_proxy_header(bytes: &[u8]) -> Result<Passed, HeaderProblem> {
    match bytes.split_first_chunk() {
        Some((fixed, rest)) if bytes.starts_with(SIGNATURE) => header(fixed, rest),
        Some(_) | None => line(bytes),
    }
}

/// Reads a line of version 1, which ends in CRLF.
pub(super) fn line(bytes: &[u8]) -> Result<Passed, HeaderProblem> {
    use HeaderProblem::Malformed;
    if bytes.len() > LONGEST_LINE {
        return Err(HeaderProblem::TooLong);
    }
    let line = bytes.strip_prefix(b"PROXY ").ok_or(HeaderProblem::Missing)?;
    let line = line.strip_suffix(b"\r\n").ok_or(Malformed)?;
    if line.contains(&b'\r') || line.contains(&b'\n') {
        return Err(Malformed);
    }
    let line = std::str::from_utf8(line).map_err(|_| Malformed)?;
    let mut words = line.split(' ');
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        // What else is in the line says nothing.
        return Ok(Passed::Unnamed);
    }
    let words: Vec<&str> = words.collect();
    let [source, destination, source_port, destination_port] = words.as_slice() else { return Err(Malformed) };
    let (source, _) = match family {
        "TCP4" => (address::<Ipv4Addr>(source)?, address::<Ipv4Addr>(destination)?),
        "TCP6" => (address::<Ipv6Addr>(source)?, address::<Ipv6Addr>(destination)?),
        _ => return Err(Malformed),
    };
    let (source_port, _) = (port(source_port)?, port(destination_port)?);
    Ok(Passed::Client(SocketAddr::new(source, source_port)))
}

fn address<A: FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, HeaderProblem> {
    text.parse::<A>().map(Into::into).map_err(|_| HeaderProblem::Malformed)
}

/// Digits without a sign or a leading zero.
fn port(text: &str) -> Result<u16, HeaderProblem> {
    let is_canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_canonical).ok_or(HeaderProblem::Malformed)
}

/// How many bytes come after the fixed part of version 2.
pub(super) fn length(fixed: &[u8; FIXED]) -> Result<usize, HeaderProblem> {
    if !fixed.starts_with(SIGNATURE) {
        return Err(HeaderProblem::Missing);
    }
    let [.., high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if FIXED + length > LONGEST_HEADER { Err(HeaderProblem::TooLong) } else { Ok(length) }
}

/// Reads a header of version 2: its fixed part, and all that comes after it.
pub(super) fn header(fixed: &[u8; FIXED], rest: &[u8]) -> Result<Passed, HeaderProblem> {
    use HeaderProblem::Malformed;
    if length(fixed)? != rest.len() {
        return Err(Malformed);
    }
    let [.., command, family, _, _] = *fixed;
    let (passed, more) = match (command, family) {
        // The proxy's own connection: its addresses are to be passed over.
        (0x20, _) => return Ok(Passed::Unnamed),
        (0x21, 0x00) => return Ok(Passed::Unnamed),
        (0x21, 0x11) => {
            let (addresses, more) = rest.split_first_chunk::<12>().ok_or(Malformed)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses;
            let port = u16::from_be_bytes([high, low]);
            (Passed::Client(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), port)), more)
        }
        (0x21, 0x21) => {
            let (source, after) = rest.split_first_chunk::<16>().ok_or(Malformed)?;
            let (_, after) = after.split_first_chunk::<16>().ok_or(Malformed)?;
            let ([high, low, _, _], more) = after.split_first_chunk::<4>().ok_or(Malformed)?;
            let port = u16::from_be_bytes([*high, *low]);
            (Passed::Client(SocketAddr::new(Ipv6Addr::from(*source).into(), port)), more)
        }
        // A Unix socket of the proxy's machine: its path names nobody here.
        (0x21, 0x31) => (Passed::Unnamed, rest.get(216..).ok_or(Malformed)?),
        // Other versions, commands and families, datagrams among them.
        _ => return Err(Malformed),
    };
    values(more).map(|()| passed)
}

/// Whether what comes after the addresses is whole: a type, a length and as many bytes each. None of it is used.
fn values(mut bytes: &[u8]) -> Result<(), HeaderProblem> {
    while !bytes.is_empty() {
        let ([_, high, low], rest) = bytes.split_first_chunk::<3>().ok_or(HeaderProblem::Malformed)?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        bytes = rest.get(length..).ok_or(HeaderProblem::Malformed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Result<Passed, HeaderProblem> {
        let [high, low] = u16::try_from(rest.len()).unwrap().to_be_bytes();
        let mut fixed = [0; FIXED];
        fixed[..12].copy_from_slice(SIGNATURE);
        fixed[12..].copy_from_slice(&[command, family, high, low]);
        header(&fixed, rest)
    }

    fn client(text: &str) -> Result<Passed, HeaderProblem> {
        Ok(Passed::Client(text.parse().unwrap()))
    }

    #[test]
    fn a_line_names_the_client() {
        assert_eq!(line(b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"), client("192.0.2.7:56324"));
        assert_eq!(line(b"PROXY TCP6 2001:db8::7 2001:db8::1 0 65535\r\n"), client("[2001:db8::7]:0"));
        assert_eq!(line(b"PROXY UNKNOWN\r\n"), Ok(Passed::Unnamed));
        assert_eq!(line(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), Ok(Passed::Unnamed));
    }

    #[test]
    fn a_line_is_exact_or_refused() {
        for refused in [
            "PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 1\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n",
            "PROXY TCP4 192.0.2.7  198.51.100.1 56324 443\r\n",
            "PROXY TCP4 192.0.2.07 198.51.100.1 56324 443\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 056324 443\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 +1 443\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n",
            "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
            "PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",
            "PROXY TCP4 host 198.51.100.1 1 2\r\n",
            "PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
            "PROXY tcp4 192.0.2.7 198.51.100.1 1 2\r\n",
            "PROXY \r\n",
            "PROXY UNKNOWN\r\n\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n",
        ] {
            assert_eq!(line(refused.as_bytes()), Err(HeaderProblem::Malformed), "{refused}");
        }
        assert_eq!(line(b"GET / HTTP/1.1\r\n"), Err(HeaderProblem::Missing));
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_LINE));
        assert_eq!(line(long.as_bytes()), Err(HeaderProblem::TooLong));
    }

    #[test]
    fn a_binary_header_names_the_client() {
        let four = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x34, 1, 187];
        assert_eq!(v2(0x21, 0x11, &four), client("192.0.2.7:4660"));
        let mut six = [0; 36];
        (six[0], six[15], six[32], six[33]) = (0x20, 7, 0x12, 0x34);
        assert_eq!(v2(0x21, 0x21, &six), client("[2000::7]:4660"));
        // Values after the addresses are passed over.
        assert_eq!(v2(0x21, 0x11, &[&four[..], &[4, 0, 2, 1, 1, 5, 0, 0]].concat()), client("192.0.2.7:4660"));
        assert_eq!(v2(0x21, 0x31, &[0; 216]), Ok(Passed::Unnamed));
        assert_eq!(v2(0x21, 0x00, &[]), Ok(Passed::Unnamed));
    }

    #[test]
    fn a_connection_of_the_proxy_itself_keeps_its_address() {
        assert_eq!(v2(0x20, 0x00, &[]), Ok(Passed::Unnamed));
        assert_eq!(v2(0x20, 0x11, &[192, 0, 2, 7, 198, 51, 100, 1, 0, 1, 0, 2]), Ok(Passed::Unnamed));
    }

    #[test]
    fn a_binary_header_is_exact_or_refused() {
        let four = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x34, 1, 187];
        for (command, family, rest) in [
            (0x21, 0x11, &four[..11]),
            (0x21, 0x11, &[&four[..], &[4, 0]].concat()),
            (0x21, 0x11, &[&four[..], &[4, 0, 9, 1]].concat()),
            (0x21, 0x12, &four[..]),
            (0x21, 0x41, &four[..]),
            (0x22, 0x11, &four[..]),
            (0x11, 0x11, &four[..]),
            (0x31, 0x11, &four[..]),
            (0x21, 0x21, &[0; 35][..]),
            (0x21, 0x31, &[0; 215][..]),
        ] {
            assert_eq!(v2(command, family, rest), Err(HeaderProblem::Malformed), "{command:x} {family:x}");
        }
        assert_eq!(v2(0x21, 0x11, &[0; LONGEST_HEADER - FIXED + 1]), Err(HeaderProblem::TooLong));
        assert_eq!(header(&[b'G'; FIXED], &[]), Err(HeaderProblem::Missing));
    }

    proptest! {
        #[test]
        fn any_client_is_read_as_it_was_written(source: SocketAddr, destination: SocketAddr) {
            let source = SocketAddr::new(source.ip(), source.port());
            let (family, addresses) = match (source.ip(), destination.ip()) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => (0x11, [source.octets(), destination.octets()].concat()),
                (IpAddr::V6(source), IpAddr::V6(destination)) => (0x21, [source.octets(), destination.octets()].concat()),
                _ => return Ok(()),
            };
            let name = if family == 0x11 { "TCP4" } else { "TCP6" };
            let (ip, to) = (source.ip(), destination.ip());
            let written = format!("PROXY {name} {ip} {to} {} {}\r\n", source.port(), destination.port());
            prop_assert_eq!(line(written.as_bytes()), Ok(Passed::Client(source)));
            let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
            prop_assert_eq!(v2(0x21, family, &[addresses, ports].concat()), Ok(Passed::Client(source)));
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..600), family: u8, command: u8) {
            let _ = parse_proxy_header(&bytes);
            let _ = line(&[b"PROXY TCP4 ", &bytes[..], b"\r\n"].concat());
            let _ = v2(command, family, &bytes);
            let _ = parse_proxy_header(&[&SIGNATURE[..], &bytes[..]].concat());
        }
    }
}
