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
    /// `Mcp-Protocol-Version` is another one than the message says, or missing.
    #[error("Mcp-Protocol-Version is not the version of the message")]
    Version,
    /// The message names not one tool, prompt or resource, or `Mcp-Name` is another one, or missing.
    #[error("Mcp-Name is not what the message names")]
    Name,
}

/// From this version on there are no sessions: the head of each request has `Mcp-Method`, and `Mcp-Name` where there is one, the
/// status of an answer tells of its error, and lists are kept by their clients.
const STATELESS_SINCE: &str = "2026-07-28";

/// Where a message says its version, from the same one on.
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// What the head of a request says of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct McpHead<'h> {
    /// `Mcp-Protocol-Version`.
    pub version: Option<&'h str>,
    /// `Mcp-Method`.
    pub method: Option<&'h str>,
    /// `Mcp-Name`.
    pub name: Option<&'h str>,
}

impl McpHead<'_> {
    /// Whether it says, or has to say, what the message is.
    pub fn is_told(self) -> bool {
        self.method.is_some() || self.name.is_some() || self.is_stateless()
    }

    /// Whether its version is one without sessions: 2026-07-28 or later. Versions are dates, written so that their order is
    /// that of the texts.
    pub fn is_stateless(self) -> bool {
        self.version.is_some_and(|version| version >= STATELESS_SINCE)
    }

    /// Holds the version that the message says, if it says one, against it.
    pub fn check_version(self, message: &Json) -> Result<(), McpMismatch> {
        match text(message, &["params", "_meta", VERSION]) {
            Ok(version) if self.version == Some(version) => Ok(()),
            Err(MemberProblem::Missing) => Ok(()),
            Ok(_) | Err(_) => Err(McpMismatch::Version),
        }
    }

    /// Holds the message against it: method and name are the same bytes, the method is there where the version of the protocol
    /// wants it, the name where the method has one and nowhere else, and no member is one that another reader could take for the one that counts. A batch and a message of which
    /// nothing is known agree with no head.
    pub fn check(self, message: &Json) -> Result<(), McpMismatch> {
        if !self.is_told() {
            return Ok(());
        }
        let called = text(message, &["method"]).map_err(|_| McpMismatch::Method)?;
        match self.method {
            Some(method) if method == called => {}
            Some(_) => return Err(McpMismatch::Method),
            None if self.is_stateless() => return Err(McpMismatch::Method),
            None => {}
        }
        let (member, is_needed) = match called {
            "tools/call" | "prompts/get" => (Some("name"), true),
            "resources/read" => (Some("uri"), true),
            // By an extension: who does not know it sends none.
            "tasks/get" | "tasks/update" | "tasks/cancel" => (Some("taskId"), false),
            _ => (None, false),
        };
        let (member, name) = match (member, self.name) {
            (None, None) => return Ok(()),
            (Some(_), None) if !is_needed => return Ok(()),
            (Some(member), Some(name)) => (member, name),
            // A route that asks for a name would be passed by, or nothing would hold it to the message.
            (Some(_), None) | (None, Some(_)) => return Err(McpMismatch::Name),
        };
        let named = text(message, &["params", member]).map_err(|_| McpMismatch::Name)?;
        if decoded(name).is_some_and(|name| name == named) { Ok(()) } else { Err(McpMismatch::Name) }
    }
}

fn text<'m>(message: &'m Json, path: &[&str]) -> Result<&'m str, MemberProblem> {
    match message.member(path.iter().copied())? {
        Json::String(text) => Ok(text),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => Err(MemberProblem::NotAnId),
    }
}

/// The name that a field stands for: what a field cannot hold is written in base64 between two marks, and so is what looks
/// like that. Nothing else is: a route that asks for a name would be passed by with another spelling of it.
fn decoded(name: &str) -> Option<Cow<'_, str>> {
    let Some(encoded) = encoded(name) else { return Some(Cow::Borrowed(name)) };
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let is_plain = decoded.bytes().all(|byte| matches!(byte, b' '..=b'~')) && decoded.trim_matches(' ') == decoded;
    (!is_plain || self::encoded(&decoded).is_some()).then_some(Cow::Owned(decoded))
}

