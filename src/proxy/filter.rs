//! Lists without what the principal may not see.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;

use crate::{
    access::{CanonicalRequest, Reason, Timestamp},
    audit::Items,
    net::UpstreamBody,
    policy::{Permit, Policy, RequestContext, TaskRule},
    protocol::{Edit, EditChange, Json, JsonKind, JsonLimits, edited, is_json, parse_json},
    route::{Captures, Inputs, ItemFilter, JsonPath},
};

use super::{lasting::Decided, rejection::Rejection};

/// Elements and members of an answer that is filtered, at most.
const ITEMS: usize = 50_000;

/// How an answer is filtered, and what of the request the filter may take its variables from.
#[derive(Debug)]
pub(super) struct Filtering {
    pub(super) rule: ItemFilter,
    pub(super) head: Box<CanonicalRequest>,
    pub(super) captures: Captures<'static>,
    /// What the request was decided by, if it was not the snapshot's policy alone.
    pub(super) told: Option<Arc<Policy>>,
    pub(super) permit: Permit,
    pub(super) now: Timestamp,
    /// For the whole answer, from its head on.
    pub(super) timeout: Duration,
}

impl Filtering {
    /// The answer without the elements that some member of the chain may not see.
    ///
    /// An answer that cannot be read whole is refused, never passed on unfiltered. By what it is decided is asked when it
    /// is there.
    pub(super) async fn filter(
        &self,
        decided: impl FnOnce() -> Result<Decided, Rejection>,
        response: Response<UpstreamBody>,
    ) -> Result<(Response<Bytes>, Items), Rejection> {
        let rule = &self.rule;
        let (mut parts, body) = response.into_parts();
        let unreadable =
            |detail: &str| Rejection::with_detail(Reason::UpstreamMalformed, format!("cannot be filtered: {detail}"));
        if parts.status != StatusCode::OK {
            return Err(unreadable("the status is neither 200 nor an error"));
        }
        let plain = |name: HeaderName| single(&parts.headers, &name);
        let coding = plain(header::CONTENT_ENCODING).map_err(|()| unreadable("Content-Encoding"))?;
        let media_type = plain(header::CONTENT_TYPE).map_err(|()| unreadable("Content-Type"))?;
        let is_json = media_type.is_some_and(|media_type| is_json(media_type, JsonKind::AnySyntax));
        if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) || !is_json {
            return Err(unreadable("it is not plain JSON"));
        }
        let late =
            |_| Rejection::with_detail(Reason::UpstreamTimeout, "the answer, which is filtered, did not come in time");
        let read = timeout(self.timeout, Limited::new(body, rule.limit).collect()).await.map_err(late)?;
        let bytes = read.map_err(|error| unreadable(&error.to_string()))?.to_bytes();
        let limits = JsonLimits { items: ITEMS, ..JsonLimits::default() };
        let document = parse_json(&bytes, limits).map_err(|problem| unreadable(&problem.to_string()))?;
        let kept = self.kept(&decided()?, &document).ok_or_else(|| unreadable("its array is not there"))?;
        let body = without_hidden(rule, &bytes, &kept).map_err(|problem| unreadable(&problem))?;
        let count = kept.iter().filter(|kept| **kept).count();
        let items = Items { kept: count, removed: kept.len() - count };
        for name in
            [header::CONTENT_LENGTH, header::ETAG, header::LAST_MODIFIED, header::ACCEPT_RANGES, header::CONTENT_RANGE]
        {
            parts.headers.remove(name);
        }
        for name in ["digest", "content-digest", "repr-digest", "content-md5", "x-total-count", "link"] {
            parts.headers.remove(name);
        }
        parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        Ok((Response::from_parts(parts, Bytes::from(body)), items))
    }

    /// Of each element, whether every member of the chain may see it.
    fn kept(&self, decided: &Decided, document: &Json) -> Option<Vec<bool>> {
        let Json::Array(elements) = at(document, &self.rule.each)? else { return None };
        let context = RequestContext::default().at(decided.at);
        Some(elements.iter().map(|element| self.is_permitted(&decided.policy, &context, element)).collect())
    }

    fn is_permitted<'p>(&self, policy: &'p Policy, context: &RequestContext<'p>, element: &Json) -> bool {
        let principal = self.permit.principal();
        let inputs = Inputs { head: &self.head, captures: &self.captures, principal, body: None };
        // An element that names no resource is not shown: nobody could say whose it is.
        self.rule
            .access(inputs, element)
            .is_ok_and(|access| policy.authorize(principal, vec![access], TaskRule::Optional, context).is_ok())
    }
}

/// The answer's text without the other elements, and without what would tell of them.
fn without_hidden(rule: &ItemFilter, bytes: &[u8], kept: &[bool]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(bytes).map_err(|problem| problem.to_string())?;
    let removals = rule.remove.iter().map(|path| Edit { path: &path.members, change: EditChange::Remove });
    let each = Edit { path: &rule.each.members, change: EditChange::Keep(kept) };
    let edits: Vec<_> = removals.chain([each]).collect();
    edited(text, &edits).map_err(|problem| problem.to_string())
}

fn at<'a>(document: &'a Json, path: &JsonPath) -> Option<&'a Json> {
    path.members.iter().try_fold(document, |value, name| match value {
        Json::Object(members) => members.iter().find(|(key, _)| **key == **name).map(|(_, value)| value),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => None,
    })
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}
