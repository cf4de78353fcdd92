//! A transmitter of signals that is polled (RFC 8936).

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use serde_json::{Value, json};

#[derive(Default)]
struct State {
    /// What was not acknowledged yet, by `jti`.
    outstanding: BTreeMap<String, String>,
    acknowledged: Vec<String>,
    refused: BTreeMap<String, Value>,
    polls: Vec<Value>,
    authorizations: Vec<String>,
    /// Answers with this instead, whatever it is asked.
    instead: Option<String>,
    waiting: usize,
}

/// It keeps what is not acknowledged, answers at once if there is something, and waits otherwise.
pub(crate) struct Transmitter {
    address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Transmitter {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<(Mutex<State>, Condvar)>::default();
        let served = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&served);
                thread::spawn(move || serve(stream, &state));
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/streams/1?poll", self.address)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.0.lock().unwrap());
        self.state.1.notify_all();
    }

    fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.0.lock().unwrap())
    }

    /// Has these signals to say from now on, all at one time.
    pub(crate) fn say<'s>(&self, signals: impl IntoIterator<Item = (&'s str, String)>) {
        let signals = signals.into_iter().map(|(id, signal)| (id.to_owned(), signal));
        self.change(|state| state.outstanding.extend(signals));
    }

    /// Answers with exactly these bytes from now on, or answers again as it should.
    pub(crate) fn answer_with(&self, instead: Option<&str>) {
        self.change(|state| state.instead = instead.map(str::to_owned));
    }

    /// What was acknowledged, in the order in which it was.
    pub(crate) fn acknowledged(&self) -> Vec<String> {
        self.look(|state| state.acknowledged.clone())
    }

    /// What was refused, with what it was told.
    pub(crate) fn refused(&self) -> BTreeMap<String, Value> {
        self.look(|state| state.refused.clone())
    }

    /// What it was asked.
    pub(crate) fn polls(&self) -> Vec<Value> {
        self.look(|state| state.polls.clone())
    }

    /// The last value of `Authorization`.
    pub(crate) fn authorization(&self) -> String {
        self.look(|state| state.authorizations.last().cloned().unwrap_or_default())
    }

    /// How many polls wait.
    pub(crate) fn waiting(&self) -> usize {
        self.look(|state| state.waiting)
    }
}

fn serve(mut stream: TcpStream, (state, changed): &(Mutex<State>, Condvar)) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let begin = head.len();
        if !reader.read_line(&mut head).is_ok_and(|read| read > 0) {
            return;
        }
        let line = head[begin..].to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    assert!(head.starts_with("POST /streams/1?poll HTTP/1.1\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains("content-type: application/json\r\n"), "{head}");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization:")).unwrap_or_default();
    let mut held = state.lock().unwrap();
    held.authorizations.push(line.split_once(' ').map_or("", |(_, value)| value).to_owned());
    held.polls.push(asked.clone());
    if held.instead.is_none() {
        for id in asked["ack"].as_array().into_iter().flatten() {
            let id = id.as_str().unwrap().to_owned();
            held.outstanding.remove(&id).expect("it is acknowledged once");
            held.acknowledged.push(id);
        }
        for (id, problem) in asked["setErrs"].as_object().into_iter().flatten() {
            held.outstanding.remove(id).expect("it is refused once");
            held.refused.insert(id.clone(), problem.clone());
        }
    }
    held.waiting += 1;
    let mut held = changed.wait_while(held, |state| state.outstanding.is_empty() && state.instead.is_none()).unwrap();
    held.waiting -= 1;
    let most = usize::try_from(asked["maxEvents"].as_u64().unwrap()).unwrap();
    let sets: BTreeMap<_, _> = held.outstanding.iter().take(most).collect();
    let answer = json!({ "sets": sets, "moreAvailable": held.outstanding.len() > most }).to_string();
    let bytes = held.instead.clone().unwrap_or_else(|| {
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}", answer.len())
    });
    drop(held);
    // The receiver may be gone.
    let _ = stream.write_all(bytes.as_bytes());
}
