//! Why a request is refused before anything is asked.

use http::StatusCode;
use thiserror::Error;

use crate::{
    access::{Malformed, Reason},
    admin::body::BodyProblem,
    identity::AuthenticationError,
    snapshot::{NotACaller, Unusable},
};

/// Why there is no answer. The texts are for the caller: they name no secret and nothing of the policy.
#[derive(Debug, Error)]
pub(in crate::admin) enum Refusal {
    /// The head has more than one reading.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Nobody knows who asks.
    #[error("{}", unauthenticated(.0))]
    Unauthenticated(AuthenticationError),
    /// Who asks may not.
    #[error(transparent)]
    NotACaller(#[from] NotACaller),
    /// There is nothing to decide by.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// Too many others ask.
    #[error("too many requests at one time")]
    Overloaded,
    /// The body cannot be read.
    #[error(transparent)]
    Body(#[from] BodyProblem),
    /// No interface is there.
    #[error("Not Found")]
    UndefinedEndpoint,
    /// A fault, which was logged.
    #[error("Internal Server Error")]
    Internal,
}

/// What is wrong with a credential is for the log.
fn unauthenticated(error: &AuthenticationError) -> &'static str {
    if matches!(error, AuthenticationError::Missing) { "no credential was sent" } else { "the credential is not good" }
}

impl Refusal {
    /// The status of the answer.
    pub(in crate::admin) fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(problem) => problem.reason().status(),
            Self::Unauthenticated(error) if error.reason() == Reason::TooManyProofs => error.reason().status(),
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::NotACaller(_) => StatusCode::FORBIDDEN,
            Self::Unusable(_) | Self::Overloaded | Self::Body(BodyProblem::NoRoom) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Body(BodyProblem::TooLong(_)) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(BodyProblem::BrokenOff | BodyProblem::TooSlow) => StatusCode::BAD_REQUEST,
            Self::UndefinedEndpoint => StatusCode::NOT_FOUND,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The challenge of a 401 (RFC 6750, section 3).
    pub(in crate::admin) fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Unauthenticated(AuthenticationError::Missing) => Some("Bearer realm=\"portcullis\""),
            Self::Unauthenticated(_) if self.status() != StatusCode::UNAUTHORIZED => None,
            Self::Unauthenticated(_) => Some("Bearer realm=\"portcullis\", error=\"invalid_token\""),
            _ => None,
        }
    }
}
