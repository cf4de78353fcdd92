//! The decision point: a model and its tuples, ready to be asked.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};
use thiserror::Error;

use super::{
    check::{
        Circumstances, Evaluator, Failure, Limits, Nobody, Outcome, Plans, Question, Recorder, Subject, Truth,
        Unanswered, Witness,
    },
    condition::{ConditionError, RequestContext},
    explain::Explanation,
    graph::{ChangeCounts, Graph, GraphBuilder, Statistics, TupleChange, UNKNOWN},
    model::{Model, RelationId, TypeId},
    permit::{Denial, Permit},
    tuple::{InvalidTuple, RelationshipTuple, User, UserParts},
};
use crate::access::{Access, Entity, Principal, Reason, RelationName};

/// A user that the graph does not know, unlike [`UNKNOWN`].
const UNKNOWN_USER: u32 = UNKNOWN - 1;

/// What a deployment may choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySettings {
    /// The relation of a task that its holders have. Without it, a chain with a task is denied.
    pub task_holder: Option<RelationName>,
    /// How many steps one evaluation may take before it fails.
    pub most_steps: u32,
    /// How many steps one evaluation takes before it begins to remember what it found out, which needs memory.
    pub steps_before_memory: u32,
}

impl Default for PolicySettings {
    fn default() -> Self {
        Self { task_holder: None, most_steps: 1_000_000, steps_before_memory: 256 }
    }
}

/// Whether a request must run within a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TaskRule {
    /// It may.
    #[default]
    Optional,
    /// It must.
    Required,
}

/// Why a question has no answer. None of these is ever taken for a no that something could be subtracted from.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckError {
    /// The model has no such type.
    #[error("the model has no type `{0}`")]
    UnknownType(String),
    /// The type has no such relation.
    #[error("type `{0}` has no relation `{1}`")]
    UnknownRelation(String, String),
    /// More than 24 hops over usersets and tuplesets (OpenFGA's limit).
    #[error("the answer lies deeper than 25 levels")]
    DepthExceeded,
    /// More steps than the settings allow.
    #[error("the answer takes too many steps")]
    StepsExceeded,
    /// A tuple carries a condition that has no answer.
    #[error(transparent)]
    Condition(ConditionError),
}

impl CheckError {
    /// The reason of the denial that this leads to.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::UnknownType(_) => Reason::UnknownType,
            Self::UnknownRelation(..) => Reason::UnknownRelation,
            Self::DepthExceeded => Reason::DepthExceeded,
            Self::StepsExceeded => Reason::StepsExceeded,
            Self::Condition(ConditionError::Missing { .. }) => Reason::MissingContext,
            Self::Condition(_) => Reason::ConditionFailed,
        }
    }
}

impl<W> Outcome<W> {
    /// Whether it holds, or why that is not known.
    pub(super) fn answer(self) -> Result<bool, CheckError> {
        match self.truth {
            Truth::True => Ok(true),
            Truth::False => Ok(false),
            Truth::Error(Failure::Depth) => Err(CheckError::DepthExceeded),
            Truth::Error(Failure::Steps) => Err(CheckError::StepsExceeded),
            // An error of a condition always comes with its fault.
            Truth::Error(Failure::Condition) => {
                Err(self.fault.map_or(CheckError::StepsExceeded, CheckError::Condition))
            }
        }
    }
}

/// An immutable policy. The same question always has the same answer.
///
/// A clone shares all tuples with it.
#[derive(Debug, Clone)]
pub struct Policy {
    graph: Graph,
    // They depend on the model alone.
    plans: Arc<Plans>,
    settings: PolicySettings,
}

impl Policy {
    /// A policy of a graph and the model it was built under.
    pub fn new(graph: Graph, settings: PolicySettings) -> Self {
        Self { plans: Arc::new(Plans::new(graph.model())), graph, settings }
    }

    /// A policy of a model and tuples. Tuples that the model does not allow are set aside.
    pub fn build(
        model: Model,
        tuples: impl IntoIterator<Item = RelationshipTuple>,
        settings: PolicySettings,
    ) -> Result<Self, InvalidTuple> {
        let mut builder = GraphBuilder::new(Arc::new(model));
        for tuple in tuples {
            builder.add_tuple(&tuple)?;
        }
        Ok(Self::new(builder.finish(), settings))
    }

