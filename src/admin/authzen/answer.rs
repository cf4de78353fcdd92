//! From a request to an answer.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use crate::{
    access::CanonicalRequest,
    admin::{
        deadline::Deadline,
        decision::{Asked, Content},
    },
    protocol::{JsonKind, is_json},
};

use super::{
    base::{BaseUrl, is_well_known},
    body::{Members, document},
    decision::Point,
    fault::Fault,
    search::Search,
};

/// By what a caller knows its request again.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is sent back, in bytes.
const LONGEST_REQUEST_ID: usize = 256;

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Evaluation,
    Evaluations,
    Search(Search),
}

impl Endpoint {
    fn of(path: &str) -> Option<Self> {
        Some(match path.strip_prefix("/access/v1/")? {
            "evaluation" => Self::Evaluation,
            "evaluations" => Self::Evaluations,
            "search/subject" => Self::Search(Search::Subjects),
            "search/resource" => Self::Search(Search::Resources),
            "search/action" => Self::Search(Search::Actions),
            _ => return None,
        })
    }
}

/// The name of what a path asks for, for metrics, and whether its answer may take long.
pub(in crate::admin) fn named(path: &str) -> (&'static str, bool) {
    match Endpoint::of(path) {
        Some(Endpoint::Evaluation) => ("authzen_evaluation", false),
        Some(Endpoint::Evaluations) => ("authzen_evaluations", true),
        Some(Endpoint::Search(_)) => ("authzen_search", true),
        None if is_well_known(path) => ("authzen_metadata", false),
        None => ("authzen_undefined", false),
    }
}

/// The answer to a request of somebody who may ask.
pub(in crate::admin) fn answer_asked(asked: &Asked) -> Response<Content> {
    let snapshot = &asked.snapshot;
    let (policy, revision, built_at) = (&snapshot.policy, snapshot.revision, snapshot.built_at);
    let point = Point { policy, revision, built_at, now: asked.now, deadline: Deadline::from_now() };
    let answered = answered(&asked.head, &asked.body, point);
    let mut response = told(answered);
    response.headers_mut().insert("portcullis-revision", HeaderValue::from(revision.number()));
    response
}

/// The document of the decision point, which everybody may read: it says nothing of the policy.
///
/// `None` if the path is not for such documents.
pub(in crate::admin) fn metadata(base: Option<&BaseUrl>, method: &Method, path: &str) -> Option<Response<Content>> {
    if !is_well_known(path) {
        return None;
    }
    let described = base.filter(|base| base.is_described_at(path)).ok_or(Fault::NotFound);
    let described = described.and_then(|base| match *method {
        Method::GET | Method::HEAD => Ok(base.document()),
        _ => Err(Fault::Method("GET")),
    });
    let is_there = described.is_ok();
    let mut response = told(described);
    if is_there {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    }
    Some(response)
}

/// The id of a request, to be sent back with its answer; `None` if it has none, several, or one that is too long.
pub(in crate::admin) fn request_id(headers: &HeaderMap) -> Option<(HeaderName, HeaderValue)> {
    let mut all = headers.get_all(REQUEST_ID).iter();
    let id = all.next().filter(|id| id.len() <= LONGEST_REQUEST_ID)?;
    if all.next().is_some() { None } else { Some((REQUEST_ID, id.clone())) }
}

fn answered(head: &CanonicalRequest, body: &[u8], point: Point<'_>) -> Result<Value, Fault> {
    let endpoint = Endpoint::of(head.path().as_str()).ok_or(Fault::NotFound)?;
    if head.method() != Method::POST {
        return Err(Fault::Method("POST"));
    }
    check_fields(head)?;
    let document = document(body)?;
    let request = Members::of(&document, "the body")?;
    match endpoint {
        Endpoint::Evaluation => point.evaluation(request),
        Endpoint::Evaluations => point.evaluations(request),
        Endpoint::Search(search) => point.search(search, request),
    }
}

/// Refuses a body that is not said to be JSON in UTF-8 without coding, and an id that cannot be sent back.
fn check_fields(head: &CanonicalRequest) -> Result<(), Fault> {
    let field = |name: &HeaderName| {
        head.header(name).map_err(|_| Fault::invalid(format!("the header field `{name}` must be there once, as text")))
    };
    if field(&REQUEST_ID)?.is_some_and(|id| id.len() > LONGEST_REQUEST_ID) {
        return Err(Fault::invalid(format!("`{REQUEST_ID}` is longer than {LONGEST_REQUEST_ID} bytes")));
    }
    // The protocol names this type and no other.
    if !field(&header::CONTENT_TYPE)?.is_some_and(|media_type| is_json(media_type, JsonKind::Plain)) {
        return Err(Fault::invalid("`content-type` must be application/json"));
    }
    match field(&header::CONTENT_ENCODING)? {
        None => Ok(()),
        Some(coding) if coding.eq_ignore_ascii_case("identity") => Ok(()),
        Some(_) => Err(Fault::invalid("`content-encoding` is not supported")),
    }
}

fn told(answered: Result<Value, Fault>) -> Response<Content> {
    let (status, body, allow) = match answered {
        Ok(body) => (StatusCode::OK, body, None),
        Err(fault) => {
            let allow = if let Fault::Method(method) = fault { Some(method) } else { None };
            // AuthZEN 1.0, error responses: a message, here as a JSON text.
            (fault.status(), Value::String(fault.to_string()), allow)
        }
    };
    let mut response = Response::new(Full::from(body.to_string()).boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(method) = allow {
        headers.insert(header::ALLOW, HeaderValue::from_static(method));
    }
    response
}
