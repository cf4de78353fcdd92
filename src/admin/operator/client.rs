//! Asks a running proxy.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use thiserror::Error;
use tokio::runtime::Builder;

use super::{
    answer::{ByRevision, read_problem},
    handler::MARK,
    question::OperatorQuestion,
};
use crate::net::{LocalError, exchange};

/// The longest answer.
const ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(120);

/// Why the running proxy gave no answer.
#[derive(Debug, Error)]
pub enum OperatorError {
    /// There is none at the path.
    #[error("there is no socket `{0}`: is a proxy running whose `admin.socket` this is?")]
    Missing(PathBuf),
    /// It is for the proxy's own user.
    #[error("the socket `{0}` may be used by its owner only: ask as the user that the proxy runs as")]
    Denied(PathBuf),
    /// A proxy was killed, and left it over.
    #[error("nobody listens on `{0}`: the proxy has ended, start it anew")]
    Ended(PathBuf),
    /// Something else answers, or the file is no socket.
    #[error("`{0}` is not the admin socket of a Portcullis: {1}")]
    NotPortcullis(PathBuf, String),
    /// The connection failed.
    #[error("`{0}` cannot be asked: {1}")]
    Failed(PathBuf, String),
    /// The proxy cannot answer the question, and says why.
    #[error("{0}")]
    Refused(String),
}

/// Asks the proxy whose admin socket this is. Blocks until it answers, for two minutes at most.
pub fn ask_running(socket: &Path, question: &OperatorQuestion) -> Result<ByRevision, OperatorError> {
    let failed = |problem: &dyn ToString| OperatorError::Failed(socket.to_owned(), problem.to_string());
    let (path, body) = question.written();
    let request = Request::post(path.path())
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(body.to_string()))
        .map_err(|error| failed(&error))?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error: io::Error| failed(&error))?;
    let answer = runtime.block_on(exchange(socket, request, ANSWER_BYTES, ANSWER_TIME));
    let answer = answer.map_err(|error| unanswered(socket, &error))?;
    let foreign = |what: &str| OperatorError::NotPortcullis(socket.to_owned(), what.to_owned());
    if !answer.headers().contains_key(MARK) {
        return Err(foreign("another server answers"));
    }
    if answer.status() == StatusCode::OK {
        return ByRevision::read(answer.body()).ok_or_else(|| foreign("its answer is of another version"));
    }
    match read_problem(answer.body()) {
        Some(problem) => Err(OperatorError::Refused(problem)),
        None => Err(foreign(&format!("it answers {}", answer.status()))),
    }
}

fn unanswered(socket: &Path, error: &LocalError) -> OperatorError {
    let path = socket.to_owned();
    match error {
        LocalError::Missing => OperatorError::Missing(path),
        LocalError::Denied => OperatorError::Denied(path),
        LocalError::Refused => OperatorError::Ended(path),
        LocalError::NotASocket | LocalError::NotHttp(_) => OperatorError::NotPortcullis(path, error.to_string()),
        LocalError::Failed(_) | LocalError::Timeout(_) => OperatorError::Failed(path, error.to_string()),
    }
}
