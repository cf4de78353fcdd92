//! What the messages of the Model Context Protocol stand for (MCP 2025-06-18 and later).

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::protocol::{Json, MemberProblem, RpcMessage, parameter};

use super::{
    call::{CallRule, Called, Named},
    extract::MappingProblem,
    operation::AccessTemplate,
    uri_pattern::UriPattern,
};

/// What every client of a server sends: to begin, to see what there is, and to go on. What each of them names is nothing
/// that belongs to somebody.
pub const SERVER_METHODS: [&str; 11] = [
    "initialize",
    "notifications/cancelled",
    "notifications/initialized",
    "notifications/progress",
    "notifications/roots/list_changed",
    "ping",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "server/discover",
    "tools/list",
];

/// The methods that name a tool, a prompt or a resource, whose rules say what they stand for.
pub const NAMING_METHODS: [&str; 5] =
    ["prompts/get", "resources/read", "resources/subscribe", "resources/unsubscribe", "tools/call"];

/// What each message stands for. What has no rule is denied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct McpRules {
    /// [`SERVER_METHODS`], and sessions.
    pub server: Option<CallRule>,
    /// `tools/call`, by the name of the tool.
    pub tools: Named<ListedRule>,
    /// `prompts/get`, by the name of the prompt.
    pub prompts: Named<ListedRule>,
    /// `resources/read`, `resources/subscribe` and `resources/unsubscribe`, by URI: all rules that it matches count.
    pub resources: Vec<(UriPattern, Box<str>, CallRule)>,
    /// Other methods, by name.
    pub methods: HashMap<Box<str>, CallRule, RandomState>,
    /// Answers to what the server has asked its client.
    pub responses: Option<CallRule>,
    /// The longest list that is filtered, in bytes.
    pub longest_list: usize,
}

/// What a call stands for, and who finds it in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRule {
    /// What the call stands for.
    pub call: CallRule,
    /// What whoever sees it in a list is permitted, in which no argument occurs. `None` where what a call stands for depends
    /// on its arguments: whoever may ask for the list sees it.
    pub shown: Option<CallRule>,
}

/// What a server lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum McpList {
    /// Tools.
    Tools,
    /// Prompts.
    Prompts,
    /// Resources.
    Resources,
}

impl McpList {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    /// What is asked for by this method, if that is a list with entries of which some may be hidden.
    pub fn of_method(method: &str) -> Option<Self> {
        match method {
            "tools/list" => Some(Self::Tools),
            "prompts/list" => Some(Self::Prompts),
            "resources/list" => Some(Self::Resources),
            _ => None,
        }
    }

    /// The member of a result that holds the entries.
    pub const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
        }
    }
}

/// Who may see one entry of a list.
#[derive(Debug)]
pub enum Shown<'r, 'e> {
    /// Nobody: there is no rule for it, or it needs a task, and there is none.
    Nobody,
    /// Everybody who may ask for the list.
    Everybody,
    /// Who is permitted what these rules ask for.
    Permitted(Vec<(&'r CallRule, Called<'e>)>),
}

