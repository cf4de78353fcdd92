//! Which request is answered by what.

use std::sync::Arc;

use crate::{access::Timestamp, snapshot::StoredModel};

use super::{
    answer::Answer,
    assertions,
    backing::{AnyStore, Backing},
    fault::Fault,
    lists,
    page::Query,
    questions, relationships,
    route::{OfStore, Route, id},
    stores,
};

/// The answer to a request.
pub(super) fn answer(
    backing: Backing<'_>,
    route: Route,
    query: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<Answer, Fault> {
    let query = Query::read(query)?;
    match route {
        Route::CreateStore => stores::create(backing, body, now),
        Route::ListStores => stores::list(backing, &query),
        Route::GetStore(id) => Ok(Answer::ok(stores::store_json(&backing.store(id)?))),
        Route::DeleteStore(id) => {
            backing.delete_store(id)?;
            Ok(Answer::nothing())
        }
        Route::OfStore(id, wanted) => of_store(&backing.store(id)?, wanted, &query, body, now),
    }
}

fn of_store(
    store: &AnyStore<'_>,
    wanted: OfStore,
    query: &Query,
    body: &[u8],
    now: Timestamp,
) -> Result<Answer, Fault> {
    match wanted {
        OfStore::WriteModel => stores::write_model(store, body, now),
        OfStore::ListModels => stores::list_models(store, query),
        OfStore::GetModel(id) => stores::get_model(store, id),
        OfStore::Write => relationships::write(store, body, now),
        OfStore::Read => relationships::read(store, body),
        OfStore::Changes => relationships::changes(store, query, now),
        OfStore::Check => questions::check(store, body),
        OfStore::BatchCheck => questions::batch_check(store, body),
        OfStore::ListObjects => lists::objects(store, body),
        OfStore::StreamedListObjects => lists::streamed_objects(store, body),
        OfStore::ListUsers => lists::users(store, body),
        OfStore::Expand => lists::expand(store, body),
        OfStore::ReadAssertions(model) => assertions::read(store, model),
        OfStore::WriteAssertions(model) => assertions::write(store, model, body),
    }
}

/// The model that a request names, or the latest.
pub(super) fn model(store: &AnyStore<'_>, message: &str, named: &str) -> Result<Arc<StoredModel>, Fault> {
    let named = match named {
        "" => None,
        named => Some(id(&format!("{message}.AuthorizationModelId"), named)?),
    };
    Ok(store.model(named)?)
}
