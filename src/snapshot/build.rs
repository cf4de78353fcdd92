//! Putting the parts of a snapshot together, if they fit.

use std::{sync::Arc, time::Duration};

use crate::{
    access::{Diagnostic, Place, Revision, Timestamp},
    identity::{Authenticator, Denylist, MappedTuple},
    policy::{Model, Policy, PolicySettings, TupleProblem, TupleText},
    route::{AccessTemplate, Protocol, RouteTable},
};

use super::{
    authority::StoredModel,
    callers::Callers,
    snapshot::{Snapshot, Upstream},
    transaction::TransactionTokens,
};

/// A type that members of a chain have by the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalType {
    /// Its name.
    pub name: Box<str>,
    /// Where it is written.
    pub place: Place,
}

/// What a snapshot is made of, besides model and tuples.
#[derive(Debug)]
pub struct Surroundings {
    /// The file that the routes are written in, for diagnostics.
    pub routes_file: Arc<str>,
    /// Which request stands for what.
    pub routes: Arc<RouteTable>,
    /// The upstreams that the routes name.
    pub upstreams: Arc<[Upstream]>,
    /// Who is asking.
    pub authenticator: Arc<Authenticator>,
    /// What claims of credentials are mapped to, written in the file of the routes.
    pub mapped: Arc<[MappedTuple]>,
    /// The types of whom credentials stand for, written there too.
    pub principals: Arc<[PrincipalType]>,
    /// By what tokens for upstreams are made, if they are.
    pub transaction_tokens: Option<Arc<TransactionTokens>>,
    /// Whose credentials were revoked.
    pub denylist: Arc<Denylist>,
    /// Who may ask for decisions.
    pub callers: Arc<Callers>,
    /// Where model and tuples come from, for people.
    pub source: Arc<str>,
    /// What the policy is set to.
    pub settings: PolicySettings,
    /// How long the source may be out of reach.
    pub max_staleness: Option<Duration>,
}

impl Surroundings {
    /// A snapshot of model, policy and all that is around them, or every place where a route asks for what the model
    /// does not have.
    pub fn around(
        self,
        model: Arc<StoredModel>,
        policy: &Policy,
        revision: Revision,
        now: Timestamp,
    ) -> Result<Snapshot, Vec<Diagnostic>> {
        let Self {
            routes_file,
            routes,
            upstreams,
            authenticator,
            mapped,
            principals,
            transaction_tokens,
            denylist,
            callers,
            source,
            settings,
            max_staleness,
        } = self;
        let mut problems = routes_against_model(&routes_file, &routes, &upstreams, &model);
        problems.extend(mapped_against_model(&routes_file, &mapped, policy));
        problems.extend(principals_against_model(&routes_file, &principals, &model.model));
        if !problems.is_empty() {
            return Err(problems);
        }
        let (policy, built_at) = (Arc::new(policy.with_settings(settings)), now);
        Ok(Snapshot {
            revision,
            built_at,
            source,
            routes_file,
            routes,
            upstreams,
            authenticator,
            mapped,
            transaction_tokens,
            denylist,
            callers,
            model,
            policy,
            max_staleness,
            overlays: Arc::default(),
        })
    }
}

/// Every place where a route asks for what the model does not have.
pub(super) fn routes_against_model(
    file: &Arc<str>,
    routes: &RouteTable,
    upstreams: &[Upstream],
    model: &StoredModel,
) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for route in routes.routes() {
        if route.upstream.0 >= upstreams.len() {
            problems.push(Diagnostic::new(file, route.place, "the route's upstream does not exist"));
        }
        let mut operations: Vec<_> = route.operations.iter().collect();
        operations.sort_by_key(|(method, _)| method.as_str());
        for (_, operation) in operations {
            let filtered = operation.filter.iter().map(|filter| &filter.access);
            let spoken = operation.protocol.iter().flat_map(Protocol::accesses);
            let accesses = operation.accesses.iter().chain(filtered).chain(spoken);
            problems.extend(accesses_against_model(file, accesses, &model.model));
        }
    }
    problems
}

/// Every place where one of these accesses asks for what the model does not have.
pub fn accesses_against_model<'a>(
    file: &Arc<str>,
    accesses: impl IntoIterator<Item = &'a AccessTemplate>,
    model: &Model,
) -> Vec<Diagnostic> {
    accesses.into_iter().filter_map(|access| access_against_model(access, model, file)).collect()
}

