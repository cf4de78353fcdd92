//! Builds a graph from tuples in any order.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::{
    change::TupleText,
    condition::{Carried, Conditions, TupleCondition},
    names::{Interner, Names},
    pairs::{self, high, low, pair},
    placement::{Aside, MOST_EXAMPLES, Placement, SetAsideReason, TupleParts},
    queue::{MOST_WAITING, Numbered, Queue},
    store::{Edge, Graph, Statistics},
};
use crate::{
    access::Entity,
    policy::{
        model::{Model, Restriction, Shape, TypeId},
        tuple::{InvalidTuple, RelationshipTuple, UserParts},
    },
};

/// What became of a tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is in the graph.
    Stored,
    /// The model does not allow it, so no decision will see it.
    SetAside(SetAsideReason),
}

/// Takes tuples one by one, without keeping their texts, and becomes a graph.
#[derive(Debug)]
pub struct GraphBuilder {
    model: Arc<Model>,
    names: Vec<Names>,
    // For each edge its tuples, as `object << 32 | user`.
    pairs: Vec<Vec<u64>>,
    // For each edge the tuples that carry a condition.
    conditions: Vec<HashMap<u64, Arc<Carried>, RandomState>>,
    // Equal conditions are kept once.
    known_conditions: HashMap<TupleCondition, Arc<Carried>, RandomState>,
    aside: Aside,
    queue: Queue,
}

