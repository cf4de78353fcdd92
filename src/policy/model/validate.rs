//! The rules that a model must obey before it is used.

use std::collections::{HashMap, HashSet};

use thiserror::Error;

use super::{
    entrypoint,
    nearest::did_you_mean,
    rewrite::Rewrite,
    source::{ModelSource, Placed, RelationSource, RestrictionSource, Shape, TypeSource},
};
use crate::{
    access::{Place, RelationName, TypeName},
    policy::condition::{ConditionFault, ConditionName, ConditionSource},
};

/// The most types that an OpenFGA server takes unless it is set up otherwise: for doors that speak its HTTP API. A model
/// from a file may have more.
pub const MOST_TYPES_OF_A_SERVER: usize = 100;
/// The most conditions that an OpenFGA server takes, at the same doors.
pub const MOST_CONDITIONS_OF_A_SERVER: usize = 25;
/// The most types a model may have at all.
const MOST_TYPES: usize = 10_000;
/// The most levels a rewrite may be nested.
const DEEPEST_REWRITE: usize = 64;

/// What is wrong with a model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ModelFault {
    /// A model without types.
    #[error("the model defines no type")]
    NoTypes,
    /// More types than can be numbered with ease.
    #[error("the model has {0} types, at most {MOST_TYPES} are allowed")]
    TooManyTypes(usize),
    /// Two types of one name.
    #[error("type `{0}` is already defined on line {1}")]
    DuplicateType(TypeName, u32),
    /// Two relations of one name on one type.
    #[error("relation `{0}` is already defined on line {1}")]
    DuplicateRelation(RelationName, u32),
    /// `self` and `this` have a meaning of their own.
    #[error("`{0}` is a reserved word")]
    Reserved(String),
    /// A rewrite inside rewrites without end.
    #[error("relation `{0}` nests more than {DEEPEST_REWRITE} levels deep")]
    TooDeep(RelationName),
    /// `or`, `and` with fewer than two operands.
    #[error("relation `{0}` combines fewer than two operands")]
    TooFewOperands(RelationName),
    /// A direct relation that no user may be assigned to.
    #[error("relation `{0}` is assignable but names no type that may be assigned")]
    NoRestrictions(RelationName),
    /// Types for a relation that tuples cannot give.
    #[error("relation `{0}` names types but is not assignable")]
    NotAssignable(RelationName),
    /// A restriction names a type that is not there.
    #[error("`{0}` is not a type of this model")]
    UnknownType(TypeName),
    /// A restriction names a condition that is not there.
    #[error("`{0}` is not a condition of this model")]
    UnknownCondition(ConditionName),
    /// Two conditions of one name.
    #[error("condition `{0}` is already defined on line {1}")]
    DuplicateCondition(ConditionName, u32),
    /// Two parameters of one name.
    #[error("condition `{0}` declares `{1}` twice")]
    DuplicateParameter(ConditionName, String),
    /// A condition that does not compile.
    #[error("condition `{0}`: {1}")]
    Condition(ConditionName, ConditionFault),
    /// A rewrite or restriction names a relation that is not there.
    #[error("`{1}` is not a relation of type `{0}`")]
    UnknownRelation(TypeName, RelationName),
    /// `define a: a`.
    #[error("relation `{0}` is defined by itself")]
    SelfReference(RelationName),
    /// Computed relations that come back to where they began.
    #[error("relation `{0}` is defined by itself through other relations of type `{1}`")]
    Cycle(RelationName, TypeName),
    /// The relation after `from` is computed.
    #[error("`{0}` stands after `from`, so it must be assigned directly and only so")]
    TuplesetNotDirect(RelationName),
    /// The relation after `from` lets in wildcards or usersets.
    #[error("`{0}` stands after `from`, so it may name plain types only, not `{1}`")]
    TuplesetNotPlain(RelationName, String),
    /// `x from parent` where no parent has `x`.
    #[error("`{0}` is not a relation of any type that `{1}` may name")]
    NoComputedSide(RelationName, RelationName),
    /// Nobody could ever have the relation.
    #[error("relation `{0}` of type `{1}` can never hold: no tuple leads into it")]
    NoEntrypoint(RelationName, TypeName),
    /// A way in that OpenFGA does not find, because it looks at each relation of a type once.
    #[error(
        "relation `{0}` of type `{1}` comes back to relations that were on the way: OpenFGA sees no tuple lead into it"
    )]
    Loop(RelationName, TypeName),
}

/// A fault, where it is, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{fault}")]
pub struct ModelProblem {
    /// Where it was written.
    pub place: Place,
    /// What is wrong.
    pub fault: ModelFault,
    /// What would be right.
    pub help: Option<String>,
}

