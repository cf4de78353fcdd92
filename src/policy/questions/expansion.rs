//! Walks from an object to the users that its tuples name.

use std::rc::Rc;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

use super::budget::Budget;
use crate::{
    access::RelationName,
    policy::{
        check::{Circumstances, Failure, Subject, Unanswered},
        engine::{CheckError, Policy},
        graph::{EdgeId, Number, UNKNOWN},
        model::{Relation, RelationId, Rewrite, Shape, TypeId},
    },
};

/// In place of a number: the wildcard of the filter's type.
pub(super) const EVERYONE: Number = UNKNOWN - 1;
/// So many relations one below the other are too many. Unlike in a check, computed ones count (OpenFGA).
const TOO_DEEP: u8 = 25;

/// Which users are looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter {
    pub(super) user_type: TypeId,
    /// Usersets of this relation, instead of objects and the wildcard.
    pub(super) member: Option<RelationId>,
}

/// What is known of a user that was found on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Has,
    /// An exclusion took it out. What subtracts from something this user is out of, gives it back.
    HasNot,
}

type Users = HashMap<Number, Status, RandomState>;

/// What a part of the way came to.
#[derive(Debug, Clone)]
struct Found {
    users: Users,
    // Whether tuples and computed relations alone lead back to where the path was. The nearest exclusion asks for it.
    has_cycle: bool,
    // The lowest frame of the path that any cycle came back to.
    low: usize,
    error: Option<CheckError>,
    // How many relations below were looked at.
    height: u8,
}

impl Default for Found {
    fn default() -> Self {
        Self { users: Users::default(), has_cycle: false, low: usize::MAX, error: None, height: 0 }
    }
}

/// A relation of an object.
type Node = (RelationId, Number);

/// The walk. Its rules are those of OpenFGA's ListUsers.
pub(super) struct Expansion<'p, 'q> {
    policy: &'p Policy,
    circumstances: Circumstances<'p, 'q>,
    filter: Filter,
    budget: &'q mut Budget,
    path: Vec<Node>,
    // What does not depend on the path.
    known: HashMap<Node, Rc<Found>, RandomState>,
}

impl<'p, 'q> Expansion<'p, 'q> {
    /// The users that have the relation on the object. Of those that come and go by exclusions there may be too many.
    pub(super) fn find(
        policy: &'p Policy,
        circumstances: Circumstances<'p, 'q>,
        filter: Filter,
        (relation, object): Node,
        budget: &'q mut Budget,
    ) -> Result<Vec<Number>, CheckError> {
        let anyone = match filter.member {
            Some(relation) => Subject::Userset { relation, number: UNKNOWN },
            None => Subject::Object { user_type: filter.user_type, number: UNKNOWN },
        };
        if !policy.plans().may_have(relation, anyone) {
            return Ok(Vec::new());
        }
        let (path, known) = Default::default();
        let mut expansion = Expansion { policy, circumstances, filter, budget, path, known };
        let found = expansion.relation(relation, object)?;
        match &found.error {
            Some(error) => Err(error.clone()),
            None => {
                Ok(found.users.iter().filter(|(_, status)| **status == Status::Has).map(|(user, _)| *user).collect())
            }
        }
    }

    // Only a walk that takes too many steps ends at once. Other errors wait: an exclusion may not care.
    fn relation(&mut self, id: RelationId, object: Number) -> Result<Rc<Found>, CheckError> {
        let depth = u8::try_from(self.path.len()).unwrap_or(TOO_DEEP);
        if depth >= TOO_DEEP {
            return Ok(Rc::new(Found { error: Some(CheckError::DepthExceeded), ..Found::default() }));
        }
        self.spend()?;
        let node = (id, object);
        if let Some(frame) = self.path.iter().position(|frame| *frame == node) {
            return Ok(Rc::new(Found { has_cycle: true, low: frame, ..Found::default() }));
        }
        if let Some(known) = self.known.get(&node).filter(|known| depth + known.height < TOO_DEEP) {
            return Ok(Rc::clone(known));
        }
        let policy = self.policy;
        let Some(relation) = policy.model().relation(id) else { return Ok(Rc::default()) };
        self.path.push(node);
        let found = self.rewrite(relation, relation.rewrite(), object);
        self.path.pop();
        let mut found = found?;
        if self.filter.member == Some(id) {
            // A userset has its own relation, whatever else takes it out on the way.
            found.users.insert(object, Status::Has);
        }
        found.height = found.height.saturating_add(1);
        let is_closed = found.low >= self.path.len();
        if is_closed {
            found.low = usize::MAX;
        }
        let found = Rc::new(found);
        if is_closed && !found.has_cycle && found.error.is_none() {
            self.known.insert(node, Rc::clone(&found));
        }
        Ok(found)
    }