impl GraphBuilder {
    /// An empty graph under this model.
    pub fn new(model: Arc<Model>) -> Self {
        Self {
            names: vec![Names::default(); model.type_count()],
            pairs: vec![Vec::new(); model.edge_count()],
            conditions: vec![HashMap::default(); model.edge_count()],
            known_conditions: HashMap::default(),
            aside: Aside::default(),
            queue: Queue::default(),
            model,
        }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Adds the tuple with these texts, without a condition. A tuple that was there before loses its condition.
    ///
    /// Refuses texts that no tuple can have. What a tuple may have, but the model does not allow, is set aside.
    pub fn add(&mut self, user: &str, relation: &str, object: &str) -> Result<Added, InvalidTuple> {
        self.add_texts(user, relation, object, None)
    }

    /// Adds the tuple with these texts, and the condition that it carries, if any. A tuple that was there before carries
    /// that from now on.
    pub fn add_with(&mut self, tuple: TupleText<'_>, condition: Option<TupleCondition>) -> Result<Added, InvalidTuple> {
        self.add_texts(tuple.user, tuple.relation, tuple.object, condition)
    }

    /// Adds a tuple without a condition.
    pub fn add_tuple(&mut self, tuple: &RelationshipTuple) -> Result<Added, InvalidTuple> {
        self.add_parts(tuple.into(), None)
    }

    fn add_texts(
        &mut self,
        user: &str,
        relation: &str,
        object: &str,
        condition: Option<TupleCondition>,
    ) -> Result<Added, InvalidTuple> {
        let (object_type, object_id) = Entity::split(object).map_err(InvalidTuple::Object)?;
        self.add_parts(TupleParts { user: UserParts::parse(user)?, relation, object_type, object_id }, condition)
    }

    fn add_parts(&mut self, tuple: TupleParts<'_>, condition: Option<TupleCondition>) -> Result<Added, InvalidTuple> {
        let found = Placement::find(&self.model, tuple).and_then(|placement| {
            placement.check_condition(&self.model, condition.as_ref())?;
            Ok((placement, condition.map(|condition| self.carried(condition)).transpose()?))
        });
        let (placement, condition) = match found {
            Ok(found) => found,
            Err(reason) => {
                self.aside.add(tuple, reason)?;
                return Ok(Added::SetAside(reason));
            }
        };
        // Rows count with 32 bits.
        let known = self.pairs.get(placement.edge as usize).ok_or(InvalidTuple::Full)?;
        if known.len() >= u32::MAX as usize - MOST_WAITING {
            return Err(InvalidTuple::Full);
        }
        let mut id = |of: TypeId, id: &str| self.queue.id(&self.names, of, id).ok_or(InvalidTuple::Full);
        let object = id(placement.object_type, tuple.object_id)?;
        let user = match tuple.user {
            UserParts::Wildcard { .. } => None,
            UserParts::Object { id: user, .. } | UserParts::Userset { id: user, .. } => {
                Some(id(placement.restriction.user_type, user)?)
            }
        };
        if self.queue.add(placement.edge, object, user, condition) {
            self.drain();
        }
        Ok(Added::Stored)
    }

    fn drain(&mut self) {
        let Self { names, pairs: all_pairs, conditions: all_conditions, queue, .. } = self;
        queue.drain(names, |Numbered { edge, object, user, condition }| {
            let pair = pair(object, user);
            if let Some(pairs) = all_pairs.get_mut(edge as usize) {
                pairs.push(pair);
            }
            let Some(conditions) = all_conditions.get_mut(edge as usize) else { return };
            if let Some(condition) = condition {
                conditions.insert(pair, condition);
            } else if !conditions.is_empty() {
                conditions.remove(&pair);
            }
        });
    }

    fn carried(&mut self, condition: TupleCondition) -> Result<Arc<Carried>, SetAsideReason> {
        if let Some(known) = self.known_conditions.get(&condition) {
            return Ok(Arc::clone(known));
        }
        let carried = Arc::new(Carried::new(&self.model, &condition)?);
        self.known_conditions.insert(condition, Arc::clone(&carried));
        Ok(carried)
    }

    /// The graph of all tuples added.
    pub fn finish(mut self) -> Graph {
        self.drain();
        let mut statistics = Statistics { set_aside: self.aside.count, ..Statistics::default() };
        let shrunk = self.names.iter_mut().map(|names| {
            names.shrink();
            Interner::new(std::mem::take(names))
        });
        let interners: Box<[Interner]> = shrunk.collect();
        let mut edges: Vec<Edge> = Vec::with_capacity(self.pairs.len());
        let mut repeated = Vec::new();
        for (_, relation) in self.model.all_relations() {
            let objects = interners.get(relation.object_type().index()).map_or(0, Interner::len);
            for (number, restriction) in relation.edges() {
                let mut pairs = self.pairs.get_mut(number as usize).map(std::mem::take).unwrap_or_default();
                pairs::sort(&mut pairs);
                statistics.repeated += without_repetitions(&mut pairs, |pair| {
                    if repeated.len() < MOST_EXAMPLES {
                        repeated.push((number, pair));
                    }
                });
                statistics.tuples += pairs.len();
                let mut edge = Edge::new(&pairs, objects, user_count(&interners, restriction));
                drop(pairs);
                if let Some(names) = interners.get(relation.object_type().index()) {
                    edge.users.place(names);
                }
                let conditions = self.conditions.get_mut(number as usize).map(std::mem::take).unwrap_or_default();
                let mut conditions: Vec<_> = conditions.into_iter().collect();
                conditions.sort_unstable_by_key(|(pair, _)| *pair);
                edge.conditions = Conditions::from_sorted(conditions);
                statistics.bytes += edge.bytes();
                edges.push(edge);
            }
        }
        statistics.objects = interners.iter().map(Interner::len).sum();
        statistics.bytes += interners.iter().map(Interner::bytes).sum::<usize>();
        let mut graph = Graph::new(self.model, interners, edges.into(), statistics);
        graph.aside = Arc::new(self.aside);
        graph.repeated =
            repeated.iter().filter_map(|(edge, pair)| graph.tuple(*edge, high(*pair), low(*pair))).collect();
        graph
    }
}

/// How many users the tuples of a restriction could name.
pub(super) fn user_count(interners: &[Interner], restriction: Restriction) -> usize {
    match restriction.shape {
        Shape::Wildcard => 1,
        Shape::Plain | Shape::Userset(_) => interners.get(restriction.user_type.index()).map_or(0, Interner::len),
    }
}

/// Takes repetitions out of sorted pairs, tells of each, and returns how many there were.
fn without_repetitions(pairs: &mut Vec<u64>, mut tell: impl FnMut(u64)) -> usize {
    let before = pairs.len();
    pairs.dedup_by(|next, kept| {
        let same = next == kept;
        if same {
            tell(*next);
        }
        same
    });
    before - pairs.len()
}
