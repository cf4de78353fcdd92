//! A model that is known to be right, with its types and relations numbered.

use super::{
    conditions::Conditions,
    lookup::Lookup,
    nearest::nearest,
    rewrite::Rewrite,
    source::{ModelSource, Placed, RelationSource, Shape},
    validate::{ModelProblem, validate},
};
use crate::{
    access::{RelationName, TypeName},
    policy::{
        condition::ConditionName,
        tuple::{User, UserParts},
    },
};

/// The number of a type within its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub(in crate::policy) u16);

impl TypeId {
    pub(in crate::policy) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The number of a relation of a type within its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationId(pub(in crate::policy) u32);

impl RelationId {
    pub(in crate::policy) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which users a relation's tuples may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restriction {
    /// The type of user.
    pub user_type: TypeId,
    /// Which users of it.
    pub shape: Shape<RelationId>,
}

/// With which conditions a restriction is written: `[user, user with c]` is one restriction with two terms.
#[derive(Debug, Default, PartialEq, Eq)]
struct Terms {
    unconditioned: bool,
    conditions: Vec<ConditionName>,
}

/// A relation of a type.
#[derive(Debug)]
pub struct Relation {
    name: RelationName,
    object_type: TypeId,
    restrictions: Box<[Restriction]>,
    // INVARIANT: as many as `restrictions`, and of these.
    terms: Box<[Terms]>,
    rewrite: Rewrite<RelationName>,
    // The number of this relation's first restriction among all restrictions of the model.
    first_edge: u32,
}

impl Relation {
    /// Its name.
    pub fn name(&self) -> &RelationName {
        &self.name
    }

    /// The type whose objects have it.
    pub fn object_type(&self) -> TypeId {
        self.object_type
    }

    /// Which users its tuples may name, without repetitions.
    pub fn restrictions(&self) -> &[Restriction] {
        &self.restrictions
    }

    /// How it is computed.
    pub fn rewrite(&self) -> &Rewrite<RelationName> {
        &self.rewrite
    }

    /// Whether a tuple without a condition may be of this restriction.
    pub fn allows_unconditioned(&self, restriction: Restriction) -> bool {
        self.restrictions.iter().zip(&self.terms).any(|(known, terms)| *known == restriction && terms.unconditioned)
    }

    /// Whether a tuple that names a user of this type may carry this condition. OpenFGA does not ask of which
    /// restriction: with `[user with c, user:*]` a tuple for `user:*` may carry `c`.
    pub fn allows_condition(&self, user_type: TypeId, condition: &str) -> bool {
        let mut restrictions = self.restrictions.iter().zip(&self.terms);
        restrictions.any(|(known, terms)| {
            known.user_type == user_type && terms.conditions.iter().any(|name| name.as_str() == condition)
        })
    }

