//! Store files, and the files that they name.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    access::{Diagnostic, Place},
    compile::{StoreFile, store_file},
    policy::{GraphBuilder, Policy, PolicySettings, TupleText},
};

use super::documents::read_text;

/// The largest store file, and the largest file that one names, in bytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Reads a store file and what it names, or reports every problem of all these files.
pub fn load_store(path: &Path) -> Result<StoreFile, Vec<Diagnostic>> {
    let name: Arc<str> = path.display().to_string().into();
    let text = read_text(path, LARGEST)
        .map_err(|error| vec![Diagnostic::new(&name, Place::default(), format!("cannot be read: {error}"))])?;
    let folder = path.parent().map(PathBuf::from).unwrap_or_default();
    let mut beside = |other: &str| read_text(&folder.join(other), LARGEST).map_err(|error| error.to_string());
    store_file(&name, &text, &mut beside)
}

/// The policy of a store file's model and of the tuples that all its tests begin with.
pub fn load_store_policy(path: &Path, settings: PolicySettings) -> Result<Policy, Vec<Diagnostic>> {
    let store = load_store(path)?;
    let mut builder = GraphBuilder::new(Arc::clone(&store.model));
    for written in &store.tuples {
        let (user, object) = (written.tuple.user.to_string(), written.tuple.object.to_string());
        let text = TupleText { user: &user, relation: written.tuple.relation.as_str(), object: &object };
        let added = builder.add_with(text, written.condition.clone());
        added.map_err(|problem| vec![Diagnostic::new(&store.file, Place::default(), problem.to_string())])?;
    }
    let graph = builder.finish();
    let twice = graph.repeated().iter().map(|tuple| {
        Diagnostic::new(&store.file, Place::default(), format!("the tuple `{tuple}` is written twice"))
            .with_help("remove one of them")
    });
    let twice: Vec<_> = twice.collect();
    if twice.is_empty() { Ok(Policy::new(graph, settings)) } else { Err(twice) }
}
