//! What Acme knows, and what its services do with it. They ask nobody whether they may.

use std::collections::BTreeMap;

use anyhow::Context;
use http::StatusCode;
use serde_json::{Value, json};

const BEGINNING: &str = include_str!("company.json");

/// What agents may call instead of paths.
const TOOLS: [&str; 3] = ["comment_pull_request", "merge_pull_request", "delete_repository"];

/// Documents by their ids, by the name of their collection.
#[derive(Debug)]
pub(super) struct Company {
    collections: BTreeMap<String, BTreeMap<String, Value>>,
}

/// One request, read.
#[derive(Debug)]
pub(super) struct Inquiry<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    /// `null` if there is none.
    pub(super) body: Value,
}

/// Its answer.
#[derive(Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Option<Value>,
}

impl Reply {
    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, body: None }
    }

    fn with(status: StatusCode, body: Value) -> Self {
        Self { status, body: Some(body) }
    }

    fn list<'a>(items: impl Iterator<Item = &'a Value>) -> Self {
        let items: Vec<&Value> = items.collect();
        Self::with(StatusCode::OK, json!({ "total": items.len(), "items": items }))
    }

    fn unknown() -> Self {
        Self::with(StatusCode::NOT_FOUND, json!({ "error": "there is no such thing" }))
    }
}

impl Company {
    /// The company on its first day.
    pub(super) fn open() -> anyhow::Result<Self> {
        let collections = serde_json::from_str(BEGINNING).context("the company's data is no JSON")?;
        Ok(Self { collections })
    }

    /// Does what is asked.
    pub(super) fn reply(&mut self, inquiry: Inquiry<'_>) -> Reply {
        let segments: Vec<&str> = inquiry.path.split('/').skip(1).collect();
        match segments.as_slice() {
            ["crm", "v1", rest @ ..] => self.crm(inquiry, rest),
            ["repos", "acme", repository, rest @ ..] => self.code(inquiry, repository, rest),
            ["drive", rest @ ..] => self.drive(inquiry, rest),
            ["fin", "reports"] => {
                let id = format!("{}-{}", parameter(inquiry.query, "year"), parameter(inquiry.query, "quarter"));
                self.document(inquiry, "reports", &id)
            }
            ["fin", "reports", year, quarter] => self.document(inquiry, "reports", &format!("{year}-{quarter}")),
            ["support", "tickets"] => Reply::list(self.all("tickets")),
            ["support", "tickets", id] => self.document(inquiry, "tickets", id),
            ["billing", "invoices", id] => self.document(inquiry, "invoices", id),
            ["hr", "v1", "employees", id] => self.document(inquiry, "employees", id),
            ["metrics", "v1", "dashboards", id] => self.document(inquiry, "dashboards", id),
            ["mcp"] => self.called(inquiry),
            ["graphql"] => self.queried(&inquiry.body),
            ["api", "v1", "namespaces", namespace, collection @ ("secrets" | "configmaps"), name] => {
                self.document(inquiry, collection, &format!("{namespace}/{name}"))
            }
            _ => Reply::unknown(),
        }
    }

    fn crm(&mut self, inquiry: Inquiry<'_>, rest: &[&str]) -> Reply {
        match (inquiry.method, rest) {
            ("GET", ["accounts"]) => {
                let ids = parameter(inquiry.query, "ids");
                let wanted = |account: &&Value| ids.is_empty() || ids.split(',').any(|id| has(account, "id", id));
                Reply::list(self.all("accounts").filter(wanted))
            }
            ("POST", ["accounts", "search"]) => {
                let stage = text(&inquiry.body, "stage");
                Reply::list(self.all("accounts").filter(|account| has(account, "stage", stage)))
            }
            ("POST", ["accounts", "export"]) => Reply::list(self.all("accounts")),
            (_, ["accounts", id]) => self.document(inquiry, "accounts", id),
            _ => Reply::unknown(),
        }
    }