    /// Its restrictions with their numbers among all restrictions of the model.
    pub(in crate::policy) fn edges(&self) -> impl Iterator<Item = (u32, Restriction)> {
        (self.first_edge..).zip(self.restrictions.iter().copied())
    }
}

#[derive(Debug)]
struct ObjectType {
    name: TypeName,
    relations: Lookup<RelationId>,
}

/// A checked model. It can only be made by [`Model::new`], so what it names exists.
#[derive(Debug)]
pub struct Model {
    types: Box<[ObjectType]>,
    // INVARIANT: the relations of one type are neighbours, in the order they are written.
    relations: Box<[Relation]>,
    type_ids: Lookup<TypeId>,
    conditions: Conditions,
    edge_count: usize,
}

impl Model {
    /// Checks a model by the rules of OpenFGA's `NewAndValidate` and numbers it, or says everything that is wrong.
    pub fn new(source: ModelSource) -> Result<Self, Vec<ModelProblem>> {
        let mut problems = validate(&source).err().unwrap_or_default();
        let conditions = Conditions::new(&source.conditions).unwrap_or_else(|found| {
            problems.extend(found);
            Conditions::default()
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        let type_ids =
            Lookup::new(source.types.iter().map(|written| written.name.value.as_str()).zip((0..).map(TypeId)));
        let mut next = (0..).map(RelationId);
        let types: Box<[ObjectType]> = source
            .types
            .iter()
            .map(|written| ObjectType {
                name: written.name.value.clone(),
                relations: Lookup::new(written.relations.iter().map(|r| r.name.value.as_str()).zip(next.by_ref())),
            })
            .collect();
        let mut model = Self { types, relations: Box::default(), type_ids, conditions, edge_count: 0 };
        let mut relations = Vec::new();
        let mut first_edge = 0_u32;
        for (object_type, written) in (0..).map(TypeId).zip(source.types) {
            for relation in written.relations {
                let (restrictions, terms) = model.restrictions_of(&relation);
                let count = u32::try_from(restrictions.len()).unwrap_or(u32::MAX);
                relations.push(Relation {
                    name: relation.name.value,
                    object_type,
                    restrictions: restrictions.into(),
                    terms: terms.into(),
                    rewrite: relation.rewrite.map(&mut |name| name.value),
                    first_edge,
                });
                first_edge = first_edge.saturating_add(count);
            }
        }
        model.relations = relations.into();
        model.edge_count = first_edge as usize;
        Ok(model)
    }

    /// Whether the model has this type.
    pub fn has_type(&self, type_name: &str) -> bool {
        self.type_id(type_name).is_some()
    }

    /// Whether the type exists and has this relation.
    pub fn has_relation(&self, type_name: &str, relation: &str) -> bool {
        self.type_id(type_name).is_some_and(|id| self.relation_id(id, relation).is_some())
    }

    /// The names of all types, in the order they are written.
    pub fn types(&self) -> impl Iterator<Item = &TypeName> {
        self.types.iter().map(|object_type| &object_type.name)
    }

    /// The names of a type's relations, in the order they are written.
    pub fn relations(&self, type_name: &str) -> impl Iterator<Item = &RelationName> {
        let id = self.type_id(type_name);
        self.relations.iter().filter(move |relation| Some(relation.object_type) == id).map(|relation| &relation.name)
    }

    /// The type that was probably meant by a name that is none.
    pub fn nearest_type(&self, wrong: &str) -> Option<&str> {
        nearest(wrong, self.types().map(TypeName::as_str))
    }

    /// The relation of the type that was probably meant by a name that is none.
    pub fn nearest_relation(&self, type_name: &str, wrong: &str) -> Option<&str> {
        nearest(wrong, self.relations(type_name).map(RelationName::as_str))
    }

    /// How many relations there are in all types.
    pub fn relation_count(&self) -> usize {
        self.relations.len()
    }

    /// The number of a type.
    pub fn type_id(&self, type_name: &str) -> Option<TypeId> {
        self.type_ids.find(type_name)
    }

    /// The number of a type's relation.
    pub fn relation_id(&self, object_type: TypeId, relation: &str) -> Option<RelationId> {
        self.types.get(object_type.index())?.relations.find(relation)
    }

    /// The relation with this number.
    pub fn relation(&self, id: RelationId) -> Option<&Relation> {
        self.relations.get(id.index())
    }

    /// The name of the type with this number.
    pub fn type_name(&self, id: TypeId) -> &str {
        self.types.get(id.index()).map_or("", |object_type| object_type.name.as_str())
    }

    /// All relations with their numbers.
    pub fn all_relations(&self) -> impl DoubleEndedIterator<Item = (RelationId, &Relation)> {
        self.relations.iter().enumerate().map(|(index, relation)| (relation_number(index), relation))
    }

    /// The conditions.
    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// The users that tuples may give the relation to, as a person writes them; none if it is computed.
    pub fn restrictions(&self, type_name: &str, relation: &str) -> Vec<String> {
        let id = self.type_id(type_name).and_then(|id| self.relation_id(id, relation));
        let Some(found) = id.and_then(|id| self.relation(id)) else { return Vec::new() };
        let mut texts = Vec::new();
        for (restriction, terms) in found.restrictions.iter().zip(&found.terms) {
            let text = self.restriction_text(*restriction);
            texts.extend(terms.conditions.iter().map(|condition| format!("{text} with {condition}")));
            if terms.unconditioned {
                texts.push(text);
            }
        }
        texts
    }

    /// A restriction as a person writes it: `user`, `user:*` or `group#member`.
    pub fn restriction_text(&self, restriction: Restriction) -> String {
        let user_type = self.type_name(restriction.user_type);
        match restriction.shape {
            Shape::Plain => user_type.to_owned(),
            Shape::Wildcard => format!("{user_type}:*"),
            Shape::Userset(id) => {
                format!("{user_type}#{}", self.relation(id).map_or("", |relation| relation.name.as_str()))
            }
        }
    }

    /// Whether tuples may give this user the relation on objects of this type, under this condition or under none.
    ///
    /// By OpenFGA's rule some restriction must have the user's type and shape, whatever its condition. Then a tuple with
    /// a condition needs it in any restriction of the type, and one without needs a restriction without.
    pub fn allows(&self, object_type: &str, relation: &str, user: &User, condition: Option<&ConditionName>) -> bool {
        let id = self.type_id(object_type).and_then(|id| self.relation_id(id, relation));
        let Some(found) = id.and_then(|id| self.relation(id)) else { return false };
        let Some(restriction) = found.restrictions.iter().copied().find(|known| self.lets_in(*known, user.into()))
        else {
            return false;
        };
        match condition {
            Some(condition) => found.allows_condition(restriction.user_type, condition.as_str()),
            None => found.allows_unconditioned(restriction),
        }
    }

    /// Whether a restriction lets in a user: same type, same shape, same relation (OpenFGA's rule for tuples).
    pub(in crate::policy) fn lets_in(&self, restriction: Restriction, user: UserParts<'_>) -> bool {
        let is_type = |user_type: &str| self.type_name(restriction.user_type) == user_type;
        match (restriction.shape, user) {
            (Shape::Plain, UserParts::Object { user_type, .. })
            | (Shape::Wildcard, UserParts::Wildcard { user_type }) => is_type(user_type),
            (Shape::Userset(id), UserParts::Userset { user_type, relation, .. }) => {
                is_type(user_type) && self.relation(id).is_some_and(|known| known.name.as_str() == relation)
            }
            (Shape::Plain | Shape::Wildcard | Shape::Userset(_), _) => false,
        }
    }

    pub(in crate::policy) fn type_count(&self) -> usize {
        self.types.len()
    }

    pub(in crate::policy) fn edge_count(&self) -> usize {
        self.edge_count
    }

    /// The distinct restrictions of a relation, and the terms of each.
    fn restrictions_of(&self, relation: &RelationSource) -> (Vec<Restriction>, Vec<Terms>) {
        let (mut restrictions, mut all_terms) = (Vec::new(), Vec::<Terms>::new());
        for written in &relation.restrictions {
            let Some(restriction) = self.restriction(written.user_type.value.as_str(), &written.shape) else {
                continue;
            };
            let number = restrictions.iter().position(|known| *known == restriction).unwrap_or(restrictions.len());
            if number == restrictions.len() {
                restrictions.push(restriction);
                all_terms.push(Terms::default());
            }
            let Some(terms) = all_terms.get_mut(number) else { continue };
            match &written.condition {
                None => terms.unconditioned = true,
                Some(condition) if terms.conditions.contains(&condition.value) => {}
                Some(condition) => terms.conditions.push(condition.value.clone()),
            }
        }
        (restrictions, all_terms)
    }

    fn restriction(&self, user_type: &str, shape: &Shape<Placed<RelationName>>) -> Option<Restriction> {
        let user_type = self.type_id(user_type)?;
        let shape = match shape {
            Shape::Plain => Shape::Plain,
            Shape::Wildcard => Shape::Wildcard,
            Shape::Userset(relation) => Shape::Userset(self.relation_id(user_type, relation.value.as_str())?),
        };
        Some(Restriction { user_type, shape })
    }
}

fn relation_number(index: usize) -> RelationId {
    RelationId(u32::try_from(index).unwrap_or(u32::MAX))
}
