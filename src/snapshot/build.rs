//! Putting the parts of a snapshot together, if they fit.

use std::{sync::Arc, time::Duration};

use crate::{
    access::{Diagnostic, Place, Revision, Timestamp},
    identity::Authenticator,
    policy::{Model, Policy},
    route::{AccessTemplate, RouteTable},
};

use super::{
    callers::Callers,
    snapshot::{Snapshot, Upstream},
};

/// What a snapshot is made of.
#[derive(Debug)]
pub struct Parts {
    /// The file that the routes are written in, for diagnostics.
    pub routes_file: Arc<str>,
    /// Which request stands for what.
    pub routes: Arc<RouteTable>,
    /// The upstreams that the routes name.
    pub upstreams: Arc<[Upstream]>,
    /// Who is asking.
    pub authenticator: Arc<Authenticator>,
    /// Who may ask for decisions.
    pub callers: Arc<Callers>,
    /// Who may do what.
    pub policy: Policy,
    /// Where model and tuples came from, for people.
    pub source: Arc<str>,
    /// How long the source may be out of reach.
    pub max_staleness: Option<Duration>,
}

/// A snapshot of the parts, or every place where a route asks for what the model does not have.
pub fn build(parts: Parts, revision: Revision, now: Timestamp) -> Result<Snapshot, Vec<Diagnostic>> {
    let problems = routes_against_model(&parts);
    if !problems.is_empty() {
        return Err(problems);
    }
    let Parts { routes, upstreams, authenticator, callers, policy, source, max_staleness, .. } = parts;
    Ok(Snapshot { revision, built_at: now, source, routes, upstreams, authenticator, callers, policy, max_staleness })
}

fn routes_against_model(parts: &Parts) -> Vec<Diagnostic> {
    let model = parts.policy.model();
    let mut problems = Vec::new();
    for route in parts.routes.routes() {
        if route.upstream.0 >= parts.upstreams.len() {
            problems.push(Diagnostic::new(&parts.routes_file, route.place, "the route's upstream does not exist"));
        }
        let mut operations: Vec<_> = route.operations.iter().collect();
        operations.sort_by_key(|(method, _)| method.as_str());
        for (_, operation) in operations {
            let filtered = operation.filter.iter().map(|filter| &filter.access);
            for access in operation.accesses.iter().chain(filtered) {
                problems.extend(access_against_model(access, model, &parts.routes_file));
            }
        }
    }
    problems
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
