//! From the text of a model to a checked model, or to everything that is wrong with it.

use std::{collections::HashSet, sync::Arc};

use super::{
    api_json::{self, Json, JsonForm},
    dsl::{self, Parsed},
    modules,
    report::Report,
};
use crate::{
    access::{Diagnostic, Place},
    policy::{Model, ModelFault, ModelSource, Placed, RestrictionSource, Shape},
};

/// The longest model in one text of OpenFGA's language, in bytes (OpenFGA's limit).
const LONGEST: usize = 256 * 1024;
/// The longest model as JSON: it says the same in more bytes.
const LONGEST_JSON: usize = 4 * 1024 * 1024;

/// How a model is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelFormat {
    /// In OpenFGA's language.
    Dsl,
    /// As OpenFGA's HTTP API has it.
    Json,
    /// An `fga.mod`, which lists the files of modules.
    Modules,
}

impl ModelFormat {
    /// The format that a file's name stands for: that of a language file, unless it ends in `.json` or `.mod`.
    pub fn of_file_name(name: &str) -> Self {
        match name.rsplit_once('.') {
            Some((_, "json")) => Self::Json,
            Some((_, "mod")) => Self::Modules,
            Some(_) | None => Self::Dsl,
        }
    }
}

/// Reads a file that a document names, by a name that is relative to the document's folder and does not lead out of it.
pub type ReadBeside<'a> = dyn FnMut(&str) -> Result<String, String> + 'a;

/// A model as it was written, known to be right.
#[derive(Debug)]
pub struct ModelDocument {
    source: ModelSource,
    model: Model,
    // Without problems; it knows the files.
    report: Report,
}

impl ModelDocument {
    /// Reads a model. `file` is how the reader of a diagnostic knows the text, `beside` reads modules.
    ///
    /// Refuses models that OpenFGA refuses, with every problem in one report.
    pub fn read(
        file: &Arc<str>,
        text: &str,
        format: ModelFormat,
        beside: &mut ReadBeside<'_>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut report = Report::new(file);
        let (mut source, unfinished) = match format {
            ModelFormat::Dsl => one_text(text, &mut report),
            ModelFormat::Json => (one_json(text, &mut report), HashSet::new()),
            ModelFormat::Modules => modules::read(file, text, beside, &mut report),
        };
        if source.types.is_empty() && !report.is_empty() {
            return Err(report.finish());
        }
        let_in_everybody(&mut source, &unfinished);
        match Model::new(source.clone()) {
            Ok(model) if report.is_empty() => Ok(Self { source, model, report }),
            Ok(_) => Err(report.finish()),
            Err(problems) => {
                // An expression that was not read whole does not compile either.
                let is_whole = report.is_empty();
                for problem in problems {
                    if !is_whole && matches!(problem.fault, ModelFault::Condition(..)) {
                        continue;
                    }
                    report.add(problem.place, problem.fault.to_string(), problem.help);
                }
                Err(report.finish())
            }
        }
    }

    /// What was written.
    pub fn source(&self) -> &ModelSource {
        &self.source
    }

    /// The model.
    pub fn into_model(self) -> Model {
        self.model
    }

    /// The model as OpenFGA's HTTP API has it.
    pub fn to_json(&self, form: JsonForm<'_>) -> Json {
        api_json::write(&self.source, form)
    }

    /// The model in OpenFGA's language, or everything in it that only JSON can say.
    pub fn to_dsl(&self) -> Result<String, Vec<Diagnostic>> {
        let mut report = self.report.without_problems();
        let text = dsl::print(&self.source, &mut report);
        if report.is_empty() { Ok(text) } else { Err(report.finish()) }
    }
}

/// Compiles a model in OpenFGA's language, in one text. `file` is how the reader of a diagnostic knows the text.
pub fn model(file: &Arc<str>, text: &str) -> Result<Model, Vec<Diagnostic>> {
    let mut beside = |_: &str| Err("there are no files".to_owned());
    ModelDocument::read(file, text, ModelFormat::Dsl, &mut beside).map(ModelDocument::into_model)
}

fn one_text(text: &str, report: &mut Report) -> (ModelSource, HashSet<Place>) {
    if text.len() > LONGEST {
        report.add(Place::default(), format!("the model is longer than {LONGEST} bytes"), None);
        return Default::default();
    }
    let Parsed { module, schema, types, conditions, unfinished } = dsl::parse(&dsl::without_comments(text), 1, report);
    if let Some(module) = module {
        let help = "list the modules' files in an `fga.mod`, and name that instead".to_owned();
        report.add(module.place, format!("`{}` is a module, not a whole model", module.value), Some(help));
    }
    // An extension that does not belong here was reported, and defines the type for the rest of the model.
    let types = types.into_iter().map(|statement| statement.written).collect();
    (ModelSource { schema, types, conditions, ..ModelSource::default() }, unfinished)
}

fn one_json(text: &str, report: &mut Report) -> ModelSource {
    if text.len() > LONGEST_JSON {
        report.add(Place::default(), format!("the model is longer than {LONGEST_JSON} bytes"), None);
        return ModelSource::default();
    }
    api_json::read(text, report)
}

/// Lets relations with a faulty rule take any user, so that they cause no other problems.
fn let_in_everybody(source: &mut ModelSource, unfinished: &HashSet<Place>) {
    let plain = |user_type: &Placed<_>| RestrictionSource {
        user_type: user_type.clone(),
        shape: Shape::Plain,
        condition: None,
    };
    let everybody: Vec<_> = source.types.iter().take(100).map(|written| plain(&written.name)).collect();
    for relation in source.types.iter_mut().flat_map(|written| &mut written.relations) {
        if unfinished.contains(&relation.name.place) {
            relation.restrictions = everybody.clone();
        }
    }
}
