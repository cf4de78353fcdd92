//! From bytes to an answer: who asks, what for, and in how many bytes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::json;
use tokio::{task::spawn_blocking, time::timeout};

use crate::{
    net::{Handler, HeadProblem, Peer},
    snapshot::{Authority, Ulid},
};

use super::{
    answer::{Answer, response},
    api::Api,
    bearer::Bearers,
    fault::{Code, Fault},
    route::Route,
};

/// The longest body (OpenFGA's limit).
const BODY_BYTES: usize = 616_448;
/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Answers OpenFGA's HTTP API from an authority in memory.
#[derive(Debug, Clone)]
pub struct OpenFgaHandler {
    api: Arc<Api>,
    bearers: Arc<Bearers>,
}

impl OpenFgaHandler {
    /// A handler for those who bear one of these tokens.
    pub fn new(authority: Arc<Authority>, bearers: Bearers) -> Self {
        Self { api: Arc::new(Api::new(authority)), bearers: Arc::new(bearers) }
    }

    async fn answer(&self, request: Request<Incoming>, store: &mut Option<Ulid>) -> Result<Answer, Fault> {
        let (head, body) = request.into_parts();
        if head.uri.path() == "/healthz" && head.method == Method::GET {
            return Ok(Answer::ok(json!({ "status": "SERVING" })));
        }
        self.bearers.admit(&head.headers)?;
        let route = Route::find(&head.method, head.uri.path())?;
        if let Route::OfStore(id, _) | Route::GetStore(id) | Route::DeleteStore(id) = route {
            *store = Some(id);
        }
        let body = read(body).await?;
        let query = head.uri.query().unwrap_or_default().to_owned();
        let api = Arc::clone(&self.api);
        // Lists can take long: other connections are not to wait for them.
        let answered = spawn_blocking(move || api.answer(route, &query, &body)).await;
        answered.unwrap_or_else(|error| {
            tracing::error!(%error, "a request could not be answered");
            Err(Fault::new(Code::InternalError, "Internal Server Error"))
        })
    }
}

async fn read(body: Incoming) -> Result<Bytes, Fault> {
    match timeout(BODY_TIME, Limited::new(body, BODY_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("The number of bytes of a request exceeds the allowed limit of {BODY_BYTES}");
            Err(Fault::new(Code::BodyTooLarge, message))
        }
        Ok(Err(_)) => Err(Fault::invalid("the body broke off")),
        Err(_) => Err(Fault::invalid("the body took too long")),
    }
}

impl Handler for OpenFgaHandler {
    type Body = Full<Bytes>;

    async fn respond(&self, peer: &Peer, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (id, mut store) = (Ulid::now(), None);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = self.answer(request, &mut store).await.unwrap_or_else(Answer::from);
        let response = response(&answer, id, store);
        let status = response.status().as_u16();
        tracing::debug!(peer = %peer.address, %method, path, status, "a request to the authority");
        response
    }

    fn malformed(&self, peer: &Peer, problem: HeadProblem) {
        tracing::debug!(peer = %peer.address, %problem, "a malformed request to the authority");
    }
}