/// Every place where credentials stand for somebody of a type that the model does not have: all that they ask for would be
/// denied.
pub fn principals_against_model(file: &Arc<str>, principals: &[PrincipalType], model: &Model) -> Vec<Diagnostic> {
    let unknown = principals.iter().filter(|principal| !model.has_type(&principal.name));
    unknown.map(|principal| unknown_type(&principal.name, principal.place, model, file)).collect()
}

fn unknown_type(name: &str, place: Place, model: &Model, file: &Arc<str>) -> Diagnostic {
    let problem = Diagnostic::new(file, place, format!("the model has no type `{name}`"));
    match model.nearest_type(name) {
        Some(near) => problem.with_help(format!("did you mean `{near}`?")),
        None => problem.with_help(format!("add `type {name}` to the model, or name another type")),
    }
}

/// Every place where claims are mapped to a tuple that the model does not allow.
pub fn mapped_against_model(file: &Arc<str>, mapped: &[MappedTuple], policy: &Policy) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for MappedTuple { user_types, relation, object_type, place } in mapped {
        for user_type in user_types {
            // Only their types matter.
            let (user, object) = (format!("{user_type}:x"), format!("{object_type}:x"));
            let tuple = TupleText { user: &user, relation: relation.as_str(), object: &object };
            let Err(problem) = policy.validate_tuple(tuple, None) else { continue };
            let (message, help) = mapped_problem(&problem, tuple, (user_type, object_type), policy.model());
            problems.push(Diagnostic::new(file, *place, message).with_help(help));
            break;
        }
    }
    problems
}

fn mapped_problem(
    problem: &TupleProblem,
    tuple: TupleText<'_>,
    (user_type, object_type): (&str, &str),
    model: &Model,
) -> (String, String) {
    let relation = tuple.relation;
    let near = |near: Option<&str>, else_: String| near.map_or(else_, |near| format!("did you mean `{near}`?"));
    match problem {
        TupleProblem::UnknownType(name) => {
            let help = near(model.nearest_type(name), format!("add `type {name}` to the model, or name another type"));
            (format!("the model has no type `{name}`"), help)
        }
        TupleProblem::UnknownRelation(..) => {
            let help =
                format!("add `define {relation}: [{user_type}]` to `type {object_type}`, or name another relation");
            let message = format!("the model's type `{object_type}` has no relation `{relation}`");
            (message, near(model.nearest_relation(object_type, relation), help))
        }
        TupleProblem::UserNotAllowed { .. } => (
            format!("`{relation}` of the model's type `{object_type}` lets in no `{user_type}`"),
            format!(
                "a subject of this issuer is `{user_type}:…`: let it in by `[{user_type}]`, or map to another relation"
            ),
        ),
        TupleProblem::ConditionMissing => (
            format!("`{relation}` of the model's type `{object_type}` lets in `{user_type}` under a condition only"),
            format!("contextual tuples have no condition: let in `[{user_type}]` too, or map to another relation"),
        ),
        TupleProblem::Malformed(_)
        | TupleProblem::UnknownCondition(_)
        | TupleProblem::ConditionNotAllowed(_)
        | TupleProblem::MalformedContext(_)
        | TupleProblem::UndeclaredContext(_)
        | TupleProblem::Unconvertible(_) => (problem.to_string(), "map to another relation".to_owned()),
    }
}

fn access_against_model(access: &AccessTemplate, model: &Model, file: &Arc<str>) -> Option<Diagnostic> {
    let AccessTemplate { action, resource, place } = access;
    let place: Place = *place;
    let type_name = resource.type_name()?;
    if !model.has_type(type_name) {
        return Some(unknown_type(type_name, place, model, file));
    }
    if model.has_relation(type_name, action.as_str()) {
        return None;
    }
    let message = format!("the model's type `{type_name}` has no relation `{action}`");
    let help = match model.nearest_relation(type_name, action.as_str()) {
        Some(near) => format!("did you mean `{near}`? An action is the name of a relation"),
        None => format!("add `define {action}: …` to `type {type_name}`, or name another action"),
    };
    Some(Diagnostic::new(file, place, message).with_help(help))
}
