//! Who may ask the decision listener.

use std::str::FromStr;

use thiserror::Error;

use crate::access::{Entity, Grants, InvalidName, Principal, TypeName};

/// Why a text names no caller.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a caller is `type:id` or `type:*`: {0}")]
pub struct InvalidCaller(#[from] InvalidName);

/// One caller, or all of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// This one: `service:crm`.
    One(Entity),
    /// Everyone of a type: `service:*`.
    Every(TypeName),
}

impl FromStr for Caller {
    type Err = InvalidCaller;

    fn from_str(text: &str) -> Result<Self, InvalidCaller> {
        Ok(match text.strip_suffix(":*") {
            Some(type_name) => Self::Every(type_name.parse()?),
            None => Self::One(text.parse()?),
        })
    }
}

/// Why a principal may not ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotACaller {
    /// It acts for somebody, or within a task: what it is told could go further than what it may do.
    #[error("a caller speaks for itself, not for somebody else and not within a task")]
    Delegated,
    /// Its credential is restricted by authorization details: what it is told could go further than these.
    #[error("a credential that is restricted by authorization details may not ask")]
    Restricted,
    /// It is not among the callers.
    #[error("not among those who may ask for decisions")]
    Unlisted,
}

impl Caller {
    fn is(&self, subject: &Entity) -> bool {
        match self {
            Self::One(known) => known == subject,
            Self::Every(type_name) => type_name.as_str() == subject.type_name(),
        }
    }
}

/// Those who may ask the decision listener, and so see the whole policy, and those of them who may change it. Without
/// any, nobody may.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Callers {
    all: Box<[Caller]>,
    writers: Box<[Caller]>,
}

impl Callers {
    /// The caller that the principal is, with what its credential was granted.
    pub fn admit<'p>(&self, principal: &'p Principal, grants: Option<&Grants>) -> Result<&'p Entity, NotACaller> {
        if principal.current_actor().is_some() || principal.task().is_some() {
            return Err(NotACaller::Delegated);
        }
        if grants.is_some_and(|grants| grants.details.is_some()) {
            return Err(NotACaller::Restricted);
        }
        let subject = principal.subject();
        if self.all.iter().any(|caller| caller.is(subject)) { Ok(subject) } else { Err(NotACaller::Unlisted) }
    }

    /// Whether a caller may change the policy, where the listener takes changes.
    pub fn may_write(&self, caller: &Entity) -> bool {
        self.writers.iter().any(|writer| writer.is(caller))
    }

    /// Whether some caller may.
    pub fn have_writers(&self) -> bool {
        !self.writers.is_empty()
    }

    /// The same callers, of whom these may change the policy.
    #[must_use]
    pub fn with_writers(self, writers: impl IntoIterator<Item = Caller>) -> Self {
        Self { writers: writers.into_iter().collect(), ..self }
    }
}

impl FromIterator<Caller> for Callers {
    fn from_iter<I: IntoIterator<Item = Caller>>(callers: I) -> Self {
        Self { all: callers.into_iter().collect(), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::ActorMode;

    fn entity(text: &str) -> Entity {
        text.parse().unwrap()
    }

    #[test]
    fn a_caller_is_listed_by_name_or_by_type_and_speaks_for_itself() {
        let callers: Callers = ["service:crm", "robot:*"].iter().map(|text| text.parse::<Caller>().unwrap()).collect();
        let admits = |subject: &str| callers.admit(&Principal::alone(entity(subject)), None).is_ok();
        assert!(admits("service:crm") && admits("robot:a"));
        assert!(!admits("service:crm2") && !admits("robots:a") && !admits("user:erin"));
        assert!(!callers.may_write(&entity("service:crm")));
        let callers = callers.with_writers(["service:*".parse().unwrap()]);
        assert!(callers.may_write(&entity("service:crm")) && !callers.may_write(&entity("robot:a")));
        let chain = |actors: &[&str], task: Option<&str>| {
            let actors = actors.iter().map(|actor| entity(actor)).collect();
            callers.admit(&Principal::new(entity("service:crm"), actors, task.map(entity), ActorMode::All), None).err()
        };
        assert_eq!(chain(&["robot:a"], None), Some(NotACaller::Delegated));
        assert_eq!(chain(&[], Some("task:t")), Some(NotACaller::Delegated));
        let granted = |details| {
            let grants = Grants { scopes: Vec::new(), details };
            callers.admit(&Principal::alone(entity("service:crm")), Some(&grants)).err()
        };
        assert_eq!((granted(None), granted(Some(Vec::new()))), (None, Some(NotACaller::Restricted)));
        assert!(Callers::default().admit(&Principal::alone(entity("service:crm")), None).is_err());
    }

    #[test]
    fn other_texts_name_no_caller() {
        for text in ["", "*", ":*", "service", "service:", "a b:*", "group:eng#member", "service:a:*"] {
            assert!(text.parse::<Caller>().is_err(), "{text}");
        }
    }
}
