//! The `authorization_details` of an operation.

use crate::{
    access::{DetailField, Template},
    route::{DetailNeed, DetailRule, PathTemplate, Source},
};

use super::{file, located::Located, problems::Problems, routes::checked};

/// The rule; `None` after a problem.
pub(super) fn rule(
    written: &Located<file::DetailRule>,
    path: &PathTemplate,
    problems: &mut Problems,
) -> Option<DetailRule> {
    let before = problems.count();
    if written.r#type.is_empty() {
        problems.add(written.r#type.place, "the type is empty: every detail has one");
    }
    let mut fields = Vec::new();
    for field in DetailField::ALL {
        let values: Option<Vec<&Located<String>>> = match field {
            DetailField::Locations => written.locations.as_ref().map(|list| list.iter().collect()),
            DetailField::Actions => written.actions.as_ref().map(|list| list.iter().collect()),
            DetailField::Datatypes => written.datatypes.as_ref().map(|list| list.iter().collect()),
            DetailField::Identifier => written.identifier.as_ref().map(|one| vec![one]),
            DetailField::Privileges => written.privileges.as_ref().map(|list| list.iter().collect()),
        };
        let Some(values) = values else { continue };
        if values.is_empty() {
            let help = "name what it must hold, or put it below `ignore` if it does not matter";
            problems.add_with_help(
                written.place,
                format!("`{}` is empty: it would ask for nothing", field.name()),
                help,
            );
        }
        let source = |text: &str| Source::parse(text, path);
        let templates = values
            .into_iter()
            .filter_map(|value| checked(Template::parse(&value.value, source), value.place, problems))
            .collect();
        fields.push((field, templates));
    }
    let need = if written.required.unwrap_or(true) { DetailNeed::Required } else { DetailNeed::Cap };
    let ignored = written.ignore.iter().map(|name| name.as_str().into()).collect();
    (problems.count() == before).then(|| DetailRule { kind: written.r#type.as_str().into(), fields, ignored, need })
}
