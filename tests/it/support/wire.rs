//! HTTP/1.1 by hand, so that a test can say any bytes.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// One answer, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a field, if it is there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The reason of a denial; empty for an answer of the upstream.
    pub(crate) fn reason(&self) -> String {
        let json: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        json["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// The revision that the answer was decided by.
    pub(crate) fn revision(&self) -> u64 {
        self.header("portcullis-revision").and_then(|value| value.parse().ok()).unwrap_or(0)
    }
}

/// A connection that is kept alive.
pub(crate) struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
    // Whether a silence counts as an end: else it is a fault.
    may_be_silent: bool,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, unread: Vec::new(), may_be_silent: false }
    }

    /// From now on there may be nothing, for so long.
    pub(crate) fn allow_silence(&mut self, length: Duration) {
        self.stream.set_read_timeout(Some(length)).unwrap();
        self.may_be_silent = true;
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The other side may have refused and closed already: then the answer is there to be read.
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// The next answer; `None` if the connection was closed instead.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET")
    }

    /// The next answer to a request of this method: an answer to HEAD has no body, whatever its length says.
    pub(crate) fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let end = loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                break end;
            }
            if !self.read_more() {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&self.unread[..end]).into_owned();
        self.unread.drain(..end + 4);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: String::new() };
        if status == 100 {
            return Some(answer);
        }
        let bodiless = method == "HEAD" || matches!(status, 204 | 304);
        let body = match (bodiless, answer.header("content-length"), answer.header("transfer-encoding")) {
            (true, _, _) => Vec::new(),
            (_, Some(length), _) => self.take(length.parse().unwrap()),
            (_, None, Some(_)) => self.take_chunks(),
            (_, None, None) => {
                while self.read_more() {}
                std::mem::take(&mut self.unread)
            }
        };
        answer.body = String::from_utf8_lossy(&body).into_owned();
        Some(answer)
    }

    /// Whether the other side has closed the connection, with nothing more to read.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && !self.read_more()
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        while self.unread.len() < length {
            if !self.read_more() {
                break;
            }
        }
        self.unread.drain(..length.min(self.unread.len())).collect()
    }

    fn take_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = find(&self.unread, b"\r\n") {
                    break end;
                }
                if !self.read_more() {
                    return body;
                }
            };
            let size = usize::from_str_radix(std::str::from_utf8(&self.unread[..end]).unwrap().trim(), 16).unwrap();
            self.unread.drain(..end + 2);
            let chunk = self.take(size + 2);
            body.extend_from_slice(&chunk[..size.min(chunk.len())]);
            if size == 0 {
                return body;
            }
        }
    }

    fn read_more(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Err(error) => {
                let is_silent = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!is_silent || self.may_be_silent, "neither an answer nor an end of the connection");
                false
            }
            Ok(read) => {
                self.unread.extend_from_slice(&bytes[..read]);
                true
            }
        }
    }
}

/// The answer to these bytes on a connection of their own.
pub(crate) fn answer_of(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Option<Answer> {
    let mut connection = Connection::open(address);
    connection.send(bytes);
    connection.answer()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
