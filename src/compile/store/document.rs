//! What a store file says.

use std::sync::Arc;

use crate::{
    access::{Entity, Place, RelationName, TypeName},
    compile::api_json::Json,
    policy::{ContextMap, Model, Placed, RelationshipTuple, TupleCondition, User},
};

/// A store file, with everything that it names.
#[derive(Debug)]
pub struct StoreFile {
    /// The file, as the reader of a diagnostic knows it.
    pub file: Arc<str>,
    /// What it is called.
    pub name: Option<String>,
    /// The model.
    pub model: Arc<Model>,
    /// The model as OpenFGA's API gives it, without an id.
    pub model_json: Json,
    /// The tuples that every test begins with.
    pub tuples: Vec<StoreTuple>,
    /// The tests.
    pub tests: Vec<StoreTest>,
}

/// A tuple of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreTuple {
    /// The tuple.
    pub tuple: RelationshipTuple,
    /// The condition that it carries.
    pub condition: Option<TupleCondition>,
}

/// A test: further tuples, questions, and the answers that are right.
#[derive(Debug)]
pub struct StoreTest {
    /// Where it is.
    pub place: Place,
    /// What it is called.
    pub name: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// The tuples that it adds.
    pub tuples: Vec<StoreTuple>,
    /// Who may do what.
    pub checks: Vec<StoreCheck>,
    /// Which objects a user has.
    pub list_objects: Vec<StoreListObjects>,
    /// Which users an object has.
    pub list_users: Vec<StoreListUsers>,
}

/// A relation, and the answer that is right for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreAssertion<T> {
    /// The relation.
    pub relation: Placed<RelationName>,
    /// The right answer.
    pub expected: T,
}

/// Whether each of these users has the relations on each of these objects.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreCheck {
    /// The users, at least one.
    pub users: Vec<Placed<User>>,
    /// The objects, at least one.
    pub objects: Vec<Placed<Entity>>,
    /// The context of the questions.
    pub context: ContextMap,
    /// The answers.
    pub assertions: Vec<StoreAssertion<bool>>,
}

/// On which objects of a type a user has the relations.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreListObjects {
    /// The user.
    pub user: Placed<User>,
    /// The type of the objects.
    pub object_type: Placed<TypeName>,
    /// The context of the questions.
    pub context: ContextMap,
    /// The objects, in no order.
    pub assertions: Vec<StoreAssertion<Vec<Placed<Entity>>>>,
}

/// Users of a type, or all who have a relation on an object of the type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUserFilter {
    /// The type.
    pub user_type: Placed<TypeName>,
    /// The relation.
    pub relation: Option<Placed<RelationName>>,
}

/// Which users have the relations on an object.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreListUsers {
    /// The object.
    pub object: Placed<Entity>,
    /// Of which users. OpenFGA takes the first filter alone.
    pub filters: Vec<StoreUserFilter>,
    /// The context of the questions.
    pub context: ContextMap,
    /// The users, in no order.
    pub assertions: Vec<StoreAssertion<Vec<Placed<User>>>>,
}
