//! Builds a graph from tuples in any order.

use std::sync::Arc;

use super::{
    interner::Interner,
    rows::{Rows, pair, transposed},
    store::{Edge, Graph, SetAside, SetAsideReason, Statistics},
};
use crate::{
    access::{Entity, InvalidName, RelationName},
    policy::{
        model::{Model, Shape},
        tuple::{InvalidTuple, RelationshipTuple, UserParts},
    },
};

/// How many of the tuples that were set aside are kept.
const MOST_EXAMPLES: usize = 100;

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
    interners: Vec<Interner>,
    // For each edge its tuples, as `object << 32 | user`.
    pairs: Vec<Vec<u64>>,
    set_aside: usize,
    examples: Vec<SetAside>,
}

impl GraphBuilder {
    /// An empty graph under this model.
    pub fn new(model: Arc<Model>) -> Self {
        Self {
            interners: (0..model.type_count()).map(|_| Interner::default()).collect(),
            pairs: vec![Vec::new(); model.edge_count()],
            set_aside: 0,
            examples: Vec::new(),
            model,
        }
    }

    /// Adds the tuple with these texts. A tuple that was there before changes nothing.
    ///
    /// Refuses texts that no tuple can have. What a tuple may have, but the model does not allow, is set aside.
    pub fn add(&mut self, user: &str, relation: &str, object: &str) -> Result<Added, InvalidTuple> {
        let (object_type, id) = Entity::split(object).map_err(InvalidTuple::Object)?;
        self.add_parts(UserParts::parse(user)?, relation, (object_type, id))
    }

    /// Adds a tuple.
    pub fn add_tuple(&mut self, tuple: &RelationshipTuple) -> Result<Added, InvalidTuple> {
        let object = (tuple.object.type_name(), tuple.object.id());
        self.add_parts((&tuple.user).into(), tuple.relation.as_str(), object)
    }

    fn add_parts(&mut self, user: UserParts<'_>, relation: &str, object: (&str, &str)) -> Result<Added, InvalidTuple> {
        let (object_type, id) = object;
        let Some(type_id) = self.model.type_id(object_type) else {
            return self.put_aside(user, relation, object, SetAsideReason::UnknownType);
        };
        let Some(found) = self.model.relation_id(type_id, relation).and_then(|id| self.model.relation(id)) else {
            return self.put_aside(user, relation, object, SetAsideReason::UnknownRelation);
        };
        let Some((edge, restriction)) = found.edges().find(|(_, known)| {
            // Tuples of the graph have no conditions yet.
            self.model.lets_in(*known, user) && found.allows_unconditioned(*known)
        }) else {
            return self.put_aside(user, relation, object, SetAsideReason::UserNotAllowed);
        };
        let object = self.interners.get_mut(type_id.index()).and_then(|ids| ids.intern(id));
        let object = object.ok_or(InvalidTuple::Full)?;
        let user = match user {
            UserParts::Wildcard { .. } => 0,
            UserParts::Object { id, .. } | UserParts::Userset { id, .. } => {
                let ids = self.interners.get_mut(restriction.user_type.index());
                ids.and_then(|ids| ids.intern(id)).ok_or(InvalidTuple::Full)?
            }
        };
        // Rows count with 32 bits.
        let pairs = self.pairs.get_mut(edge as usize).filter(|pairs| pairs.len() < u32::MAX as usize);
        pairs.ok_or(InvalidTuple::Full)?.push(pair(object, user));
        Ok(Added::Stored)
    }

    /// The graph of all tuples added.
    pub fn finish(mut self) -> Graph {
        let mut statistics = Statistics { set_aside: self.set_aside, ..Statistics::default() };
        self.interners.iter_mut().for_each(Interner::shrink);
        let mut edges: Vec<Edge> = Vec::with_capacity(self.pairs.len());
        for (_, relation) in self.model.all_relations() {
            let objects = self.interners.get(relation.object_type().index()).map_or(0, Interner::len);
            for (number, restriction) in relation.edges() {
                let mut pairs = self.pairs.get_mut(number as usize).map(std::mem::take).unwrap_or_default();
                let added = pairs.len();
                pairs.sort_unstable();
                pairs.dedup();
                statistics.repeated += added - pairs.len();
                statistics.tuples += pairs.len();
                let users = match restriction.shape {
                    Shape::Wildcard => 1,
                    Shape::Plain | Shape::Userset(_) => {
                        self.interners.get(restriction.user_type.index()).map_or(0, Interner::len)
                    }
                };
                let forward = Rows::new(&pairs, objects);
                let edge = Edge { users: forward, objects: Rows::new(&transposed(&pairs, users), users) };
                statistics.bytes += edge.users.bytes() + edge.objects.bytes();
                edges.push(edge);
            }
        }
        statistics.objects = self.interners.iter().map(Interner::len).sum();
        statistics.bytes += self.interners.iter().map(Interner::bytes).sum::<usize>();
        Graph {
            model: self.model,
            interners: self.interners.into(),
            edges: edges.into(),
            statistics,
            examples: self.examples.into(),
        }
    }

    fn put_aside(
        &mut self,
        user: UserParts<'_>,
        relation: &str,
        (object_type, id): (&str, &str),
        reason: SetAsideReason,
    ) -> Result<Added, InvalidTuple> {
        if !RelationName::is_valid(relation) {
            return Err(InvalidTuple::Relation(InvalidName::Relation(relation.to_owned())));
        }
        if self.examples.len() < MOST_EXAMPLES {
            let tuple = RelationshipTuple::parse(&user.to_text(), relation, &format!("{object_type}:{id}"))?;
            self.examples.push(SetAside { tuple, reason });
        }
        self.set_aside += 1;
        Ok(Added::SetAside(reason))
    }
}
