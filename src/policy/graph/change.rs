//! A graph with some tuples written or deleted, which shares all else with the graph before.

use std::sync::Arc;

use super::{
    condition::{Carried, TupleCondition},
    names::Interner,
    placement::{Placement, TupleParts},
    store::Graph,
};
use crate::{
    access::Entity,
    policy::tuple::{InvalidTuple, UserParts},
};

/// About how many bytes a change takes, rows and nodes together.
const BYTES_A_CHANGE: usize = 512;

/// The texts of a tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TupleText<'a> {
    /// Who.
    pub user: &'a str,
    /// Has which relation.
    pub relation: &'a str,
    /// On what.
    pub object: &'a str,
}

impl<'a> TupleText<'a> {
    fn parts(self) -> Result<TupleParts<'a>, InvalidTuple> {
        let (object_type, object_id) = Entity::split(self.object).map_err(InvalidTuple::Object)?;
        Ok(TupleParts { user: UserParts::parse(self.user)?, relation: self.relation, object_type, object_id })
    }
}

/// A change of one tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TupleChange<'a> {
    /// The tuple is there from now on, with this condition or without any.
    Write(TupleText<'a>, Option<&'a TupleCondition>),
    /// The tuple is not there any more.
    Delete(TupleText<'a>),
}

/// What became of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangeCounts {
    /// Tuples that were not there before.
    pub written: usize,
    /// Tuples that were there, and have another condition now, or none any more.
    pub conditions: usize,
    /// Writes of tuples that were there just so.
    pub repeated: usize,
    /// Tuples that are gone.
    pub deleted: usize,
    /// Deletions of tuples that were not there.
    pub missing: usize,
    /// Changes of tuples that the model does not allow.
    pub set_aside: usize,
}

impl Graph {
    /// The graph after these changes, made one after the other, and what became of them. This one stays as it is.
    ///
    /// Refuses texts that no tuple can have. Takes time by the number of changes, and hardly by the size of the graph.
    pub fn with_changes<'a>(
        &self,
        changes: impl IntoIterator<Item = TupleChange<'a>>,
    ) -> Result<(Self, ChangeCounts), InvalidTuple> {
        let mut next = self.clone();
        let mut counts = ChangeCounts::default();
        for change in changes {
            match change {
                TupleChange::Write(tuple, condition) => next.write(tuple.parts()?, condition, &mut counts)?,
                TupleChange::Delete(tuple) => next.delete(tuple.parts()?, &mut counts)?,
            }
        }
        let effective = counts.written + counts.conditions + counts.deleted;
        next.changes += effective;
        next.statistics.tuples = next.statistics.tuples + counts.written - counts.deleted;
        next.statistics.bytes += effective * BYTES_A_CHANGE;
        next.statistics.objects = next.interners.iter().map(Interner::len).sum();
        next.statistics.set_aside = next.aside.count;
        Ok((next, counts))
    }

    fn write(
        &mut self,
        tuple: TupleParts<'_>,
        condition: Option<&TupleCondition>,
        counts: &mut ChangeCounts,
    ) -> Result<(), InvalidTuple> {
        let placement = match Placement::find(&self.model, tuple) {
            Ok(placement) => placement,
            Err(reason) => {
                counts.set_aside += 1;
                return Arc::make_mut(&mut self.aside).add(tuple, reason);
            }
        };
        let carried = placement
            .check_condition(&self.model, condition)
            .and_then(|()| condition.map(|condition| Carried::new(&self.model, condition).map(Arc::new)).transpose());
        let carried = match carried {
            Ok(carried) => carried,
            Err(reason) => {
                // What was written before is not there any more, and what takes its place does not count.
                let mut gone = ChangeCounts::default();
                self.delete(tuple, &mut gone)?;
                counts.deleted += gone.deleted;
                counts.set_aside += 1;
                return Arc::make_mut(&mut self.aside).add(tuple, reason);
            }
        };
        // Packed rows count with 32 bits.
        if self.statistics.tuples + counts.written >= u32::MAX as usize {
            return Err(InvalidTuple::Full);
        }
        let interners = &mut self.interners;
        let numbers = placement.numbers(tuple, |of, id| interners.get_mut(of.index())?.intern(id));
        let (object, user) = numbers.ok_or(InvalidTuple::Full)?;
        let Some(edge) = self.edges.get_mut(placement.edge as usize) else { return Ok(()) };
        if !edge.has(object, user) {
            edge.users.add(object, user);
            edge.objects.add(user, object);
            counts.written += 1;
        } else if edge.conditions.get(object, user).map(Carried::written) == condition {
            counts.repeated += 1;
            return Ok(());
        } else {
            counts.conditions += 1;
        }
        edge.conditions.set(object, user, carried);
        Ok(())
    }

    fn delete(&mut self, tuple: TupleParts<'_>, counts: &mut ChangeCounts) -> Result<(), InvalidTuple> {
        let Ok(placement) = Placement::find(&self.model, tuple) else {
            counts.set_aside += 1;
            return Arc::make_mut(&mut self.aside).remove(tuple);
        };
        let numbers = placement.numbers(tuple, |of, id| self.number(of, id));
        let edge = self.edges.get_mut(placement.edge as usize);
        let Some(((object, user), edge)) = numbers.zip(edge).filter(|((object, user), edge)| edge.has(*object, *user))
        else {
            counts.missing += 1;
            return Ok(());
        };
        edge.users.remove(object, user);
        edge.objects.remove(user, object);
        edge.conditions.set(object, user, None);
        counts.deleted += 1;
        Ok(())
    }
}