/// What is between the marks.
fn encoded(name: &str) -> Option<&str> {
    name.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{JsonLimits, parse_json};

    fn check(message: &str, method: Option<&str>, name: Option<&str>) -> Result<(), McpMismatch> {
        check_by(None, message, method, name)
    }

    fn check_by(
        version: Option<&str>,
        message: &str,
        method: Option<&str>,
        name: Option<&str>,
    ) -> Result<(), McpMismatch> {
        McpHead { version, method, name }.check(&parse_json(message.as_bytes(), JsonLimits::default()).unwrap())
    }

    const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","uri":"file:///a"}}"#;

    #[test]
    fn what_agrees_passes() {
        for (method, name) in [(None, None), (None, Some("read")), (Some("tools/call"), Some("read"))] {
            assert_eq!(check(CALL, method, name), Ok(()), "{method:?} {name:?}");
        }
        let named = |method: &str, params: &str| format!(r#"{{"method":"{method}","params":{params}}}"#);
        for (message, method, name) in [
            (
                named("resources/read", r#"{"uri":"file:///ä","name":"b"}"#),
                "resources/read",
                "=?base64?ZmlsZTovLy/DpA==?=",
            ),
            (named("tools/call", r#"{"name":"=?base64?eA==?="}"#), "tools/call", "=?base64?PT9iYXNlNjQ/ZUE9PT89?="),
            (named("tools/call", r#"{"name":" x"}"#), "tools/call", "=?base64?IHg=?="),
            (named("prompts/get", r#"{"name":"greet"}"#), "prompts/get", "greet"),
        ] {
            assert_eq!(check(&message, Some(method), Some(name)), Ok(()), "{message}");
        }
        assert_eq!(check(r#"{"method":"tools/list"}"#, Some("tools/list"), None), Ok(()));
        assert_eq!(check("[1, 2]", None, None), Ok(()), "it is no matter of this protocol");
    }

    #[test]
    fn what_does_not_agree_is_refused() {
        for (method, name, expected) in [
            (Some("tools/list"), None, McpMismatch::Method),
            (Some("Tools/call"), Some("read"), McpMismatch::Method),
            (Some("tools/call "), Some("read"), McpMismatch::Method),
            (Some(""), None, McpMismatch::Method),
            (Some("tools/call"), None, McpMismatch::Name),
            (Some("tools/call"), Some("delete"), McpMismatch::Name),
            (Some("tools/call"), Some("Read"), McpMismatch::Name),
            (Some("tools/call"), Some(""), McpMismatch::Name),
            (Some("tools/call"), Some("file:///a"), McpMismatch::Name),
            (None, Some("delete"), McpMismatch::Name),
            (None, Some("=?base64?ZGVsZXRl?="), McpMismatch::Name),
            // It is the name, in a spelling that nothing is looked for by.
            (None, Some("=?base64?cmVhZA==?="), McpMismatch::Name),
            (None, Some("=?base64?cmVhZA?="), McpMismatch::Name),
            (None, Some("=?base64?/w==?="), McpMismatch::Name),
        ] {
            assert_eq!(check(CALL, method, name), Err(expected), "{method:?} {name:?}");
        }
    }

    #[test]
    fn a_task_is_named_or_not() {
        let message = r#"{"method":"tasks/cancel","params":{"taskId":"t1","name":"x"}}"#;
        for (name, expected) in [
            (None, Ok(())),
            (Some("t1"), Ok(())),
            (Some("x"), Err(McpMismatch::Name)),
            (Some("t2"), Err(McpMismatch::Name)),
        ] {
            assert_eq!(check(message, Some("tasks/cancel"), name), expected, "{name:?}");
        }
    }

    #[test]
    fn head_and_message_are_of_one_version() {
        let checked = |version, meta: &str| {
            let message = format!(r#"{{"method":"ping","params":{{{meta}}}}}"#);
            let message = parse_json(message.as_bytes(), JsonLimits::default()).unwrap();
            McpHead { version, method: None, name: None }.check_version(&message).is_ok()
        };
        let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
        assert!(checked(Some("2026-07-28"), meta) && checked(Some("2025-11-25"), "") && checked(None, r#""_meta":{}"#));
        for (version, meta) in [
            (None, meta),
            (Some("2025-11-25"), meta),
            (Some("7"), r#""_meta":{"io.modelcontextprotocol/protocolVersion":7}"#),
            (Some("2026-07-28"), &*meta.replace("_meta\":", "_META\":{},\"_meta\":")),
        ] {
            assert!(!checked(version, meta), "{version:?} {meta}");
        }
    }

    #[test]
    fn a_version_that_tells_must_tell() {
        for version in ["2026-07-28", "2026-07-29", "2027-01-01"] {
            assert_eq!(check_by(Some(version), CALL, None, None), Err(McpMismatch::Method), "{version}");
            assert_eq!(check_by(Some(version), CALL, None, Some("read")), Err(McpMismatch::Method), "{version}");
            assert_eq!(check_by(Some(version), CALL, Some("tools/call"), None), Err(McpMismatch::Name), "{version}");
            assert_eq!(check_by(Some(version), CALL, Some("tools/call"), Some("read")), Ok(()), "{version}");
        }
        for version in ["2025-11-25", "2025-03-26", ""] {
            assert_eq!(check_by(Some(version), CALL, None, None), Ok(()), "{version}");
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
        // Only some methods have a name: what others name, nothing is held to.
        for method in ["ping", "tasks/list", "resources/subscribe"] {
            let message = format!(r#"{{"method":"{method}","params":{{"taskId":"x","uri":"x","name":"x"}}}}"#);
            assert_eq!(check(&message, Some(method), Some("x")), Err(McpMismatch::Name), "{method}");
            assert_eq!(check(&message, Some(method), None), Ok(()), "{method}");
        }
    }
}
