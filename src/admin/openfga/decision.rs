//! The same API on the decision listener, over the snapshot that decides requests.

use http::{HeaderValue, Response};

use crate::{
    access::Revision,
    admin::decision::{Asked, Content, Refusal},
    snapshot::Ulid,
};

use super::{
    answer::{Answer, response},
    fault::{Code, Fault},
    route::Route,
};

/// The answer to a request of somebody who may ask.
pub(in crate::admin) fn answer_asked(asked: &Asked) -> Response<Content> {
    let route = Route::find(asked.head.method(), asked.head.path().as_str());
    let answer = route.and_then(|_| Err(Fault::new(Code::Unimplemented, "not there yet")));
    let answer: Answer = answer.unwrap_or_else(Answer::from);
    marked(response(&answer, Ulid::now(), None), asked.snapshot.revision)
}

/// The answer that says why nothing is answered.
pub(in crate::admin) fn refused(refusal: &Refusal) -> Response<Content> {
    response(&Fault::from(refusal).into(), Ulid::now(), None)
}

/// Every answer names the revision that it rests on.
fn marked(mut response: Response<Content>, revision: Revision) -> Response<Content> {
    response.headers_mut().insert("portcullis-revision", HeaderValue::from(revision.number()));
    response
}
