//! Which request is answered by what.

use std::{sync::Arc, time::SystemTime};

use crate::{
    access::Timestamp,
    snapshot::{Authority, Store, StoredModel, Ulid},
};

use super::{
    answer::Answer,
    assertions,
    fault::{Code, Fault},
    lists,
    page::Query,
    questions, relationships,
    route::{OfStore, Route, id},
    stores,
};

/// OpenFGA's API over an authority.
#[derive(Debug)]
pub(super) struct Api {
    authority: Arc<Authority>,
}

impl Api {
    pub(super) fn new(authority: Arc<Authority>) -> Self {
        Self { authority }
    }

    /// The answer to a request.
    pub(super) fn answer(&self, route: Route, query: &str, body: &[u8]) -> Result<Answer, Fault> {
        let query = Query::read(query)?;
        let now = Timestamp::from(SystemTime::now());
        match route {
            Route::CreateStore => stores::create(&self.authority, body, now),
            Route::ListStores => stores::list(&self.authority, &query),
            Route::GetStore(id) => Ok(Answer::ok(stores::store_json(&*self.store(id)?))),
            Route::DeleteStore(id) => {
                self.authority.delete_store(id);
                Ok(Answer::nothing())
            }
            Route::OfStore(id, wanted) => self.of_store(&*self.store(id)?, wanted, &query, body, now),
        }
    }

    fn of_store(
        &self,
        store: &Store,
        wanted: OfStore,
        query: &Query,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Answer, Fault> {
        match wanted {
            OfStore::WriteModel => stores::write_model(&self.authority, store, body),
            OfStore::ListModels => stores::list_models(store, query),
            OfStore::GetModel(id) => stores::get_model(store, id),
            OfStore::Write => relationships::write(store, body, now),
            OfStore::Read => relationships::read(store, body),
            OfStore::Changes => relationships::changes(store, query),
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

    fn store(&self, id: Ulid) -> Result<Arc<Store>, Fault> {
        self.authority.store(id).ok_or_else(|| Fault::new(Code::StoreNotFound, "Store ID not found"))
    }
}

/// The model that a request names, or the latest.
pub(super) fn model(store: &Store, message: &str, named: &str) -> Result<Arc<StoredModel>, Fault> {
    let named = match named {
        "" => None,
        named => Some(id(&format!("{message}.AuthorizationModelId"), named)?),
    };
    Ok(store.model(named)?)
}