    fn rewrite(
        &mut self,
        relation: &'p Relation,
        rewrite: &'p Rewrite<RelationName>,
        object: Number,
    ) -> Result<Found, CheckError> {
        let model = self.policy.model();
        let sibling = |name: &RelationName| model.relation_id(relation.object_type(), name.as_str());
        let mut each = |operands: &mut dyn Iterator<Item = &'p Rewrite<RelationName>>| -> Result<Vec<_>, CheckError> {
            operands.map(|operand| self.rewrite(relation, operand, object)).collect()
        };
        match rewrite {
            Rewrite::Direct => self.direct(relation, object),
            Rewrite::Computed(name) => match sibling(name) {
                Some(id) => {
                    let found = self.relation(id, object)?;
                    self.spend_on([&*found])?;
                    Ok(Found::clone(&found))
                }
                None => Ok(Found::default()),
            },
            Rewrite::TupleToUserset { computed, tupleset } => {
                let tupleset = sibling(tupleset).and_then(|id| model.relation(id));
                tupleset.map_or(Ok(Found::default()), |tupleset| self.parents(tupleset, computed, object))
            }
            Rewrite::Union(operands) => {
                let operands = each(&mut operands.iter())?;
                self.spend_on(&operands)?;
                Ok(union(&operands))
            }
            Rewrite::Intersection(operands) => {
                let operands = each(&mut operands.iter())?;
                self.spend_on(&operands)?;
                Ok(intersection(&operands))
            }
            Rewrite::Exclusion { base, subtract } => {
                let base = self.rewrite(relation, base, object)?;
                let subtract = self.rewrite(relation, subtract, object)?;
                self.spend_on([&base, &subtract])?;
                Ok(exclusion(base, subtract))
            }
        }
    }

    fn direct(&mut self, relation: &'p Relation, object: Number) -> Result<Found, CheckError> {
        let mut found = Found::default();
        for (edge, restriction) in relation.edges() {
            for user in self.policy.graph().users(edge, object).iter() {
                self.spend()?;
                if !self.counts(edge, object, user, &mut found) {
                    continue;
                }
                let is_listed = self.filter.member.is_none() && restriction.user_type == self.filter.user_type;
                match restriction.shape {
                    Shape::Plain if is_listed => drop(found.users.insert(user, Status::Has)),
                    Shape::Wildcard if is_listed => drop(found.users.insert(EVERYONE, Status::Has)),
                    Shape::Plain | Shape::Wildcard => {}
                    Shape::Userset(target) => {
                        let below = self.relation(target, user)?;
                        self.spend_on([&*below])?;
                        found.has_cycle |= below.has_cycle;
                        found.take(&below);
                    }
                }
            }
        }
        Ok(found)
    }

    fn parents(
        &mut self,
        tupleset: &'p Relation,
        computed: &RelationName,
        object: Number,
    ) -> Result<Found, CheckError> {
        let mut found = Found::default();
        for (edge, restriction) in tupleset.edges() {
            let target = self.policy.model().relation_id(restriction.user_type, computed.as_str());
            for parent in self.policy.graph().users(edge, object).iter() {
                self.spend()?;
                if let Some(target) = target.filter(|_| self.counts(edge, object, parent, &mut found)) {
                    let below = self.relation(target, parent)?;
                    self.spend_on([&*below])?;
                    found.take(&below);
                }
            }
        }
        Ok(found)
    }

    /// Whether a tuple counts. One whose condition has no answer does not, and is an error, unless it is taken to hold.
    fn counts(&self, edge: EdgeId, object: Number, user: Number, found: &mut Found) -> bool {
        let graph = self.policy.graph();
        let Some(carried) = graph.condition(edge, object, user) else { return true };
        let Some(condition) = graph.model().conditions().at(carried.number) else { return false };
        condition.evaluate(&carried.bound, self.circumstances.context).unwrap_or_else(|error| {
            match self.circumstances.unanswered {
                Unanswered::Holds => true,
                Unanswered::Fails => {
                    found.error.get_or_insert(CheckError::Condition(error));
                    false
                }
            }
        })
    }

    fn spend(&mut self) -> Result<(), CheckError> {
        self.budget.spend().map_err(|_: Failure| CheckError::StepsExceeded)
    }

    /// For users that are copied: a few tuples can make many of them meet again and again.
    fn spend_on<'f>(&mut self, found: impl IntoIterator<Item = &'f Found>) -> Result<(), CheckError> {
        let entries = found.into_iter().map(|found| found.users.len()).sum();
        self.budget.spend_on_entries(entries).map_err(|_: Failure| CheckError::StepsExceeded)
    }
}

