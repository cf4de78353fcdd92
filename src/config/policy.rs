//! The `policy` section, and the files that it names.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use crate::{
    access::{Diagnostic, Place, RelationName},
    compile::{TupleFormat, TupleReader, model},
    policy::{GraphBuilder, Policy, PolicySettings},
};

use super::{
    file::{self, Policy as Written},
    settings::Reading,
};

/// Where model and tuples are, and what else the policy is made of.
#[derive(Debug, Clone)]
pub struct PolicyFiles {
    /// The model.
    pub model: PathBuf,
    /// The tuples: all files together.
    pub tuples: Vec<PathBuf>,
    /// The bounds of the engine, and the holder's relation.
    pub settings: PolicySettings,
    /// How long the source may be out of reach.
    pub max_staleness: Option<Duration>,
}

/// What the section says; `None` after a problem.
pub(super) fn files(written: &Written, reading: &mut Reading<'_>) -> Option<PolicyFiles> {
    let before = reading.problems.count();
    let file::FileSource { model, tuples } = &written.source.file;
    if tuples.0.is_empty() {
        reading.problems.add(tuples.place, "`tuples` names no file");
    }
    let task_holder = written.task_holder.as_ref().and_then(|name| reading.problems.parse::<RelationName>(name));
    let max_staleness = reading.problems.optional_duration(written.max_staleness.as_ref());
    let defaults = PolicySettings::default();
    let most_steps = written.max_steps.unwrap_or(defaults.most_steps);
    let model = reading.file(&model.value);
    let tuples = tuples.0.iter().map(|name| reading.file(name)).collect();
    let settings = PolicySettings { task_holder, most_steps, ..defaults };
    (reading.problems.count() == before).then_some(PolicyFiles { model, tuples, settings, max_staleness })
}

/// Reads model and tuples and makes a policy of them, or reports every problem of all these files.
pub fn load_policy(files: &PolicyFiles) -> Result<Policy, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let model = text(&files.model).map_err(|problem| vec![problem]).and_then(|(name, text)| model(&name, &text));
    let model = model.map(Arc::new).map_err(|found| problems.extend(found)).ok();
    let mut reader = TupleReader::new(model.as_deref());
    let mut builder = model.as_ref().map(|model| GraphBuilder::new(Arc::clone(model)));
    for path in &files.tuples {
        let Some(format) = TupleFormat::of_file(path) else {
            let help = "tuples are in files that end in `.yaml`, `.yml`, `.json` or `.jsonl`";
            let name: Arc<str> = path.display().to_string().into();
            problems.push(Diagnostic::new(&name, Place::default(), "not a kind of tuple file").with_help(help));
            continue;
        };
        let read = text(path).map_err(|problem| vec![problem]).and_then(|(name, text)| {
            reader.read(&name, &text, format, |tuple| {
                if let Some(builder) = &mut builder {
                    // The reader has checked the tuple; one that the graph refuses all the same is left out.
                    let _ = builder.add_tuple(tuple);
                }
            })
        });
        problems.extend(read.err().into_iter().flatten());
    }
    match builder {
        Some(builder) if problems.is_empty() => Ok(Policy::new(builder.finish(), files.settings.clone())),
        Some(_) | None => Err(problems),
    }
}

fn text(path: &PathBuf) -> Result<(Arc<str>, String), Diagnostic> {
    let name: Arc<str> = path.display().to_string().into();
    match fs::read_to_string(path) {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(Diagnostic::new(&name, Place::default(), format!("cannot be read: {error}"))),
    }
}
