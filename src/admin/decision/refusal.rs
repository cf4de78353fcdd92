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
    /// The credential may be good, and nobody could tell whether its proof or nonce comes twice.
    #[error("too many proofs or nonces of the sender are remembered already")]
    TooManyProofs,
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

impl From<AuthenticationError> for Refusal {
    fn from(error: AuthenticationError) -> Self {
        if error.reason() == Reason::TooManyProofs { Self::TooManyProofs } else { Self::Unauthenticated(error) }
    }
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
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::NotACaller(_) => StatusCode::FORBIDDEN,
            Self::TooManyProofs | Self::Unusable(_) | Self::Overloaded | Self::Body(BodyProblem::NoRoom) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
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
            Self::Unauthenticated(_) => Some("Bearer realm=\"portcullis\", error=\"invalid_token\""),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{InvalidProof, InvalidSignature};

    #[test]
    fn what_cannot_be_remembered_is_no_bad_credential() {
        for error in [AuthenticationError::from(InvalidSignature::NoRoom), InvalidProof::NoRoom.into()] {
            let refusal = Refusal::from(error);
            assert_eq!((refusal.status(), refusal.challenge()), (StatusCode::SERVICE_UNAVAILABLE, None));
        }
        let refusal = Refusal::from(AuthenticationError::from(InvalidSignature::Replayed));
        assert_eq!(refusal.status(), StatusCode::UNAUTHORIZED);
        assert!(refusal.challenge().is_some());
    }
}
