//! A scenario: one request, and what must come of it.

use std::fmt;

use crate::access::ActorMode;

use super::{who::Who, workplace::Edit};

/// One request, who sends it, and what must come of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) who: Who,
    pub(super) method: &'static str,
    pub(super) target: &'static str,
    pub(super) body: Option<&'static str>,
    /// A header field beside the usual ones.
    pub(super) field: Option<(&'static str, &'static str)>,
    /// Made to the tuples before: the request is repeated until a later revision has answered.
    pub(super) edit: Option<Edit>,
    /// What the upstream gets as the target, if it is not what was sent.
    pub(super) forwarded: Option<&'static str>,
    pub(super) expected: Expected,
    /// What must come of it where only the current actor is asked, if that is something else.
    pub(super) currently: Option<Expected>,
}

/// What must come of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected {
    /// It is permitted, and the upstream answers with this status.
    Answered(u16),
    /// It is permitted, and the upstream's answer has this text at this JSON pointer.
    Says(u16, &'static str, &'static str),
    /// It is permitted, and exactly the elements with these ids are shown.
    Lists(&'static [&'static str]),
    /// It is denied with this status and reason.
    Refused(u16, &'static str),
    /// It is denied because this member of the chain is not permitted.
    Lacks(&'static str),
    /// The same, on a route that does not tell.
    Hidden(&'static str),
    /// It is denied with this status, and the error that answers its message has this reason and names this member.
    Errs(u16, &'static str, Option<&'static str>),
}

impl Expected {
    /// Whether the upstream must get the request.
    pub(super) const fn is_permitted(self) -> bool {
        match self {
            Self::Answered(_) | Self::Says(..) | Self::Lists(_) => true,
            Self::Refused(..) | Self::Lacks(_) | Self::Hidden(_) | Self::Errs(..) => false,
        }
    }

    pub(super) const fn status(self) -> u16 {
        match self {
            Self::Answered(status) | Self::Says(status, ..) | Self::Refused(status, _) | Self::Errs(status, ..) => {
                status
            }
            Self::Lists(_) => 200,
            Self::Lacks(_) => 403,
            Self::Hidden(_) => 404,
        }
    }

    /// The reason that the client is told.
    pub(super) const fn told(self) -> &'static str {
        match self {
            Self::Hidden(_) => "not_found",
            Self::Answered(_)
            | Self::Says(..)
            | Self::Lists(_)
            | Self::Refused(..)
            | Self::Lacks(_)
            | Self::Errs(..) => self.recorded(),
        }
    }

    /// The reason that is recorded.
    pub(super) const fn recorded(self) -> &'static str {
        match self {
            Self::Answered(_) | Self::Says(..) | Self::Lists(_) => "permitted",
            Self::Refused(_, reason) | Self::Errs(_, reason, _) => reason,
            Self::Lacks(_) | Self::Hidden(_) => "not_permitted",
        }
    }

    /// The member of the chain that is not permitted.
    pub(super) const fn member(self) -> Option<&'static str> {
        match self {
            Self::Lacks(member) | Self::Hidden(member) => Some(member),
            Self::Errs(_, _, member) => member,
            Self::Answered(_) | Self::Says(..) | Self::Lists(_) | Self::Refused(..) => None,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(status) => write!(f, "{status}"),
            Self::Says(status, _, text) => write!(f, "{status} {text}"),
            Self::Lists(items) => write!(f, "200 {{{}}}", items.join(", ")),
            Self::Refused(status, reason) => write!(f, "{status} {reason}"),
            Self::Lacks(member) => write!(f, "403 {member} may not"),
            Self::Hidden(member) => write!(f, "404 {member} may not"),
            Self::Errs(status, _, Some(member)) => write!(f, "{status} {member} may not"),
            Self::Errs(status, reason, None) => write!(f, "{status} {reason}"),
        }
    }
}

/// A request that is expected to be permitted, until something else is said.
pub(super) const fn request(name: &'static str, who: Who, method: &'static str, target: &'static str) -> Scenario {
    Scenario {
        name,
        who,
        method,
        target,
        body: None,
        field: None,
        edit: None,
        forwarded: None,
        expected: Expected::Answered(200),
        currently: None,
    }
}

impl Scenario {
    pub(super) const fn body(self, body: &'static str) -> Self {
        Self { body: Some(body), ..self }
    }

    pub(super) const fn field(self, name: &'static str, value: &'static str) -> Self {
        Self { field: Some((name, value)), ..self }
    }

    pub(super) const fn after(self, edit: Edit) -> Self {
        Self { edit: Some(edit), ..self }
    }

    pub(super) const fn forwarded(self, target: &'static str) -> Self {
        Self { forwarded: Some(target), ..self }
    }

    /// The same as it is expected where these actors of a chain are asked.
    pub(super) fn by(self, mode: ActorMode) -> Self {
        match (mode, self.currently) {
            (ActorMode::Current, Some(expected)) => Self { expected, ..self },
            (ActorMode::Current, None) | (ActorMode::All, _) => self,
        }
    }

    /// It is permitted where only the current actor is asked.
    pub(super) const fn currently_answered(self, status: u16) -> Self {
        Self { currently: Some(Expected::Answered(status)), ..self }
    }

    pub(super) const fn answered(self, status: u16) -> Self {
        Self { expected: Expected::Answered(status), ..self }
    }

    pub(super) const fn says(self, status: u16, pointer: &'static str, text: &'static str) -> Self {
        Self { expected: Expected::Says(status, pointer, text), ..self }
    }

    pub(super) const fn lists(self, ids: &'static [&'static str]) -> Self {
        Self { expected: Expected::Lists(ids), ..self }
    }

    pub(super) const fn refused(self, status: u16, reason: &'static str) -> Self {
        Self { expected: Expected::Refused(status, reason), ..self }
    }

    pub(super) const fn lacks(self, member: &'static str) -> Self {
        Self { expected: Expected::Lacks(member), ..self }
    }

    /// Its message is answered by an error: this member is not permitted.
    pub(super) const fn errs_for(self, member: &'static str) -> Self {
        Self { expected: Expected::Errs(200, "not_permitted", Some(member)), ..self }
    }

    /// Its message is answered by an error for this reason.
    pub(super) const fn errs(self, status: u16, reason: &'static str) -> Self {
        Self { expected: Expected::Errs(status, reason, None), ..self }
    }

    pub(super) const fn hidden(self, member: &'static str) -> Self {
        Self { expected: Expected::Hidden(member), ..self }
    }
}
