//! The policy and the principal that several commands ask about.

use std::sync::Arc;

use crate::{
    access::{ActorMode, Diagnostic, Principal},
    app::load_snapshot,
    config::{PolicyFiles, PolicySource, load_policy, load_store_policy},
    policy::{Policy, PolicySettings},
};

use super::arguments::{ChainOptions, PolicyOptions};

/// The policy of a configuration, of a store file, or of a model and its tuples.
pub(super) fn policy(options: &PolicyOptions) -> Result<Policy, Vec<Diagnostic>> {
    if let Some(config) = &options.config {
        // It shares everything with the snapshot.
        return load_snapshot(config).map(|snapshot| Policy::clone(&snapshot.policy));
    }
    let settings = PolicySettings { task_holder: options.task_holder.clone(), ..PolicySettings::default() };
    if let Some(store) = &options.store {
        return load_store_policy(store, settings);
    }
    let loaded = load_policy(&PolicyFiles {
        source: PolicySource::Files,
        model: options.model.clone().unwrap_or_default(),
        tuples: options.tuples.clone(),
        settings,
        max_staleness: None,
    });
    loaded.map(|loaded| loaded.policy)
}

/// The chain in the order of a credential.
pub(super) fn principal(options: &ChainOptions) -> Arc<Principal> {
    let mode = if options.current_actor_only { ActorMode::Current } else { ActorMode::All };
    // People name agents in the order of delegation; a chain begins with the current actor.
    let actors = options.actors.iter().rev().cloned().collect();
    Arc::new(Principal::new(options.subject.clone(), actors, options.task.clone(), mode))
}
