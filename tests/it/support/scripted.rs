//! An upstream that does as it is told with each request, good or bad, and can be taken away.

use std::{
    collections::HashMap,
    io::{BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::SockRef;

use super::upstream::read_request;

/// So many requests are remembered.
const KEPT: usize = 10_000;

/// What becomes of a connection after what was said on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Keep,
    Close,
    /// RST: what was said may be lost.
    Reset,
    /// It stays open, and nothing more is said.
    Hang,
}

/// What is said to a request: pieces with moments between them, and what follows.
#[derive(Debug, Clone)]
pub(crate) struct Said(pub(crate) Vec<String>, pub(crate) Then);

impl Said {
    pub(crate) fn ok(body: &str) -> Self {
        let length = body.len();
        Self(vec![format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")], Then::Keep)
    }

    pub(crate) fn of(text: &str, then: Then) -> Self {
        Self(vec![text.to_owned()], then)
    }
}

/// It ends when it goes out of scope.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    seen: Mutex<Vec<String>>,
    connections: AtomicUsize,
    open_now: AtomicUsize,
    requests: AtomicUsize,
    // By their number.
    open: Mutex<HashMap<usize, TcpStream>>,
    is_over: AtomicBool,
}

impl Scripted {
    /// Says to each request what this says, given its head and body, and how many were before.
    pub(crate) fn start(say: impl Fn(&str, usize) -> Said + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), say)
    }

    /// One that answers every request with this body.
    pub(crate) fn answering(body: &'static str) -> Self {
        Self::start(move |_, _| Said::ok(body))
    }

    pub(crate) fn start_at(at: SocketAddr, say: impl Fn(&str, usize) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            open_now: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            open: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let (of_all, say) = (Arc::clone(&shared), Arc::new(say));
        let accepting = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if of_all.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let number = of_all.connections.fetch_add(1, Ordering::SeqCst);
                of_all.open_now.fetch_add(1, Ordering::SeqCst);
                of_all.open.lock().unwrap().insert(number, stream.try_clone().unwrap());
                let (shared, say) = (Arc::clone(&of_all), Arc::clone(&say));
                thread::spawn(move || {
                    serve(stream, &shared, number, say.as_ref());
                    shared.open.lock().unwrap().remove(&number);
                    shared.open_now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// The requests so far, of very many the first ones.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many requests there were with this in them.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.seen().iter().filter(|request| request.contains(text)).count()
    }

    /// Whether nobody has a connection to it any more.
    pub(crate) fn are_all_closed(&self) -> bool {
        self.shared.open_now.load(Ordering::SeqCst) == 0
    }

    /// How many connections to it are open.
    pub(crate) fn open(&self) -> usize {
        self.shared.open_now.load(Ordering::SeqCst)
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // It notices with the next connection.
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().map(JoinHandle::join);
        for (_, stream) in self.shared.open.lock().unwrap().drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn serve(mut stream: TcpStream, shared: &Shared, number: usize, say: &(impl Fn(&str, usize) -> Said + ?Sized)) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(request) = read_request(&mut reader) {
        let before = shared.requests.fetch_add(1, Ordering::SeqCst);
        if before < KEPT {
            shared.seen.lock().unwrap().push(request.clone());
        }
        let Said(pieces, then) = say(&request, before);
        for (index, piece) in pieces.iter().enumerate() {
            if index > 0 {
                thread::sleep(Duration::from_millis(30));
            }
            if stream.write_all(piece.as_bytes()).is_err() {
                return;
            }
        }
        match then {
            Then::Keep => {}
            Then::Hang => loop {
                thread::sleep(Duration::from_millis(20));
                if shared.is_over.load(Ordering::SeqCst) {
                    return;
                }
            },
            Then::Close => {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            Then::Reset => {
                // What was said before is read first.
                thread::sleep(Duration::from_millis(30));
                SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                // It is the last one closed that counts.
                shared.open.lock().unwrap().remove(&number);
                return;
            }
        }
    }
}
