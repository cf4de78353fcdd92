//! The chain of subjects behind one request.

use super::entity::Entity;

/// Which actors of a chain must be permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ActorMode {
    /// Every hop: the subject, the current actor and all prior actors. It only ever narrows.
    #[default]
    All,
    /// The subject and the current actor only (RFC 8693, section 4.1).
    Current,
}

/// On whose authority a request runs, and through whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    subject: Entity,
    // INVARIANT: outermost `act` first, so the current actor is at the front (RFC 8693, section 4.1).
    actors: Vec<Entity>,
    task: Option<Entity>,
    mode: ActorMode,
}

impl Principal {
    /// A chain of a subject, its actors (current actor first, then prior actors) and a task.
    pub fn new(subject: Entity, actors: Vec<Entity>, task: Option<Entity>, mode: ActorMode) -> Self {
        Self { subject, actors, task, mode }
    }

    /// A subject that acts for itself.
    pub fn alone(subject: Entity) -> Self {
        Self::new(subject, Vec::new(), None, ActorMode::All)
    }

    /// The subject on whose authority the request runs.
    pub fn subject(&self) -> &Entity {
        &self.subject
    }

    /// All actors that the credential names, the current one first.
    pub fn actors(&self) -> &[Entity] {
        &self.actors
    }

    /// The actor that sent the request, if it is not the subject itself.
    pub fn current_actor(&self) -> Option<&Entity> {
        self.actors.first()
    }

    /// The task that bounds the request.
    pub fn task(&self) -> Option<&Entity> {
        self.task.as_ref()
    }

    /// Which actors must be permitted.
    pub fn mode(&self) -> ActorMode {
        self.mode
    }

    /// The subject and the actors that the mode asks to be permitted; without the task.
    pub fn parties(&self) -> impl Iterator<Item = &Entity> {
        let checked = match self.mode {
            ActorMode::All => self.actors.len(),
            ActorMode::Current => 1,
        };
        std::iter::once(&self.subject).chain(self.actors.iter().take(checked))
    }

    /// Every member that must be permitted every access: the parties and the task.
    pub fn members(&self) -> impl Iterator<Item = &Entity> {
        self.parties().chain(self.task.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(text: &str) -> Entity {
        text.parse().unwrap()
    }

    #[test]
    fn the_mode_says_which_actors_count() {
        let chain = |mode| {
            let actors = vec![entity("agent:coder"), entity("agent:planner")];
            let principal = Principal::new(entity("user:erin"), actors, Some(entity("task:t-1")), mode);
            principal.members().map(Entity::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(chain(ActorMode::All), "user:erin agent:coder agent:planner task:t-1");
        assert_eq!(chain(ActorMode::Current), "user:erin agent:coder task:t-1");
    }
}