impl McpRules {
    /// The rules for this message and what they are about. Responses have a rule of their own.
    pub(super) fn called<'r, 'm>(
        &'r self,
        message: &'m RpcMessage,
        body: Option<&'m Json>,
    ) -> Result<Vec<(&'r CallRule, Called<'m>)>, MappingProblem> {
        let body = body.ok_or(MappingProblem::NoMessage)?;
        let member = |name: &str| {
            parameter(body, name).map_err(|problem| MappingProblem::Member(format!("params.{name}"), problem))
        };
        let Some(method) = message.method() else {
            let rule = self.responses.as_ref().ok_or(MappingProblem::NoRule)?;
            return Ok(vec![(rule, Called::default())]);
        };
        let named = |rules: &'r Named<ListedRule>| {
            let name = member("name")?;
            let rule = rules.get(name).ok_or(MappingProblem::NoRule)?;
            Ok(vec![(&rule.call, Called { name, ..Called::default() })])
        };
        match method {
            "tools/call" => named(&self.tools),
            "prompts/get" => named(&self.prompts),
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
                let found = self.of_uri(member("uri")?);
                if found.is_empty() { Err(MappingProblem::NoRule) } else { Ok(found) }
            }
            _ => {
                let server = self.server.as_ref().filter(|_| SERVER_METHODS.contains(&method));
                let rule = self.methods.get(method).or(server).ok_or(MappingProblem::NoRule)?;
                let mut found = vec![(rule, Called { name: method, ..Called::default() })];
                match method {
                    "subscriptions/listen" => found.extend(self.listened(body)?),
                    "completion/complete" => found.extend(self.completed(body)?),
                    _ => {}
                }
                Ok(found)
            }
        }
    }

    /// The rules of each resource that a client wants to be told of. Tasks have none by their id.
    fn listened<'r, 'm>(&'r self, body: &'m Json) -> Result<Vec<(&'r CallRule, Called<'m>)>, MappingProblem> {
        let problem = |problem| MappingProblem::Member("params.notifications".to_owned(), problem);
        let list = |name: &str| match body.member(["params", "notifications", name]) {
            Ok(Json::Array(entries)) => Ok(entries.as_slice()),
            Ok(_) => Err(problem(MemberProblem::NotAnId)),
            Err(MemberProblem::Missing) => Ok(&[] as &[Json]),
            Err(other) => Err(problem(other)),
        };
        if !list("taskIds")?.is_empty() {
            return Err(MappingProblem::NoRule);
        }
        let mut all = Vec::new();
        for uri in list("resourceSubscriptions")? {
            let Json::String(uri) = uri else { return Err(problem(MemberProblem::NotAnId)) };
            let found = self.of_uri(uri);
            if found.is_empty() {
                return Err(MappingProblem::NoRule);
            }
            all.extend(found);
        }
        Ok(all)
    }

    /// The rule of the prompt an argument of which is completed: whoever is not shown it does not hear what it may be called
    /// with. Templates of resources have no rule.
    fn completed<'r, 'm>(&'r self, body: &'m Json) -> Result<Option<(&'r CallRule, Called<'m>)>, MappingProblem> {
        let text = |name: &str| {
            let text = body.member(["params", "ref", name]).and_then(own_text);
            text.map_err(|problem| MappingProblem::Member(format!("params.ref.{name}"), problem))
        };
        match text("type")? {
            "ref/resource" => Ok(None),
            "ref/prompt" => {
                let name = text("name")?;
                let rule = self.prompts.get(name).ok_or(MappingProblem::NoRule)?;
                Ok(rule.shown.as_ref().map(|rule| (rule, Called { name, ..Called::default() })))
            }
            _ => Err(MappingProblem::NoRule),
        }
    }

    fn of_uri<'r, 'm>(&'r self, uri: &'m str) -> Vec<(&'r CallRule, Called<'m>)> {
        let matching = self.resources.iter().filter_map(|(pattern, _, rule)| {
            let captures = pattern.captures(uri)?;
            Some((rule, Called { name: uri, arguments: None, captures }))
        });
        matching.collect()
    }

    /// Who may see this entry of a list, within a task or without one. One whose name has two readings is for nobody. Scopes
    /// do not count: whoever lacks one hears at the call which one it is, and may ask for it.
    pub fn shown<'r, 'e>(&'r self, list: McpList, entry: &'e Json, has_task: bool) -> Shown<'r, 'e> {
        let text = |name: &str| entry.member([name]).and_then(own_text);
        let hides = |rule: &CallRule| rule.task_required && !has_task;
        let named = |rules: &'r Named<ListedRule>| {
            let Ok(name) = text("name") else { return Shown::Nobody };
            let Some(rule) = rules.get(name).filter(|rule| !hides(&rule.call)) else { return Shown::Nobody };
            let called = Called { name, ..Called::default() };
            rule.shown.as_ref().map_or(Shown::Everybody, |rule| Shown::Permitted(vec![(rule, called)]))
        };
        match list {
            McpList::Tools => named(&self.tools),
            McpList::Prompts => named(&self.prompts),
            McpList::Resources => {
                let Ok(uri) = text("uri") else { return Shown::Nobody };
                let found = self.of_uri(uri);
                if found.is_empty() || found.iter().any(|(rule, _)| hides(rule)) {
                    return Shown::Nobody;
                }
                Shown::Permitted(found)
            }
        }
    }

    pub(super) fn all(&self) -> Vec<(String, &CallRule)> {
        let mut all = Vec::new();
        for (method, named) in [("tools/call", &self.tools), ("prompts/get", &self.prompts)] {
            all.extend(named.rules.iter().map(|(name, rule)| (format!("{method} {name}"), &rule.call)));
            all.extend(named.others.iter().map(|rule| (format!("{method} *"), &rule.call)));
        }
        all.extend(self.resources.iter().map(|(_, uri, rule)| (format!("resources/read {uri}"), rule)));
        all.extend(self.methods.iter().map(|(name, rule)| (name.to_string(), rule)));
        all.extend(self.server.iter().map(|rule| ("lists, pings and the rest of the session".to_owned(), rule)));
        all.extend(self.responses.iter().map(|rule| ("responses".to_owned(), rule)));
        all
    }

    pub(super) fn listed(&self) -> impl Iterator<Item = &AccessTemplate> {
        let rules =
            [&self.tools, &self.prompts].into_iter().flat_map(|named| named.rules.values().chain(&named.others));
        rules.filter_map(|rule| rule.shown.as_ref()).flat_map(|rule| &rule.accesses)
    }
}

/// Text that has one reading.
fn own_text(value: &Json) -> Result<&str, MemberProblem> {
    match value {
        text @ Json::String(plain) => text.id_text().map(|_| plain.as_str()),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => Err(MemberProblem::NotAnId),
    }
}
