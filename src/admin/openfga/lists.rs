//! Which objects, which users, and what a relation is made of.

use std::{ops::ControlFlow, sync::Arc};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    access::{Entity, InvalidName, RelationName, Timestamp, TypeName},
    admin::deadline::Deadline,
    policy::{
        ContextMap, InvalidTuple, Model, ObjectsQuestion, Policy, Searched, User, UserFilter, UsersQuestion, Userset,
        UsersetTree,
    },
    protocol::Json,
    snapshot::Ulid,
};

use super::{
    answer::Answer,
    api::model,
    backing::{AnyStore, asked},
    body::{TupleBody, TuplesBody, context, filled, inner, inner_filled, inners, message},
    fault::{Code, Fault},
    questions::{Asking, known_user, overlaid, target},
    rules::{Fields, OBJECT, RELATION, TYPE},
};

/// The most objects or users of one answer (OpenFGA's limit).
const MOST_RESULTS: usize = 1_000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ObjectsBody {
    #[serde(deserialize_with = "filled")]
    r#type: String,
    #[serde(deserialize_with = "filled")]
    relation: String,
    #[serde(deserialize_with = "filled")]
    user: String,
    #[serde(deserialize_with = "inner_filled", alias = "contextualTuples")]
    contextual_tuples: TuplesBody,
    context: Option<Json>,
    #[serde(deserialize_with = "filled", alias = "authorizationModelId")]
    authorization_model_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UsersBody {
    #[serde(deserialize_with = "inner")]
    object: Option<ObjectBody>,
    #[serde(deserialize_with = "filled")]
    relation: String,
    #[serde(deserialize_with = "inners", alias = "userFilters")]
    user_filters: Vec<FilterBody>,
    #[serde(deserialize_with = "inners", alias = "contextualTuples")]
    contextual_tuples: Vec<TupleBody>,
    context: Option<Json>,
    #[serde(deserialize_with = "filled", alias = "authorizationModelId")]
    authorization_model_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ObjectBody {
    #[serde(deserialize_with = "filled")]
    r#type: String,
    #[serde(deserialize_with = "filled")]
    id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FilterBody {
    #[serde(deserialize_with = "filled")]
    r#type: String,
    #[serde(deserialize_with = "filled")]
    relation: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ExpandBody {
    #[serde(deserialize_with = "inner", alias = "tupleKey")]
    tuple_key: Option<TupleBody>,
    #[serde(deserialize_with = "inner_filled", alias = "contextualTuples")]
    contextual_tuples: TuplesBody,
    #[serde(deserialize_with = "filled", alias = "authorizationModelId")]
    authorization_model_id: String,
}

/// A list of objects that can be made: all that it asks for is there.
struct Listing {
    policy: Arc<Policy>,
    model: Ulid,
    user: User,
    relation: RelationName,
    object_type: TypeName,
    values: ContextMap,
    now: Option<Timestamp>,
}

pub(super) fn objects(store: &AnyStore<'_>, body: &[u8]) -> Result<Answer, Fault> {
    let listing = Listing::read(store, body)?;
    let mut objects: Vec<String> = Vec::new();
    let searched = listing.find(&mut |object| {
        objects.push(object.as_str().to_owned());
        if objects.len() < MOST_RESULTS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    objects.sort_unstable();
    Ok(marked(Answer::ok(json!({ "objects": objects })).by(listing.model), searched))
}

/// The answer, which says so if there may be more than it has.
fn marked(answer: Answer, searched: Searched) -> Answer {
    match searched {
        Searched::Whole | Searched::Enough => answer,
        Searched::Interrupted => answer.partial(),
    }
}

pub(super) fn streamed_objects(store: &AnyStore<'_>, body: &[u8]) -> Result<Answer, Fault> {
    let listing = Listing::read(store, body)?;
    let model = listing.model;
    let answer = Answer::lines(move |send| {
        let mut found = |object: Entity| send(&json!({ "result": { "object": object.as_str() } }));
        match listing.find(&mut found)? {
            Searched::Whole | Searched::Enough => Ok(()),
            Searched::Interrupted => Err(too_long()),
        }
    });
    Ok(answer.by(model))
}

/// Why a stream ends before its time.
pub(super) fn too_long() -> Fault {
    Fault::new(Code::DeadlineExceeded, "the list took too long: there may be more objects")
}

impl Listing {
    fn read(store: &AnyStore<'_>, body: &[u8]) -> Result<Self, Fault> {
        let body: ObjectsBody = message(body)?;
        let fields = Fields::of("ListObjectsRequest").required("Type", &body.r#type, TYPE);
        fields.required("Relation", &body.relation, RELATION).user_of_list(&body.user).check()?;
        let model = model(store, "ListObjectsRequest", &body.authorization_model_id)?;
        let (object_type, relation) = list_target(&model.model, &body.r#type, &body.relation)?;
        let policy = store.policy(&model)?;
        let user = known_user(policy.model(), &body.user)?;
        let values = context(body.context.as_ref())?;
        let policy = overlaid(&policy, &body.contextual_tuples.tuple_keys, Asking::List)?;
        Ok(Self { policy, model: model.id, user, relation, object_type, values, now: store.now() })
    }

    fn find(&self, found: &mut dyn FnMut(Entity) -> ControlFlow<()>) -> Result<Searched, Fault> {
        let Self { policy, user, relation, object_type, .. } = self;
        let context = asked(&self.values, self.now);
        let question = ObjectsQuestion { user, relation, object_type };
        Ok(policy.find_objects(question, &context, Deadline::from_now().interrupt(), found)?)
    }
}

/// A type and its relation, with the codes of lists if the model does not have them.
fn list_target(model: &Model, object_type: &str, relation: &str) -> Result<(TypeName, RelationName), Fault> {
    let malformed = |error: InvalidName| Fault::invalid(error.to_string());
    let type_name: TypeName = object_type.parse().map_err(malformed)?;
    let relation_name: RelationName = relation.parse().map_err(malformed)?;
    if !model.has_type(object_type) {
        return Err(Fault::new(Code::TypeNotFound, format!("type '{object_type}' not found")));
    }
    if !model.has_relation(object_type, relation) {
        return Err(Fault::new(Code::RelationNotFound, format!("relation '{object_type}#{relation}' not found")));
    }
    Ok((type_name, relation_name))
}

pub(super) fn users(store: &AnyStore<'_>, body: &[u8]) -> Result<Answer, Fault> {
    let body: UsersBody = message(body)?;
    let required = || Fault::field("ListUsersRequest.Object", "value is required");
    let object = body.object.ok_or_else(required)?;
    Fields::of("Object").required("Type", &object.r#type, TYPE).check()?;
    Fields::of("ListUsersRequest").required("Relation", &body.relation, RELATION).check()?;
    for FilterBody { r#type, relation } in &body.user_filters {
        let fields = Fields::of("UserTypeFilter").required("Type", r#type, TYPE);
        fields.optional("Relation", relation, RELATION).check()?;
    }
    let model = model(store, "ListUsersRequest", &body.authorization_model_id)?;
    let (_, relation) = list_target(&model.model, &object.r#type, &body.relation)?;
    let object: Entity = format!("{}:{}", object.r#type, object.id).parse().map_err(InvalidTuple::Object)?;
    let [filter] = body.user_filters.as_slice() else {
        return Err(Fault::field("ListUsersRequest.UserFilters", "value must contain exactly 1 item(s)"));
    };
    let filter = user_filter(&model.model, filter)?;
    let values = context(body.context.as_ref())?;
    let policy: Arc<Policy> = overlaid(&store.policy(&model)?, &body.contextual_tuples, Asking::List)?;
    let context = asked(&values, store.now());
    let question = UsersQuestion { object: &object, relation: &relation, filter: &filter };
    let (users, searched) = policy.find_users(question, &context, Deadline::from_now().interrupt(), MOST_RESULTS)?;
    let users: Vec<Value> = users.iter().map(user_json).collect();
    Ok(marked(Answer::ok(json!({ "users": users })).by(model.id), searched))
}

fn user_filter(model: &Model, filter: &FilterBody) -> Result<UserFilter, Fault> {
    let FilterBody { r#type, relation } = filter;
    if !relation.is_empty() {
        let (user_type, relation) = list_target(model, r#type, relation)?;
        return Ok(UserFilter { user_type, relation: Some(relation) });
    }
    let user_type = r#type.parse().map_err(|error: InvalidName| Fault::invalid(error.to_string()))?;
    if !model.has_type(r#type) {
        return Err(Fault::new(Code::TypeNotFound, format!("type '{type}' not found")));
    }
    Ok(UserFilter { user_type, relation: None })
}

fn user_json(user: &User) -> Value {
    match user {
        User::Object(object) => json!({ "object": { "type": object.type_name(), "id": object.id() } }),
        User::Wildcard(user_type) => json!({ "wildcard": { "type": user_type.as_str() } }),
        User::Userset(object, relation) => {
            json!({ "userset": { "type": object.type_name(), "id": object.id(), "relation": relation.as_str() } })
        }
    }
}

pub(super) fn expand(store: &AnyStore<'_>, body: &[u8]) -> Result<Answer, Fault> {
    let body: ExpandBody = message(body)?;
    let model = model(store, "ExpandRequest", &body.authorization_model_id)?;
    let required = || Fault::field("ExpandRequest.TupleKey", "value is required");
    let key = body.tuple_key.ok_or_else(required)?;
    if key.relation.is_empty() || key.object.is_empty() {
        let message = "Invalid input. Make sure you provide an object and a relation";
        return Err(Fault::new(Code::InvalidExpandInput, message));
    }
    let fields = Fields::of("ExpandRequestTupleKey").required("Relation", &key.relation, RELATION);
    fields.required("Object", &key.object, OBJECT).check()?;
    let (relation, object) = target(&model.model, &key.relation, &key.object)?;
    let policy = overlaid(&store.policy(&model)?, &body.contextual_tuples.tuple_keys, Asking::List)?;
    let name = format!("{object}#{relation}");
    let tree = policy.expand(&object, &relation)?;
    Ok(Answer::ok(json!({ "tree": { "root": node_json(&name, &tree) } })).by(model.id))
}

fn node_json(name: &str, tree: &UsersetTree) -> Value {
    let nodes = |children: &[UsersetTree]| -> Value {
        json!({ "nodes": children.iter().map(|child| node_json(name, child)).collect::<Vec<_>>() })
    };
    let userset = |userset: &Userset| json!({ "userset": userset.to_string() });
    match tree {
        UsersetTree::Users(users) => {
            let users: Vec<String> = users.iter().map(User::to_string).collect();
            json!({ "name": name, "leaf": { "users": { "users": users } } })
        }
        UsersetTree::Computed(computed) => json!({ "name": name, "leaf": { "computed": userset(computed) } }),
        UsersetTree::TupleToUserset { tupleset, computed } => {
            let computed: Vec<Value> = computed.iter().map(userset).collect();
            let leaf = json!({ "tupleset": tupleset.to_string(), "computed": computed });
            json!({ "name": name, "leaf": { "tupleToUserset": leaf } })
        }
        UsersetTree::Union(children) => json!({ "name": name, "union": nodes(children) }),
        UsersetTree::Intersection(children) => json!({ "name": name, "intersection": nodes(children) }),
        UsersetTree::Difference { base, subtract } => {
            let difference = json!({ "base": node_json(name, base), "subtract": node_json(name, subtract) });
            json!({ "name": name, "difference": difference })
        }
    }
}
