//! Why a request has no answer.

use http::StatusCode;
use thiserror::Error;

/// Why a request has no answer. The text is for the caller.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Fault {
    /// Nothing is at the path.
    #[error("nothing is here")]
    NotFound,
    /// The path has another method.
    #[error("only {0} is possible here")]
    Method(&'static str),
    /// The body is not the request that the path asks for.
    #[error("{0}")]
    Invalid(String),
    /// A search that takes too much.
    #[error("the search failed: {0}")]
    Failed(String),
}

impl Fault {
    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}
