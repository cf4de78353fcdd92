//! Pages of results, the same for all of them under one revision.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::protocol::Json;

use super::{body::Members, decision::Point, fault::Fault};

/// The most results of one page, and how many it has if nothing else is asked for.
const MOST: usize = 1000;
/// Of what a token is valid for, so many bytes are in it.
const MARK_BYTES: usize = 16;

/// Which part of the results is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    limit: usize,
    // The last result of the page before; results are sorted.
    after: Option<String>,
    mark: String,
}

impl Page {
    /// The page that a request asks for. Refuses a token that belongs to another revision or to other parameters.
    pub(super) fn read(endpoint: &str, request: Members<'_>, point: Point<'_>) -> Result<Self, Fault> {
        let mark = mark(endpoint, request, point);
        let page = request.object("page")?;
        let invalid = || Fault::invalid("`page.limit` must be a whole number, and not below zero");
        let limit = match page.and_then(|page| page.get("limit")) {
            None => None,
            Some(Json::Number(number)) => {
                let limit = number.as_u64().ok_or_else(invalid)?;
                Some(usize::try_from(limit).unwrap_or(MOST).min(MOST))
            }
            Some(_) => return Err(invalid()),
        };
        match page.and_then(|page| page.get("token")) {
            None => Ok(Self { limit: limit.unwrap_or(MOST), after: None, mark }),
            Some(Json::String(token)) if token.is_empty() => {
                Ok(Self { limit: limit.unwrap_or(MOST), after: None, mark })
            }
            Some(Json::String(token)) => {
                let Token { limit: before, after } = Token::read(token, &mark)?;
                Ok(Self { limit: limit.unwrap_or(before), after, mark })
            }
            Some(_) => Err(Fault::invalid("`page.token` must be a string")),
        }
    }

    /// The answer with this part of the results, which are sorted by their texts and all distinct.
    pub(super) fn answer(self, results: &[String], shown: impl Fn(&str) -> Value, point: Point<'_>) -> Value {
        let before =
            self.after.as_deref().map_or(0, |after| results.partition_point(|result| result.as_str() <= after));
        let part: Vec<&String> = results.iter().skip(before).take(self.limit).collect();
        let is_whole = before + part.len() == results.len();
        let last = part.last().map(|last| last.to_string()).or(self.after);
        // Whoever has only counted wants to see something next: pages of nothing would go on for ever.
        let limit = if self.limit == 0 { MOST } else { self.limit };
        let next = if is_whole { String::new() } else { Token { limit, after: last }.written(&self.mark) };
        json!({
            "results": part.iter().map(|result| shown(result)).collect::<Vec<_>>(),
            "page": { "next_token": next, "count": part.len(), "total": results.len() },
            "context": { "revision": point.revision.number() },
        })
    }
}

/// Where the next page begins, and how long it is unless that is said anew.
struct Token {
    limit: usize,
    after: Option<String>,
}

impl Token {
    fn written(self, mark: &str) -> String {
        let after = self.after.map_or(String::new(), |after| format!(" {after}"));
        URL_SAFE_NO_PAD.encode(format!("{mark} {}{after}", self.limit))
    }

    fn read(text: &str, mark: &str) -> Result<Self, Fault> {
        let invalid = || Fault::invalid("`page.token` is not one that was given out here");
        let text = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(invalid)?;
        let (given, rest) = text.split_once(' ').ok_or_else(invalid)?;
        if given.split_once('.').map(|(revision, _)| revision) != mark.split_once('.').map(|(revision, _)| revision) {
            return Err(Fault::invalid(
                "`page.token` is of another revision of the policy: begin anew, without a token",
            ));
        }
        if given != mark {
            let problem = "`page.token` belongs to other parameters: send those of the first page, or begin anew";
            return Err(Fault::invalid(problem));
        }
        let (limit, after) = match rest.split_once(' ') {
            Some((limit, after)) => (limit, Some(after.to_owned())),
            None => (rest, None),
        };
        let limit = limit.parse().ok().filter(|limit| (1..=MOST).contains(limit)).ok_or_else(invalid)?;
        Ok(Self { limit, after })
    }
}

/// What a token is valid for: this snapshot of this process, this endpoint, and these parameters.
fn mark(endpoint: &str, request: Members<'_>, point: Point<'_>) -> String {
    // Sorted, so that the order of members says nothing.
    let said: std::collections::BTreeMap<&str, Value> = ["subject", "action", "resource", "context"]
        .into_iter()
        .filter_map(|name| Some((name, serde_json::to_value(request.get(name)?).unwrap_or_default())))
        .collect();
    let said = digest(&SHA256, json!([endpoint, said]).to_string().as_bytes());
    let said = said.as_ref().get(..MARK_BYTES).unwrap_or_default();
    // Processes count their revisions each for itself.
    let (revision, built_at) = (point.revision, point.built_at.microseconds());
    format!("{revision}-{built_at}.{}", URL_SAFE_NO_PAD.encode(said))
}
