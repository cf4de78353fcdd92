//! From bytes to an answer: who asks, what for, and in how many bytes.

use std::{sync::Arc, time::SystemTime};

use http::{Method, Request, Response};
use hyper::body::Incoming;
use serde_json::json;

use crate::{
    access::Timestamp,
    admin::{
        body::{QUESTION, Room},
        decision::{Content, Refusal},
        names::DoorNames,
        turns::{AnswerTurns, Turn},
    },
    net::{Handler, HeadProblem, Peer},
    snapshot::{Authority, Ulid},
};

use super::{
    answer::{Answer, response},
    api,
    backing::Backing,
    bearer::Bearers,
    fault::{Code, Fault},
    route::{Route, named},
};

/// Answers OpenFGA's HTTP API from an authority in memory.
#[derive(Debug, Clone)]
pub struct OpenFgaHandler {
    authority: Arc<Authority>,
    bearers: Arc<Bearers>,
    room: Arc<Room>,
    turns: Arc<AnswerTurns>,
    names: DoorNames,
}

impl OpenFgaHandler {
    /// A handler for those who bear one of these tokens, or ask by one of these names where there are none.
    pub fn new(authority: Arc<Authority>, bearers: Bearers, names: DoorNames) -> Self {
        let (room, turns) = (Arc::new(Room::whole()), Arc::new(AnswerTurns::alone()));
        Self { authority, bearers: Arc::new(bearers), room, turns, names }
    }

    /// The answer, and the turn that is kept until all of it was found.
    async fn answer(
        &self,
        request: Request<Incoming>,
        store: &mut Option<Ulid>,
    ) -> Result<(Answer, Option<Turn>), Fault> {
        // Nothing but the place that it is asked from says who asks, and a browser is in that place too.
        let admitted = if self.bearers.is_open() { self.names.admit(&request) } else { Ok(()) };
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if path == "/healthz" && head.method == Method::GET {
            return Ok((Answer::ok(json!({ "status": "SERVING" })), None));
        }
        admitted.map_err(|stranger| Fault::new(Code::Forbidden, format!("{stranger}, unless with a token")))?;
        self.bearers.admit(&head.headers)?;
        let route = Route::find(&head.method, path)?;
        *store = route.store();
        let (_, is_long) = named(&head.method, path);
        let (body, room) = self.room.read(body, QUESTION).await?;
        let turn = self.turns.take(is_long).await.ok_or_else(|| Fault::from(&Refusal::Overloaded))?;
        let query = head.uri.query().unwrap_or_default().to_owned();
        let (authority, now) = (Arc::clone(&self.authority), Timestamp::from(SystemTime::now()));
        // Lists can take long: other connections are not to wait for them.
        let answered = turn.spend(move |turn| {
            let _room = room;
            api::answer(Backing::Authority(&authority), route, &query, &body, now).map(|answer| (answer, Some(turn)))
        });
        answered.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request could not be answered");
            Err(Fault::internal())
        })
    }
}

impl Handler for OpenFgaHandler {
    type Body = Content;

    async fn respond(&self, peer: &Peer, request: Box<Request<Incoming>>) -> Response<Content> {
        let (id, mut store) = (Ulid::now(), None);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answered = self.answer(*request, &mut store).await;
        let (answer, turn) = answered.unwrap_or_else(|fault| (fault.into(), None));
        let response = response(answer, id, store, turn);
        let status = response.status().as_u16();
        tracing::debug!(peer = %peer.address, %method, path, status, "a request to the authority");
        response
    }

    fn malformed(&self, peer: &Peer, problem: HeadProblem) {
        tracing::debug!(peer = %peer.address, %problem, "a malformed request to the authority");
    }
}
