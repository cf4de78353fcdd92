//! What a request by the Model Context Protocol says twice: in its message, and in fields of its head.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;

use super::json::{Json, MemberProblem};

/// Head and message of a request are of two minds (MCP 2026-07-28, transports: servers refuse it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum McpMismatch {
    /// The message has not one method, or `Mcp-Method` is another one.
    #[error("Mcp-Method is not the method of the message")]
    Method,
    /// The message names not one tool, prompt, resource or task, or `Mcp-Name` is another one.
    #[error("Mcp-Name is not what the message names")]
    Name,
}

/// Holds a message against `Mcp-Method` and `Mcp-Name`, where the head has them: the same bytes, and not one member that
/// another reader could take for the one that counts. A batch and a message of which nothing is known agree with neither.
pub fn check_mcp(message: &Json, method: Option<&str>, name: Option<&str>) -> Result<(), McpMismatch> {
    if method.is_none() && name.is_none() {
        return Ok(());
    }
    let called = text(message, &["method"]).map_err(|_| McpMismatch::Method)?;
    if method.is_some_and(|method| method != called) {
        return Err(McpMismatch::Method);
    }
    let Some(name) = name else { return Ok(()) };
    let member = match called {
        "tools/call" | "prompts/get" => "name",
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => "uri",
        _ if called.starts_with("tasks/") => "taskId",
        _ => return Err(McpMismatch::Name),
    };
    let named = text(message, &["params", member]).map_err(|_| McpMismatch::Name)?;
    if decoded(name).is_some_and(|name| name == named) { Ok(()) } else { Err(McpMismatch::Name) }
}

fn text<'m>(message: &'m Json, path: &[&str]) -> Result<&'m str, MemberProblem> {
    match message.member(path.iter().copied())? {
        Json::String(text) => Ok(text),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => Err(MemberProblem::NotAnId),
    }
}

/// The name that a field stands for: what a field cannot hold is written in base64 between two marks, and so is what looks
/// like that.
fn decoded(name: &str) -> Option<Cow<'_, str>> {
    let Some(encoded) = name.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Some(Cow::Borrowed(name));
    };
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{JsonLimits, parse_json};

    fn check(message: &str, method: Option<&str>, name: Option<&str>) -> Result<(), McpMismatch> {
        check_mcp(&parse_json(message.as_bytes(), JsonLimits::default()).unwrap(), method, name)
    }

    const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","uri":"file:///a"}}"#;

    #[test]
    fn what_agrees_passes() {
        for (method, name) in [
            (None, None),
            (Some("tools/call"), None),
            (None, Some("read")),
            (Some("tools/call"), Some("read")),
            (Some("tools/call"), Some("=?base64?cmVhZA==?=")),
        ] {
            assert_eq!(check(CALL, method, name), Ok(()), "{method:?} {name:?}");
        }
        let named = |method: &str, params: &str| format!(r#"{{"method":"{method}","params":{params}}}"#);
        for (message, method, name) in [
            (
                named("resources/read", r#"{"uri":"file:///ä","name":"b"}"#),
                "resources/read",
                "=?base64?ZmlsZTovLy/DpA==?=",
            ),
            (named("prompts/get", r#"{"name":"greet"}"#), "prompts/get", "greet"),
            (named("tasks/cancel", r#"{"taskId":"t-1"}"#), "tasks/cancel", "t-1"),
        ] {
            assert_eq!(check(&message, Some(method), Some(name)), Ok(()), "{message}");
        }
        assert_eq!(check("[1, 2]", None, None), Ok(()), "it is no matter of this protocol");
    }

    #[test]
    fn what_does_not_agree_is_refused() {
        for (method, name, expected) in [
            (Some("tools/list"), None, McpMismatch::Method),
            (Some("Tools/call"), Some("read"), McpMismatch::Method),
            (Some("tools/call "), Some("read"), McpMismatch::Method),
            (Some(""), None, McpMismatch::Method),
            (Some("tools/call"), Some("delete"), McpMismatch::Name),
            (Some("tools/call"), Some("Read"), McpMismatch::Name),
            (Some("tools/call"), Some(""), McpMismatch::Name),
            (Some("tools/call"), Some("file:///a"), McpMismatch::Name),
            (None, Some("delete"), McpMismatch::Name),
            (None, Some("=?base64?ZGVsZXRl?="), McpMismatch::Name),
            (None, Some("=?base64?cmVhZA?="), McpMismatch::Name),
            (None, Some("=?base64?/w==?="), McpMismatch::Name),
        ] {
            assert_eq!(check(CALL, method, name), Err(expected), "{method:?} {name:?}");
        }
    }

    #[test]
    fn a_message_with_two_readings_agrees_with_nothing() {
        let method = Some("tools/call");
        for (message, name, expected) in [
            (r#"[{"method":"tools/call"}]"#, None, McpMismatch::Method),
            (r#"{"method":"tools/call","Method":"tools/list"}"#, None, McpMismatch::Method),
            (r#"{"method":["tools/call"]}"#, None, McpMismatch::Method),
            (r#"{"id":1,"result":{}}"#, None, McpMismatch::Method),
            (r#"{"method":"tools/call"}"#, Some("read"), McpMismatch::Name),
            (r#"{"method":"tools/call","params":{"name":"read","NAME":"x"}}"#, Some("read"), McpMismatch::Name),
            (r#"{"method":"tools/call","params":{"name":1}}"#, Some("1"), McpMismatch::Name),
            (
                r#"{"method":"tools/call","Params":{"name":"x"},"params":{"name":"read"}}"#,
                Some("read"),
                McpMismatch::Name,
            ),
        ] {
            assert_eq!(check(message, method, name), Err(expected), "{message}");
        }
        assert_eq!(check(r#"{"method":"ping"}"#, Some("ping"), Some("read")), Err(McpMismatch::Name));
    }
}
