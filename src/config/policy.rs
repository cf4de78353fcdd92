//! The `policy` section, and the files that it names.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    access::{Diagnostic, Place, RelationName},
    compile::{ModelDocument, ModelFormat, TupleDocument, TupleFormat, module_files, tuples},
    policy::{GraphBuilder, Model, Policy, PolicySettings},
};

use super::{
    documents::read_text,
    file::{self, Policy as Written},
    settings::Reading,
};

/// The largest file of a model, in bytes.
const LARGEST_MODEL: u64 = 4 * 1024 * 1024;
/// The largest file of tuples, in bytes.
const LARGEST_TUPLES: u64 = 1024 * 1024 * 1024;

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
    let model = model_files(&model.value, reading);
    let tuples = tuples.0.iter().map(|name| reading.file(name)).collect();
    let settings = PolicySettings { task_holder, most_steps, ..defaults };
    (reading.problems.count() == before).then_some(PolicyFiles { model, tuples, settings, max_staleness })
}

/// The model's file. The modules that it lists are watched too.
fn model_files(name: &str, reading: &mut Reading<'_>) -> PathBuf {
    let file = reading.file(name);
    if ModelFormat::of_file_name(name) == ModelFormat::Modules {
        // A list that cannot be read is reported when the model is.
        let listed = read_text(&file, LARGEST_MODEL).map(|text| module_files(&text)).unwrap_or_default();
        let folder = Path::new(name).parent().unwrap_or(Path::new(""));
        for module in listed {
            reading.file(&folder.join(module).to_string_lossy());
        }
    }
    file
}

/// Reads a model: in OpenFGA's language, as JSON, or an `fga.mod` with the modules that it lists.
pub fn load_model(path: &Path) -> Result<ModelDocument, Vec<Diagnostic>> {
    let (name, text) = text(path, LARGEST_MODEL).map_err(|problem| vec![problem])?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut beside = |module: &str| read_text(&folder.join(module), LARGEST_MODEL).map_err(|error| error.to_string());
    ModelDocument::read(&name, &text, ModelFormat::of_file_name(&name), &mut beside)
}

/// Reads model and tuples and makes a policy of them, or reports every problem of all these files.
pub fn load_policy(files: &PolicyFiles) -> Result<Policy, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let model = load_model(&files.model);
    let model = model.map(|document| Arc::new(document.into_model())).map_err(|found| problems.extend(found)).ok();
    let mut builder = model.as_ref().map(|model| GraphBuilder::new(Arc::clone(model)));
    for path in &files.tuples {
        match read_tuples(path, model.as_deref()) {
            Ok(document) => {
                let added = builder.as_mut().map_or(Ok(()), |builder| add_all(builder, &document));
                problems.extend(added.err());
            }
            Err(found) => problems.extend(found),
        }
    }
    match builder {
        Some(builder) if problems.is_empty() => Ok(Policy::new(builder.finish(), files.settings.clone())),
        Some(_) | None => Err(problems),
    }
}

fn read_tuples(path: &Path, model: Option<&Model>) -> Result<TupleDocument, Vec<Diagnostic>> {
    let (name, text) = text(path, LARGEST_TUPLES).map_err(|problem| vec![problem])?;
    let Some(format) = TupleFormat::of_file_name(&name) else {
        let problem = Diagnostic::new(&name, Place::default(), "not a kind of tuple file");
        return Err(vec![
            problem.with_help("tuples are in files that end in `.yaml`, `.yml`, `.json`, `.jsonl` or `.csv`"),
        ]);
    };
    if text.trim().is_empty() {
        // An emptied file is an accident more often than a wish, and without exclusions it could even open access.
        let problem = Diagnostic::new(&name, Place::default(), "the file is empty");
        return Err(vec![problem.with_help("for no tuples at all write `[]` in a YAML or JSON file")]);
    }
    let document = tuples(&name, &text, format)?;
    let problems = model.map(|model| document.check_against(model)).unwrap_or_default();
    if problems.is_empty() { Ok(document) } else { Err(problems) }
}

fn add_all(builder: &mut GraphBuilder, document: &TupleDocument) -> Result<(), Diagnostic> {
    for (user, relation, object) in document.iter() {
        if let Err(problem) = builder.add(user, relation, object) {
            // The document was checked, so that only the size of the graph is left to object.
            let name: Arc<str> = format!("{user} {relation} {object}").into();
            return Err(Diagnostic::new(&name, Place::default(), problem.to_string()));
        }
    }
    Ok(())
}

fn text(path: &Path, limit: u64) -> Result<(Arc<str>, String), Diagnostic> {
    let name: Arc<str> = path.display().to_string().into();
    match read_text(path, limit) {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(Diagnostic::new(&name, Place::default(), format!("cannot be read: {error}"))),
    }
}
