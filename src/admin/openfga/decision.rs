//! The same API on the decision listener, over the policy that decides requests.

use http::{HeaderValue, Response};

use crate::{
    admin::{
        decision::{Asked, Content, Refusal},
        turns::Turn,
    },
    snapshot::{MemoryStore, Ulid},
};

use super::{
    answer::{Answer, response},
    api,
    backing::{Backing, ProxyStore},
    fault::{Code, Fault},
    route::Route,
};

/// The answer to a request of somebody who may ask. Without a store in memory nothing can be written.
pub(in crate::admin) fn answer_asked(asked: &Asked, memory: Option<&MemoryStore>, turn: Turn) -> Response<Content> {
    let Asked { snapshot, caller, head, body, now } = asked;
    let (mut store, mut written) = (None, None);
    let answer = Route::find(head.method(), head.path().as_str()).and_then(|route| {
        store = route.store();
        if memory.is_some() && route.is_write() && !snapshot.callers.may_write(caller) {
            return Err(Fault::new(Code::Forbidden, "not among those who may write"));
        }
        let backing = Backing::Proxy(ProxyStore { snapshot, memory, caller, now: *now });
        let answer = api::answer(backing, route, head.query().unwrap_or_default(), body, *now);
        // Who has written wants to know from when on it counts.
        written = memory.filter(|_| route.is_write()).and_then(MemoryStore::revision);
        answer
    });
    let mut response = response(answer.unwrap_or_else(Answer::from), Ulid::now(), store, Some(turn));
    let revision = written.unwrap_or(snapshot.revision);
    response.headers_mut().insert("portcullis-revision", HeaderValue::from(revision.number()));
    response
}

/// The answer that says why nothing is answered.
pub(in crate::admin) fn refused(refusal: &Refusal) -> Response<Content> {
    response(Fault::from(refusal).into(), Ulid::now(), None, None)
}