    /// The policy after these changes of its tuples, and what became of them. This one stays as it is.
    ///
    /// See [`Graph::with_changes`].
    pub fn with_changes<'a>(
        &self,
        changes: impl IntoIterator<Item = TupleChange<'a>>,
    ) -> Result<(Self, ChangeCounts), InvalidTuple> {
        let (graph, counts) = self.graph.with_changes(changes)?;
        Ok((self.with_graph(graph), counts))
    }

    /// Whether readers gain from [`compacted`](Self::compacted).
    pub fn needs_compaction(&self) -> bool {
        self.graph.needs_compaction()
    }

    /// The same policy without changes laid over its tuples. See [`Graph::compacted`].
    #[must_use]
    pub fn compacted(&self) -> Self {
        self.with_graph(self.graph.compacted())
    }

    fn with_graph(&self, graph: Graph) -> Self {
        Self { graph, plans: Arc::clone(&self.plans), settings: self.settings.clone() }
    }

    /// The same policy by other settings. It shares all tuples.
    #[must_use]
    pub fn with_settings(&self, settings: PolicySettings) -> Self {
        Self { settings, ..self.clone() }
    }

    /// What it was made with.
    pub fn settings(&self) -> &PolicySettings {
        &self.settings
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        self.graph.model()
    }

    /// The relation that the holders of a task have.
    pub fn task_holder(&self) -> Option<&RelationName> {
        self.settings.task_holder.as_ref()
    }

    /// The tuples.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// How much there is.
    pub fn statistics(&self) -> Statistics {
        self.graph.statistics()
    }

    /// Permits the accesses if and only if every member of the chain is permitted every one of them.
    ///
    /// A chain with a task is denied unless every other member is the task's holder, and a chain without one if the
    /// rule asks for it. No access is not permitted. What has no answer is denied.
    pub fn authorize<'p>(
        &'p self,
        principal: &Arc<Principal>,
        accesses: Vec<Access>,
        task: TaskRule,
        context: &RequestContext<'p>,
    ) -> Result<Permit, Denial> {
        if accesses.is_empty() {
            let detail = "no access is asked for".to_owned();
            return Err(Denial { reason: Reason::NotPermitted, member: None, access: None, detail });
        }
        match (principal.task(), task) {
            (Some(task), TaskRule::Optional | TaskRule::Required) => self.holds_task(principal, task, context)?,
            (None, TaskRule::Optional) => {}
            (None, TaskRule::Required) => {
                let detail = "a task is required".to_owned();
                return Err(Denial { reason: Reason::TaskRequired, member: None, access: None, detail });
            }
        }
        // What all members are asked about is looked up once.
        let mut found: SmallVec<[Option<Question>; 2]> = smallvec![None; accesses.len()];
        for member in principal.members() {
            for (access, found) in accesses.iter().zip(&mut found) {
                self.permits(member, access, found, context)?;
            }
        }
        Ok(Permit::new(Arc::clone(principal), accesses))
    }

    /// Whether the user has the relation on the resource. An id that nobody has named is no error.
    pub fn check<'p>(
        &'p self,
        user: &User,
        action: &RelationName,
        resource: &Entity,
        context: &RequestContext<'p>,
    ) -> Result<bool, CheckError> {
        self.has(user.into(), action, resource, context)
    }

    /// What makes the answer to [`check`](Self::check) so.
    pub fn explain<'p>(
        &'p self,
        user: &User,
        action: &RelationName,
        resource: &Entity,
        context: &RequestContext<'p>,
    ) -> Result<Explanation, CheckError> {
        let question = self.question(user.into(), action, resource)?;
        let circumstances = Circumstances { context, unanswered: Unanswered::Fails };
        let Outcome { truth, witness, .. } = self.evaluate(question, circumstances, Recorder::default());
        Ok(Explanation::new(&self.graph, user, resource, witness.into_watched(truth)))
    }

    /// `found` is the same question of an earlier member, if there was one.
    fn permits<'p>(
        &'p self,
        member: &Entity,
        access: &Access,
        found: &mut Option<Question>,
        context: &RequestContext<'p>,
    ) -> Result<(), Denial> {
        let question = match found {
            Some(found) => self.subject(member.into(), |_| UNKNOWN_USER).map(|subject| Question { subject, ..*found }),
            None => {
                self.question(member.into(), &access.action, &access.resource).inspect(|asked| *found = Some(*asked))
            }
        };
        let (reason, detail) = match question.and_then(|question| self.holds(question, context)) {
            Ok(true) => return Ok(()),
            Ok(false) => (Reason::NotPermitted, format!("{member} may not {access}")),
            Err(error) => (error.reason(), error.to_string()),
        };
        Err(Denial { reason, member: Some(member.clone()), access: Some(access.clone()), detail })
    }

    fn holds_task<'p>(
        &'p self,
        principal: &Principal,
        task: &Entity,
        context: &RequestContext<'p>,
    ) -> Result<(), Denial> {
        let denial = |reason, member: Option<&Entity>, detail| {
            Err(Denial { reason, member: member.cloned(), access: None, detail })
        };
        let Some(holder) = &self.settings.task_holder else {
            let detail = format!("{task} has no holder: no relation is configured that says who holds a task");
            return denial(Reason::NotTaskHolder, None, detail);
        };
        for party in principal.parties() {
            match self.has(party.into(), holder, task, context) {
                Ok(true) => {}
                Ok(false) => {
                    let detail = format!("{party} does not hold {task}");
                    return denial(Reason::NotTaskHolder, Some(party), detail);
                }
                Err(error) => return denial(error.reason(), Some(party), error.to_string()),
            }
        }
        Ok(())
    }

    fn has<'p>(
        &'p self,
        user: UserParts<'_>,
        action: &RelationName,
        resource: &Entity,
        context: &RequestContext<'p>,
    ) -> Result<bool, CheckError> {
        self.holds(self.question(user, action, resource)?, context)
    }

    fn holds<'p>(&'p self, question: Question, context: &RequestContext<'p>) -> Result<bool, CheckError> {
        let circumstances = Circumstances { context, unanswered: Unanswered::Fails };
        self.evaluate(question, circumstances, Nobody).answer()
    }

    pub(super) fn evaluate<'p, W: Witness>(
        &'p self,
        question: Question,
        circumstances: Circumstances<'p, '_>,
        witness: W,
    ) -> Outcome<W> {
        self.evaluate_within(self.limits(), question, circumstances, witness)
    }

    pub(super) fn evaluate_within<'p, W: Witness>(
        &'p self,
        limits: Limits,
        question: Question,
        circumstances: Circumstances<'p, '_>,
        witness: W,
    ) -> Outcome<W> {
        Evaluator::answer(&self.graph, &self.plans, question, limits, circumstances, witness)
    }

    /// How much one evaluation may take.
    pub(super) fn limits(&self) -> Limits {
        let PolicySettings { most_steps, steps_before_memory, .. } = self.settings;
        Limits { most_steps, steps_before_memory }
    }

    pub(super) fn plans(&self) -> &Plans {
        &self.plans
    }

    pub(super) fn question<'q>(
        &'q self,
        user: UserParts<'q>,
        action: &RelationName,
        resource: &'q Entity,
    ) -> Result<Question, CheckError> {
        let (object_type, relation) = self.typed_relation(resource.type_name(), action.as_str())?;
        if let UserParts::Object { user_type, id } = user {
            let user_type = self.type_id(user_type)?;
            let first = self.plans.first_edges(relation);
            let (object, number) = self.graph.located((object_type, resource.id()), (user_type, id), first);
            let subject = Subject::Object { user_type, number: number.unwrap_or(UNKNOWN_USER) };
            return Ok(Question { subject, relation, object: object.unwrap_or(UNKNOWN.into()) });
        }
        let object = self.graph.number(object_type, resource.id()).unwrap_or(UNKNOWN);
        // An object that no tuple names is still itself.
        let unknown = |text: &str| if text == resource.as_str() { UNKNOWN } else { UNKNOWN_USER };
        let subject = self.subject(user, unknown)?;
        Ok(Question { subject, relation, object: object.into() })
    }

    /// The user by numbers. `unknown` is the number of a userset's object that no tuple names.
    pub(super) fn subject(
        &self,
        user: UserParts<'_>,
        unknown: impl FnOnce(&str) -> u32,
    ) -> Result<Subject, CheckError> {
        Ok(match user {
            UserParts::Object { user_type, id } => {
                let user_type = self.type_id(user_type)?;
                let number = self.graph.number(user_type, id).unwrap_or(UNKNOWN_USER);
                Subject::Object { user_type, number }
            }
            UserParts::Wildcard { user_type } => Subject::Wildcard { user_type: self.type_id(user_type)? },
            UserParts::Userset { user_type, id, object, relation } => {
                let (user_type, relation) = self.typed_relation(user_type, relation)?;
                let number = self.graph.number(user_type, id).unwrap_or_else(|| unknown(object));
                Subject::Userset { relation, number }
            }
        })
    }

    /// The number of a type's relation.
    pub(super) fn relation(&self, type_name: &str, relation: &str) -> Result<RelationId, CheckError> {
        self.typed_relation(type_name, relation).map(|(_, relation)| relation)
    }

    fn typed_relation(&self, type_name: &str, relation: &str) -> Result<(TypeId, RelationId), CheckError> {
        let type_id = self.type_id(type_name)?;
        let id = self.graph.model().relation_id(type_id, relation);
        let id = id.ok_or_else(|| CheckError::UnknownRelation(type_name.to_owned(), relation.to_owned()))?;
        Ok((type_id, id))
    }

    fn type_id(&self, name: &str) -> Result<TypeId, CheckError> {
        self.graph.model().type_id(name).ok_or_else(|| CheckError::UnknownType(name.to_owned()))
    }
}
