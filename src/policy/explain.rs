//! Why the answer to a question is as it is, as a tree that people can read.

use std::fmt;

use super::{
    check::{Failure, Remark, Step, Truth, Watched},
    graph::{EdgeId, Graph, Number},
    model::RelationId,
    tuple::{RelationshipTuple, User},
};
use crate::access::{ContextualTuple, Entity};

/// What a question, or a part of it, came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It holds.
    Yes,
    /// It does not hold.
    No,
    /// It could not be decided, and is denied.
    Undecided,
}

impl Answer {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Undecided => "undecided",
        }
    }
}

impl From<Truth> for Answer {
    fn from(truth: Truth) -> Self {
        match truth {
            Truth::True => Self::Yes,
            Truth::False => Self::No,
            Truth::Error(Failure::Depth | Failure::Steps | Failure::Condition) => Self::Undecided,
        }
    }
}

/// What a node of an explanation stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// The user's relation with an object.
    Relation,
    /// At least one child must hold.
    Union,
    /// Every child must hold.
    Intersection,
    /// The first child must hold, and the second must not.
    Exclusion,
    /// A tuple must name the user or its wildcard.
    Direct,
    /// A tuple names a userset, and the user must be in it.
    Userset,
    /// A tuple names another object, and the user must have a relation with that.
    TupleToUserset,
}

/// A part of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplanationNode {
    kind: NodeKind,
    object: String,
    relation: String,
    tuple: Option<RelationshipTuple>,
    answer: Answer,
    note: Option<String>,
    children: Vec<Self>,
}

impl ExplanationNode {
    /// What it stands for.
    pub fn kind(&self) -> NodeKind {
        self.kind
    }

    /// The object it is about.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// The relation it is about.
    pub fn relation(&self) -> &str {
        &self.relation
    }

    /// The tuple that was used.
    pub fn tuple(&self) -> Option<&RelationshipTuple> {
        self.tuple.as_ref()
    }

    /// What it came to.
    pub fn answer(&self) -> Answer {
        self.answer
    }

    /// What else is to be said.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The parts it was made from, only those that matter.
    pub fn children(&self) -> &[Self] {
        &self.children
    }

    fn mark(&mut self, told: &[ContextualTuple]) {
        let is_told = |tuple: &RelationshipTuple| {
            let is_same = |told: &ContextualTuple| {
                matches!(&tuple.user, User::Object(user) if *user == told.user)
                    && tuple.relation == told.relation
                    && tuple.object == told.object
            };
            told.iter().any(is_same)
        };
        if self.tuple.as_ref().is_some_and(is_told) {
            let note = self.note.take();
            self.note = Some(note.map_or_else(|| "contextual".to_owned(), |note| format!("contextual, {note}")));
        }
        self.children.iter_mut().for_each(|child| child.mark(told));
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, indent: &str, is_last: bool, label: &str) -> fmt::Result {
        let branch = if is_last { "└ " } else { "├ " };
        write!(f, "\n{indent}{branch}{label}")?;
        match (self.kind, &self.tuple) {
            (NodeKind::Relation, _) => write!(f, "{} {}: {}", self.object, self.relation, self.answer.name())?,
            (NodeKind::Union, _) => write!(f, "any of these: {}", self.answer.name())?,
            (NodeKind::Intersection, _) => write!(f, "all of these: {}", self.answer.name())?,
            (NodeKind::Exclusion, _) => write!(f, "the first but not the second: {}", self.answer.name())?,
            (NodeKind::Direct | NodeKind::Userset | NodeKind::TupleToUserset, Some(tuple)) => {
                write!(f, "tuple `{tuple}`: {}", self.answer.name())?;
            }
            (NodeKind::Direct | NodeKind::Userset | NodeKind::TupleToUserset, None) => {
                write!(f, "no tuple gives `{}` on `{}` directly", self.relation, self.object)?;
            }
        }
        if let Some(note) = &self.note {
            write!(f, " ({note})")?;
        }
        let indent = format!("{indent}{}", if is_last { "  " } else { "│ " });
        self.write_children(f, &indent)
    }

    fn write_children(&self, f: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        for (position, child) in self.children.iter().enumerate() {
            let is_subtracted = self.kind == NodeKind::Exclusion && position == 1;
            let label = if is_subtracted { "but not " } else { "" };
            child.write(f, indent, position + 1 == self.children.len(), label)?;
        }
        Ok(())
    }
}

/// The answer to a question, and what made it so.
///
/// Of a union that holds only the operand that holds is told, of an intersection that fails only those that fail; of
/// many tuples that lead nowhere only the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    user: User,
    root: ExplanationNode,
}

