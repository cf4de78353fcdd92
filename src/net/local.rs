//! One request over a Unix socket.

use std::{io, os::unix::fs::FileTypeExt, path::Path, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{net::UnixStream, time::timeout};

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum LocalError {
    /// There is no file at the path.
    #[error("there is no such socket")]
    Missing,
    /// There is a file, and it is no socket.
    #[error("it is not a socket")]
    NotASocket,
    /// The socket belongs to somebody else.
    #[error("permission denied")]
    Denied,
    /// Nobody listens.
    #[error("nobody listens on it")]
    Refused,
    /// Another problem of the operating system.
    #[error("{0}")]
    Failed(#[from] io::Error),
    /// What came back is not HTTP, breaks off, or is longer than allowed.
    #[error("no HTTP answer came: {0}")]
    NotHttp(String),
    /// Nothing came in time.
    #[error("no answer came in {} s", .0.as_secs())]
    Timeout(Duration),
}

/// Sends the request to the socket at `path`: the whole answer, of at most `limit` bytes, within `deadline`.
pub async fn exchange(
    path: &Path,
    request: Request<Bytes>,
    limit: usize,
    deadline: Duration,
) -> Result<Response<Bytes>, LocalError> {
    timeout(deadline, exchanged(path, request.map(Full::new), limit))
        .await
        .map_err(|_| LocalError::Timeout(deadline))?
}

async fn exchanged(path: &Path, request: Request<Full<Bytes>>, limit: usize) -> Result<Response<Bytes>, LocalError> {
    let stream = UnixStream::connect(path).await.map_err(|error| unreachable(path, error))?;
    let not_http = |error: hyper::Error| LocalError::NotHttp(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(not_http)?;
    let answered = async {
        let (head, body) = sender.send_request(request).await.map_err(not_http)?.into_parts();
        let body = Limited::new(body, limit).collect().await;
        let body = body.map_err(|error| LocalError::NotHttp(error.to_string()))?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    let mut connection = std::pin::pin!(connection);
    let mut answered = std::pin::pin!(answered);
    tokio::select! {
        answered = answered.as_mut() => answered,
        // The connection may end before its answer has been taken from it.
        _ = connection.as_mut() => answered.await,
    }
}

fn unreachable(path: &Path, error: io::Error) -> LocalError {
    match error.kind() {
        io::ErrorKind::NotFound => LocalError::Missing,
        io::ErrorKind::PermissionDenied => LocalError::Denied,
        io::ErrorKind::ConnectionRefused => {
            // A file that is no socket refuses connections too.
            let is_socket = std::fs::metadata(path).is_ok_and(|file| file.file_type().is_socket());
            if is_socket { LocalError::Refused } else { LocalError::NotASocket }
        }
        _ => LocalError::Failed(error),
    }
}
