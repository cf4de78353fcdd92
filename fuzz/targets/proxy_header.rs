//! What proxies say of whose connection it is: any bytes are answered, and a client's address comes of what is well formed
//! and short alone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::net::{Passed, parse_proxy_header};

fuzz_target!(|bytes: &[u8]| {
    let Ok(passed) = parse_proxy_header(bytes) else { return };
    let is_line = bytes.starts_with(b"PROXY ");
    assert!(is_line || bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n"));
    assert!(bytes.len() <= if is_line { 107 } else { 536 });
    if let (true, Passed::Client(client)) = (is_line, passed) {
        // The line says what was read of it.
        let text = std::str::from_utf8(bytes).unwrap();
        let words: Vec<&str> = text.trim_end().split(' ').collect();
        assert_eq!(words[4], client.port().to_string());
        assert_eq!(words[2].parse(), Ok(client.ip()));
    }
});
