//! Tuples: written, read, and what became of them.

use std::{collections::HashSet, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    access::Timestamp,
    policy::{InvalidTuple, Policy, RelationshipTuple, TupleCondition},
    snapshot::{Batch, Change, ChangeKind, ChangesQuery, ObjectFilter, ReadFilter, Repetition, StoredTuple, TupleKey},
};

use super::{
    answer::Answer,
    api::model,
    backing::AnyStore,
    body::{CONTROL, TupleBody, check_length, condition_json, filled, inner, inners, int32, message},
    fault::{Code, Fault},
    page::{List, Query, page_size},
    rules::{CHANGED_TYPE, Fields, OBJECT, RELATION},
    stores::time,
};

/// The most tuples of one write (OpenFGA's limit).
const MOST_TUPLES: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WriteBody {
    #[serde(deserialize_with = "inner")]
    writes: Option<Changed>,
    #[serde(deserialize_with = "inner")]
    deletes: Option<Changed>,
    #[serde(deserialize_with = "filled", alias = "authorizationModelId")]
    authorization_model_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Changed {
    #[serde(deserialize_with = "inners", alias = "tupleKeys")]
    tuple_keys: Vec<TupleBody>,
    #[serde(deserialize_with = "filled", alias = "onDuplicate")]
    on_duplicate: String,
    #[serde(deserialize_with = "filled", alias = "onMissing")]
    on_missing: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReadBody {
    #[serde(deserialize_with = "inner", alias = "tupleKey")]
    tuple_key: Option<TupleBody>,
    #[serde(deserialize_with = "int32", alias = "pageSize")]
    page_size: Option<i32>,
    #[serde(deserialize_with = "filled", alias = "continuationToken")]
    continuation_token: String,
}

pub(super) fn write(store: &AnyStore<'_>, body: &[u8], now: Timestamp) -> Result<Answer, Fault> {
    store.check_writable()?;
    let WriteBody { writes, deletes, authorization_model_id } = message(body)?;
    let model = model(store, "WriteRequest", &authorization_model_id)?;
    for (name, changed) in [("WriteRequestWrites", &writes), ("WriteRequestDeletes", &deletes)] {
        if changed.as_ref().is_some_and(|changed| changed.tuple_keys.is_empty()) {
            return Err(Fault::field(&format!("{name}.TupleKeys"), "value must contain at least 1 item(s)"));
        }
    }
    let (writes, deletes) = (writes.unwrap_or_default(), deletes.unwrap_or_default());
    if writes.tuple_keys.is_empty() && deletes.tuple_keys.is_empty() {
        let message = "Invalid input. Make sure you provide at least one write, or at least one delete";
        return Err(Fault::new(Code::InvalidWriteInput, message));
    }
    if writes.tuple_keys.len() + deletes.tuple_keys.len() > MOST_TUPLES {
        let message = format!("The number of write operations exceeds the allowed limit of {MOST_TUPLES}");
        return Err(Fault::new(Code::ExceededEntityLimit, message));
    }
    let on_duplicate = repetition("WriteRequestWrites.OnDuplicate", &writes.on_duplicate)?;
    let on_missing = repetition("WriteRequestDeletes.OnMissing", &deletes.on_missing)?;
    let policy = store.policy(&model)?;
    let written = writes.tuple_keys.iter().map(|tuple| Ok((tuple.key(), valid(&policy, tuple)?)));
    let written: Vec<(TupleKey, Option<TupleCondition>)> = written.collect::<Result<_, Fault>>()?;
    let deleted = deletes.tuple_keys.iter().map(|tuple| {
        tuple.check_tuple("TupleKeyWithoutCondition")?;
        match RelationshipTuple::parse(&tuple.user, &tuple.relation, &tuple.object) {
            // What cannot be written is not there: that is for the batch to say.
            Ok(_) | Err(InvalidTuple::Object(_)) => Ok(tuple.key()),
            Err(_) if !tuple.user.is_empty() && !tuple.user.contains([':', '#']) => Ok(tuple.key()),
            Err(problem) => Err(refused(tuple, &problem.to_string())),
        }
    });
    let deleted: Vec<TupleKey> = deleted.collect::<Result<_, Fault>>()?;
    let mut keys = HashSet::new();
    for key in deleted.iter().chain(written.iter().map(|(key, _)| key)) {
        if !keys.insert(key) {
            let TupleKey { object, relation, user } = key;
            let message =
                format!("duplicate tuple in write: user: '{user}', relation: '{relation}', object: '{object}'");
            return Err(Fault::new(Code::DuplicateTuples, message));
        }
    }
    store.write(Batch { deletes: deleted, on_missing, writes: written, on_duplicate }, now)?;
    Ok(Answer::ok(json!({})).by(model.id))
}

fn repetition(field: &str, text: &str) -> Result<Repetition, Fault> {
    match text {
        "" | "error" => Ok(Repetition::Refused),
        "ignore" => Ok(Repetition::Ignored),
        _ => Err(Fault::field(field, "value must be in list [error ignore]")),
    }
}

/// The condition of a tuple that may be written.
fn valid(policy: &Policy, tuple: &TupleBody) -> Result<Option<TupleCondition>, Fault> {
    tuple.check_tuple("TupleKey")?;
    if tuple.has_control() {
        return Err(refused(tuple, CONTROL));
    }
    let condition = tuple.carried()?;
    check_length(condition.as_ref())?;
    let problem = policy.validate_tuple(tuple.text(), condition.as_ref());
    problem.map_err(|problem| refused(tuple, &problem.to_string()))?;
    if tuple.text().is_implicit() {
        return Err(refused(tuple, "cannot write a tuple that is implicit"));
    }
    Ok(condition)
}

fn refused(tuple: &TupleBody, reason: &str) -> Fault {
    Fault::invalid(format!("Invalid tuple '{}'. Reason: {reason}", tuple.shown()))
}

pub(super) fn read(store: &AnyStore<'_>, body: &[u8]) -> Result<Answer, Fault> {
    let body: ReadBody = message(body)?;
    let size = page_size("ReadRequest", body.page_size)?;
    let filter = body.tuple_key.as_ref().map(read_filter).transpose()?.unwrap_or_default();
    let (tuples, next) = store.read(&filter, &body.continuation_token, size)?;
    let tuples: Vec<Value> = tuples.iter().map(tuple_json).collect();
    Ok(Answer::ok(json!({ "tuples": tuples, "continuation_token": next })))
}

/// What a filter asks for.
fn read_filter(key: &TupleBody) -> Result<ReadFilter, Fault> {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let (user, relation) = (some(&key.user), some(&key.relation));
    let fields = Fields::of("ReadRequestTupleKey").user_to_read(&key.user);
    fields.optional("Relation", &key.relation, RELATION).optional("Object", &key.object, OBJECT).check()?;
    let object = match key.object.split_once(':') {
        Some((name, "")) if !name.is_empty() && user.is_some() => ObjectFilter::Type(name.to_owned()),
        Some((name, id)) if !name.is_empty() && !id.is_empty() => ObjectFilter::One(key.object.clone()),
        _ => {
            let message = "the 'tuple_key' field was provided but the object type field is required and both the \
                           object id and user cannot be empty";
            return Err(Fault::invalid(message));
        }
    };
    Ok(ReadFilter { object, relation, user })
}

fn tuple_json(tuple: &StoredTuple) -> Value {
    let StoredTuple { key, condition, written_at } = tuple;
    json!({ "key": key_json(key, condition.as_ref()), "timestamp": time(*written_at) })
}

fn key_json(key: &TupleKey, condition: Option<&TupleCondition>) -> Value {
    let TupleKey { object, relation, user } = key;
    json!({ "user": user, "relation": relation, "object": object, "condition": condition_json(condition) })
}

pub(super) fn changes(store: &AnyStore<'_>, query: &Query, now: Timestamp) -> Result<Answer, Fault> {
    let size = query.page_size("ReadChangesRequest")?;
    let (object_type, token) = (query.get("type"), query.get("continuation_token"));
    let list = List::Changes(object_type);
    let since = match query.get("start_time") {
        "" => None,
        text => {
            Some(instant(text).ok_or_else(|| Fault::invalid("parsing field \"start_time\": not a time of RFC 3339"))?)
        }
    };
    if since.is_some_and(|since| since >= now) {
        return Err(Fault::field("ReadChangesRequest.StartTime", "value must be less than now"));
    }
    Fields::of("ReadChangesRequest").optional("Type", object_type, CHANGED_TYPE).check()?;
    let object_type = Some(object_type.to_owned()).filter(|name| !name.is_empty());
    let page = store.changes(&ChangesQuery { object_type, since, after: list.after(token)? }, size)?;
    let changes: Vec<Value> = page.entries.iter().map(change_json).collect();
    // There may be more later, so that the last page has a token too.
    let next = page.next.map_or_else(|| token.to_owned(), |after| list.token(&after));
    Ok(Answer::ok(json!({ "changes": changes, "continuation_token": next })))
}

fn change_json(change: &Change) -> Value {
    let Change { key, kind, at } = change;
    let (operation, condition) = match kind {
        ChangeKind::Write(condition) => ("TUPLE_OPERATION_WRITE", condition.as_ref()),
        ChangeKind::Delete => ("TUPLE_OPERATION_DELETE", None),
    };
    json!({ "tuple_key": key_json(key, condition), "operation": operation, "timestamp": time(*at) })
}

/// A time of RFC 3339, in any zone.
fn instant(text: &str) -> Option<Timestamp> {
    if let Ok(time) = humantime::parse_rfc3339(text) {
        return Some(time.into());
    }
    let (local, zone) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (sign, zone) = zone.split_at_checked(1)?;
    let (hours, minutes) = zone.split_once(':')?;
    let two_digits = |text: &str, below: u64| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|number| is_number && *number < below)
    };
    let offset = 60 * (60 * two_digits(hours, 24)? + two_digits(minutes, 60)?);
    let local = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let time = match sign {
        "+" => local.checked_sub(Duration::from_secs(offset))?,
        "-" => local.checked_add(Duration::from_secs(offset))?,
        _ => return None,
    };
    Some(time.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_same_in_every_zone() {
        let utc = instant("2026-11-22T03:00:00Z").unwrap();
        assert_eq!(instant("2026-11-22T05:30:00.000+02:30"), Some(utc));
        assert_eq!(instant("2026-11-21T22:00:00-05:00"), Some(utc));
        for text in ["", "now", "2026-11-22", "2026-11-22T03:00:00", "é2026-11-22T03:00:00+0x:00"] {
            assert_eq!(instant(text), None, "{text}");
        }
        for zone in ["++1:00", "+01:+1", "+24:00", "+01:60", "+1:000"] {
            assert_eq!(instant(&format!("2026-11-22T03:00:00{zone}")), None, "{zone}");
        }
    }
}