impl Explanation {
    pub(super) fn new(graph: &Graph, user: &User, resource: &Entity, watched: Watched) -> Self {
        let teller = Teller { graph, resource };
        Self { user: user.clone(), root: teller.node(watched, None) }
    }

    /// Whom the question is about.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// What it came to.
    pub fn answer(&self) -> Answer {
        self.root.answer
    }

    /// The same, which says of these tuples that they are contextual, and so no part of the policy.
    #[must_use]
    pub fn with_told(mut self, tuples: &[ContextualTuple]) -> Self {
        self.root.mark(tuples);
        self
    }

    /// The question itself, with what made the answer below it.
    pub fn root(&self) -> &ExplanationNode {
        &self.root
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = &self.root;
        write!(f, "{} {} {}: {}", root.object, root.relation, self.user, root.answer.name())?;
        if let Some(note) = &root.note {
            write!(f, " ({note})")?;
        }
        root.write_children(f, "")
    }
}

/// Gives numbers their names back.
struct Teller<'a> {
    graph: &'a Graph,
    // The graph may not know the object of the question, so its name is told by the question.
    resource: &'a Entity,
}

impl Teller<'_> {
    /// `about` is the relation and the object that the steps without their own belong to.
    fn node(&self, watched: Watched, about: Option<(RelationId, Number)>) -> ExplanationNode {
        let (kind, about, hop) = match watched.step {
            Step::Relation(id, number) => (NodeKind::Relation, Some((id, number)), None),
            Step::Any => (NodeKind::Union, about, None),
            Step::All => (NodeKind::Intersection, about, None),
            Step::Except => (NodeKind::Exclusion, about, None),
            Step::Exact => (NodeKind::Direct, about, None),
            Step::Userset { edge, object, user } => (NodeKind::Userset, about, Some((edge, object, user))),
            Step::Tupleset { edge, object, user } => (NodeKind::TupleToUserset, about, Some((edge, object, user))),
        };
        let found = match watched.remark {
            Some(Remark::Tuple { edge, object, user } | Remark::Conditional { edge, object, user, .. }) => {
                Some((edge, object, user))
            }
            Some(Remark::Itself | Remark::OutOfReach | Remark::Cycle | Remark::Repeated | Remark::TooDeep) | None => {
                hop
            }
        };
        let mut children: Vec<_> = watched.children.into_iter().map(|child| self.node(child, about)).collect();
        if kind == NodeKind::Union && children.len() == 1 && watched.truth == Truth::True {
            // Of a union that holds the one operand says it all.
            return children.remove(0);
        }
        let taken_away =
            kind == NodeKind::Exclusion && children.get(1).is_some_and(|child| child.answer == Answer::Yes);
        let note = match watched.remark {
            Some(Remark::Conditional { edge, object, user, truth }) => self.condition(edge, object, user, truth),
            remark => note(remark, watched.omitted, taken_away),
        };
        let (object, relation) = about.map(|(id, number)| self.names(id, number)).unwrap_or_default();
        let tuple = found.and_then(|(edge, object, user)| self.graph.tuple(edge, object, user));
        ExplanationNode { kind, object, relation, tuple, answer: watched.truth.into(), note, children }
    }

    fn condition(&self, edge: EdgeId, object: Number, user: Number, truth: Truth) -> Option<String> {
        let written = self.graph.condition(edge, object, user)?.written();
        let came_to = match truth {
            Truth::True => "holds",
            Truth::False => "does not hold",
            Truth::Error(_) => "has no answer",
        };
        Some(format!("its condition `{}` {came_to}", written.name))
    }

    fn names(&self, id: RelationId, number: Number) -> (String, String) {
        let model = self.graph.model();
        let Some(relation) = model.relation(id) else { return Default::default() };
        let object = match self.graph.id(relation.object_type(), number) {
            "" => self.resource.to_string(),
            known => format!("{}:{known}", model.type_name(relation.object_type())),
        };
        (object, relation.name().to_string())
    }
}

fn note(remark: Option<Remark>, omitted: usize, taken_away: bool) -> Option<String> {
    match remark {
        Some(Remark::Itself) => Some("the user is this very userset".to_owned()),
        Some(Remark::OutOfReach) => Some("nobody of this kind can ever have it".to_owned()),
        Some(Remark::Cycle) => Some("this leads back to where it came from".to_owned()),
        Some(Remark::Repeated) => Some("answered before".to_owned()),
        Some(Remark::TooDeep) => Some("too many hops".to_owned()),
        Some(Remark::Tuple { .. } | Remark::Conditional { .. }) | None if omitted > 0 => {
            Some(format!("and {omitted} more that do not hold"))
        }
        Some(Remark::Tuple { .. } | Remark::Conditional { .. }) | None => {
            taken_away.then(|| "taken away by the second".to_owned())
        }
    }
}