impl Found {
    /// Takes over what another way found: who has the relation by any way has it.
    fn take(&mut self, other: &Self) {
        for (user, status) in &other.users {
            let known = self.users.entry(*user).or_insert(*status);
            if *status == Status::Has {
                *known = Status::Has;
            }
        }
        self.rest_on(other);
    }

    fn rest_on(&mut self, other: &Self) {
        self.low = self.low.min(other.low);
        self.height = self.height.max(other.height);
        if self.error.is_none() {
            self.error.clone_from(&other.error);
        }
    }

    fn has(&self) -> impl Iterator<Item = Number> {
        self.users.iter().filter(|(_, status)| **status == Status::Has).map(|(user, _)| *user)
    }
}

fn union(operands: &[Found]) -> Found {
    let mut all = Found::default();
    for operand in operands {
        all.users.extend(operand.has().map(|user| (user, Status::Has)));
        all.rest_on(operand);
    }
    all
}

/// Who is in every operand, by itself or, in some of them, through the wildcard.
fn intersection(operands: &[Found]) -> Found {
    let mut all = Found::default();
    let mut named: HashSet<Number, RandomState> = HashSet::default();
    named.extend(operands.iter().flat_map(Found::has));
    all.users = named
        .into_iter()
        .filter(|user| {
            operands.iter().all(|operand| {
                let status = operand.users.get(user).or(operand.users.get(&EVERYONE));
                status == Some(&Status::Has)
            })
        })
        .map(|user| (user, Status::Has))
        .collect();
    operands.iter().for_each(|operand| all.rest_on(operand));
    all
}

/// Who is in the base and not taken out, and who is taken out.
fn exclusion(base: Found, subtract: Found) -> Found {
    let mut left = Found::default();
    if subtract.has_cycle {
        // Nothing is sure then, not even an error (OpenFGA).
        left.rest_on(&Found { error: None, ..base });
        left.rest_on(&Found { error: None, ..subtract });
        return left;
    }
    left.rest_on(&base);
    left.rest_on(&subtract);
    let takes_everyone = subtract.users.contains_key(&EVERYONE);
    let has_everyone = base.users.contains_key(&EVERYONE);
    for (user, status) in &base.users {
        let status = match (*status, subtract.users.get(user)) {
            (Status::HasNot, _) | (Status::Has, Some(Status::Has)) => Status::HasNot,
            (Status::Has, None) if takes_everyone => Status::HasNot,
            (Status::Has, None | Some(Status::HasNot)) => Status::Has,
        };
        // Nobody is given back by the wildcard.
        if *user != EVERYONE || status == Status::Has {
            left.users.insert(*user, status);
        }
    }
    if has_everyone {
        // Everyone is in, those too whom only the subtracted names.
        for (user, status) in subtract.users.iter().filter(|(user, _)| **user != EVERYONE) {
            left.users.entry(*user).or_insert(match status {
                Status::Has => Status::HasNot,
                Status::HasNot => Status::Has,
            });
        }
    }
    left
}
