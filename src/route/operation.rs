//! What one method of a route stands for.

use std::{fmt, time::Duration};

use thiserror::Error;

use crate::access::{Place, RelationName, Scope, Template, is_method_override, parameter_name};

use super::{call::Protocol, coverage::DetailRule, source::Source};

/// An access with variables: the action is fixed, the resource is filled in from the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessTemplate {
    /// The relation that must hold.
    pub action: RelationName,
    /// The object it must hold on. Begins with a literal type.
    pub resource: Template<Source>,
    /// Where the configuration says so.
    pub place: Place,
}

/// What happens to a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyRule {
    /// A body is refused: the method has none.
    Refuse,
    /// A body is passed on as it comes, unread, but for what could contradict the head, which is read whole: forms, and
    /// messages of MCP, which are refused if they are not what the head says they are (`Mcp-Method`, `Mcp-Name`).
    Stream {
        /// The longest form and the longest message, in bytes.
        limit: usize,
        /// Whether forms are read.
        forms: FormRule,
    },
    /// A body is read whole, up to this many bytes, as strict JSON; what was read is what is passed on.
    Inspect {
        /// The longest body, in bytes.
        limit: usize,
    },
}

/// What happens to a form in a body that the decision does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormRule {
    /// It is passed on unread.
    Unread,
    /// It is refused if a field of it is one that frameworks take another method from, or one that a decision takes from
    /// the query.
    Checked,
}

/// The way to a member of an answer: `$.page.items`, or `$.items[*]` for the elements of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath {
    /// The names from the root.
    pub members: Box<[Box<str>]>,
    /// Whether it ends in `[*]`.
    pub each: bool,
}

/// The text is not a path of the kind that filters use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a path: write `$.member.member`, with `[*]` at the end for the elements of an array")]
pub struct InvalidJsonPath(String);

impl JsonPath {
    /// Reads `$.items[*]`, `$[*]` or `$.total`.
    pub fn parse(text: &str) -> Result<Self, InvalidJsonPath> {
        let invalid = || InvalidJsonPath(text.to_owned());
        let rest = text.strip_prefix('$').ok_or_else(invalid)?;
        let (rest, each) = rest.strip_suffix("[*]").map_or((rest, false), |rest| (rest, true));
        let members: Box<[Box<str>]> = rest.split('.').skip(1).map(Box::from).collect();
        let names = |member: &str| !member.is_empty() && !member.contains(['[', ']', '*', '\'', '"']);
        let whole = rest.is_empty() || rest.starts_with('.');
        if whole && members.iter().all(|member| names(member)) && (each || !members.is_empty()) {
            Ok(Self { members, each })
        } else {
            Err(invalid())
        }
    }
}

/// What a request may switch to on its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upgrade {
    /// WebSocket (RFC 6455), over HTTP/2 too (RFC 8441).
    WebSocket(WebSocketRule),
}

impl fmt::Display for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::WebSocket(WebSocketRule { subprotocols, idle }) = self;
        f.write_str("WebSocket")?;
        if let Some(subprotocols) = subprotocols {
            write!(f, " speaking one of {}", subprotocols.join(" "))?;
        }
        if let Some(idle) = idle {
            write!(f, ", silent for {idle:?} at most")?;
        }
        Ok(())
    }
}

/// What may be spoken on a WebSocket connection, and how long it may be silent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebSocketRule {
    /// The subprotocols of which the client must offer one and the upstream choose one; `None` for any or none.
    pub subprotocols: Option<Box<[Box<str>]>>,
    /// How long nothing may pass in either direction; as long as both sides like by default.
    pub idle: Option<Duration>,
}

/// Which elements of an answer the principal may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemFilter {
    /// The array.
    pub each: JsonPath,
    /// What must be permitted for an element to stay.
    pub access: AccessTemplate,
    /// Members that would tell of hidden elements, such as a total: they are removed.
    pub remove: Box<[JsonPath]>,
    /// The longest answer that is filtered, in bytes.
    pub limit: usize,
}

