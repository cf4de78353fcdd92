//! An upstream that remembers the bytes of every request it got.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

type Seen = Arc<Mutex<Vec<String>>>;

/// A service on loopback. It answers `200` with `answer`, or what a test tells it to.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Seen,
    answer: Arc<Mutex<String>>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Seen::default();
        let answer = Arc::new(Mutex::new(json_answer("{\"from\":\"upstream\"}")));
        let (all, told) = (Arc::clone(&seen), Arc::clone(&answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&all), Arc::clone(&told));
                thread::spawn(move || serve(stream, &seen, &answer));
            }
        });
        Self { address, seen, answer }
    }

    /// Answers with exactly these bytes from now on.
    pub(crate) fn answer_with(&self, bytes: impl Into<String>) {
        *self.answer.lock().unwrap() = bytes.into();
    }

    /// Answers with this JSON from now on.
    pub(crate) fn answer_json(&self, json: &str) {
        self.answer_with(json_answer(json));
    }

    /// The requests so far, heads and bodies as they came.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> String {
        self.seen().pop().expect("the upstream has seen a request")
    }
}

fn json_answer(json: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{json}", json.len())
}

fn serve(stream: TcpStream, seen: &Seen, answer: &Mutex<String>) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(request) = read_request(&mut reader) {
        let head = request.starts_with("HEAD ");
        seen.lock().unwrap().push(request);
        let mut bytes = answer.lock().unwrap().clone();
        if head && let Some(end) = bytes.find("\r\n\r\n") {
            bytes.truncate(end + 4);
        }
        if bytes.is_empty() || stream.write_all(bytes.as_bytes()).is_err() {
            return;
        }
    }
}

pub(crate) fn read_request(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut request = String::new();
    let (mut length, mut chunked) = (0, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        request.push_str(&line);
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        chunked |= lower.starts_with("transfer-encoding:") && lower.contains("chunked");
        if line == "\r\n" {
            break;
        }
    }
    if chunked {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let size = usize::from_str_radix(line.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            request.push_str(&String::from_utf8_lossy(&chunk[..size]));
            if size == 0 {
                return Some(request);
            }
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.push_str(&String::from_utf8_lossy(&body));
    Some(request)
}

/// An upstream whose answer for `d2` never ends, and is short for everything else.
pub(crate) fn endless() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut stream = stream;
                let (piece, mut line) = ([b'x'; 16 * 1024], String::new());
                while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                    let is_long = line.contains("/d2 ");
                    while line != "\r\n" && !line.is_empty() {
                        line.clear();
                        drop(reader.read_line(&mut line));
                    }
                    line.clear();
                    let short = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    let long = "HTTP/1.1 200 OK\r\ncontent-length: 1099511627776\r\n\r\n";
                    if stream.write_all(if is_long { long } else { short }.as_bytes()).is_err() {
                        return;
                    }
                    while is_long && stream.write_all(&piece).is_ok() {}
                }
            });
        }
    });
    address
}
