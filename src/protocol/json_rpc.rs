//! One message of JSON-RPC 2.0, as the Model Context Protocol sends them (MCP 2025-06-18 and later, base protocol).

use thiserror::Error;

use super::json::{Json, MemberProblem};

/// The longest id that is text, in bytes: it is sent back in every refusal.
const LONGEST_ID: usize = 256;
/// Every member that a message may have.
const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// Why a document is no message, or one that two readers would take for two. The texts hold nothing of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidMessage {
    /// Several messages at once, which MCP has not had since 2025-06-18, or no object at all.
    #[error("it is not one message of JSON-RPC: batches are not served")]
    NotOne,
    /// `jsonrpc` is not exactly `2.0`.
    #[error("`jsonrpc` is not \"2.0\"")]
    Version,
    /// A member that no message has, or one that another reader could take for one that it has.
    #[error("it has a member that is none of `jsonrpc`, `id`, `method`, `params`, `result` and `error`")]
    Member,
    /// The id is neither a string of at most 256 bytes without control characters nor a plain integer; `null` is none.
    #[error("`id` is neither a short string nor a plain integer")]
    Id,
    /// The method is not a string.
    #[error("`method` is not a string")]
    Method,
    /// The parameters are not an object.
    #[error("`params` is not an object")]
    Parameters,
    /// Neither a request or notification, nor an answer to one.
    #[error("it is neither a request, a notification nor a response")]
    Kind,
}

/// What a message is.
#[derive(Debug, Clone, PartialEq)]
pub enum RpcMessage {
    /// It is to be answered.
    Request {
        /// By which the answer will be known: a string or an integer.
        id: Json,
        /// What is asked for.
        method: Box<str>,
    },
    /// It is not.
    Notification {
        /// What is told.
        method: Box<str>,
    },
    /// The answer to what the other side has asked.
    Response,
}

impl RpcMessage {
    /// Reads the one message of a document (JSON-RPC 2.0, sections 4 and 5). Where MCP is stricter it is as strict: no batch,
    /// no id that is `null` or a fraction, parameters by name only.
    pub fn parse(document: &Json) -> Result<Self, InvalidMessage> {
        let Json::Object(members) = document else { return Err(InvalidMessage::NotOne) };
        if members.iter().any(|(name, _)| !MEMBERS.contains(&name.as_str())) {
            return Err(InvalidMessage::Member);
        }
        let member = |name: &str| members.iter().find(|(other, _)| other == name).map(|(_, value)| value);
        if !matches!(member("jsonrpc"), Some(Json::String(version)) if version == "2.0") {
            return Err(InvalidMessage::Version);
        }
        let id = member("id").map(|id| checked_id(id).ok_or(InvalidMessage::Id)).transpose()?;
        let answers = (member("result"), member("error"));
        let method = match (member("method"), answers) {
            (Some(Json::String(method)), (None, None)) => method.as_str().into(),
            (Some(_), (None, None)) => return Err(InvalidMessage::Method),
            // An error may answer what could not be read so far as to have an id (MCP 2025-11-25, base protocol).
            (None, (Some(_), None)) if id.is_some() && member("params").is_none() => return Ok(Self::Response),
            (None, (None, Some(_))) if member("params").is_none() => return Ok(Self::Response),
            _ => return Err(InvalidMessage::Kind),
        };
        if !matches!(member("params"), None | Some(Json::Object(_))) {
            return Err(InvalidMessage::Parameters);
        }
        Ok(match id {
            Some(id) => Self::Request { id: id.clone(), method },
            None => Self::Notification { method },
        })
    }

    /// Its method; none of a response.
    pub fn method(&self) -> Option<&str> {
        match self {
            Self::Request { method, .. } | Self::Notification { method } => Some(method),
            Self::Response => None,
        }
    }
}

/// The text of a parameter that says what a message is about, such as the name of a tool.
pub fn parameter<'m>(message: &'m Json, name: &str) -> Result<&'m str, MemberProblem> {
    match message.member(["params", name])? {
        text @ Json::String(plain) => text.id_text().map(|_| plain.as_str()),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => Err(MemberProblem::NotAnId),
    }
}

fn checked_id(id: &Json) -> Option<&Json> {
    let text = id.id_text().ok()?;
    (text.len() <= LONGEST_ID).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{JsonLimits, parse_json};

    fn read(text: &str) -> Result<RpcMessage, InvalidMessage> {
        RpcMessage::parse(&parse_json(text.as_bytes(), JsonLimits::default()).unwrap())
    }

    #[test]
    fn a_message_is_a_request_a_notification_or_a_response() {
        let method = |text: &str| read(text).unwrap().method().map(str::to_owned);
        assert_eq!(method(r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#).as_deref(), Some("ping"));
        let request = read(r#"{"params":{},"method":"ping","id":-7,"jsonrpc":"2.0"}"#);
        assert!(matches!(request, Ok(RpcMessage::Request { id: Json::Number(_), .. })));
        let told = read(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        assert_eq!(told, Ok(RpcMessage::Notification { method: "notifications/initialized".into() }));
        for answer in [r#""id":1,"result":{}"#, r#""id":1,"error":{"code":1,"message":"x"}"#, r#""error":{}"#] {
            assert_eq!(read(&format!(r#"{{"jsonrpc":"2.0",{answer}}}"#)), Ok(RpcMessage::Response));
        }
    }

    #[test]
    fn what_has_two_readings_is_no_message() {
        for (text, expected) in [
            ("[]", InvalidMessage::NotOne),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, InvalidMessage::NotOne),
            (r#""ping""#, InvalidMessage::NotOne),
            (r#"{"id":1,"method":"ping"}"#, InvalidMessage::Version),
            (r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, InvalidMessage::Version),
            (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, InvalidMessage::Version),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#, InvalidMessage::Member),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","method\u0000":"tools/call"}"#, InvalidMessage::Member),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","_meta":{}}"#, InvalidMessage::Member),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, InvalidMessage::Id),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, InvalidMessage::Id),
            (r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#, InvalidMessage::Id),
            (r#"{"jsonrpc":"2.0","id":"a\nb","method":"ping"}"#, InvalidMessage::Id),
            (r#"{"jsonrpc":"2.0","id":1,"method":["ping"]}"#, InvalidMessage::Method),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#, InvalidMessage::Parameters),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#, InvalidMessage::Parameters),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, InvalidMessage::Kind),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, InvalidMessage::Kind),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"params":{}}"#, InvalidMessage::Kind),
            (r#"{"jsonrpc":"2.0","result":{}}"#, InvalidMessage::Kind),
            (r#"{"jsonrpc":"2.0","id":1}"#, InvalidMessage::Kind),
        ] {
            assert_eq!(read(text), Err(expected), "{text}");
        }
        let long = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"ping"}}"#, "x".repeat(257));
        assert_eq!(read(&long), Err(InvalidMessage::Id));
    }
}
