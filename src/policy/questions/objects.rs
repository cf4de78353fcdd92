//! The objects on which a user has a relation.

use std::ops::ControlFlow;

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use super::{
    budget::{Budget, Interrupt, Undecided},
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

/// Which objects are listed.
#[derive(Debug, Clone, Copy)]
pub struct ObjectsQuestion<'a> {
    /// On which this user,
    pub user: &'a User,
    /// has this relation,
    pub relation: &'a RelationName,
    /// of this type.
    pub object_type: &'a TypeName,
}

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Searched {
    /// Everything was found.
    Whole,
    /// Whoever was told of the objects had enough.
    Enough,
    /// The interrupt came. There may be more.
    Interrupted,
}

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
        let mut objects = Vec::new();
        let question = ObjectsQuestion { user, relation, object_type };
        if limit > 0 {
            self.find_objects(question, context, Interrupt::never(), &mut |object| {
                objects.push(object);
                if objects.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        objects.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        Ok(objects)
    }

    /// All such objects, but for those of which it cannot be decided: the user has the relation on all of these by
    /// [`check`](Self::check), whatever becomes of others. Sorted by their texts. `None` if the interrupt came before
    /// all were found.
    ///
    /// Fails if the search takes too many steps.
    pub fn list_certain_objects<'p>(
        &'p self,
        question: ObjectsQuestion<'_>,
        context: &RequestContext<'p>,
        interrupt: Interrupt,
    ) -> Result<Option<Vec<Entity>>, CheckError> {
        let mut objects = Vec::new();
        let mut budget = Budget::until(self, interrupt);
        let searched = self.search(question, (context, Undecided::IsLeftOut), &mut budget, &mut |object| {
            objects.push(object);
            ControlFlow::Continue(())
        })?;
        objects.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        Ok((searched == Searched::Whole).then_some(objects))
    }

    /// Tells of each object on which the user has the relation, in no order and once, as soon as it is found.
    ///
    /// It ends when all are found, when `found` breaks, or with the interrupt. Fails as
    /// [`list_objects`](Self::list_objects) does, after it has told of what it could find.
    pub fn find_objects<'p>(
        &'p self,
        question: ObjectsQuestion<'_>,
        context: &RequestContext<'p>,
        interrupt: Interrupt,
        found: &mut dyn FnMut(Entity) -> ControlFlow<()>,
    ) -> Result<Searched, CheckError> {
        let mut budget = Budget::until(self, interrupt);
        self.search(question, (context, Undecided::FailsTheList), &mut budget, found)
    }

    fn search<'p>(
        &'p self,
        question: ObjectsQuestion<'_>,
        (context, undecided): (&RequestContext<'p>, Undecided),
        budget: &mut Budget,
        found: &mut dyn FnMut(Entity) -> ControlFlow<()>,
    ) -> Result<Searched, CheckError> {
        let ObjectsQuestion { user, relation, object_type } = question;
        let target = self.relation(object_type.as_str(), relation.as_str())?;
        // Only the user's own object can be one that no tuple names.
        let subject = self.subject(user.into(), |_| UNKNOWN)?;
        let search = Search { subject, target, trust: Trust::Sure };
        let type_id = self.model().type_id(object_type.as_str());
        let mut tell = |number: Number| {
            let entity = match (number, user) {
                (UNKNOWN, User::Userset(own, _)) => Some(own.clone()),
                (number, _) => type_id.and_then(|id| self.graph().entity(id, number)),
            };
            match entity.map(&mut *found) {
                Some(ControlFlow::Break(())) => Then::Stop,
                Some(ControlFlow::Continue(())) | None => Then::GoOn,
            }
        };
        let (known, error, then) = (HashSet::default(), None, Then::GoOn);
        let mut listing = Listing { policy: self, context, search, undecided, known, tell: &mut tell, then, error };
        let ended = listing.run(budget);
        if listing.then == Then::Stop {
            return Ok(Searched::Enough);
        }
        match (ended, listing.error) {
            (_, _) if budget.is_over() => Ok(Searched::Interrupted),
            (Err(Failure::Steps | Failure::Depth | Failure::Condition), _) => Err(CheckError::StepsExceeded),
            (Ok(()), Some(error)) => Err(error),
            (Ok(()), None) => Ok(Searched::Whole),
        }
    }
}

/// A list in the making.
struct Listing<'p, 'q> {
    policy: &'p Policy,
    context: &'q RequestContext<'p>,
    search: Search,
    undecided: Undecided,
    // Those that were told of.
    known: HashSet<Number, RandomState>,
    tell: &'q mut dyn FnMut(Number) -> Then,
    then: Then,
    // Why the first object that may belong to the list is not in it.
    error: Option<CheckError>,
}

impl Listing<'_, '_> {
    fn run(&mut self, budget: &mut Budget) -> Result<(), Failure> {
        let search = self.search;
        search.run(self.policy, budget, |object, _| {
            self.add(object);
            Ok(self.then)
        })?;
        if self.then == Then::Stop {
            return Ok(());
        }
        let search = Search { trust: Trust::Possible, ..search };
        search.run(self.policy, budget, |object, budget| {
            if !self.known.contains(&object) {
                self.check(object, budget)?;
            }
            Ok(self.then)
        })
    }

    fn add(&mut self, object: Number) {
        if self.then == Then::GoOn && self.known.insert(object) {
            self.then = (self.tell)(object);
        }
    }

    /// Adds the object to the list if it belongs there.
    fn check(&mut self, object: Number, budget: &mut Budget) -> Result<(), Failure> {
        let question = Question { subject: self.search.subject, relation: self.search.target, object: object.into() };
        let strict = Circumstances { context: self.context, unanswered: Unanswered::Fails };
        let outcome = budget.evaluate(self.policy, question, strict);
        match outcome.truth {
            Truth::True => self.add(object),
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
