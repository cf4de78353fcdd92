//! Load in a closed loop: every connection sends its next request once it has its answer.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use mio::{Events, Interest, Poll, Token, net::TcpStream};

use super::{latency::Latencies, upstream::Upstream};

/// What separates the requests in a file of requests.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// So long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// When it ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Extent {
    /// After this time, of which the beginning does not count.
    Time { warm_up: Duration, measured: Duration },
    /// After this many answers.
    Count(u64),
}

impl Extent {
    /// The words of the command line that [`run`] reads.
    pub(crate) fn words(self) -> [String; 3] {
        match self {
            Self::Time { warm_up, measured } => {
                ["time".to_owned(), warm_up.as_millis().to_string(), measured.as_millis().to_string()]
            }
            Self::Count(count) => ["count".to_owned(), count.to_string(), "0".to_owned()],
        }
    }

    fn read(words: &[&str]) -> anyhow::Result<Self> {
        match words {
            ["time", warm_up, measured] => Ok(Self::Time {
                warm_up: Duration::from_millis(warm_up.parse()?),
                measured: Duration::from_millis(measured.parse()?),
            }),
            ["count", count, _] => Ok(Self::Count(count.parse()?)),
            _ => bail!("the extent of a load is `time WARM-UP MEASURED` or `count N 0`"),
        }
    }
}

/// What a load met with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) answers: u64,
    pub(crate) seconds: f64,
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
}

impl Outcome {
    /// Reads the line that [`run`] prints.
    pub(crate) fn read(line: &str) -> anyhow::Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [answers, seconds, median, p99] = words.as_slice() else { bail!("not the outcome of a load: `{line}`") };
        Ok(Self {
            answers: answers.parse()?,
            seconds: seconds.parse()?,
            median: Duration::from_nanos(median.parse()?),
            p99: Duration::from_nanos(p99.parse()?),
        })
    }
}

/// Runs `load ADDRESS CONNECTIONS FILE EXTENT…` and prints the outcome; anything but a 200 is an error.
///
/// With `serving ADDRESS` before these words the upstream is in the same thread, which never sleeps: so it is no part
/// of a proxy's cost to wake the others, who would be on machines of their own.
pub(crate) fn run(words: &[&str]) -> anyhow::Result<()> {
    let (upstream, words) = match words {
        ["serving", address, words @ ..] => (Some(Upstream::bind(address.parse()?)?), words),
        words => (None, words),
    };
    let [address, connections, file, extent @ ..] = words else { bail!("`load ADDRESS CONNECTIONS FILE EXTENT…`") };
    let requests = read_requests(Path::new(file))?;
    let mut load = Load::connect(address.parse()?, connections.parse()?, &requests, upstream)?;
    let outcome = load.run(Extent::read(extent)?)?;
    let Outcome { answers, seconds, median, p99 } = outcome;
    println!("{answers} {seconds} {} {}", median.as_nanos(), p99.as_nanos());
    Ok(())
}

fn read_requests(file: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let all = std::fs::read(file)?;
    let mut rest = all.as_slice();
    let mut requests = Vec::new();
    while let Some(end) = find(rest, HEAD_END) {
        let end = end + HEAD_END.len();
        let body = rest.get(..end).and_then(content_length).unwrap_or(0);
        let request = rest.split_at_checked(end + body);
        let (request, more) = request.with_context(|| format!("`{}` ends within a request", file.display()))?;
        requests.push(request.to_vec());
        rest = more;
    }
    ensure!(!requests.is_empty() && rest.is_empty(), "`{}` is not a file of requests", file.display());
    Ok(requests)
}

struct Connection {
    stream: TcpStream,
    buffer: [u8; 4096],
    filled: usize,
    sent: Instant,
}

struct Load<'r> {
    poll: Poll,
    connections: Vec<Connection>,
    requests: std::iter::Cycle<std::slice::Iter<'r, Vec<u8>>>,
    upstream: Option<Upstream>,
}

impl<'r> Load<'r> {
    fn connect(
        address: SocketAddr,
        connections: usize,
        requests: &'r [Vec<u8>],
        upstream: Option<Upstream>,
    ) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let mut open = Vec::new();
        for number in 0..connections {
            let stream = std::net::TcpStream::connect(address).context("cannot connect")?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            open.push(Connection { stream, buffer: [0; 4096], filled: 0, sent: Instant::now() });
        }
        Ok(Self { poll, connections: open, requests: requests.iter().cycle(), upstream })
    }

    fn run(&mut self, extent: Extent) -> anyhow::Result<Outcome> {
        let (warm_up, measured, mut left) = match extent {
            Extent::Time { warm_up, measured } => (warm_up, measured, u64::MAX),
            Extent::Count(count) => (Duration::ZERO, Duration::from_secs(600), count),
        };
        let from = Instant::now() + warm_up;
        let until = from + measured;
        let mut events = Events::with_capacity(256);
        let mut latencies = Latencies::new();
        let mut last = from;
        for connection in &mut self.connections {
            connection.send(self.requests.next())?;
        }
        let mut heard = Instant::now();
        while left > 0 && last < until {
            if let Some(upstream) = &mut self.upstream {
                upstream.turn(Some(Duration::ZERO))?;
            }
            self.poll.poll(&mut events, Some(if self.upstream.is_some() { Duration::ZERO } else { PATIENCE }))?;
            if events.is_empty() {
                ensure!(heard.elapsed() < PATIENCE, "no answer for ten seconds");
                continue;
            }
            heard = Instant::now();
            for event in &events {
                let Some(connection) = self.connections.get_mut(event.token().0) else { continue };
                if !connection.receive()? {
                    continue;
                }
                last = Instant::now();
                left = left.saturating_sub(1);
                if last >= from {
                    latencies.record(last - connection.sent);
                }
                connection.send(self.requests.next())?;
            }
        }
        Ok(Outcome {
            answers: latencies.count(),
            seconds: (last - from).as_secs_f64(),
            median: latencies.quantile(500),
            p99: latencies.quantile(990),
        })
    }
}

impl Connection {
    fn send(&mut self, request: Option<&Vec<u8>>) -> anyhow::Result<()> {
        self.sent = Instant::now();
        self.stream.write_all(request.context("no request")?).context("a request was not taken whole")
    }

    /// Reads what is there; true if an answer is complete, an error if it is none with status 200.
    fn receive(&mut self) -> anyhow::Result<bool> {
        let read = match self.stream.read(self.buffer.get_mut(self.filled..).unwrap_or_default()) {
            Ok(0) => bail!("a connection was closed, or an answer is too long"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        self.filled += read;
        let bytes = self.buffer.get(..self.filled).unwrap_or_default();
        let Some(head) = find(bytes, HEAD_END).and_then(|end| bytes.get(..end + HEAD_END.len())) else {
            return Ok(false);
        };
        ensure!(head.starts_with(b"HTTP/1.1 200 "), "an answer is not 200: {}", String::from_utf8_lossy(bytes));
        let wanted = head.len() + content_length(head).context("an answer has no Content-Length")?;
        ensure!(self.filled <= wanted, "more than an answer came");
        let complete = self.filled == wanted;
        if complete {
            self.filled = 0;
        }
        Ok(complete)
    }
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

pub(crate) fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = lines.find(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)))?;
    std::str::from_utf8(line.get(NAME.len()..)?).ok()?.trim().parse().ok()
}
