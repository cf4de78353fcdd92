//! Which path and method is which request.

use http::Method;

use super::fault::{Code, Fault};
use crate::snapshot::Ulid;

/// What an id must look like.
pub(super) const ID_RULE: &str = "value does not match regex pattern \"^[ABCDEFGHJKMNPQRSTVWXYZ0-9]{26}$\"";

/// A request to all stores, or to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    CreateStore,
    ListStores,
    GetStore(Ulid),
    DeleteStore(Ulid),
    OfStore(Ulid, OfStore),
}

/// A request to a store that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OfStore {
    WriteModel,
    ListModels,
    GetModel(Ulid),
    Write,
    Read,
    Changes,
    Check,
    BatchCheck,
    ListObjects,
    StreamedListObjects,
    ListUsers,
    Expand,
    ReadAssertions(Ulid),
    WriteAssertions(Ulid),
}

impl Route {
    /// Whether it changes what is kept.
    pub(super) fn is_write(self) -> bool {
        matches!(self, Self::OfStore(_, OfStore::Write | OfStore::WriteModel | OfStore::WriteAssertions(_)))
    }

    /// The store that it names.
    pub(super) fn store(self) -> Option<Ulid> {
        match self {
            Self::GetStore(id) | Self::DeleteStore(id) | Self::OfStore(id, _) => Some(id),
            Self::CreateStore | Self::ListStores => None,
        }
    }

    /// The request that this method and path stand for.
    pub(super) fn find(method: &Method, path: &str) -> Result<Self, Fault> {
        Self::known(method, path).map_err(|fault| {
            let others = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
            let is_there = others.iter().any(|other| other != method && Self::known(other, path).is_ok());
            if is_there { Fault::new(Code::OtherMethod, "Method Not Allowed") } else { fault }
        })
    }

    fn known(method: &Method, path: &str) -> Result<Self, Fault> {
        let is = |wanted: &Method| method == wanted;
        let undefined = || Fault::new(Code::UndefinedEndpoint, "Not Found");
        let mut segments = path.strip_prefix('/').unwrap_or(path).split('/');
        let (Some("stores"), store) = (segments.next(), segments.next()) else { return Err(undefined()) };
        let Some(store) = store.filter(|store| !store.is_empty()) else {
            return match () {
                () if is(&Method::POST) => Ok(Self::CreateStore),
                () if is(&Method::GET) => Ok(Self::ListStores),
                () => Err(undefined()),
            };
        };
        let of_store = match (segments.next(), segments.next(), segments.next()) {
            (None, _, _) if is(&Method::GET) => return Ok(Self::GetStore(id("GetStoreRequest.StoreId", store)?)),
            (None, _, _) if is(&Method::DELETE) => {
                return Ok(Self::DeleteStore(id("DeleteStoreRequest.StoreId", store)?));
            }
            (Some("authorization-models"), None, _) if is(&Method::POST) => OfStore::WriteModel,
            (Some("authorization-models"), None, _) if is(&Method::GET) => OfStore::ListModels,
            (Some("authorization-models"), Some(model), None) if is(&Method::GET) => {
                OfStore::GetModel(id("ReadAuthorizationModelRequest.Id", model)?)
            }
            (Some("assertions"), Some(model), None) if is(&Method::GET) => {
                OfStore::ReadAssertions(id("ReadAssertionsRequest.AuthorizationModelId", model)?)
            }
            (Some("assertions"), Some(model), None) if is(&Method::PUT) => {
                OfStore::WriteAssertions(id("WriteAssertionsRequest.AuthorizationModelId", model)?)
            }
            (Some("changes"), None, _) if is(&Method::GET) => OfStore::Changes,
            (Some(name), None, _) if is(&Method::POST) => Self::posted(name).ok_or_else(undefined)?,
            _ => return Err(undefined()),
        };
        Ok(Self::OfStore(id("Request.StoreId", store)?, of_store))
    }

    fn posted(name: &str) -> Option<OfStore> {
        Some(match name {
            "write" => OfStore::Write,
            "read" => OfStore::Read,
            "check" => OfStore::Check,
            "batch-check" => OfStore::BatchCheck,
            "list-objects" => OfStore::ListObjects,
            "streamed-list-objects" => OfStore::StreamedListObjects,
            "list-users" => OfStore::ListUsers,
            "expand" => OfStore::Expand,
            _ => return None,
        })
    }
}

/// What a path asks for, by a name from a closed set, and whether the answer may take long.
pub(in crate::admin) fn named(method: &Method, path: &str) -> (&'static str, bool) {
    let mut segments = path.split('/').skip(2);
    let Some(_store) = segments.next().filter(|store| !store.is_empty()) else { return ("openfga_stores", false) };
    match segments.next().unwrap_or_default() {
        "" => ("openfga_store", false),
        // A new model is made ready with all tuples.
        "authorization-models" => ("openfga_models", method == Method::POST),
        "write" => ("openfga_write", false),
        "read" => ("openfga_read", true),
        "changes" => ("openfga_changes", false),
        "check" => ("openfga_check", false),
        "batch-check" => ("openfga_batch_check", true),
        "list-objects" => ("openfga_list_objects", true),
        "streamed-list-objects" => ("openfga_streamed_list_objects", true),
        "list-users" => ("openfga_list_users", true),
        "expand" => ("openfga_expand", true),
        "assertions" => ("openfga_assertions", method == Method::PUT),
        _ => ("openfga_undefined", false),
    }
}

/// The id that a field has.
pub(super) fn id(field: &str, text: &str) -> Result<Ulid, Fault> {
    text.parse().map_err(|_| Fault::field(field, ID_RULE))
}
