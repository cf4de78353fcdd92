//! A service that answers every request with the same 186 bytes of JSON.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
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

/// The service, for a loop of events that somebody turns.
pub(crate) struct Upstream {
    poll: Poll,
    listener: TcpListener,
    connections: HashMap<Token, Connection>,
    next: usize,
    events: Events,
    answer: String,
}

/// Serves until the process is ended; its first line of output says where.
pub(crate) fn serve() -> anyhow::Result<()> {
    let mut upstream = Upstream::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    println!("address={}", upstream.listener.local_addr()?);
    loop {
        upstream.turn(None)?;
    }
}

impl Upstream {
    pub(crate) fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let mut listener = TcpListener::bind(address)?;
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let events = Events::with_capacity(256);
        Ok(Self { poll, listener, connections: HashMap::new(), next: 0, events, answer: answer() })
    }

    /// Answers what has come, or waits so long for something to come.
    pub(crate) fn turn(&mut self, patience: Option<Duration>) -> anyhow::Result<()> {
        self.poll.poll(&mut self.events, patience)?;
        for event in &self.events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = self.listener.accept() {
                    stream.set_nodelay(true)?;
                    let token = Token(self.next);
                    self.next += 1;
                    self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
                    self.connections.insert(token, Connection { stream, buffer: vec![0; LONGEST], filled: 0 });
                }
            } else if let Some(connection) = self.connections.get_mut(&event.token())
                && !connection.answer(self.answer.as_bytes())
            {
                self.connections.remove(&event.token());
            }
        }
        Ok(())
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
