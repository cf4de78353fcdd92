//! What a relation of an object is made of, one level deep.

use std::fmt;

use crate::{
    access::{Entity, RelationName},
    policy::{
        engine::{CheckError, Policy},
        graph::{Number, UNKNOWN},
        model::{Relation, Rewrite},
        tuple::User,
    },
};

/// All who have a relation on an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Userset {
    /// The object.
    pub object: Entity,
    /// The relation.
    pub relation: RelationName,
}

impl fmt::Display for Userset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.object, self.relation)
    }
}

/// A relation of an object, one level deep: what is behind its usersets is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsersetTree {
    /// The users of its tuples, sorted by their texts, whatever conditions they carry.
    Users(Vec<User>),
    /// Another relation of the object.
    Computed(Userset),
    /// A relation of the objects that the tuples of another relation name.
    TupleToUserset {
        /// The relation whose tuples name the other objects.
        tupleset: Userset,
        /// The relation of each of them, sorted.
        computed: Vec<Userset>,
    },
    /// Any of these.
    Union(Vec<Self>),
    /// All of these.
    Intersection(Vec<Self>),
    /// Those of the base that are not among the subtracted.
    Difference {
        /// Who is in.
        base: Box<Self>,
        /// Who is out again.
        subtract: Box<Self>,
    },
}

/// The relation whose tree is grown, and the object.
#[derive(Clone, Copy)]
struct Place<'a> {
    relation: &'a Relation,
    object: &'a Entity,
    number: Number,
}

impl Policy {
    /// What the relation of the object is made of.
    pub fn expand(&self, object: &Entity, relation: &RelationName) -> Result<UsersetTree, CheckError> {
        let id = self.relation(object.type_name(), relation.as_str())?;
        let unknown = || CheckError::UnknownRelation(object.type_name().to_owned(), relation.as_str().to_owned());
        let relation = self.model().relation(id).ok_or_else(unknown)?;
        let number = self.graph().number(relation.object_type(), object.id()).unwrap_or(UNKNOWN);
        Ok(self.tree(Place { relation, object, number }, relation.rewrite()))
    }

    fn tree(&self, place: Place<'_>, rewrite: &Rewrite<RelationName>) -> UsersetTree {
        let userset = |relation: &RelationName| Userset { object: place.object.clone(), relation: relation.clone() };
        let each = |operands: &[Rewrite<RelationName>]| -> Vec<UsersetTree> {
            operands.iter().map(|operand| self.tree(place, operand)).collect()
        };
        match rewrite {
            Rewrite::Direct => UsersetTree::Users(self.users_of_tuples(place)),
            Rewrite::Computed(relation) => UsersetTree::Computed(userset(relation)),
            Rewrite::TupleToUserset { computed, tupleset } => {
                let model = self.model();
                let parents = model.relation_id(place.relation.object_type(), tupleset.as_str());
                let parents = parents.and_then(|id| model.relation(id));
                let parents = parents.map(|relation| self.users_of_tuples(Place { relation, ..place }));
                let of_parent = |parent: User| match parent {
                    User::Object(object) => Some(Userset { object, relation: computed.clone() }),
                    // No tupleset holds others.
                    User::Wildcard(_) | User::Userset(..) => None,
                };
                let computed = parents.into_iter().flatten().filter_map(of_parent).collect();
                UsersetTree::TupleToUserset { tupleset: userset(tupleset), computed }
            }
            Rewrite::Union(operands) => UsersetTree::Union(each(operands)),
            Rewrite::Intersection(operands) => UsersetTree::Intersection(each(operands)),
            Rewrite::Exclusion { base, subtract } => UsersetTree::Difference {
                base: Box::new(self.tree(place, base)),
                subtract: Box::new(self.tree(place, subtract)),
            },
        }
    }

    /// The users that the relation's tuples name, sorted by their texts.
    fn users_of_tuples(&self, place: Place<'_>) -> Vec<User> {
        let graph = self.graph();
        let mut users = Vec::new();
        for (edge, restriction) in place.relation.edges() {
            let row = graph.users(edge, place.number);
            users.extend(row.iter().filter_map(|user| graph.user(restriction, user)));
        }
        users.sort_by_cached_key(User::to_string);
        users
    }
}
