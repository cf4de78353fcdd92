//! The `contextual_tuples` of an issuer.

use crate::{
    access::Entity,
    identity::{ClaimPresence, MappedTuple, TupleMapping},
};

use super::{file_identity as file, located::Located, settings::Reading};

/// The mappings of an issuer whose tokens have subjects of these types; `None` after a problem. What they ask of the model is noted.
pub(super) fn mappings(
    written: &[Located<file::ClaimTuples>],
    user_types: &[&str],
    reading: &mut Reading<'_>,
) -> Option<Vec<TupleMapping>> {
    let mut made = Vec::new();
    for tuples in written {
        let mapping = mapping(tuples, reading)?;
        let mut user_types: Vec<Box<str>> = user_types.iter().map(|name| Box::from(*name)).collect();
        user_types.dedup();
        reading.mapped.push(MappedTuple {
            user_types,
            relation: mapping.relation().clone(),
            object_type: mapping.object_type().into(),
            place: tuples.relation.place,
        });
        made.push(mapping);
    }
    Some(made)
}

fn mapping(written: &Located<file::ClaimTuples>, reading: &mut Reading<'_>) -> Option<TupleMapping> {
    let problems = &mut reading.problems;
    let (relation, object) = (problems.parse(&written.relation), problems.parse(&written.object));
    let claim = written.claim.0.iter().map(|name| Box::from(name.as_str()));
    let mapping = TupleMapping::new(claim, relation?, object?);
    let mapping = mapping.map_err(|problem| problems.add(written.object.place, problem.to_string())).ok()?;
    let presence = if written.required { ClaimPresence::Required } else { ClaimPresence::Optional };
    let mapping = mapping.with_presence(presence);
    let Some(values) = &written.values else { return Some(mapping) };
    for name in values.values() {
        if format!("{}:{}", mapping.object_type(), name.value).parse::<Entity>().is_err() {
            problems.add(name.place, format!("`{}` cannot be in an object's id", name.value));
            return None;
        }
    }
    let values = values.iter().map(|(value, name)| (value.as_str().into(), name.as_str().into())).collect();
    Some(mapping.with_values(values))
}
