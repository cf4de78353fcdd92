//! The `policy` section, and the files that it names.

use std::{
    fmt,
    io::BufReader,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    access::{Diagnostic, Place, RelationName},
    compile::{ModelDocument, ModelFormat, TupleFormat, TuplesRead, module_files, repetitions, tuples},
    policy::{Added, GraphBuilder, Policy, PolicySettings, RelationshipTuple, TupleCondition, TupleText},
    snapshot::StoredModel,
};

use super::{
    documents::{Bounded, Unreadable, not_utf8, read_text},
    file::{self, Policy as Written},
    located::Located,
    settings::Reading,
};

/// The largest file of a model, in bytes.
const LARGEST_MODEL: u64 = 4 * 1024 * 1024;
/// The largest file of tuples that is read as a whole, in bytes.
const LARGEST_TUPLES: u64 = 1024 * 1024 * 1024;
/// The largest file of tuples that is read line by line, in bytes.
const LARGEST_LINES: u64 = 64 * LARGEST_TUPLES;
/// So many bytes are read at once.
const READ_BYTES: usize = 256 * 1024;

/// Where the policy is while the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicySource {
    /// In files, which are watched.
    Files,
    /// In memory: the files are what it begins with.
    Memory,
}

/// A policy and the model that it was built of.
#[derive(Debug)]
pub struct LoadedPolicy {
    /// The model, with its id and as JSON.
    pub model: Arc<StoredModel>,
    /// Who may do what.
    pub policy: Policy,
}

/// Where model and tuples are, and what else the policy is made of.
#[derive(Debug, Clone)]
pub struct PolicyFiles {
    /// Where the policy is once it was read.
    pub source: PolicySource,
    /// The model.
    pub model: PathBuf,
    /// The tuples: all files together.
    pub tuples: Vec<PathBuf>,
    /// The bounds of the engine, and the holder's relation.
    pub settings: PolicySettings,
    /// How long the source may be out of reach.
    pub max_staleness: Option<Duration>,
}

impl fmt::Display for PolicyFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let beginning = match self.source {
            PolicySource::Files => "files",
            PolicySource::Memory => "memory, begun with",
        };
        write!(f, "{beginning} {}", self.model.display())?;
        self.tuples.iter().try_for_each(|file| write!(f, ", {}", file.display()))
    }
}

/// What the section says; `None` after a problem.
pub(super) fn files(written: &Written, reading: &mut Reading<'_>) -> Option<PolicyFiles> {
    let before = reading.problems.count();
    let files = source(&written.source, reading);
    let task_holder = written.task_holder.as_ref().and_then(|name| reading.problems.parse::<RelationName>(name));
    let max_staleness = reading.problems.optional_duration(written.max_staleness.as_ref());
    let defaults = PolicySettings::default();
    let most_steps = written.max_steps.unwrap_or(defaults.most_steps);
    let settings = PolicySettings { task_holder, most_steps, ..defaults };
    let (source, model, tuples) = files.filter(|_| reading.problems.count() == before)?;
    Some(PolicyFiles { source, model, tuples, settings, max_staleness })
}

/// The files of the source. Those that only begin it are not watched.
fn source(written: &Located<file::Source>, reading: &mut Reading<'_>) -> Option<(PolicySource, PathBuf, Vec<PathBuf>)> {
    match &written.value {
        file::Source { file: Some(file::FileSource { model, tuples }), memory: None } => {
            if tuples.0.is_empty() {
                reading.problems.add(tuples.place, "`tuples` names no file");
            }
            let file = model_files(&model.value, reading);
            refuse_unreadable(&file, model.place, reading);
            let files: Vec<_> = tuples.0.iter().map(|name| reading.file(name)).collect();
            files.iter().for_each(|file| refuse_unreadable(file, tuples.place, reading));
            Some((PolicySource::Files, file, files))
        }
        file::Source { file: None, memory: Some(file::MemorySource { model, tuples }) } => {
            // They are read once, and may be gone when the configuration is read again.
            let tuples = tuples.iter().flat_map(|tuples| &tuples.0).map(|name| reading.beside(name)).collect();
            Some((PolicySource::Memory, reading.beside(&model.value), tuples))
        }
        file::Source { .. } => {
            let help = "write `file: { model: …, tuples: … }`, or for development `memory: { model: … }`";
            reading.problems.add_with_help(written.place, "a policy has exactly one source", help);
            None
        }
    }
}

