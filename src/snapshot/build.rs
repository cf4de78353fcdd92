//! Putting the parts of a snapshot together, if they fit.

use std::{sync::Arc, time::Duration};

use crate::{
    access::{Diagnostic, Place, Revision, Timestamp},
    identity::{Authenticator, Denylist},
    policy::{Model, Policy, PolicySettings},
    route::{AccessTemplate, RouteTable},
};

use super::{
    authority::StoredModel,
    callers::Callers,
    snapshot::{Snapshot, Upstream},
};

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
        let Self { routes_file, routes, upstreams, authenticator, denylist, callers, source, settings, max_staleness } =
            self;
        let problems = routes_against_model(&routes_file, &routes, &upstreams, &model);
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
            denylist,
            callers,
            model,
            policy,
            max_staleness,
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
            problems.extend(accesses_against_model(file, operation.accesses.iter().chain(filtered), &model.model));
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

fn access_against_model(access: &AccessTemplate, model: &Model, file: &Arc<str>) -> Option<Diagnostic> {
    let AccessTemplate { action, resource, place } = access;
    let place: Place = *place;
    let type_name = resource.type_name()?;
    if !model.has_type(type_name) {
        let problem = Diagnostic::new(file, place, format!("the model has no type `{type_name}`"));
        return Some(match model.nearest_type(type_name) {
            Some(near) => problem.with_help(format!("did you mean `{near}`?")),
            None => problem,
        });
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
