//! Reading the body of a question, within bounds.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use thiserror::Error;
use tokio::time::timeout;

/// The longest body (OpenFGA's limit).
const BODY_BYTES: usize = 616_448;
/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum BodyProblem {
    /// It is longer than any question is.
    #[error("The number of bytes of a request exceeds the allowed limit of {BODY_BYTES}")]
    TooLong,
    /// It ended before its end.
    #[error("the body broke off")]
    BrokenOff,
    /// It did not come in time.
    #[error("the body took too long")]
    TooSlow,
}

/// The whole body.
pub(super) async fn read(body: Incoming) -> Result<Bytes, BodyProblem> {
    match timeout(BODY_TIME, Limited::new(body, BODY_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyProblem::TooLong),
        Ok(Err(_)) => Err(BodyProblem::BrokenOff),
        Err(_) => Err(BodyProblem::TooSlow),
    }
}
