//! Who may be in a chain, held against the model: their types, and what could bind a task.

use std::iter;

use crate::snapshot::PrincipalType;

use super::{
    file::{File, Operation},
    located::Located,
    problems::Problems,
};

/// The types of the subjects and actors that tokens and API keys stand for. Callers of the decision listener need not be in
/// the model.
pub(super) fn types(file: &File) -> Vec<PrincipalType> {
    let identity = &file.identity;
    let templates = identity.jwt.iter().flat_map(|issuer| [&issuer.subject, &issuer.client_subject, &issuer.actor]);
    let keys = identity.api_keys.iter().flat_map(|keys| keys.keys.iter());
    let of_keys = keys.flat_map(|key| iter::once(&key.subject).chain(&key.actors));
    let callers: Vec<&str> =
        file.decision.iter().flat_map(|decision| decision.callers.iter()).filter_map(|one| type_of(one)).collect();
    let typed = templates.flatten().chain(of_keys).filter_map(|written| Some((type_of(written)?, written.place)));
    let named = typed.filter(|(name, _)| !callers.contains(name));
    named.map(|(name, place)| PrincipalType { name: name.into(), place }).collect()
}

fn type_of(written: &Located<String>) -> Option<&str> {
    written.split_once(':').map(|(name, _)| name).filter(|name| !name.contains('{'))
}

/// A task that no credential can be bound to is required in vain: every request would be denied.
pub(super) fn check_tasks(file: &File, problems: &mut Problems) {
    let identity = &file.identity;
    let of_tokens = identity.jwt.iter().any(|issuer| issuer.task.is_some());
    let of_keys = identity.api_keys.iter().flat_map(|keys| keys.keys.iter()).any(|key| key.task.is_some());
    if of_tokens || of_keys {
        return;
    }
    let operations = file.routes.iter().flat_map(|route| route.operations.values());
    let required = operations.filter(|operation: &&Located<Operation>| operation.require_task);
    let places = file.policy.require_task.iter().map(|name| name.place).chain(required.map(|one| one.place));
    for place in places {
        let help = "write `task: \"task:{task}\"` with an issuer or `task` with an API key, or require none";
        problems.add_with_help(place, "a task is required, but no credential can be bound to one", help);
    }
}
