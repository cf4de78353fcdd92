//! An identity provider on loopback that says where its keys are.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

use super::issuer::{Issuer, claims};

#[derive(Default)]
struct State {
    /// The answers by path; what has none is not found.
    answers: BTreeMap<String, String>,
    asked: Vec<String>,
    is_out: bool,
}

/// Its metadata are where OpenID Connect has them, its keys at `/keys`.
pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Provider {
    pub(crate) fn start(keys: &[&Issuer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let served = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&served);
                thread::spawn(move || serve(stream, &state));
            }
        });
        let provider = Self { address, state };
        let metadata = json!({ "issuer": provider.name(), "jwks_uri": format!("{}/keys", provider.name()) });
        provider.answer("/.well-known/openid-configuration", &metadata);
        provider.publish(keys);
        provider
    }

    /// Its name, which is its URL.
    pub(crate) fn name(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers with this document at the path from now on.
    pub(crate) fn answer(&self, path: &str, document: &Value) {
        self.state.lock().unwrap().answers.insert(path.to_owned(), document.to_string());
    }

    /// Has nothing at the path from now on.
    pub(crate) fn forget(&self, path: &str) {
        self.state.lock().unwrap().answers.remove(path);
    }

    /// Has these keys from now on.
    pub(crate) fn publish(&self, keys: &[&Issuer]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        self.answer("/keys", &json!({ "keys": keys }));
    }

    /// Answers nothing but errors, or answers again.
    pub(crate) fn set_out(&self, is_out: bool) {
        self.state.lock().unwrap().is_out = is_out;
    }

    /// The paths that it was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    /// A good token of its own, with some claims changed.
    pub(crate) fn token(&self, key: &Issuer, subject: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = claims(subject, &[]);
        claims["iss"] = self.name().into();
        change(&mut claims);
        key.sign(&claims)
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    let (mut first, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
        if first.is_empty() {
            first = line.clone();
        }
        if line == "\r\n" {
            break;
        }
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, body) = {
        let mut state = state.lock().unwrap();
        state.asked.push(path.clone());
        match state.answers.get(&path) {
            _ if state.is_out => ("503 Service Unavailable", String::new()),
            Some(document) => ("200 OK", document.clone()),
            None => ("404 Not Found", String::new()),
        }
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // The client may be gone.
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}
