//! A running `serve-openfga`.

use std::{
    cell::RefCell,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

use serde_json::Value;

use super::{
    eventually,
    wire::{Answer, answer_of},
};

/// It is killed when it goes out of scope.
pub(crate) struct OpenFga {
    child: Child,
    pub(crate) address: SocketAddr,
    output: RefCell<BufReader<ChildStdout>>,
    /// Lines of the head of every request, each ended by CRLF.
    pub(crate) fields: String,
}

impl OpenFga {
    /// Starts it with these arguments more, at a free port.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["serve-openfga", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").expect("it prints its address").parse().unwrap();
        Self { child, address, output: RefCell::new(output), fields: String::new() }
    }

    /// The next line that it prints.
    pub(crate) fn line(&self) -> String {
        let mut line = String::new();
        self.output.borrow_mut().read_line(&mut line).unwrap();
        line
    }

    /// The body of the answer to a request, as it came.
    pub(crate) fn text(&self, method: &str, path: &str, body: &str) -> String {
        self.answer(method, path, body).body
    }

    /// The status and the body of the answer to a request.
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let answer = self.answer(method, path, body);
        (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null))
    }

    fn answer(&self, method: &str, path: &str, body: &str) -> Answer {
        let (length, fields) = (body.len(), &self.fields);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n{fields}\r\n{body}"
        );
        answer_of(self.address, request).expect("an answer")
    }

    /// The body of an answer that must have this status.
    pub(crate) fn expect(&self, status: u16, method: &str, path: &str, body: Value) -> Value {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let (found, answer) = self.call(method, path, &body);
        assert_eq!(found, status, "{method} {path} {body}: {answer}");
        answer
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Value {
        self.expect(200, "POST", path, body)
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.expect(200, "GET", path, Value::Null)
    }

    /// The code of a request that must be refused with this status.
    pub(crate) fn refused(&self, status: u16, method: &str, path: &str, body: Value) -> String {
        let answer = self.expect(status, method, path, body);
        assert!(answer["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
        answer["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn terminate(mut self) -> ExitStatus {
        let done = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
        eventually("the process ends", || self.child.try_wait().unwrap())
    }
}

impl Drop for OpenFga {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
