//! A permitted request on its way, until its answer has begun.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Instant};

use http::{HeaderValue, Response, StatusCode, header};

use crate::{access::Reason, net::Client, route::UpstreamId, snapshot::Snapshot};

use super::{
    answer::Content,
    exchange::Exchange,
    filter::Filtering,
    lasting::{self, Decided, Lasting},
    rejection::Rejection,
    sessions::{Place, SessionKey},
    upstream::Outgoing,
    websocket::Opening,
};

/// A request that is permitted.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) upstream: UpstreamId,
    pub(super) request: Outgoing,
    pub(super) lasting: Box<Lasting>,
    pub(super) filtering: Option<Box<Filtering>>,
    pub(super) opening: Option<Box<Opening>>,
    /// How the session that the answer names is bound to its principal, where sessions are.
    pub(super) sessions: Option<(Arc<SessionKey>, Place)>,
}

impl Sending {
    /// Sends it, and waits for the head of its answer; for all of it, if it is to be filtered.
    pub(super) async fn forward(
        self,
        client: &Client,
        exchange: &mut Exchange,
    ) -> Result<Response<Content>, Rejection> {
        let Self { snapshot, upstream, request, mut lasting, filtering, opening, sessions } = self;
        let upstream = snapshot.upstream(upstream).ok_or_else(|| Rejection::new(Reason::InternalError))?;
        // It is sent as soon as it is decided.
        let (begun, is_uploading) = (lasting.since, request.is_uploading());
        let may_end = is_uploading || lasting.deadline.is_some();
        if let Some(opening) = opening {
            // Rare and large.
            let opened = Box::pin(request.open(upstream, *opening, lasting)).await;
            let response =
                opened.inspect_err(|rejection| exchange.upstream_failed(&upstream.name, rejection.reason))?;
            // Clients by HTTP/2 are told of a connection that has switched by another status.
            let status = match response.body() {
                Content::Switched(_) => StatusCode::SWITCHING_PROTOCOLS,
                Content::Whole(_) | Content::Upstream(..) => response.status(),
            };
            let took = begun.elapsed();
            exchange.upstream_answered(status.as_u16(), took);
            if took > lasting::EVERY
                && let Some(lasting) = response.body().lasting()
            {
                drop(lasting.decide_again().inspect_err(|rejection| exchange.cut(rejection))?);
            }
            return Ok(response);
        }
        let mut answering = pin!(request.send(client, upstream, begun));
        let response = poll_fn(|cx| match answering.as_mut().poll(cx) {
            // A body that comes slowly is a stream too.
            Poll::Pending if may_end => lasting.poll_over(cx, None).map(|rejection| {
                exchange.cut(&rejection);
                Err(rejection)
            }),
            // What the proxy cut off is no failure of the client or the upstream.
            polled => {
                polled.map_err(|failure| exchange.own_doing(|| lasting.refused().filter(|_| is_uploading), failure))
            }
        });
        let mut response = response.await.inspect_err(|rejection| {
            // What the client broke off is no failure of the upstream either.
            let is_the_clients = matches!(rejection.reason, Reason::MalformedMessage | Reason::BodyTimeout);
            if !exchange.was_cut() && !is_the_clients {
                exchange.upstream_failed(&upstream.name, rejection.reason);
            }
        })?;
        let took = begun.elapsed();
        exchange.upstream_answered(response.status().as_u16(), took);
        if took > lasting::EVERY {
            drop(lasting.decide_again().inspect_err(|rejection| exchange.cut(rejection))?);
        }
        if let Some((key, place)) = sessions {
            key.seal(&place, lasting.grounds.permit.principal(), response.headers_mut())?;
        }
        let Some(filtering) = filtering.filter(|filtering| filtering.reads(&response)) else {
            return Ok(response.map(|body| Content::Upstream(body, lasting, None)));
        };
        if let Some(events) = filtering.of_events(response.headers()) {
            response.headers_mut().remove(header::CONTENT_LENGTH);
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
            return Ok(response.map(|body| Content::Upstream(body, lasting, Some(Box::new(events)))));
        }
        let reading = Instant::now();
        let decided = || {
            if begun.elapsed() <= lasting::EVERY {
                let policy = filtering.told.as_ref().unwrap_or(&snapshot.policy);
                return Ok(Decided { policy: Arc::clone(policy), at: filtering.now });
            }
            lasting.decide_again().inspect_err(|rejection| exchange.cut(rejection))
        };
        let filtered = Box::pin(filtering.filter(decided, response)).await;
        exchange.waited(reading.elapsed());
        let (response, items) =
            filtered.map_err(|failure| exchange.own_doing(|| lasting.refused().filter(|_| is_uploading), failure))?;
        exchange.filtered(items);
        exchange.pass_bytes(response.body().len())?;
        Ok(response.map(Content::Whole))
    }
}
