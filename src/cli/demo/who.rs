//! Who sends a request of the demo, and with which credential.

use std::fmt;

/// A chain of subjects, and the token that says so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who {
    /// The user on whose authority it runs, without its type.
    pub(super) subject: &'static str,
    /// The agents through whom, in the order of delegation: the current actor last.
    pub(super) actors: &'static [&'static str],
    pub(super) task: Option<&'static str>,
    /// The program that got the token.
    pub(super) client: &'static str,
    pub(super) credential: Credential,
}

/// The program through which people act themselves.
const WEB: &str = "acme-web";

/// What is sent as a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credential {
    /// A token that is right.
    Good,
    /// None.
    Missing,
    /// A token for another service.
    OtherAudience,
    /// A token of an hour ago.
    Expired,
    /// A token that somebody else has signed in the issuer's name.
    Forged,
}

impl Who {
    /// A user by herself.
    pub(super) const fn user(subject: &'static str) -> Self {
        Self { subject, actors: &[], task: None, client: WEB, credential: Credential::Good }
    }

    pub(super) const fn via(self, actors: &'static [&'static str]) -> Self {
        Self { actors, ..self }
    }

    /// With a token that this program has got for itself.
    pub(super) const fn through(self, client: &'static str) -> Self {
        Self { client, ..self }
    }

    pub(super) const fn within(self, task: &'static str) -> Self {
        Self { task: Some(task), ..self }
    }

    pub(super) const fn with(self, credential: Credential) -> Self {
        Self { credential, ..self }
    }

    /// The subject as the model knows it.
    pub(super) fn subject_entity(&self) -> String {
        format!("user:{}", self.subject)
    }

    /// The actors as the model knows them, the current one first.
    pub(super) fn actor_entities(&self) -> Vec<String> {
        let client = Some(&self.client).filter(|client| self.actors.is_empty() && **client != WEB);
        self.actors.iter().rev().chain(client).map(|actor| format!("agent:{actor}")).collect()
    }

    /// The task as the model knows it.
    pub(super) fn task_entity(&self) -> Option<String> {
        self.task.map(|task| format!("task:{task}"))
    }

    /// The agents and the task, for people; `-` for nobody.
    pub(super) fn via_text(&self) -> String {
        let actors = match self.client {
            WEB => self.actors.join(" > "),
            client => format!("{client} itself"),
        };
        match (actors.is_empty(), self.task) {
            (true, None) => "-".to_owned(),
            (false, None) => actors,
            (true, Some(task)) => format!("in {task}"),
            (false, Some(task)) => format!("{actors} in {task}"),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.credential {
            Credential::Good => f.write_str(self.subject),
            Credential::Missing => f.write_str("(no token)"),
            Credential::OtherAudience => write!(f, "{} (other audience)", self.subject),
            Credential::Expired => write!(f, "{} (expired)", self.subject),
            Credential::Forged => write!(f, "{} (forged)", self.subject),
        }
    }
}
