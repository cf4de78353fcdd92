//! What a message in a body stands for, where one path serves many calls.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use foldhash::fast::RandomState;
use http::Method;

use crate::{
    access::{Access, Grants, Scope},
    protocol::{GraphQlKind, GraphQlRequest, Json, RpcMessage, parameter},
};

use super::{
    extract::{Inputs, MappingProblem, access},
    graphql::GraphQlRules,
    mcp::{McpList, McpRules},
    operation::{AccessTemplate, Operation},
};

/// So many accesses the calls of one request may stand for.
const MOST: usize = 100;

/// What is spoken on a route, in the place of one access for all of a method's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// The body is a message of the Model Context Protocol.
    Mcp(Arc<McpRules>),
    /// No message: what a server of that protocol tells of its own accord, or the end of a session.
    McpSession(Arc<McpRules>),
    /// The body is a request of GraphQL.
    GraphQl(Arc<GraphQlRules>),
}

/// What one call stands for, beside what its operation does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRule {
    // INVARIANT of whoever makes it: at least one.
    /// What must be permitted, all of it.
    pub accesses: Box<[AccessTemplate]>,
    /// The scopes that the credential must have, all of them.
    pub scopes: Box<[Scope]>,
    /// Whether the chain must have a task.
    pub task_required: bool,
}

/// Rules by name, and the one for every other name, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<R> {
    /// Those of one name each.
    pub(super) rules: HashMap<Box<str>, R, RandomState>,
    /// The one for all others.
    pub others: Option<R>,
    // The names that have one of their own, as `folded` writes them.
    folded: HashSet<Box<str>, RandomState>,
}

impl<R> Default for Named<R> {
    fn default() -> Self {
        Self { rules: HashMap::default(), others: None, folded: HashSet::default() }
    }
}

impl<R> Named<R> {
    /// Adds the rule of this name.
    pub fn add(&mut self, name: &str, rule: R) {
        self.folded.insert(folded(name));
        self.rules.insert(name.into(), rule);
    }

    /// The rule for this name, compared byte for byte. What is spelled as one that has a rule but for case and white space at
    /// its ends has none: whoever hears it may take it for that one.
    pub fn get(&self, name: &str) -> Option<&R> {
        let for_others = || self.others.as_ref().filter(|_| !self.folded.contains(&folded(name)));
        self.rules.get(name).or_else(for_others)
    }
}

fn folded(name: &str) -> Box<str> {
    name.trim().to_lowercase().into()
}

/// A message that was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Of the Model Context Protocol.
    Mcp(RpcMessage),
    /// Of GraphQL.
    GraphQl(GraphQlRequest),
}

/// One call, as far as a rule's variables can name it.
#[derive(Debug, Clone, Default)]
pub struct Called<'a> {
    /// The name of what is called.
    pub name: &'a str,
    /// What a field of GraphQL is called with.
    pub arguments: Option<&'a Json>,
    /// What the variables of a URI's pattern took.
    pub captures: Vec<&'a str>,
}

/// What a request stands for.
#[derive(Debug)]
pub struct Mapped<'r> {
    /// All of these must be permitted. At least one.
    pub accesses: Vec<Access>,
    /// The rules of the calls in its message.
    pub rules: Vec<&'r CallRule>,
}

impl Mapped<'_> {
    /// Whether some call asks for a task.
    pub fn task_required(&self) -> bool {
        self.rules.iter().any(|rule| rule.task_required)
    }

    /// Whether the credential has all scopes that the calls need.
    pub fn has_scopes(&self, grants: Option<&Grants>) -> bool {
        let mut rules = self.rules.iter().filter(|rule| !rule.scopes.is_empty());
        rules.all(|rule| grants.is_some_and(|grants| grants.has(&rule.scopes)))
    }

    /// The scopes that the calls need.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.rules.iter().flat_map(|rule| &rule.scopes)
    }
}