    fn code(&mut self, inquiry: Inquiry<'_>, repository: &str, rest: &[&str]) -> Reply {
        match (inquiry.method, rest) {
            ("POST", ["pulls", number, "comments"]) => {
                self.append("pulls", &format!("{repository}/{number}"), "comments", &inquiry.body)
            }
            ("PUT", ["pulls", number, "merge"]) => {
                self.change("pulls", &format!("{repository}/{number}"), json!({ "state": "merged" }))
            }
            ("PATCH", ["git", "refs", "heads", branch @ ..]) => {
                self.change("branches", &format!("{repository}/{}", branch.join("/")), inquiry.body)
            }
            ("POST", ["deployments"]) => self.append("repositories", repository, "deployments", &inquiry.body),
            _ => Reply::unknown(),
        }
    }

    /// What tools do, is done as by their paths: the same services, behind the Model Context Protocol.
    fn called(&mut self, inquiry: Inquiry<'_>) -> Reply {
        let body = inquiry.body;
        let result = match (inquiry.method, text(&body, "method")) {
            ("POST", "tools/list") => json!({ "tools": TOOLS.map(|name| json!({ "name": name, "inputSchema": {} })) }),
            ("POST", "tools/call") => {
                let done = self.pull(text(part(&body, "/params"), "name"), part(&body, "/params/arguments"));
                json!({ "content": [{ "type": "text", "text": text(&done, "state") }], "structuredContent": done })
            }
            _ => return Reply::empty(StatusCode::METHOD_NOT_ALLOWED),
        };
        Reply::with(StatusCode::OK, json!({ "jsonrpc": "2.0", "id": part(&body, "/id"), "result": result }))
    }

    /// The two things that are ever asked for by GraphQL, with what the variables say.
    fn queried(&mut self, body: &Value) -> Reply {
        let names = [("mergePullRequest", "merge_pull_request"), ("commentPullRequest", "comment_pull_request")];
        let asked = names.iter().filter(|(field, _)| text(body, "query").contains(field));
        let data =
            asked.map(|(field, name)| ((*field).to_owned(), self.pull(name, part(body, "/variables")))).collect();
        Reply::with(StatusCode::OK, json!({ "data": Value::Object(data) }))
    }

    fn pull(&mut self, name: &str, arguments: &Value) -> Value {
        let id = format!("{}/{}", text(arguments, "repository"), part(arguments, "/number"));
        let reply = match name {
            "merge_pull_request" => self.change("pulls", &id, json!({ "state": "merged" })),
            "comment_pull_request" => {
                self.append("pulls", &id, "comments", &json!({ "text": text(arguments, "text") }))
            }
            _ => Reply::unknown(),
        };
        reply.body.unwrap_or_default()
    }

    fn drive(&mut self, inquiry: Inquiry<'_>, rest: &[&str]) -> Reply {
        match (inquiry.method, rest) {
            ("POST", ["files", id, "copy"]) => self.copy(id, text(&inquiry.body, "folder")),
            (_, ["files", id]) => self.document(inquiry, "files", id),
            ("GET", ["folders", id, "children"]) => {
                if self.find("folders", id).is_none() {
                    return Reply::unknown();
                }
                Reply::list(self.all("files").filter(|file| has(file, "folder", id)))
            }
            ("GET", ["search"]) => {
                let words = parameter(inquiry.query, "q");
                Reply::list(self.all("files").filter(|file| text(file, "text").contains(words)))
            }
            _ => Reply::unknown(),
        }
    }

