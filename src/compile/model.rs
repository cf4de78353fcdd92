//! From the text of a model to a checked model, or to everything that is wrong with it.

use std::sync::Arc;

use super::{parser, report::Report};
use crate::{
    access::Diagnostic,
    policy::{Model, ModelSource},
};

/// Compiles a model in OpenFGA's language. `file` is how the reader of a diagnostic knows the text.
///
/// Refuses models that OpenFGA refuses, and models with conditions or modules, with every problem in one report.
pub fn model(file: &Arc<str>, text: &str) -> Result<Model, Vec<Diagnostic>> {
    let mut report = Report::new(file);
    let source = parser::parse(text, &mut report);
    if source == ModelSource::default() && !report.is_empty() {
        return Err(report.finish());
    }
    match Model::new(source) {
        Ok(model) if report.is_empty() => Ok(model),
        Ok(_) => Err(report.finish()),
        Err(problems) => {
            for problem in problems {
                report.add(problem.place, problem.fault.to_string(), problem.help);
            }
            Err(report.finish())
        }
    }
}
