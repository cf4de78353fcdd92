//! Answers, as grpc-gateway would write them.

use std::{ops::ControlFlow, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::{
    runtime::Handle,
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::{admin::decision::Content, snapshot::Ulid};

use super::{
    fault::Fault,
    lists::{LIST_TIME, too_long},
};

/// So many lines may wait for a slow reader.
const WAITING_LINES: usize = 64;

/// How much longer the line may take that says why there are no others.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What finds lines one after the other, until it is told that nobody reads them any more.
type Find = dyn FnOnce(&mut dyn FnMut(&Value) -> ControlFlow<()>) -> Result<(), Fault> + Send;

/// An answer before it is bytes.
pub(super) struct Answer {
    status: StatusCode,
    body: Body,
    model: Option<Ulid>,
    is_partial: bool,
}

enum Body {
    Nothing,
    One(Value),
    /// One on each line, as they are found.
    Lines(Box<Find>),
}

impl Answer {
    /// 200 with this.
    pub(super) fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body: Body::One(body), model: None, is_partial: false }
    }

    /// 201 with this.
    pub(super) fn created(body: Value) -> Self {
        Self { status: StatusCode::CREATED, ..Self::ok(body) }
    }

    /// 204.
    pub(super) fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: Body::Nothing, model: None, is_partial: false }
    }

    /// 200 with what is found, each on a line; a fault after the beginning is a line too.
    pub(super) fn lines(
        find: impl FnOnce(&mut dyn FnMut(&Value) -> ControlFlow<()>) -> Result<(), Fault> + Send + 'static,
    ) -> Self {
        Self { status: StatusCode::OK, body: Body::Lines(Box::new(find)), model: None, is_partial: false }
    }

    /// The same, which rests on this model.
    pub(super) fn by(self, model: Ulid) -> Self {
        Self { model: Some(model), ..self }
    }

    /// The same, which says that there may be more.
    pub(super) fn partial(self) -> Self {
        Self { is_partial: true, ..self }
    }
}

impl From<Fault> for Answer {
    fn from(fault: Fault) -> Self {
        Self { status: fault.status(), ..Self::ok(fault.body()) }
    }
}

/// Finds the lines on a thread for long work, and hands them on as they are read. The thread ends when the reader is
/// gone, or takes longer than a list may.
fn streamed(find: Box<Find>) -> Content {
    let (sender, receiver) = mpsc::channel::<Bytes>(WAITING_LINES);
    let runtime = Handle::current();
    let deadline = Instant::now() + LIST_TIME;
    runtime.clone().spawn_blocking(move || {
        let send = |line: &Value, until| {
            let line = Bytes::from(format!("{line}\n"));
            runtime.block_on(async { timeout_at(until, sender.send(line)).await })
        };
        let mut is_late = false;
        let found = find(&mut |line| match send(line, deadline) {
            Ok(Ok(())) => ControlFlow::Continue(()),
            Ok(Err(_)) => ControlFlow::Break(()),
            Err(_) => {
                is_late = true;
                ControlFlow::Break(())
            }
        });
        let found = if is_late { Err(too_long()) } else { found };
        if let Err(fault) = found {
            // Whoever reads no further is not told.
            let _ = send(&json!({ "error": fault.body() }), deadline + LAST_WORD);
        }
    });
    let lines = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|line| (Ok(Frame::data(line)), receiver))
    });
    StreamBody::new(lines).boxed_unsync()
}

/// The answer as HTTP has it.
pub(super) fn response(answer: Answer, request: Ulid, store: Option<Ulid>) -> Response<Content> {
    let has_body = !matches!(answer.body, Body::Nothing);
    let mut response = Response::new(match answer.body {
        Body::Nothing => Empty::new().boxed_unsync(),
        Body::One(value) => Full::from(value.to_string()).boxed_unsync(),
        Body::Lines(find) => streamed(find),
    });
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if has_body {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if answer.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if answer.is_partial {
        headers.insert("portcullis-partial", HeaderValue::from_static("deadline"));
    }
    let ids = [
        ("x-request-id", Some(request)),
        ("openfga-store-id", store),
        ("openfga-authorization-model-id", answer.model),
    ];
    for (name, id) in ids {
        if let Some(value) = id.and_then(|id| HeaderValue::from_str(id.as_str()).ok()) {
            headers.insert(name, value);
        }
    }
    response
}