    /// One document by its id: read, changed, replaced or removed.
    fn document(&mut self, inquiry: Inquiry<'_>, collection: &str, id: &str) -> Reply {
        match inquiry.method {
            "GET" => {
                self.find(collection, id).map_or_else(Reply::unknown, |it| Reply::with(StatusCode::OK, it.clone()))
            }
            "PATCH" | "PUT" => self.change(collection, id, inquiry.body),
            "DELETE" => match self.collections.get_mut(collection).and_then(|documents| documents.remove(id)) {
                Some(_) => Reply::empty(StatusCode::NO_CONTENT),
                None => Reply::unknown(),
            },
            _ => Reply::empty(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    /// Sets members of a document. Its id stays.
    fn change(&mut self, collection: &str, id: &str, members: Value) -> Reply {
        let Some(Value::Object(document)) = self.find(collection, id) else { return Reply::unknown() };
        let Value::Object(members) = members else { return Reply::empty(StatusCode::BAD_REQUEST) };
        document.extend(members.into_iter().filter(|(name, _)| name != "id"));
        Reply::with(StatusCode::OK, Value::Object(document.clone()))
    }

    /// Adds to a list of a document.
    fn append(&mut self, collection: &str, id: &str, list: &str, element: &Value) -> Reply {
        let Some(Value::Array(elements)) = self.find(collection, id).and_then(|document| document.get_mut(list)) else {
            return Reply::unknown();
        };
        elements.push(element.clone());
        Reply::with(StatusCode::CREATED, json!({ "number": elements.len(), "added": element }))
    }

    fn copy(&mut self, id: &str, folder: &str) -> Reply {
        if self.find("folders", folder).is_none() {
            return Reply::unknown();
        }
        let Some(mut copy) = self.find("files", id).and_then(|file| file.as_object().cloned()) else {
            return Reply::unknown();
        };
        let files = self.collections.entry("files".to_owned()).or_default();
        let id = format!("F-{}", 100 + files.len());
        copy.insert("id".to_owned(), id.as_str().into());
        copy.insert("folder".to_owned(), folder.into());
        let copy = Value::Object(copy);
        files.insert(id, copy.clone());
        Reply::with(StatusCode::CREATED, copy)
    }

    fn find(&mut self, collection: &str, id: &str) -> Option<&mut Value> {
        self.collections.get_mut(collection)?.get_mut(id)
    }

    fn all(&self, collection: &str) -> impl Iterator<Item = &Value> {
        self.collections.get(collection).into_iter().flat_map(BTreeMap::values)
    }
}

/// What a JSON pointer leads to; `null` if that is nothing.
fn part<'a>(document: &'a Value, pointer: &str) -> &'a Value {
    document.pointer(pointer).unwrap_or(&Value::Null)
}

/// The text of a member; empty if it is none.
fn text<'a>(document: &'a Value, member: &str) -> &'a str {
    document.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn has(document: &Value, member: &str, wanted: &str) -> bool {
    text(document, member) == wanted
}

/// The last value of a parameter, as many services read it; empty if there is none.
fn parameter<'a>(query: &'a str, name: &str) -> &'a str {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.rev().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(company: &mut Company, method: &str, target: &str, body: Value) -> (u16, Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let reply = company.reply(Inquiry { method, path, query, body });
        (reply.status.as_u16(), reply.body.unwrap_or_default())
    }

    #[test]
    fn what_is_changed_is_changed() {
        let mut company = Company::open().unwrap();
        let account = "/crm/v1/accounts/A-100";
        assert_eq!(ask(&mut company, "PATCH", account, json!({ "stage": "lost", "id": "X" })).0, 200);
        assert_eq!(ask(&mut company, "GET", account, Value::Null).1["stage"], "lost");
        assert_eq!(ask(&mut company, "GET", account, Value::Null).1["id"], "A-100");
        assert_eq!(ask(&mut company, "DELETE", account, Value::Null).0, 204);
        assert_eq!(ask(&mut company, "GET", account, Value::Null).0, 404);
        assert_eq!(ask(&mut company, "GET", "/crm/v1/accounts", Value::Null).1["total"], 3);
    }

    #[test]
    fn a_copy_is_a_file_of_its_folder() {
        let mut company = Company::open().unwrap();
        let (status, copy) = ask(&mut company, "POST", "/drive/files/F-1/copy", json!({ "folder": "mna" }));
        assert_eq!((status, &copy["folder"]), (201, &json!("mna")));
        let (_, children) = ask(&mut company, "GET", "/drive/folders/mna/children", Value::Null);
        assert_eq!(children["items"][0]["id"], copy["id"]);
        assert_eq!(ask(&mut company, "POST", "/drive/files/F-1/copy", json!({ "folder": "none" })).0, 404);
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let mut company = Company::open().unwrap();
        for target in ["/", "/crm/v1/accounts/A-1", "/fin/reports?year=2020&quarter=Q1", "/drive/folders/x/children"] {
            assert_eq!(ask(&mut company, "GET", target, Value::Null).0, 404, "{target}");
        }
        assert_eq!(ask(&mut company, "GET", "/fin/reports?year=2026&quarter=Q1", Value::Null).0, 200);
    }
}
