//! What a client is told if something is wrong, by OpenFGA's codes.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    admin::{body::BodyProblem, decision::Refusal},
    identity::AuthenticationError,
    policy::{CheckError, InvalidTuple, TupleProblem},
    snapshot::{AuthorityFull, ChangeError, Forgotten, ModelRefused, NoModel, WriteError},
};

/// OpenFGA's names of what can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    BearerTokenMissing,
    Unauthenticated,
    Forbidden,
    ValidationError,
    ModelNotFound,
    TooComplex,
    InvalidWriteInput,
    DuplicateTuples,
    InvalidContinuationToken,
    WriteFailed,
    LatestModelNotFound,
    TypeNotFound,
    TypeInvalidPattern,
    InvalidExpandInput,
    RelationNotFound,
    InvalidTuple,
    AssertionsTooMany,
    PageSizeInvalid,
    TupleKeyNotSpecified,
    TypeDefinitionsTooFew,
    ExceededEntityLimit,
    BodyTooLarge,
    InvalidModel,
    TokenMismatch,
    Aborted,
    InternalError,
    DeadlineExceeded,
    Unavailable,
    Unimplemented,
    UndefinedEndpoint,
    OtherMethod,
    StoreNotFound,
}

impl Code {
    /// The name, and the status that it comes with.
    const fn parts(self) -> (&'static str, StatusCode) {
        let bad = StatusCode::BAD_REQUEST;
        match self {
            Self::BearerTokenMissing => ("bearer_token_missing", StatusCode::UNAUTHORIZED),
            Self::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN),
            Self::ValidationError => ("validation_error", bad),
            Self::ModelNotFound => ("authorization_model_not_found", bad),
            Self::TooComplex => ("authorization_model_resolution_too_complex", bad),
            Self::InvalidWriteInput => ("invalid_write_input", bad),
            Self::DuplicateTuples => ("cannot_allow_duplicate_tuples_in_one_request", bad),
            Self::InvalidContinuationToken => ("invalid_continuation_token", bad),
            Self::WriteFailed => ("write_failed_due_to_invalid_input", bad),
            Self::LatestModelNotFound => ("latest_authorization_model_not_found", bad),
            Self::TypeNotFound => ("type_not_found", bad),
            Self::TypeInvalidPattern => ("type_invalid_pattern", bad),
            Self::InvalidExpandInput => ("invalid_expand_input", bad),
            Self::RelationNotFound => ("relation_not_found", bad),
            Self::InvalidTuple => ("invalid_tuple", bad),
            Self::AssertionsTooMany => ("assertions_too_many_items", bad),
            Self::PageSizeInvalid => ("page_size_invalid", bad),
            Self::TupleKeyNotSpecified => ("tuple_key_value_not_specified", bad),
            Self::TypeDefinitionsTooFew => ("type_definitions_too_few_items", bad),
            Self::ExceededEntityLimit => ("exceeded_entity_limit", bad),
            Self::BodyTooLarge => ("exceeded_entity_limit", StatusCode::PAYLOAD_TOO_LARGE),
            Self::InvalidModel => ("invalid_authorization_model", bad),
            Self::TokenMismatch => ("query_string_type_continuation_token_mismatch", bad),
            Self::Aborted => ("Aborted", StatusCode::CONFLICT),
            Self::InternalError => ("internal_error", StatusCode::INTERNAL_SERVER_ERROR),
            Self::DeadlineExceeded => ("deadline_exceeded", StatusCode::INTERNAL_SERVER_ERROR),
            Self::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Self::Unimplemented => ("unimplemented", StatusCode::NOT_IMPLEMENTED),
            Self::UndefinedEndpoint => ("undefined_endpoint", StatusCode::NOT_FOUND),
            // The code is OpenFGA's, and so is the status.
            Self::OtherMethod => ("unimplemented", StatusCode::NOT_FOUND),
            Self::StoreNotFound => ("store_id_not_found", StatusCode::NOT_FOUND),
        }
    }
}

/// Why a request has no other answer than this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    code: Code,
    message: String,
}

