//! The objects on which a user has a relation.

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use super::{
    budget::{Budget, Undecided},
    closure::{Search, Then, Trust},
};
use crate::{
    access::{Entity, RelationName, TypeName},
    policy::{
        check::{Circumstances, Failure, Question, Truth, Unanswered},
        condition::RequestContext,
        engine::{CheckError, Policy},
        graph::{Number, UNKNOWN},
        tuple::User,
    },
};

impl Policy {
    /// The objects of a type on which the user has the relation, at most `limit`, sorted by their texts. Those that no
    /// tuple names are among them if the user is a userset of theirs that has the relation by itself.
    ///
    /// Fails if an object would be among them were its conditions without an answer true, unless there are `limit`
    /// others. What lies too deep is left out. Fails too if the search takes more steps than the settings allow to one
    /// question: what could be found of them is never taken for all.
    pub fn list_objects<'p>(
        &'p self,
        user: &User,
        relation: &RelationName,
        object_type: &TypeName,
        context: &RequestContext<'p>,
        limit: usize,
    ) -> Result<Vec<Entity>, CheckError> {
        self.objects(user, (relation, object_type), context, limit, Undecided::FailsTheList)
    }

    /// All such objects, but for those of which it cannot be decided: the user has the relation on all of these by
    /// [`check`](Self::check), whatever becomes of others. Sorted by their texts.
    ///
    /// Fails if the search takes too many steps.
    pub fn list_certain_objects<'p>(
        &'p self,
        user: &User,
        relation: &RelationName,
        object_type: &TypeName,
        context: &RequestContext<'p>,
    ) -> Result<Vec<Entity>, CheckError> {
        self.objects(user, (relation, object_type), context, usize::MAX, Undecided::IsLeftOut)
    }

    fn objects<'p>(
        &'p self,
        user: &User,
        (relation, object_type): (&RelationName, &TypeName),
        context: &RequestContext<'p>,
        limit: usize,
        undecided: Undecided,
    ) -> Result<Vec<Entity>, CheckError> {
        let target = self.relation(object_type.as_str(), relation.as_str())?;
        // Only the user's own object can be one that no tuple names.
        let subject = self.subject(user.into(), |_| UNKNOWN)?;
        let search = Search { subject, target, trust: Trust::Sure };
        let found = HashSet::default();
        let mut listing = Listing { policy: self, context, search, found, error: None, limit, undecided };
        let mut budget = Budget::new(self);
        match listing.run(&mut budget) {
            Ok(()) => {}
            Err(Failure::Steps | Failure::Depth | Failure::Condition) => return Err(CheckError::StepsExceeded),
        }
        if let Some(error) = listing.error.filter(|_| listing.found.len() < limit) {
            return Err(error);
        }
        let type_id = self.model().type_id(object_type.as_str());
        let entity = |number: Number| match (number, user) {
            (UNKNOWN, User::Userset(own, _)) => Some(own.clone()),
            (number, _) => type_id.and_then(|id| self.graph().entity(id, number)),
        };
        let mut objects: Vec<Entity> = listing.found.into_iter().filter_map(entity).collect();
        objects.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        Ok(objects)
    }
}

/// A list in the making.
struct Listing<'p, 'q> {
    policy: &'p Policy,
    context: &'q RequestContext<'p>,
    search: Search,
    found: HashSet<Number, RandomState>,
    // Why the first object that may belong to the list is not in it.
    error: Option<CheckError>,
    limit: usize,
    undecided: Undecided,
}

impl Listing<'_, '_> {
    fn run(&mut self, budget: &mut Budget) -> Result<(), Failure> {
        if self.limit == 0 {
            return Ok(());
        }
        let search = self.search;
        search.run(self.policy, budget, |object, _| {
            self.found.insert(object);
            Ok(self.then())
        })?;
        if self.then() == Then::Stop {
            return Ok(());
        }
        let search = Search { trust: Trust::Possible, ..search };
        search.run(self.policy, budget, |object, budget| {
            if !self.found.contains(&object) {
                self.check(object, budget)?;
            }
            Ok(self.then())
        })
    }

    fn then(&self) -> Then {
        if self.found.len() < self.limit { Then::GoOn } else { Then::Stop }
    }

    /// Adds the object to the list if it belongs there.
    fn check(&mut self, object: Number, budget: &mut Budget) -> Result<(), Failure> {
        let question = Question { subject: self.search.subject, relation: self.search.target, object };
        let strict = Circumstances { context: self.context, unanswered: Unanswered::Fails };
        let outcome = budget.evaluate(self.policy, question, strict);
        match outcome.truth {
            Truth::True => drop(self.found.insert(object)),
            Truth::False | Truth::Error(Failure::Depth) => {}
            Truth::Error(Failure::Steps) => return Err(Failure::Steps),
            Truth::Error(Failure::Condition) if self.error.is_some() || self.undecided == Undecided::IsLeftOut => {}
            Truth::Error(Failure::Condition) => {
                let generous = Circumstances { unanswered: Unanswered::Holds, ..strict };
                match budget.evaluate(self.policy, question, generous).truth {
                    Truth::True => self.error = outcome.answer().err(),
                    Truth::Error(Failure::Steps) => return Err(Failure::Steps),
                    Truth::False | Truth::Error(Failure::Depth | Failure::Condition) => {}
                }
            }
        }
        Ok(())
    }
}
