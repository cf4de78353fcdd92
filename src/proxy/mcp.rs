//! Refusals that clients of the Model Context Protocol understand: errors of JSON-RPC, which agents are shown.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::{
    access::{Reason, Revision},
    protocol::{Json, McpHead, RpcMessage},
    route::NAMING_METHODS,
};

use super::rejection::{Problem, Rejection};

/// A request of a message that is to be answered.
#[derive(Debug)]
pub(super) struct Awaited {
    id: Json,
    method: Box<str>,
    /// Whether its client goes by the status of an answer too.
    by_status: bool,
}

impl Awaited {
    /// What waits for an answer to this message with this head; nobody does but for a request.
    pub(super) fn of(message: &RpcMessage, head: McpHead<'_>) -> Option<Self> {
        match message {
            RpcMessage::Request { id, method } => {
                Some(Self { id: id.clone(), method: method.clone(), by_status: head.is_stateless() })
            }
            RpcMessage::Notification { .. } | RpcMessage::Response => None,
        }
    }

    /// The refusal as the answer to the message. `None` where the status of HTTP is what clients go by: challenges, what is
    /// worth trying again, faults.
    pub(super) fn refusal(&self, shown: Reason, problem: &Problem<'_>) -> Option<Response<Bytes>> {
        let (code, status) = self.code(shown)?;
        let error = ErrorAnswer {
            jsonrpc: "2.0",
            id: &self.id,
            error: RpcError { code, message: problem.detail.unwrap_or(shown.title()), data: problem },
        };
        // Text and numbers are always written; an empty body would still be a denial.
        let mut response = Response::new(Bytes::from(serde_json::to_vec(&error).unwrap_or_default()));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }

    fn code(&self, shown: Reason) -> Option<(i32, StatusCode)> {
        // Every method has a name of its own, and a tool without a rule is no method.
        let is_unknown = shown == Reason::NoRoute && !NAMING_METHODS.contains(&&*self.method);
        match shown {
            Reason::HeaderMismatch => Some((-32020, StatusCode::BAD_REQUEST)),
            Reason::MalformedBody => Some((-32600, StatusCode::BAD_REQUEST)),
            Reason::MappingFailed => Some((-32602, StatusCode::OK)),
            Reason::NoRoute if is_unknown && self.by_status => Some((-32601, StatusCode::NOT_FOUND)),
            Reason::NoRoute if is_unknown => Some((-32601, StatusCode::OK)),
            Reason::InsufficientScope | Reason::OriginNotAllowed => None,
            reason if reason.status() == StatusCode::FORBIDDEN || reason == Reason::NotFound => {
                Some((-32001, StatusCode::OK))
            }
            _ => None,
        }
    }
}

/// The error of JSON-RPC 2.0, section 5.
#[derive(Serialize)]
struct ErrorAnswer<'a> {
    jsonrpc: &'static str,
    id: &'a Json,
    error: RpcError<'a>,
}

#[derive(Serialize)]
struct RpcError<'a> {
    code: i32,
    message: &'a str,
    data: &'a Problem<'a>,
}

impl Rejection {
    /// The answer to whoever waits for one to a message.
    pub(super) fn rpc_response(
        &self,
        awaited: &Awaited,
        named: &HeaderValue,
        revision: Revision,
        hides_existence: bool,
    ) -> Option<Response<Bytes>> {
        awaited.refusal(self.shown(hides_existence), &self.problem(named, revision, hides_existence))
    }
}
