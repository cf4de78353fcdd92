//! What every interface of the decision listener is given, and gives back.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

use crate::{
    access::{CanonicalRequest, Entity, Timestamp},
    snapshot::Snapshot,
};

/// The body of an answer.
pub(in crate::admin) type Content = UnsyncBoxBody<Bytes, Infallible>;

/// A request of somebody who may ask.
#[derive(Debug)]
pub(in crate::admin) struct Asked {
    /// What it is answered by, to its end: that of the moment in which the work begins.
    pub(in crate::admin) snapshot: Arc<Snapshot>,
    /// Who asks.
    pub(in crate::admin) caller: Entity,
    /// Method, path, query and header fields.
    pub(in crate::admin) head: CanonicalRequest,
    /// The whole body.
    pub(in crate::admin) body: Bytes,
    /// When the work begins.
    pub(in crate::admin) now: Timestamp,
}