/// How often an operation may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UseRule {
    /// So often, at least once.
    pub most: u32,
    /// Within this time from the first use on.
    pub within: Duration,
    /// Whose uses count together.
    pub by: UsedBy,
}

/// How many bytes an operation may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRule {
    /// So many, at least one.
    pub most: u64,
    /// Within this time from the first request on.
    pub within: Duration,
    /// Whose bytes count together.
    pub by: UsedBy,
    /// Which bytes count.
    pub of: CountedBodies,
}

/// Whose bodies are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountedBodies {
    /// Those of requests.
    Requests,
    /// Those of answers.
    Answers,
    /// All.
    Both,
}

impl CountedBodies {
    /// Whether the bodies of requests are counted.
    pub const fn of_requests(self) -> bool {
        matches!(self, Self::Requests | Self::Both)
    }

    /// Whether the bodies of answers are counted.
    pub const fn of_answers(self) -> bool {
        matches!(self, Self::Answers | Self::Both)
    }
}

/// Whose uses count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsedBy {
    /// Those within one task. The chain must have one.
    Task,
    /// Those on the authority of one subject.
    Subject,
    /// Those of one current actor, or of the subject if there is none.
    Actor,
    /// Those with one token, by its issuer and `jti`, or with one API key.
    Credential,
}

/// What one method of a route stands for: all of its accesses must be permitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// At least one, or the protocol's rules ask for one.
    pub accesses: Box<[AccessTemplate]>,
    /// What is spoken in the bodies, if what a request stands for is said there.
    pub protocol: Option<Protocol>,
    /// What happens to the body.
    pub body: BodyRule,
    /// Whether the chain must have a task.
    pub task_required: bool,
    /// The scopes that the credential must have, all of them.
    pub scopes: Box<[Scope]>,
    /// The authorization detail that must cover the request.
    pub details: Option<DetailRule>,
    /// How often it may be used.
    pub uses: Option<UseRule>,
    /// How many bytes it may move.
    pub bytes: Option<ByteRule>,
    /// What its requests may switch to.
    pub upgrade: Option<Upgrade>,
    /// The filter of the answer, if it is a list.
    pub filter: Option<ItemFilter>,
}

impl Operation {
    /// Whether a form's field of this name would say something else than what is decided: another method, or a parameter
    /// of the query, which many frameworks mix with the fields.
    pub fn is_overridden_by(&self, field: &str) -> bool {
        let details = self.details.iter().flat_map(DetailRule::templates);
        let mut variables =
            self.accesses.iter().map(|access| &access.resource).chain(details).flat_map(Template::variables);
        let folded = parameter_name(field);
        is_method_override(field)
            || variables.any(|variable| match &variable.source {
                Source::Query(name) => parameter_name(name) == folded,
                Source::Path(_)
                | Source::Header(_)
                | Source::Body(_)
                | Source::Principal(_)
                | Source::Item(_)
                | Source::Name
                | Source::Argument(_)
                | Source::Uri(_) => false,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_says_what_it_is() {
        let rule = WebSocketRule {
            subprotocols: Some(Box::new(["chat.v2".into(), "mqtt".into()])),
            idle: Some(Duration::from_secs(300)),
        };
        let said = "WebSocket speaking one of chat.v2 mqtt, silent for 300s at most";
        assert_eq!(Upgrade::WebSocket(rule).to_string(), said);
        assert_eq!(Upgrade::WebSocket(WebSocketRule::default()).to_string(), "WebSocket");
    }

    #[test]
    fn paths_name_members_and_arrays() {
        let path = JsonPath::parse("$.page.items[*]").unwrap();
        assert_eq!((path.members.len(), path.each), (2, true));
        assert!(JsonPath::parse("$[*]").unwrap().members.is_empty());
        assert!(!JsonPath::parse("$.total").unwrap().each);
        for text in ["", "$", "items", "$items", "$..a", "$.a[0]", "$.a[*].b", "$.a.", "$['a']"] {
            assert!(JsonPath::parse(text).is_err(), "{text}");
        }
    }
}
