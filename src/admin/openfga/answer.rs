//! Answers, as grpc-gateway would write them.

use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use crate::{admin::decision::Content, snapshot::Ulid};

use super::fault::Fault;

/// An answer before it is bytes.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    body: Vec<Value>,
    model: Option<Ulid>,
}

impl Answer {
    /// 200 with this.
    pub(super) fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body: vec![body], model: None }
    }

    /// 201 with this.
    pub(super) fn created(body: Value) -> Self {
        Self { status: StatusCode::CREATED, ..Self::ok(body) }
    }

    /// 204.
    pub(super) fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: Vec::new(), model: None }
    }

    /// 200 with one of these on each line.
    pub(super) fn lines(body: Vec<Value>) -> Self {
        Self { status: StatusCode::OK, body, model: None }
    }

    /// The same, which rests on this model.
    pub(super) fn by(self, model: Ulid) -> Self {
        Self { model: Some(model), ..self }
    }
}

impl From<Fault> for Answer {
    fn from(fault: Fault) -> Self {
        Self { status: fault.status(), ..Self::ok(fault.body()) }
    }
}

/// The answer as HTTP has it.
pub(super) fn response(answer: &Answer, request: Ulid, store: Option<Ulid>) -> Response<Content> {
    let lines: Vec<String> = answer.body.iter().map(Value::to_string).collect();
    let mut text = lines.join("\n");
    if lines.len() > 1 {
        text.push('\n');
    }
    let mut response = Response::new(Full::from(text).boxed_unsync());
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if !answer.body.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if answer.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    let ids = [
        ("x-request-id", Some(request)),
        ("openfga-store-id", store),
        ("openfga-authorization-model-id", answer.model),
    ];
    for (name, id) in ids {
        if let Some(value) = id.and_then(|id| HeaderValue::from_str(id.as_str()).ok()) {
            headers.insert(name, value);
        }
    }
    response
}