/// Reports a file that is not there, or no regular file, where it is named.
fn refuse_unreadable(file: &Path, place: Place, reading: &mut Reading<'_>) {
    if let Err(error) = Bounded::open(file, LARGEST_LINES) {
        reading.problems.add(place, format!("`{}` cannot be read: {error}", file.display()));
    }
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
pub fn load_policy(files: &PolicyFiles) -> Result<LoadedPolicy, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let model = load_model(&files.model);
    let model = model.map(|document| Arc::new(StoredModel::by_content(document)));
    let model = model.map_err(|found| problems.extend(found)).ok();
    let mut builder = model.as_ref().map(|model| GraphBuilder::new(Arc::clone(&model.model)));
    let mut long = Vec::new();
    for path in &files.tuples {
        match read_tuples(path, builder.as_mut()) {
            Ok(read) => long.extend((!read.is_free_of_repetitions).then_some(path)),
            Err(found) => problems.extend(found),
        }
    }
    let Some((builder, model)) = builder.zip(model).filter(|_| problems.is_empty()) else { return Err(problems) };
    let graph = builder.finish();
    if !graph.repeated().is_empty() {
        // The places of all tuples of a long file would take more memory than the graph: only now it is known which.
        for path in long {
            problems.extend(file_repetitions(path, graph.repeated()));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(LoadedPolicy { model, policy: Policy::new(graph, files.settings.clone()) })
}

fn read_tuples(path: &Path, builder: Option<&mut GraphBuilder>) -> Result<TuplesRead, Vec<Diagnostic>> {
    take_tuples(path, builder).map_err(|found| {
        // No reader of tuples says where its text is not one; whatever else it found comes from that.
        let Some(place) = not_utf8(path, LARGEST_LINES) else { return found };
        vec![Unreadable::NotUtf8(place).in_file(&path.display().to_string().into())]
    })
}

fn take_tuples(path: &Path, builder: Option<&mut GraphBuilder>) -> Result<TuplesRead, Vec<Diagnostic>> {
    let (name, format, mut input) = open(path).map_err(|problem| vec![*problem])?;
    let read = match builder {
        Some(builder) => {
            let model = Arc::clone(builder.model());
            let mut take = |tuple: TupleText<'_>, condition: Option<TupleCondition>| builder.add_with(tuple, condition);
            tuples(&name, &mut input, format, Some(&model), &mut take)?
        }
        None => {
            let mut take = |tuple: TupleText<'_>, _: Option<TupleCondition>| {
                RelationshipTuple::parse(tuple.user, tuple.relation, tuple.object).map(|_| Added::Stored)
            };
            tuples(&name, &mut input, format, None, &mut take)?
        }
    };
    if read.is_blank {
        // An emptied file is an accident more often than a wish, and without exclusions it could even open access.
        let problem = Diagnostic::new(&name, Place::default(), "the file is empty");
        return Err(vec![problem.with_help("for no tuples at all write `[]` in a YAML or JSON file")]);
    }
    Ok(read)
}

fn file_repetitions(path: &Path, of: &[RelationshipTuple]) -> Vec<Diagnostic> {
    match open(path) {
        Ok((name, format, mut input)) => repetitions(&name, &mut input, format, of),
        Err(problem) => vec![*problem],
    }
}

type Opened = (Arc<str>, TupleFormat, BufReader<Bounded>);

fn open(path: &Path) -> Result<Opened, Box<Diagnostic>> {
    let name: Arc<str> = path.display().to_string().into();
    let problem = |message: String| Diagnostic::new(&name, Place::default(), message);
    let Some(format) = TupleFormat::of_file_name(&name) else {
        let help = "tuples are in files that end in `.yaml`, `.yml`, `.json`, `.jsonl` or `.csv`";
        return Err(Box::new(problem("not a kind of tuple file".to_owned()).with_help(help)));
    };
    let limit = match format {
        TupleFormat::Yaml | TupleFormat::Json | TupleFormat::Csv => LARGEST_TUPLES,
        TupleFormat::JsonLines => LARGEST_LINES,
    };
    match Bounded::open(path, limit) {
        Ok(file) => Ok((name, format, BufReader::with_capacity(READ_BYTES, file))),
        Err(error) => Err(Box::new(problem(format!("cannot be read: {error}")))),
    }
}

fn text(path: &Path, limit: u64) -> Result<(Arc<str>, String), Diagnostic> {
    let name: Arc<str> = path.display().to_string().into();
    match read_text(path, limit) {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(error.in_file(&name)),
    }
}
