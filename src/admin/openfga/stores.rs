//! Stores and their models.

use std::{sync::Arc, time::SystemTime};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    access::{Diagnostic, Timestamp},
    compile::{ModelDocument, ModelFormat},
    policy::{MOST_CONDITIONS_OF_A_SERVER, MOST_TYPES_OF_A_SERVER},
    snapshot::Ulid,
};

use super::{
    answer::Answer,
    backing::{About, AnyStore, Backing},
    body::{filled, message, strict},
    fault::{Code, Fault},
    page::{List, Query},
};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CreateStore {
    #[serde(deserialize_with = "filled")]
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WriteModel {
    #[serde(deserialize_with = "filled", alias = "typeDefinitions")]
    type_definitions: Vec<Value>,
    #[serde(deserialize_with = "filled")]
    conditions: Map<String, Value>,
}

/// A time as protobuf's JSON has it.
pub(super) fn time(at: Timestamp) -> String {
    humantime::format_rfc3339_micros(SystemTime::from(at)).to_string()
}

/// A store as an answer has it.
pub(super) fn store_json(store: &AnyStore<'_>) -> Value {
    let About { id, name, created_at, updated_at } = store.about();
    let (created, updated) = (time(created_at), time(updated_at));
    json!({ "id": id.as_str(), "name": name, "created_at": created, "updated_at": updated, "deleted_at": null })
}

pub(super) fn create(backing: Backing<'_>, body: &[u8], now: Timestamp) -> Result<Answer, Fault> {
    backing.check_creatable()?;
    let CreateStore { name } = message(body)?;
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "\t\n\u{c}\r ./^_&@-".contains(c);
    if !(3..=64).contains(&name.chars().count()) || !name.chars().all(is_legal) {
        let rule = "value does not match regex pattern \"^[a-zA-Z0-9\\\\s\\\\.\\\\-\\\\/^_&@]{3,64}$\"";
        return Err(Fault::field("CreateStoreRequest.Name", rule));
    }
    let store = backing.create_store(&name, now)?;
    let mut made = store_json(&store);
    if let Some(members) = made.as_object_mut() {
        members.remove("deleted_at");
    }
    Ok(Answer::created(made))
}

pub(super) fn list(backing: Backing<'_>, query: &Query) -> Result<Answer, Fault> {
    let size = query.page_size("ListStoresRequest")?;
    let after: Option<Ulid> = List::Stores.after(query.get("continuation_token"))?;
    let name = Some(query.get("name")).filter(|name| !name.is_empty());
    let page = backing.stores(name, after, size);
    let stores: Vec<Value> = page.entries.iter().map(store_json).collect();
    Ok(Answer::ok(json!({ "stores": stores, "continuation_token": List::Stores.next(&page) })))
}

pub(super) fn write_model(store: &AnyStore<'_>, body: &[u8], now: Timestamp) -> Result<Answer, Fault> {
    store.check_writable()?;
    let WriteModel { type_definitions, conditions } = message(body)?;
    if type_definitions.is_empty() {
        let rule = "value must contain at least 1 item(s)";
        return Err(Fault::field("WriteAuthorizationModelRequest.TypeDefinitions", rule));
    }
    if conditions.len() > MOST_CONDITIONS_OF_A_SERVER {
        let rule = format!("value must contain no more than {MOST_CONDITIONS_OF_A_SERVER} pair(s)");
        return Err(Fault::field("WriteAuthorizationModelRequest.Conditions", &rule));
    }
    if type_definitions.len() > MOST_TYPES_OF_A_SERVER {
        let message = format!(
            "The number of type definitions in an authorization model exceeds the allowed limit of {MOST_TYPES_OF_A_SERVER}"
        );
        return Err(Fault::new(Code::ExceededEntityLimit, message));
    }
    // It was read as JSON before, which is UTF-8.
    let text = std::str::from_utf8(strict(body)?).unwrap_or_default();
    let mut beside = |_: &str| Err("there are no files".to_owned());
    let document = ModelDocument::read(&Arc::from("model"), text, ModelFormat::Json, &mut beside)
        .map_err(|problems| Fault::new(Code::InvalidModel, told(&problems)))?;
    let id = store.add_model(document, now)?;
    Ok(Answer::created(json!({ "authorization_model_id": id.as_str() })).by(id))
}

/// The first problems of a model, on one line.
fn told(problems: &[Diagnostic]) -> String {
    let shown: Vec<String> = problems.iter().take(5).map(|problem| problem.message.clone()).collect();
    let more = problems.len().saturating_sub(shown.len());
    let more = if more > 0 { format!("; and {more} more problems") } else { String::new() };
    format!("invalid authorization model: {}{more}", shown.join("; "))
}

pub(super) fn list_models(store: &AnyStore<'_>, query: &Query) -> Result<Answer, Fault> {
    let size = query.page_size("ReadAuthorizationModelsRequest")?;
    let before: Option<Ulid> = List::Models.after(query.get("continuation_token"))?;
    let page = store.models(before, size);
    let models: Vec<&Value> = page.entries.iter().map(|model| &model.json).collect();
    Ok(Answer::ok(json!({ "authorization_models": models, "continuation_token": List::Models.next(&page) })))
}

pub(super) fn get_model(store: &AnyStore<'_>, id: Ulid) -> Result<Answer, Fault> {
    let model = store.model(Some(id))?;
    Ok(Answer::ok(json!({ "authorization_model": model.json })).by(id))
}