/// Says everything that is wrong with a model. The rules about ways through it are only asked once all names resolve.
pub(super) fn validate(source: &ModelSource) -> Result<(), Vec<ModelProblem>> {
    let mut rules = Rules { source, types: HashMap::new(), conditions: HashMap::new(), problems: Vec::new() };
    rules.names();
    rules.conditions();
    for written in &source.types {
        for relation in &written.relations {
            rules.relation(written, relation);
        }
    }
    if rules.problems.is_empty() {
        rules.problems = entrypoint::problems(source);
    }
    if rules.problems.is_empty() { Ok(()) } else { Err(rules.problems) }
}

type RelationsByName<'a> = HashMap<&'a RelationName, &'a RelationSource>;

struct Rules<'a> {
    source: &'a ModelSource,
    types: HashMap<&'a TypeName, RelationsByName<'a>>,
    conditions: HashMap<&'a ConditionName, &'a ConditionSource>,
    problems: Vec<ModelProblem>,
}

impl<'a> Rules<'a> {
    fn report(&mut self, place: Place, fault: ModelFault, help: Option<String>) {
        self.problems.push(ModelProblem { place, fault, help });
    }

    fn names(&mut self) {
        let count = self.source.types.len();
        match self.source.types.get(MOST_TYPES) {
            Some(first) => self.report(first.name.place, ModelFault::TooManyTypes(count), None),
            None if count == 0 => self.report(Place::default(), ModelFault::NoTypes, None),
            None => {}
        }
        let mut first_lines: HashMap<&TypeName, u32> = HashMap::new();
        for written in &self.source.types {
            let name = &written.name;
            self.reserved(name.value.as_str(), name.place);
            if let Some(line) = first_lines.get(&name.value) {
                self.report(name.place, ModelFault::DuplicateType(name.value.clone(), *line), None);
                continue;
            }
            first_lines.insert(&name.value, name.place.line);
            let relations = self.relation_names(written);
            self.types.insert(&name.value, relations);
        }
    }

