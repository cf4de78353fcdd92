//! Lists of MCP without what the principal may not call: tools, prompts, resources.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::{
    access::{CanonicalRequest, Reason},
    audit::Items,
    policy::{Permit, Policy, RequestContext, TaskRule},
    protocol::{Edit, EditChange, Json, JsonLimits, McpHead, edited, parse_json},
    route::{Captures, Inputs, McpList, McpRules, Shown, access},
};

use super::{
    events::{self, Events},
    filter::ITEMS,
    inspect::mcp_head,
    lasting::Decided,
    rejection::Rejection,
};

/// For so long a client may keep a list, in milliseconds: rights change.
const LONGEST_KEPT: f64 = 60_000.0;

/// By which rules lists are filtered, and for whom.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    pub(super) rules: Arc<McpRules>,
    pub(super) head: Box<CanonicalRequest>,
    pub(super) captures: Captures<'static>,
    pub(super) permit: Permit,
}

impl Listing {
    /// The message without the entries that some member of the chain may not see; `None` if it is no list. What cannot be
    /// read in one way is an error, never passed on.
    pub(super) fn filtered(
        &self,
        bytes: &[u8],
        decided: impl FnOnce() -> Result<Decided, Rejection>,
    ) -> Result<Option<(Vec<u8>, Items)>, Rejection> {
        let unreadable =
            |detail: &str| Rejection::with_detail(Reason::UpstreamMalformed, format!("cannot be filtered: {detail}"));
        let limits = JsonLimits { items: ITEMS, ..JsonLimits::default() };
        let document = parse_json(bytes, limits).map_err(|problem| unreadable(&problem.to_string()))?;
        let members = match &document {
            Json::Object(members) => members,
            Json::Array(_) => return Err(unreadable("it is not one message")),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => return Ok(None),
        };
        let member = |members: &'_ [(String, Json)], name: &str| members.iter().position(|(other, _)| other == name);
        let result = member(members, "result").and_then(|index| members.get(index)).map(|(_, result)| result);
        let Some(Json::Object(result)) = result else { return Ok(None) };
        let lists = McpList::ALL.into_iter().filter_map(|list| {
            let entries = member(result, list.member()).and_then(|index| result.get(index));
            entries.map(|(_, entries)| (list, entries))
        });
        let lists: Vec<(McpList, &Json)> = lists.collect();
        if lists.is_empty() {
            return Ok(None);
        }
        let Decided { policy, at } = decided()?;
        let context = RequestContext::default().at(at);
        let mut kept: Vec<(Vec<Box<str>>, Vec<bool>)> = Vec::new();
        for (list, entries) in lists {
            let Json::Array(entries) = entries else { return Err(unreadable("a list is no array")) };
            let flags = entries.iter().map(|entry| self.is_shown(list, entry, &policy, &context)).collect();
            kept.push((vec!["result".into(), list.member().into()], flags));
        }
        let flags = || kept.iter().flat_map(|(_, flags)| flags);
        let count = flags().filter(|flag| **flag).count();
        let items = Items { kept: count, removed: flags().count() - count };
        let mut edits: Vec<Edit<'_>> =
            kept.iter().map(|(path, flags)| Edit { path, change: EditChange::Keep(flags) }).collect();
        // What is left is for this caller alone.
        let (scope, age): ([Box<str>; 2], [Box<str>; 2]) =
            (["result".into(), "cacheScope".into()], ["result".into(), "ttlMs".into()]);
        let is_kept = self.is_kept();
        if is_kept || member(result, "cacheScope").is_some() {
            edits.push(Edit { path: &scope, change: EditChange::Put("\"private\"") });
        }
        match member(result, "ttlMs").and_then(|index| result.get(index)) {
            Some((_, Json::Number(ttl))) if ttl.as_f64().is_some_and(|ttl| ttl <= LONGEST_KEPT) => {}
            Some(_) => edits.push(Edit { path: &age, change: EditChange::Put("60000") }),
            None if is_kept => edits.push(Edit { path: &age, change: EditChange::Put("0") }),
            None => {}
        }
        let text = std::str::from_utf8(bytes).map_err(|problem| unreadable(&problem.to_string()))?;
        let bytes = edited(text, &edits).map_err(|problem| unreadable(&problem.to_string()))?;
        Ok(Some((bytes, items)))
    }

    /// Whether its client speaks a revision by which lists are kept, whatever their server says of that.
    fn is_kept(&self) -> bool {
        mcp_head(&self.head).is_ok_and(McpHead::is_stateless)
    }

    fn is_shown<'p>(&self, list: McpList, entry: &Json, policy: &'p Policy, context: &RequestContext<'p>) -> bool {
        let rules = match self.rules.shown(list, entry, self.permit.principal().task().is_some()) {
            Shown::Nobody => return false,
            Shown::Everybody => return true,
            Shown::Permitted(rules) => rules,
        };
        let principal = self.permit.principal();
        let inputs =
            Inputs { head: &self.head, captures: &self.captures, principal, body: None, message: None, called: None };
        let named = rules.iter().flat_map(|(rule, called)| {
            let inputs = Inputs { called: Some(called), ..inputs };
            rule.accesses.iter().map(move |template| access(template, inputs, None))
        });
        // An entry that names no resource is not shown: nobody could say whose it is.
        named.collect::<Result<Vec<_>, _>>().is_ok_and(|accesses| {
            !accesses.is_empty() && policy.authorize(principal, accesses, TaskRule::Optional, context).is_ok()
        })
    }
}

/// Lists in a stream of events: each event is looked at before it passes.
#[derive(Debug)]
pub(super) struct ListedEvents {
    listing: Listing,
    events: Events,
    items: Items,
}

impl ListedEvents {
    /// Of events of at most this many bytes.
    pub(super) fn new(listing: Listing, longest: usize) -> Self {
        Self { listing, events: Events::new(longest), items: Items { kept: 0, removed: 0 } }
    }

    /// What may pass now of what has come, and how many entries of lists were passed on and removed so far, if there were some.
    pub(super) fn pass(
        &mut self,
        bytes: &[u8],
        decided: impl Fn() -> Result<Decided, Rejection>,
    ) -> Result<(Bytes, Option<Items>), Rejection> {
        self.events.take(bytes);
        let mut passed = BytesMut::new();
        let mut counted = None;
        let too_long = |_| Rejection::with_detail(Reason::UpstreamMalformed, "an event is too long to be filtered");
        while let Some(event) = self.events.next().map_err(too_long)? {
            match events::data(&event).filter(|data| may_list(data)) {
                None => passed.extend_from_slice(&event),
                Some(data) => match self.listing.filtered(&data, &decided)? {
                    None => passed.extend_from_slice(&event),
                    Some((data, items)) => {
                        self.items.kept += items.kept;
                        self.items.removed += items.removed;
                        counted = Some(self.items);
                        passed.extend_from_slice(&events::with_data(&event, &data));
                    }
                },
            }
        }
        Ok((passed.freeze(), counted))
    }
}

/// Whether a message could be a list: its names stand there, or could in another spelling.
fn may_list(data: &[u8]) -> bool {
    let has = |name: &str| {
        let quoted = format!("\"{name}\"");
        memchr::memmem::find(data, quoted.as_bytes()).is_some()
    };
    let is_escaped = memchr::memmem::find(data, b"\\u").is_some();
    is_escaped || has("result") && McpList::ALL.iter().any(|list| has(list.member()))
}
