//! A service that answers every request with the same 186 bytes of JSON.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr},
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};

const LISTENER: Token = Token(usize::MAX);
/// No request of a measurement is longer.
const LONGEST: usize = 16 * 1024;

/// Bytes of the body of an answer.
pub(crate) const BODY_BYTES: usize = 186;

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// Serves until the process is ended; its first line of output says where.
pub(crate) fn serve() -> anyhow::Result<()> {
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    println!("address={}", listener.local_addr()?);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let answer = answer();
    let mut connections = HashMap::new();
    let mut events = Events::with_capacity(256);
    let mut next = 0;
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    poll.registry().register(&mut stream, Token(next), Interest::READABLE)?;
                    connections.insert(Token(next), Connection { stream, buffer: vec![0; LONGEST], filled: 0 });
                    next += 1;
                }
            } else if let Some(connection) = connections.get_mut(&event.token())
                && !connection.answer(answer.as_bytes())
            {
                connections.remove(&event.token());
            }
        }
    }
}

impl Connection {
    /// Reads what is there and answers a complete head; no request has a body. False once the connection is of no use.
    fn answer(&mut self, answer: &[u8]) -> bool {
        loop {
            let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
            let size = room.len();
            let read = match self.stream.read(room) {
                Ok(0) => return false,
                Ok(read) => read,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            };
            self.filled += read;
            if self.buffer.get(..self.filled).is_some_and(|bytes| bytes.ends_with(b"\r\n\r\n")) {
                self.filled = 0;
                if self.stream.write_all(answer).is_err() {
                    return false;
                }
            }
            // Less than there was room for: whatever comes later is a new event.
            if read < size {
                return true;
            }
        }
    }
}

fn answer() -> String {
    let begin = r#"{"id":"d10000","name":"Quarterly report","owner":"u100","note":""#;
    let body = format!("{begin}{}\"}}", "x".repeat(BODY_BYTES - begin.len() - 2));
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}
