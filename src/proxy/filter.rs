//! Lists without what the principal may not see.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;

use crate::{
    access::{CanonicalRequest, Principal, Reason, Timestamp},
    audit::Items,
    net::UpstreamBody,
    policy::{Permit, Policy, RequestContext, TaskRule},
    protocol::{Edit, EditChange, Json, JsonKind, JsonLimits, edited, is_json, parse_json},
    route::{Captures, Inputs, ItemFilter, JsonPath, Message, Operation},
};

use super::{
    lasting::Decided,
    listing::{ListedEvents, Listing},
    rejection::Rejection,
};

/// Elements and members of an answer that is filtered, at most.
pub(super) const ITEMS: usize = 50_000;

/// How an answer is filtered.
#[derive(Debug)]
pub(super) struct Filtering {
    pub(super) rule: FilterRule,
    /// What the request was decided by, if it was not the snapshot's policy alone.
    pub(super) told: Option<Arc<Policy>>,
    pub(super) now: Timestamp,
    /// The longest answer, and the longest event of a stream.
    pub(super) limit: usize,
    /// For the whole answer, from its head on.
    pub(super) timeout: Duration,
}

/// What of an answer is hidden, and what of the request that takes its variables from.
#[derive(Debug)]
pub(super) enum FilterRule {
    /// Elements of an array.
    Items(Box<Elements>),
    /// Entries of a list of MCP.
    Listing(Box<Listing>),
}

/// Which elements of an array are hidden, from whom.
#[derive(Debug)]
pub(super) struct Elements {
    pub(super) rule: ItemFilter,
    pub(super) head: Box<CanonicalRequest>,
    pub(super) captures: Captures<'static>,
    pub(super) permit: Permit,
}

impl FilterRule {
    /// What of the answer to this request is hidden, if something may be, and how much of it is read for that at one time.
    pub(super) fn of(
        (operation, message): (&Operation, Option<&Message>),
        head: &CanonicalRequest,
        captures: &Captures<'_>,
        permit: &Permit,
    ) -> Option<(Self, usize)> {
        let captures = || captures.iter().map(|capture| Cow::Owned(capture.clone().into_owned())).collect();
        let (kept, permit) = (|| Box::new(head.clone()), || permit.clone());
        if let Some(rule) = &operation.filter {
            let elements = Elements { rule: rule.clone(), head: kept(), captures: captures(), permit: permit() };
            return Some((Self::Items(Box::new(elements)), rule.limit));
        }
        let (rules, limit) = operation.lists(head.method(), message)?;
        let listing = Listing { rules: Arc::clone(rules), head: kept(), captures: captures(), permit: permit() };
        Some((Self::Listing(Box::new(listing)), limit))
    }
}

impl Filtering {
    /// Whether something of this answer may be hidden. Errors list nothing, but for messages: their status is not what clients
    /// go by.
    pub(super) fn reads<B>(&self, response: &Response<B>) -> bool {
        let is_error = is_error(response.status());
        match &self.rule {
            FilterRule::Items(_) => !is_error,
            FilterRule::Listing(_) => {
                let media_type = single(response.headers(), &header::CONTENT_TYPE);
                let is_message = |media_type| is_json(media_type, JsonKind::AnySyntax) || is_events(media_type);
                !is_error || media_type.map_or(true, |media_type| media_type.is_some_and(is_message))
            }
        }
    }

    /// How the events of this answer are filtered, if it is a stream of them.
    pub(super) fn of_events(&self, headers: &HeaderMap) -> Option<ListedEvents> {
        let FilterRule::Listing(listing) = &self.rule else { return None };
        let media_type = single(headers, &header::CONTENT_TYPE).ok().flatten()?;
        let coding = single(headers, &header::CONTENT_ENCODING).ok()?;
        let is_plain = coding.is_none_or(|coding| coding.eq_ignore_ascii_case("identity"));
        (is_plain && is_events(media_type)).then(|| ListedEvents::new(Listing::clone(listing), self.limit))
    }

    /// The answer without the elements that some member of the chain may not see.
    ///
    /// An answer that cannot be read whole is refused, never passed on unfiltered. By what it is decided is asked when it
    /// is there.
    pub(super) async fn filter(
        &self,
        decided: impl FnOnce() -> Result<Decided, Rejection>,
        response: Response<UpstreamBody>,
    ) -> Result<(Response<Bytes>, Items), Rejection> {
        let (mut parts, body) = response.into_parts();
        let unreadable =
            |detail: &str| Rejection::with_detail(Reason::UpstreamMalformed, format!("cannot be filtered: {detail}"));
        if parts.status != StatusCode::OK && !is_error(parts.status) {
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
        let read = timeout(self.timeout, Limited::new(body, self.limit).collect()).await.map_err(late)?;
        let bytes = read.map_err(|error| unreadable(&error.to_string()))?.to_bytes();
        let (body, items) = match &self.rule {
            FilterRule::Items(elements) => {
                let Elements { rule, head, captures, permit } = elements.as_ref();
                let limits = JsonLimits { items: ITEMS, ..JsonLimits::default() };
                let document = parse_json(&bytes, limits).map_err(|problem| unreadable(&problem.to_string()))?;
                let inputs =
                    Inputs { head, captures, principal: permit.principal(), body: None, message: None, called: None };
                let kept = kept(rule, (inputs, permit.principal()), &decided()?, &document);
                let kept = kept.ok_or_else(|| unreadable("its array is not there"))?;
                let body = without_hidden(rule, &bytes, &kept).map_err(|problem| unreadable(&problem))?;
                let count = kept.iter().filter(|kept| **kept).count();
                (body, Items { kept: count, removed: kept.len() - count })
            }
            FilterRule::Listing(listing) => {
                // What lists nothing is an error, which passes as it is.
                let filtered = listing.filtered(&bytes, decided)?;
                filtered.unwrap_or_else(|| (bytes.to_vec(), Items { kept: 0, removed: 0 }))
            }
        };
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
}

/// Of each element, whether every member of the chain may see it.
fn kept(
    rule: &ItemFilter,
    (inputs, principal): (Inputs<'_>, &Arc<Principal>),
    decided: &Decided,
    document: &Json,
) -> Option<Vec<bool>> {
    let Json::Array(elements) = at(document, &rule.each)? else { return None };
    let context = RequestContext::default().at(decided.at);
    // An element that names no resource is not shown: nobody could say whose it is.
    let is_permitted = |element: &Json| {
        rule.access(inputs, element)
            .is_ok_and(|access| decided.policy.authorize(principal, vec![access], TaskRule::Optional, &context).is_ok())
    };
    Some(elements.iter().map(is_permitted).collect())
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

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

fn is_events(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("text/event-stream")
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}