    fn relation_names(&mut self, written: &'a TypeSource) -> RelationsByName<'a> {
        let mut relations = RelationsByName::new();
        for relation in &written.relations {
            let name = &relation.name;
            self.reserved(name.value.as_str(), name.place);
            match relations.get(&name.value) {
                Some(first) => {
                    let fault = ModelFault::DuplicateRelation(name.value.clone(), first.name.place.line);
                    self.report(name.place, fault, None);
                }
                None => drop(relations.insert(&name.value, relation)),
            }
        }
        relations
    }

    fn reserved(&mut self, name: &str, place: Place) {
        if matches!(name, "self" | "this") {
            self.report(place, ModelFault::Reserved(name.to_owned()), Some("choose another name".to_owned()));
        }
    }

    fn conditions(&mut self) {
        for condition in &self.source.conditions {
            let name = &condition.name;
            if let Some(first) = self.conditions.get(&name.value) {
                let fault = ModelFault::DuplicateCondition(name.value.clone(), first.name.place.line);
                self.report(name.place, fault, None);
                continue;
            }
            self.conditions.insert(&name.value, condition);
            let mut seen = HashSet::new();
            for parameter in &condition.parameters {
                if !seen.insert(&parameter.name.value) {
                    let fault = ModelFault::DuplicateParameter(name.value.clone(), parameter.name.value.clone());
                    self.report(parameter.name.place, fault, None);
                }
            }
        }
    }

    fn relation(&mut self, written: &'a TypeSource, relation: &'a RelationSource) {
        let name = &relation.name;
        if is_deeper(&relation.rewrite, DEEPEST_REWRITE) {
            return self.report(name.place, ModelFault::TooDeep(name.value.clone()), None);
        }
        match (relation.rewrite.is_assignable(), relation.restrictions.first()) {
            (true, None) => self.report(name.place, ModelFault::NoRestrictions(name.value.clone()), None),
            (false, Some(first)) => {
                self.report(first.user_type.place, ModelFault::NotAssignable(name.value.clone()), None);
            }
            (true, Some(_)) | (false, None) => {}
        }
        relation.restrictions.iter().for_each(|restriction| self.restriction(restriction));
        self.rewrite(written, relation, &relation.rewrite);
    }

    fn restriction(&mut self, restriction: &'a RestrictionSource) {
        if let Some(condition) = &restriction.condition
            && !self.conditions.contains_key(&condition.value)
        {
            let names = self.source.conditions.iter().map(|known| known.name.value.as_str());
            let help = did_you_mean(condition.value.as_str(), names);
            self.report(condition.place, ModelFault::UnknownCondition(condition.value.clone()), help);
        }
        let user_type = &restriction.user_type;
        let Some(relations) = self.types.get(&user_type.value) else {
            let help = did_you_mean(user_type.value.as_str(), self.source.types.iter().map(|t| t.name.value.as_str()));
            return self.report(user_type.place, ModelFault::UnknownType(user_type.value.clone()), help);
        };
        match &restriction.shape {
            Shape::Plain | Shape::Wildcard => {}
            Shape::Userset(relation) if relations.contains_key(&relation.value) => {}
            Shape::Userset(relation) => self.unknown_relation(&user_type.value, relation),
        }
    }

    fn rewrite(
        &mut self,
        written: &'a TypeSource,
        relation: &'a RelationSource,
        rewrite: &'a Rewrite<Placed<RelationName>>,
    ) {
        match rewrite {
            Rewrite::Direct => {}
            Rewrite::Computed(target) if target.value == relation.name.value => {
                let help = "a relation is made of other relations or of `[types]`".to_owned();
                self.report(target.place, ModelFault::SelfReference(target.value.clone()), Some(help));
            }
            Rewrite::Computed(target) => {
                if self.find(&written.name.value, &target.value).is_none() {
                    self.unknown_relation(&written.name.value, target);
                }
            }
            Rewrite::TupleToUserset { computed, tupleset } => self.tuple_to_userset(written, computed, tupleset),
            Rewrite::Union(operands) | Rewrite::Intersection(operands) if operands.len() < 2 => {
                self.report(relation.name.place, ModelFault::TooFewOperands(relation.name.value.clone()), None);
            }
            Rewrite::Union(_) | Rewrite::Intersection(_) | Rewrite::Exclusion { .. } => {
                rewrite.operands().for_each(|operand| self.rewrite(written, relation, operand));
            }
        }
    }

    fn tuple_to_userset(
        &mut self,
        written: &'a TypeSource,
        computed: &Placed<RelationName>,
        tupleset: &Placed<RelationName>,
    ) {
        let Some(found) = self.find(&written.name.value, &tupleset.value) else {
            return self.unknown_relation(&written.name.value, tupleset);
        };
        if found.rewrite != Rewrite::Direct {
            let help = format!("write `define {}: [type]`", tupleset.value);
            return self.report(tupleset.place, ModelFault::TuplesetNotDirect(tupleset.value.clone()), Some(help));
        }
        if let Some(restriction) = found.restrictions.iter().find(|restriction| restriction.shape != Shape::Plain) {
            let user_type = &restriction.user_type.value;
            let text = match &restriction.shape {
                Shape::Plain => user_type.to_string(),
                Shape::Wildcard => format!("{user_type}:*"),
                Shape::Userset(relation) => format!("{user_type}#{}", relation.value),
            };
            let help = format!("let `{}` name `{user_type}` alone", tupleset.value);
            let fault = ModelFault::TuplesetNotPlain(tupleset.value.clone(), text);
            return self.report(tupleset.place, fault, Some(help));
        }
        let types: Vec<&TypeName> = found.restrictions.iter().map(|restriction| &restriction.user_type.value).collect();
        if !types.iter().any(|user_type| self.find(user_type, &computed.value).is_some()) {
            let names = types.iter().filter_map(|user_type| self.types.get(user_type)).flat_map(HashMap::keys);
            let help = did_you_mean(computed.value.as_str(), names.map(|name| name.as_str()));
            let fault = ModelFault::NoComputedSide(computed.value.clone(), tupleset.value.clone());
            self.report(computed.place, fault, help);
        }
    }

    fn find(&self, type_name: &TypeName, relation: &RelationName) -> Option<&'a RelationSource> {
        self.types.get(type_name)?.get(relation).copied()
    }

    fn unknown_relation(&mut self, type_name: &TypeName, relation: &Placed<RelationName>) {
        let written = self.source.types.iter().find(|written| written.name.value == *type_name);
        let names = written.into_iter().flat_map(|written| &written.relations).map(|found| found.name.value.as_str());
        let help = did_you_mean(relation.value.as_str(), names);
        let fault = ModelFault::UnknownRelation(type_name.clone(), relation.value.clone());
        self.report(relation.place, fault, help);
    }
}

fn is_deeper<N>(rewrite: &Rewrite<N>, levels: usize) -> bool {
    levels == 0 || rewrite.operands().any(|operand| is_deeper(operand, levels - 1))
}