impl Operation {
    /// What this request stands for, or why it stands for nothing. Where messages are spoken, a call without a rule stands for
    /// nothing, and so does a body of which no message was read.
    pub fn mapped(&self, inputs: Inputs<'_>) -> Result<Mapped<'_>, MappingProblem> {
        let mut accesses: Vec<Access> =
            self.accesses.iter().map(|template| access(template, inputs, None)).collect::<Result<_, _>>()?;
        let called = match (&self.protocol, inputs.message) {
            (None | Some(Protocol::McpSession(_)), None) => Vec::new(),
            (Some(Protocol::Mcp(rules)), Some(Message::Mcp(message))) => rules.called(message, inputs.body)?,
            (Some(Protocol::GraphQl(rules)), Some(Message::GraphQl(request))) => rules.called(request, inputs.head)?,
            _ => return Err(MappingProblem::NoMessage),
        };
        for (rule, called) in &called {
            let inputs = Inputs { called: Some(called), ..inputs };
            for template in &rule.accesses {
                let access = access(template, inputs, None)?;
                // What is asked for twice is decided and recorded once.
                if !accesses.contains(&access) {
                    accesses.push(access);
                }
            }
            if accesses.len() > MOST {
                return Err(MappingProblem::TooMany);
            }
        }
        // What asks for nothing would be permitted.
        if accesses.is_empty() {
            return Err(MappingProblem::NoRule);
        }
        Ok(Mapped { accesses, rules: called.into_iter().map(|(rule, _)| rule).collect() })
    }
}

impl Operation {
    /// Whether its requests are of sessions that are bound to whom they were made for.
    pub fn has_sessions(&self) -> bool {
        matches!(self.protocol, Some(Protocol::Mcp(_) | Protocol::McpSession(_)))
    }

    /// By which rules lists in the answer are filtered, if there can be some: the answer to whoever asks for one, and all that
    /// a server tells without being asked, which may be such an answer, sent again. And how long a list may be, in bytes.
    pub fn lists(&self, method: &Method, message: Option<&Message>) -> Option<(&Arc<McpRules>, usize)> {
        match (self.protocol.as_ref()?, message) {
            (Protocol::Mcp(rules), Some(Message::Mcp(message))) => {
                let is_list = message.method().is_some_and(|method| McpList::of_method(method).is_some());
                is_list.then_some((rules, rules.longest_list))
            }
            (Protocol::McpSession(rules), _) => (method == Method::GET).then_some((rules, rules.longest_list)),
            (Protocol::Mcp(_) | Protocol::GraphQl(_), _) => None,
        }
    }
}

impl Message {
    /// What it calls, in words: `tools/call search`, or `mutation deletePet renamePet`.
    pub fn words(&self, body: Option<&Json>) -> String {
        match self {
            Self::Mcp(message) => {
                let method = message.method().unwrap_or("response");
                let member = match method {
                    "tools/call" | "prompts/get" => Some("name"),
                    "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Some("uri"),
                    _ => None,
                };
                let named = member.zip(body).and_then(|(member, body)| parameter(body, member).ok());
                named.map_or(method.to_owned(), |named| format!("{method} {named}"))
            }
            Self::GraphQl(request) => {
                let kind = match request.kind {
                    GraphQlKind::Query => "query",
                    GraphQlKind::Mutation => "mutation",
                    GraphQlKind::Subscription => "subscription",
                };
                let names = request.fields.iter().map(|field| &*field.name);
                std::iter::once(kind).chain(names).collect::<Vec<_>>().join(" ")
            }
        }
    }
}

impl Protocol {
    /// Every rule there is, with the words that say what it is for, in order.
    pub fn rules(&self) -> Vec<(String, &CallRule)> {
        let mut rules = match self {
            Self::Mcp(rules) => rules.all(),
            // They are told of where messages are.
            Self::McpSession(_) => Vec::new(),
            Self::GraphQl(rules) => rules.all(),
        };
        rules.sort_by(|(one, _), (other, _)| one.cmp(other));
        rules
    }

    /// Every access that some rule may ask for, also those that say only what a list shows.
    pub fn accesses(&self) -> Vec<&AccessTemplate> {
        let mut accesses: Vec<_> = self.rules().into_iter().flat_map(|(_, rule)| &rule.accesses).collect();
        if let Self::Mcp(rules) = self {
            accesses.extend(rules.listed());
        }
        accesses
    }
}
