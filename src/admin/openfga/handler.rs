//! From bytes to an answer: who asks, what for, and in how many bytes.

use std::{sync::Arc, time::SystemTime};

use http::{Method, Request, Response};
use hyper::body::Incoming;
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::{
    access::Timestamp,
    admin::{
        body::{QUESTION, read},
        decision::Content,
    },
    net::{Handler, HeadProblem, Peer},
    snapshot::{Authority, Ulid},
};

use super::{
    answer::{Answer, response},
    api,
    backing::Backing,
    bearer::Bearers,
    fault::Fault,
    route::Route,
};

/// Answers OpenFGA's HTTP API from an authority in memory.
#[derive(Debug, Clone)]
pub struct OpenFgaHandler {
    authority: Arc<Authority>,
    bearers: Arc<Bearers>,
}

impl OpenFgaHandler {
    /// A handler for those who bear one of these tokens.
    pub fn new(authority: Arc<Authority>, bearers: Bearers) -> Self {
        Self { authority, bearers: Arc::new(bearers) }
    }

    async fn answer(&self, request: Request<Incoming>, store: &mut Option<Ulid>) -> Result<Answer, Fault> {
        let (head, body) = request.into_parts();
        if head.uri.path() == "/healthz" && head.method == Method::GET {
            return Ok(Answer::ok(json!({ "status": "SERVING" })));
        }
        self.bearers.admit(&head.headers)?;
        let route = Route::find(&head.method, head.uri.path())?;
        *store = route.store();
        let body = read(body, QUESTION).await?;
        let query = head.uri.query().unwrap_or_default().to_owned();
        let (authority, now) = (Arc::clone(&self.authority), Timestamp::from(SystemTime::now()));
        // Lists can take long: other connections are not to wait for them.
        let answered =
            spawn_blocking(move || api::answer(Backing::Authority(&authority), route, &query, &body, now)).await;
        answered.unwrap_or_else(|error| {
            tracing::error!(%error, "a request could not be answered");
            Err(Fault::internal())
        })
    }
}

impl Handler for OpenFgaHandler {
    type Body = Content;

    async fn respond(&self, peer: &Peer, request: Request<Incoming>) -> Response<Content> {
        let (id, mut store) = (Ulid::now(), None);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = self.answer(request, &mut store).await.unwrap_or_else(Answer::from);
        let response = response(answer, id, store, None);
        let status = response.status().as_u16();
        tracing::debug!(peer = %peer.address, %method, path, status, "a request to the authority");
        response
    }

    fn malformed(&self, peer: &Peer, problem: HeadProblem) {
        tracing::debug!(peer = %peer.address, %problem, "a malformed request to the authority");
    }
}