impl Fault {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A request that says what no request may say.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::ValidationError, message)
    }

    /// A field of a message that does not keep its rule: `invalid CheckRequest.StoreId: value …`.
    pub(super) fn field(field: &str, rule: &str) -> Self {
        let code = match field.rsplit_once('.').map(|(_, name)| name) {
            Some("PageSize") => Code::PageSizeInvalid,
            Some("TupleKey") => Code::TupleKeyNotSpecified,
            Some("Type") => Code::TypeInvalidPattern,
            Some("TypeDefinitions") => Code::TypeDefinitionsTooFew,
            Some("Assertions") => Code::AssertionsTooMany,
            Some(_) | None => Code::ValidationError,
        };
        Self::new(code, format!("invalid {field}: {rule}"))
    }

    /// A fault that was logged.
    pub(super) fn internal() -> Self {
        Self::new(Code::InternalError, "Internal Server Error")
    }

    pub(super) fn status(&self) -> StatusCode {
        self.code.parts().1
    }

    pub(super) fn body(&self) -> Value {
        json!({ "code": self.code.parts().0, "message": self.message })
    }

    /// The same as the result of one check among many.
    pub(super) fn item(&self) -> Value {
        let kind = if self.status().is_server_error() { "internal_error" } else { "input_error" };
        json!({ "error": { kind: self.code.parts().0, "message": self.message } })
    }
}

impl From<BodyProblem> for Fault {
    fn from(problem: BodyProblem) -> Self {
        let code = match problem {
            BodyProblem::TooLong(_) => Code::BodyTooLarge,
            BodyProblem::NoRoom => Code::Unavailable,
            BodyProblem::BrokenOff | BodyProblem::TooSlow => Code::ValidationError,
        };
        Self::new(code, problem.to_string())
    }
}

impl From<&Refusal> for Fault {
    fn from(refusal: &Refusal) -> Self {
        let code = match refusal {
            Refusal::Malformed(_) => Code::ValidationError,
            Refusal::Unauthenticated(AuthenticationError::Missing) => Code::BearerTokenMissing,
            Refusal::Unauthenticated(_) => Code::Unauthenticated,
            Refusal::NotACaller(_) => Code::Forbidden,
            Refusal::TooManyProofs | Refusal::Unusable(_) | Refusal::Overloaded => Code::Unavailable,
            Refusal::Body(problem) => return (*problem).into(),
            Refusal::UndefinedEndpoint => Code::UndefinedEndpoint,
            Refusal::Internal => Code::InternalError,
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<CheckError> for Fault {
    fn from(error: CheckError) -> Self {
        let code = match error {
            CheckError::UnknownType(_) | CheckError::UnknownRelation(..) | CheckError::Condition(_) => {
                Code::ValidationError
            }
            CheckError::DepthExceeded | CheckError::StepsExceeded => Code::TooComplex,
        };
        Self::new(code, error.to_string())
    }
}

impl From<InvalidTuple> for Fault {
    fn from(error: InvalidTuple) -> Self {
        let code = match error {
            InvalidTuple::Full => Code::ExceededEntityLimit,
            InvalidTuple::User(_)
            | InvalidTuple::UserTooLong(_)
            | InvalidTuple::Relation(_)
            | InvalidTuple::Object(_) => Code::ValidationError,
        };
        Self::new(code, error.to_string())
    }
}

impl From<TupleProblem> for Fault {
    fn from(problem: TupleProblem) -> Self {
        Self::invalid(problem.to_string())
    }
}

impl From<NoModel> for Fault {
    fn from(error: NoModel) -> Self {
        let code = match error {
            NoModel::Unknown(_) => Code::ModelNotFound,
            NoModel::NoneYet(_) => Code::LatestModelNotFound,
        };
        Self::new(code, error.to_string())
    }
}

impl From<AuthorityFull> for Fault {
    fn from(error: AuthorityFull) -> Self {
        Self::new(Code::ExceededEntityLimit, error.to_string())
    }
}

impl From<Forgotten> for Fault {
    fn from(error: Forgotten) -> Self {
        Self::new(Code::InvalidContinuationToken, format!("Invalid continuation token: {error}"))
    }
}

impl From<&ChangeError> for Fault {
    fn from(error: &ChangeError) -> Self {
        let code = match error {
            ChangeError::Missing => Code::Unavailable,
            ChangeError::Tuple(error) => return error.clone().into(),
            ChangeError::Unfit(_) => Code::InvalidModel,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ModelRefused> for Fault {
    fn from(error: ModelRefused) -> Self {
        match &error {
            ModelRefused::Full(error) => (*error).into(),
            ModelRefused::Unpublished(error) => error.into(),
        }
    }
}

impl From<WriteError> for Fault {
    fn from(error: WriteError) -> Self {
        let code = match &error {
            WriteError::Exists(_) | WriteError::Missing(_) => Code::WriteFailed,
            WriteError::Conflict(_) => Code::Aborted,
            WriteError::Full => Code::ExceededEntityLimit,
            WriteError::Invalid(_) => Code::ValidationError,
            WriteError::Unpublished(error) => return error.into(),
        };
        Self::new(code, error.to_string())
    }
}
