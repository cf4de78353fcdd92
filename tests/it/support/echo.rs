//! An upstream that keeps every request byte for byte, as it came.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::eventually;

type Kept = Arc<Mutex<Requests>>;

#[derive(Default)]
struct Requests {
    seen: Vec<Vec<u8>>,
    // On how many connections a request has begun that is not there yet.
    unfinished: usize,
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A service on loopback that answers `200` to whatever it can part into requests, and keeps all of it.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    kept: Kept,
}

impl Echo {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Kept::default();
        let all = Arc::clone(&kept);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&all);
                thread::spawn(move || serve(stream, &kept));
            }
        });
        Self { address, kept }
    }

    /// The requests since the last call.
    pub(crate) fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.kept.lock().unwrap().seen)
    }

    /// The same, once each that has begun has ended or has broken off.
    pub(crate) fn take_finished(&self) -> Vec<Vec<u8>> {
        eventually("requests end", || Some(()).filter(|()| self.kept.lock().unwrap().unfinished == 0));
        self.take()
    }
}

fn serve(mut stream: TcpStream, kept: &Kept) {
    stream.set_nodelay(true).unwrap();
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    'all: loop {
        while let Some(end) = end_of_request(&bytes) {
            let mut kept = kept.lock().unwrap();
            kept.seen.push(bytes.drain(..end).collect());
            kept.unfinished -= 1;
            kept.unfinished += usize::from(!bytes.is_empty());
            drop(kept);
            if stream.write_all(ANSWER).is_err() {
                break 'all;
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(read) => {
                kept.lock().unwrap().unfinished += usize::from(bytes.is_empty());
                bytes.extend_from_slice(&piece[..read]);
            }
        }
    }
    // What is no whole request is one that broke off.
    if !bytes.is_empty() {
        bytes.splice(0..0, *b"BROKEN ");
        let mut kept = kept.lock().unwrap();
        kept.seen.push(bytes);
        kept.unfinished -= 1;
    }
}

/// Where the first request ends, by the one framing that a proxy may write.
fn end_of_request(bytes: &[u8]) -> Option<usize> {
    let find = |from: usize, what: &[u8]| {
        let at = bytes.get(from..)?.windows(what.len()).position(|window| window == what)?;
        Some(from + at + what.len())
    };
    let body = find(0, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..body]).to_ascii_lowercase();
    if let Some((_, length)) = head.split_once("\r\ncontent-length:") {
        let length: usize = length.lines().next()?.trim().parse().ok()?;
        return (bytes.len() >= body + length).then_some(body + length);
    }
    if !head.contains("\r\ntransfer-encoding:") {
        return Some(body);
    }
    let mut at = body;
    loop {
        let line = find(at, b"\r\n")?;
        let size = usize::from_str_radix(String::from_utf8_lossy(&bytes[at..line]).trim(), 16).ok()?;
        at = line + size + 2;
        if size == 0 {
            return (bytes.len() >= at).then_some(at);
        }
    }
}
