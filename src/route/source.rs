//! Where a template's variable takes its value from.

use http::HeaderName;

use crate::access::is_end_to_end;

use super::{matcher::PathTemplate, uri_pattern::UriPattern};

/// A fact of the principal that a template may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalField {
    /// The id of the subject: `erin` of `user:erin`.
    Subject,
    /// The id of the current actor.
    Actor,
    /// The id of the task.
    Task,
}

/// Where the value of a variable comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The capture with this index of the route's path.
    Path(usize),
    /// A query parameter that must occur exactly once.
    Query(Box<str>),
    /// A header field that must occur exactly once.
    Header(HeaderName),
    /// A member of the JSON body, by the names on the way to it.
    Body(Box<[Box<str>]>),
    /// A fact of the principal.
    Principal(PrincipalField),
    /// A member of one item of a filtered answer, by the names on the way to it.
    Item(Box<[Box<str>]>),
    /// The name of what a message calls: a tool, a prompt, a method, a field.
    Name,
    /// An argument of a field of GraphQL, by the names on the way to it.
    Argument(Box<[Box<str>]>),
    /// The variable with this index of a resource's URI.
    Uri(usize),
}

impl Source {
    /// What `path.account`, `query.year`, `header.x-tenant`, `body.target.id` or `principal.subject` stand for on a
    /// route with this path; the error says what would be right.
    pub fn parse(text: &str, path: &PathTemplate) -> Result<Self, String> {
        let (family, name) = text.split_once('.').unwrap_or((text, ""));
        match family {
            "path" => path.capture(name).map(Self::Path).ok_or_else(|| unknown_capture(text, path)),
            "query" if is_parameter(name) => Ok(Self::Query(name.into())),
            "header" => header(text, name).map(Self::Header),
            "body" => members(name).map(Self::Body).ok_or_else(|| format!("`{{{text}}}` names no member of the body")),
            "principal" => principal(text, name),
            _ => Err(format!(
                "`{{{text}}}` is no variable: write `path.NAME`, `query.NAME`, `header.NAME`, `body.NAME` or \
                 `principal.subject`"
            )),
        }
    }

    /// The same for a filter of an answer's items, where `item.id` is a member of the item.
    pub fn parse_item(text: &str, path: &PathTemplate) -> Result<Self, String> {
        match text.strip_prefix("item.") {
            Some(name) => {
                members(name).map(Self::Item).ok_or_else(|| format!("`{{{text}}}` names no member of the item"))
            }
            None => Self::parse(text, path).and_then(|source| match source {
                Self::Path(_) | Self::Principal(_) => Ok(source),
                Self::Query(_)
                | Self::Header(_)
                | Self::Body(_)
                | Self::Item(_)
                | Self::Name
                | Self::Argument(_)
                | Self::Uri(_) => Err(format!(
                    "`{{{text}}}` cannot be used in a filter: write `item.NAME`, `path.NAME` or `principal.subject`"
                )),
            }),
        }
    }
}

/// What a call is, whose variables are looked for.
#[derive(Debug, Clone, Copy)]
pub enum CallKind<'p> {
    /// Of a tool or a prompt of MCP: `name`, `arguments.NAME`.
    Named,
    /// Of a resource of MCP with a URI of this pattern: `uri.NAME`.
    Resource(&'p UriPattern),
    /// Of another method of MCP: `params.NAME`.
    Method,
    /// Of a field of GraphQL: `name`, `arguments.NAME`.
    Field,
    /// Of nothing that has a name.
    Plain,
}

impl Source {
    /// What a variable stands for in the rule of a call. Beside what the kind of call has, these are the variables of every
    /// route but `body.NAME`.
    pub fn parse_call(text: &str, path: &PathTemplate, kind: CallKind<'_>) -> Result<Self, String> {
        let (family, name) = text.split_once('.').unwrap_or((text, ""));
        let none = || format!("`{{{text}}}` names no member of a message");
        let within = |first: &[&str]| {
            let names = members(name).ok_or_else(none)?;
            Ok(first.iter().map(|name| Box::from(*name)).chain(names).collect())
        };
        match (kind, family) {
            (CallKind::Named | CallKind::Field, "name") if name.is_empty() => Ok(Self::Name),
            (CallKind::Named, "arguments") => within(&["params", "arguments"]).map(Self::Body),
            (CallKind::Field, "arguments") => within(&[]).map(Self::Argument),
            (CallKind::Method, "params") => within(&["params"]).map(Self::Body),
            (CallKind::Resource(pattern), "uri") => pattern
                .variable(name)
                .map(Self::Uri)
                .ok_or_else(|| format!("`{{{text}}}` is not in the resource's URI")),
            (_, "path" | "query" | "header" | "principal") => Self::parse(text, path),
            _ => {
                let known = match kind {
                    CallKind::Named | CallKind::Field => "`name`, `arguments.NAME`, ",
                    CallKind::Resource(_) => "`uri.NAME`, ",
                    CallKind::Method => "`params.NAME`, ",
                    CallKind::Plain => "",
                };
                Err(format!(
                    "`{{{text}}}` is no variable here: write {known}`path.NAME`, `query.NAME`, `header.NAME` or \
                     `principal.subject`"
                ))
            }
        }
    }

    /// Whether it is known before anything is called, of an entry in a list.
    pub fn is_of_entry(&self) -> bool {
        match self {
            Self::Name | Self::Uri(_) | Self::Path(_) | Self::Principal(_) => true,
            Self::Query(_) | Self::Header(_) | Self::Body(_) | Self::Item(_) | Self::Argument(_) => false,
        }
    }
}

fn header(text: &str, name: &str) -> Result<HeaderName, String> {
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(name) if is_mirror(&name) => Err(format!(
            "`{name}` repeats an argument of the message, which nothing holds it to: read the message instead, such as \
             `{{body.params.arguments.NAME}}`"
        )),
        Ok(name) if is_end_to_end(&name) => Ok(name),
        Ok(name) => Err(format!(
            "the proxy drops or replaces `{name}`, so that `{{{text}}}` would not be what the upstream sees"
        )),
        Err(_) => Err(format!("`{{{text}}}` names no header field")),
    }
}

/// Whether the field repeats what a message of MCP says, in a way that only the schema of a tool tells.
pub(super) fn is_mirror(name: &HeaderName) -> bool {
    name.as_str().starts_with("mcp-param-")
}

fn members(name: &str) -> Option<Box<[Box<str>]>> {
    let members: Box<[Box<str>]> = name.split('.').map(Box::from).collect();
    members.iter().all(|member| !member.is_empty()).then_some(members)
}

fn is_parameter(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn principal(text: &str, name: &str) -> Result<Source, String> {
    match name {
        "subject" => Ok(Source::Principal(PrincipalField::Subject)),
        "actor" => Ok(Source::Principal(PrincipalField::Actor)),
        "task" => Ok(Source::Principal(PrincipalField::Task)),
        _ => Err(format!(
            "`{{{text}}}` is no fact of the principal: write `principal.subject`, `principal.actor` or `principal.task`"
        )),
    }
}

fn unknown_capture(text: &str, path: &PathTemplate) -> String {
    let known = path.captures().map(|name| format!("`{{path.{name}}}`")).collect::<Vec<_>>().join(", ");
    if known.is_empty() {
        format!("`{{{text}}}` is not captured: the path `{path}` captures nothing")
    } else {
        format!("`{{{text}}}` is not captured by the path `{path}`, which captures {known}")
    }
}
