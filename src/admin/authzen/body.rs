//! What requests say. Members that are not known are ignored, and `null` is a member that is not there, but for the
//! texts that identify something.

use crate::{
    policy::{ContextMap, ContextValue},
    protocol::{Json, JsonLimits, parse_json},
};

use super::fault::Fault;

/// The document of a body, which must be an object with distinct members (I-JSON, RFC 7493).
pub(super) fn document(body: &[u8]) -> Result<Json, Fault> {
    if body.is_empty() {
        return Err(Fault::invalid("the body is empty"));
    }
    parse_json(body, JsonLimits::default()).map_err(|problem| Fault::invalid(format!("the body is {problem}")))
}

/// An object of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Members<'a> {
    members: &'a [(String, Json)],
}

impl<'a> Members<'a> {
    /// The members of a value that is called `name`.
    pub(super) fn of(value: &'a Json, name: &str) -> Result<Self, Fault> {
        match value {
            Json::Object(members) => Ok(Self { members }),
            _ => Err(Fault::invalid(format!("{name} must be an object"))),
        }
    }

    /// The value of a member, unless it is `null`.
    pub(super) fn get(self, name: &str) -> Option<&'a Json> {
        self.written(name).filter(|value| **value != Json::Null)
    }

    fn written(self, name: &str) -> Option<&'a Json> {
        self.members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The object that a member is, if it is there.
    pub(super) fn object(self, name: &str) -> Result<Option<Members<'a>>, Fault> {
        self.get(name).map(|value| Self::of(value, &format!("`{name}`"))).transpose()
    }

    pub(super) fn iter(self) -> impl Iterator<Item = (&'a str, &'a Json)> {
        self.members.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// A subject, an action or a resource, and where what it does not say is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    name: &'static str,
    own: Members<'a>,
    default: Option<Members<'a>>,
}

impl<'a> Part<'a> {
    /// A text that must be there: what identifies it may be that of the default, its properties never are.
    pub(super) fn text(self, member: &str) -> Result<&'a str, Fault> {
        // One that is `null` is no text, and does not stand for that of the default.
        let value = self.own.written(member).or_else(|| self.default?.written(member));
        let name = self.name;
        match value {
            Some(Json::String(text)) => Ok(text),
            Some(_) => Err(Fault::invalid(format!("`{name}.{member}` must be a string"))),
            None => Err(Fault::invalid(format!("`{name}.{member}` is missing"))),
        }
    }

    fn properties(self) -> Result<Option<Members<'a>>, Fault> {
        let name = self.name;
        let properties = self.own.get("properties");
        properties.map(|value| Members::of(value, &format!("`{name}.properties`"))).transpose()
    }
}

/// A question, whole or in part, and where what it does not say is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    own: Members<'a>,
    default: Option<Members<'a>>,
}

impl<'a> Question<'a> {
    /// A question that says everything itself.
    pub(super) fn alone(own: Members<'a>) -> Self {
        Self { own, default: None }
    }

    /// A question whose subject, action, resource and context are those of the default unless it has its own.
    pub(super) fn with_default(own: Members<'a>, default: Members<'a>) -> Self {
        Self { own, default: Some(default) }
    }

    /// The subject, action or resource of that name, which must be there.
    pub(super) fn part(self, name: &'static str) -> Result<Part<'a>, Fault> {
        self.optional(name)?.ok_or_else(|| Fault::invalid(format!("`{name}` is missing")))
    }

    fn optional(self, name: &'static str) -> Result<Option<Part<'a>>, Fault> {
        let default = self.default.map(|default| default.object(name)).transpose()?.flatten();
        Ok(match self.own.object(name)? {
            Some(own) => Some(Part { name, own, default }),
            None => default.map(|own| Part { name, own, default: None }),
        })
    }

    /// What conditions are told: the context, and under it the properties by their prefixed names.
    pub(super) fn context(self) -> Result<ContextMap, Fault> {
        let mut values: Vec<(String, ContextValue)> = Vec::new();
        for name in ["subject", "resource", "action"] {
            let properties = self.optional(name)?.map(Part::properties).transpose()?.flatten();
            let properties = properties.iter().flat_map(|properties| properties.iter());
            values.extend(properties.map(|(member, value)| (format!("{name}_{member}"), value.into())));
        }
        let context = match self.own.object("context")? {
            Some(own) => Some(own),
            None => self.default.map(|default| default.object("context")).transpose()?.flatten(),
        };
        let context = context.iter().flat_map(|context| context.iter());
        values.extend(context.map(|(member, value)| (member.to_owned(), value.into())));
        // Of two with the same name the later counts.
        Ok(values.into_iter().collect())
    }
}
