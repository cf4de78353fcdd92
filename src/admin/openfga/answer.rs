//! Answers, as grpc-gateway would write them.

use std::ops::ControlFlow;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use crate::{
    admin::{deadline::ANSWER_TIME, decision::Content, turns::Turn},
    snapshot::Ulid,
};

use super::{fault::Fault, lists::too_long};

/// So many lines may wait for a slow reader.
const WAITING_LINES: usize = 64;

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

/// Finds the lines on a thread for long work, and hands them on as they are read. The thread ends, and its turn with it,
/// when the reader is gone, or takes longer than a list may. The last line says why there are no others, whenever it is
/// read; no such line means that all were found.
fn streamed(find: Box<Find>, turn: Option<Turn>) -> Content {
    let (sender, receiver) = mpsc::channel::<Bytes>(WAITING_LINES);
    let (end, ended) = oneshot::channel::<Option<Fault>>();
    let runtime = Handle::current();
    let deadline = Instant::now() + ANSWER_TIME;
    runtime.clone().spawn_blocking(move || {
        let _turn = turn;
        let mut is_late = false;
        let found = find(&mut |value| {
            let sending = async { timeout_at(deadline, sender.send(line(value))).await };
            match runtime.block_on(sending) {
                Ok(Ok(())) => ControlFlow::Continue(()),
                Ok(Err(_)) => ControlFlow::Break(()),
                Err(_) => {
                    is_late = true;
                    ControlFlow::Break(())
                }
            }
        });
        // Whoever reads no further is not told.
        let _ = end.send(if is_late { Some(too_long()) } else { found.err() });
    });
    let lines = stream::unfold((receiver, Some(ended)), |(mut receiver, ended)| async {
        if let Some(line) = receiver.recv().await {
            return Some((line, (receiver, ended)));
        }
        // A search that broke off has not said how it ended.
        let fault = ended?.await.unwrap_or_else(|_| {
            tracing::error!("a list broke off by a fault");
            Some(Fault::internal())
        })?;
        Some((line(&json!({ "error": fault.body() })), (receiver, None)))
    });
    StreamBody::new(lines.map(|line| Ok(Frame::data(line)))).boxed_unsync()
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}

/// The answer as HTTP has it. What is still to be found keeps the turn.
pub(super) fn response(answer: Answer, request: Ulid, store: Option<Ulid>, turn: Option<Turn>) -> Response<Content> {
    let has_body = !matches!(answer.body, Body::Nothing);
    let mut response = Response::new(match answer.body {
        Body::Nothing => Empty::new().boxed_unsync(),
        Body::One(value) => Full::from(value.to_string()).boxed_unsync(),
        Body::Lines(find) => streamed(find, turn),
    });
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if has_body {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if answer.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if answer.status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::admin::turns::Turns;

    async fn text(content: Content) -> String {
        String::from_utf8(content.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_list_that_breaks_off_does_not_look_like_a_whole_one() {
        let one = json!({ "result": 1 });
        let whole = streamed(
            Box::new(move |send| {
                let _ = send(&one);
                Ok(())
            }),
            None,
        );
        assert_eq!(text(whole).await, "{\"result\":1}\n");
        let broken = streamed(
            Box::new(|send| {
                let _ = send(&json!({ "result": 1 }));
                panic!("a fault")
            }),
            None,
        );
        assert!(text(broken).await.contains("internal_error"));
    }

    #[tokio::test]
    async fn who_does_not_read_gives_the_turn_back_and_is_told_of_the_end() {
        let turns = Turns::new(1, Duration::from_secs(20));
        let turn = turns.take().await;
        let endless = streamed(
            Box::new(|send| {
                while send(&json!({ "result": 1 })).is_continue() {}
                Ok(())
            }),
            turn,
        );
        // Nobody has read a line of it, and somebody else has the turn.
        assert!(turns.take().await.is_some());
        assert!(text(endless).await.ends_with("there may be more objects\"}}\n"));
    }
}
