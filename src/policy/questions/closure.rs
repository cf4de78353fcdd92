//! Walks from a user to the objects on which it may have a relation.

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use super::budget::Budget;
use crate::policy::{
    check::{Failure, Subject, Way},
    engine::Policy,
    graph::{EdgeId, Number},
    model::RelationId,
};

/// What counts on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// What is sure: tuples without conditions, through unions. A check would agree.
    Sure,
    /// What is possible: every tuple, the base of an exclusion, one operand of an intersection.
    Possible,
}

/// What to do after an object was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    GoOn,
    Stop,
}

/// Whose relations are followed, and to what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search {
    pub(super) subject: Subject,
    pub(super) target: RelationId,
    pub(super) trust: Trust,
}

/// The state of one walk, level by level: on each are the relations that are so many hops away.
struct Walk<'p, 'q> {
    policy: &'p Policy,
    budget: &'q mut Budget,
    search: Search,
    // For each relation whether it leads to the target, and the user can have it at all.
    useful: Vec<bool>,
    seen: HashSet<u64, RandomState>,
    level: Vec<(RelationId, Number)>,
    next: Vec<(RelationId, Number)>,
}

impl Search {
    /// More hops than a check goes. A stored userset costs a hop here, but not there.
    const fn most_levels(self) -> usize {
        match self.trust {
            Trust::Sure => 25,
            Trust::Possible => 26,
        }
    }

    /// Tells of each object of the target once, until told to stop or all are found.
    pub(super) fn run(
        self,
        policy: &Policy,
        budget: &mut Budget,
        mut found: impl FnMut(Number, &mut Budget) -> Result<Then, Failure>,
    ) -> Result<(), Failure> {
        let plans = policy.plans();
        let mut useful = plans.ways().leading_to(self.target);
        for (id, useful) in (0..).map(RelationId).zip(&mut useful) {
            *useful = *useful && plans.may_have(id, self.subject);
        }
        let (seen, level, next) = Default::default();
        let mut walk = Walk { policy, budget, search: self, useful, seen, level, next };
        walk.start()?;
        for _ in 0..self.most_levels() {
            while let Some((relation, object)) = walk.level.pop() {
                if relation == self.target && found(object, walk.budget)? == Then::Stop {
                    return Ok(());
                }
                walk.onward(relation, object)?;
            }
            std::mem::swap(&mut walk.level, &mut walk.next);
        }
        Ok(())
    }
}

impl Walk<'_, '_> {
    fn start(&mut self) -> Result<(), Failure> {
        let policy = self.policy;
        if let Subject::Userset { relation, number } = self.search.subject {
            self.reach(relation, number, None);
        }
        for (edge, user, way) in policy.plans().ways().starts(self.search.subject) {
            self.follow(way, edge, user)?;
        }
        // What tuples say of the user itself is no hop away.
        self.level.append(&mut self.next);
        Ok(())
    }

    fn onward(&mut self, relation: RelationId, object: Number) -> Result<(), Failure> {
        let policy = self.policy;
        for way in policy.plans().ways().from(relation) {
            match way.edge {
                Some(edge) => self.follow(*way, edge, object)?,
                None if self.counts(*way) => {
                    self.budget.spend()?;
                    self.reach(way.to, object, None);
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Follows the tuples of an edge that name the user.
    fn follow(&mut self, way: Way, edge: EdgeId, user: Number) -> Result<(), Failure> {
        if !self.counts(way) {
            return Ok(());
        }
        let graph = self.policy.graph();
        for object in graph.objects(edge, user).iter() {
            self.budget.spend()?;
            if self.search.trust == Trust::Possible || graph.condition(edge, object, user).is_none() {
                self.reach(way.to, object, Some(edge));
            }
        }
        Ok(())
    }

    fn counts(&self, way: Way) -> bool {
        let is_useful = self.useful.get(way.to.index()) == Some(&true);
        is_useful && (way.is_enough || self.search.trust == Trust::Possible)
    }

    fn reach(&mut self, relation: RelationId, object: Number, edge: Option<EdgeId>) {
        if self.seen.insert(u64::from(relation.0) << 32 | u64::from(object)) {
            let level = if edge.is_some() { &mut self.next } else { &mut self.level };
            level.push((relation, object));
        }
    }
}
