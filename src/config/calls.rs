//! Routes on which messages are spoken: `mcp` and `graphql`.

use std::{collections::BTreeMap, io::Read, sync::Arc};

use http::Method;

use crate::{
    access::Scope,
    protocol::GraphQlLimits,
    proxy::SessionKey,
    route::{
        AccessTemplate, BodyRule, CallKind, CallRule, GraphQlRules, ListedRule, McpRules, NAMING_METHODS, Named,
        Operation, Operations, PathTemplate, Protocol, Source, UriPattern,
    },
};

use super::{
    documents::Bounded,
    file::{self, Access},
    file_calls::{Call, GraphQl, Mcp},
    located::Located,
    problems::Problems,
    routes::{access_with, checked},
    settings::Reading,
};

/// The name of the rule for all names that have none of their own.
const OTHERS: &str = "*";
/// How many bytes a key of sessions has at least, and at most.
const SHORTEST_KEY: usize = 32;
const LONGEST_KEY: u64 = 4096;

/// What the rules of a route are read with.
struct Reader<'r, 'p> {
    path: &'r PathTemplate,
    /// The longest body that is read.
    body: usize,
    /// The longest list that is filtered.
    filtered: usize,
    /// The types of resources that need a task.
    task_types: &'r [Located<String>],
    problems: &'p mut Problems,
}

/// What a route with `mcp` or `graphql` serves; `None` if it has neither.
pub(super) fn operations(
    route: &file::Route,
    path: &PathTemplate,
    (body, filtered, task_types): (usize, usize, &[Located<String>]),
    problems: &mut Problems,
) -> Option<Operations> {
    let mut reader = Reader { path, body, filtered, task_types, problems };
    match (&route.mcp, &route.graphql) {
        (Some(written), None) => Some(reader.mcp(written)),
        (None, Some(written)) => Some(reader.graphql(written)),
        (None, None) => None,
        (Some(_), Some(written)) => {
            problems.add(written.place, "a route has either `mcp` or `graphql`");
            Some(Operations::default())
        }
    }
}

/// Every access that is written there: its action and its resource.
pub(super) fn written(route: &file::Route) -> Vec<(&Located<String>, &Located<String>)> {
    let mut calls: Vec<&Call> = Vec::new();
    if let Some(mcp) = &route.mcp {
        let maps = [&mcp.tools, &mcp.prompts, &mcp.resources, &mcp.methods];
        calls.extend(
            maps.into_iter().flat_map(BTreeMap::values).chain(&mcp.server).chain(&mcp.responses).map(|it| &**it),
        );
    }
    if let Some(graphql) = &route.graphql {
        let maps = [&graphql.query, &graphql.mutation, &graphql.subscription];
        calls.extend(maps.into_iter().flat_map(BTreeMap::values).map(|it| &**it));
    }
    let each = calls.into_iter().flat_map(|call| {
        let several = call.accesses.iter().flatten().chain(&call.list).map(|access| (&access.action, &access.resource));
        call.action.as_ref().zip(call.resource.as_ref()).into_iter().chain(several)
    });
    each.collect()
}

impl Reader<'_, '_> {
    fn mcp(&mut self, written: &Located<Mcp>) -> Operations {
        let mut rules = McpRules {
            server: written.server.as_ref().and_then(|call| self.call(call, CallKind::Plain)),
            tools: self.named(&written.tools, Self::listed),
            prompts: self.named(&written.prompts, Self::listed),
            responses: written.responses.as_ref().and_then(|call| self.call(call, CallKind::Plain)),
            ..McpRules::default()
        };
        for (uri, call) in &written.resources {
            let pattern = checked(UriPattern::parse(uri), call.place, self.problems);
            let Some(pattern) = pattern else { continue };
            let rule = self.call(call, CallKind::Resource(&pattern));
            rules.resources.extend(rule.map(|rule| (pattern, uri.as_str().into(), rule)));
        }
        for (method, call) in &written.methods {
            if NAMING_METHODS.contains(&method.as_str()) || method == OTHERS {
                let help = "write what is called under `tools`, `prompts` or `resources`; every other method needs its own name";
                self.problems.add_with_help(call.place, format!("`{method}` cannot have one rule for all"), help);
            }
            let rule = self.call(call, CallKind::Method);
            rules.methods.extend(rule.map(|rule| (method.as_str().into(), rule)));
        }
        if rules == McpRules::default() {
            self.problems.add_with_help(
                written.place,
                "`mcp` has no rule: every message would be denied",
                "add `tools`, and `server` for what every client sends to begin",
            );
        }
        rules.longest_list = self.filtered;
        let scopes = self.scopes(&written.scopes);
        let rules = Arc::new(rules);
        let operation = |accesses: Box<[AccessTemplate]>, protocol, body, task_required| Operation {
            accesses,
            protocol: Some(protocol),
            body,
            task_required,
            scopes: scopes.clone(),
            details: None,
            uses: None,
            bytes: None,
            upgrade: None,
            filter: None,
        };
        let message = Protocol::Mcp(Arc::clone(&rules));
        let read = BodyRule::Inspect { limit: self.body };
        let post = operation(Box::default(), message, read, written.require_task);
        let mut operations = Operations::default();
        operations.insert(Method::POST, post);
        if let Some(server) = &rules.server {
            let task_required = written.require_task || server.task_required;
            for method in [Method::GET, Method::DELETE] {
                let session = Protocol::McpSession(Arc::clone(&rules));
                let mut session = operation(server.accesses.clone(), session, BodyRule::Refuse, task_required);
                session.scopes = scopes.iter().chain(&server.scopes).cloned().collect();
                operations.insert(method, session);
            }
        }
        operations
    }

    fn graphql(&mut self, written: &Located<GraphQl>) -> Operations {
        let field = |reader: &mut Self, call: &Located<Call>| reader.call(call, CallKind::Field);
        let mut rules = GraphQlRules {
            query: self.named(&written.query, field),
            mutation: self.named(&written.mutation, field),
            subscription: self.named(&written.subscription, field),
            limits: GraphQlLimits::default(),
        };
        if rules == GraphQlRules::default() {
            let help = "add fields under `query`, `mutation` or `subscription`";
            self.problems.add_with_help(written.place, "`graphql` has no rule: every request would be denied", help);
        }
        let defaults = GraphQlLimits::default();
        rules.limits = GraphQlLimits {
            depth: self.problems.count_of(written.depth.as_ref(), defaults.depth),
            aliases: self.problems.count_of(written.aliases.as_ref(), defaults.aliases),
            nodes: self.problems.count_of(written.fields.as_ref(), defaults.nodes),
            ..defaults
        };
        let post = Operation {
            accesses: Box::default(),
            protocol: Some(Protocol::GraphQl(Arc::new(rules))),
            body: BodyRule::Inspect { limit: self.body },
            task_required: written.require_task,
            scopes: self.scopes(&written.scopes),
            details: None,
            uses: None,
            bytes: None,
            upgrade: None,
            filter: None,
        };
        Operations::from_iter([(Method::POST, post)])
    }

    fn named<R>(
        &mut self,
        written: &BTreeMap<String, Located<Call>>,
        mut rule: impl FnMut(&mut Self, &Located<Call>) -> Option<R>,
    ) -> Named<R> {
        let mut named = Named::default();
        for (name, call) in written {
            let made = rule(self, call);
            if name == OTHERS {
                named.others = made;
            } else {
                made.into_iter().for_each(|made| named.add(name, made));
            }
        }
        named
    }

    fn listed(&mut self, written: &Located<Call>) -> Option<ListedRule> {
        let call = self.rule(written, CallKind::Named)?;
        let shown = |accesses| Some(CallRule { accesses, ..call.clone() });
        let shown = match &written.list {
            Some(Access { action, resource }) => {
                let access = self.access(action, resource, CallKind::Named)?;
                if !is_of_entry(&access) {
                    let message = format!("`{}` depends on how it is called, which no list knows", resource.value);
                    let help = "use `name`, `path.NAME` and `principal.subject` alone";
                    self.problems.add_with_help(resource.place, message, help);
                }
                shown([access].into())
            }
            None if call.accesses.iter().all(is_of_entry) => shown(call.accesses.clone()),
            None => None,
        };
        Some(ListedRule { call, shown })
    }

    /// The rule of what is in no list.
    fn call(&mut self, written: &Located<Call>, kind: CallKind<'_>) -> Option<CallRule> {
        if let Some(list) = &written.list {
            self.problems.add(list.action.place, "`list` is for tools and prompts");
        }
        self.rule(written, kind)
    }

    fn rule(&mut self, written: &Located<Call>, kind: CallKind<'_>) -> Option<CallRule> {
        let before = self.problems.count();
        let mut accesses = Vec::new();
        match (&written.action, &written.resource, &written.accesses) {
            (Some(action), Some(resource), None) => accesses.extend(self.access(action, resource, kind)),
            (None, None, Some(several)) if !several.is_empty() => {
                for one in several {
                    accesses.extend(self.access(&one.action, &one.resource, kind));
                }
            }
            _ => self.problems.add_with_help(
                written.place,
                "a call stands for one access or for several",
                "write `action` and `resource`, or a list `accesses` of such pairs",
            ),
        }
        let needs_task = |access: &AccessTemplate| {
            let name = access.resource.type_name();
            name.is_some_and(|name| self.task_types.iter().any(|it| it.value == name))
        };
        let task_required = written.require_task || accesses.iter().any(needs_task);
        let scopes = self.scopes(&written.scopes);
        let rule = CallRule { accesses: accesses.into(), scopes, task_required };
        (self.problems.count() == before).then_some(rule)
    }

    fn access(
        &mut self,
        action: &Located<String>,
        resource: &Located<String>,
        kind: CallKind<'_>,
    ) -> Option<AccessTemplate> {
        let path = self.path;
        access_with(action, resource, |text| Source::parse_call(text, path, kind), self.problems)
    }

    fn scopes(&mut self, written: &[Located<String>]) -> Box<[Scope]> {
        written.iter().filter_map(|scope| self.problems.parse(scope)).collect()
    }
}

fn is_of_entry(access: &AccessTemplate) -> bool {
    access.resource.variables().all(|variable| variable.source.is_of_entry())
}

/// Where what a route serves is written twice, or nowhere.
pub(super) fn check_operations(route: &Located<file::Route>, problems: &mut Problems) {
    let spoken =
        route.mcp.as_ref().map(|it| ("mcp", it.place)).or(route.graphql.as_ref().map(|it| ("graphql", it.place)));
    match (spoken, route.operations.is_empty()) {
        (Some((name, place)), false) => problems.add_with_help(
            place,
            format!("`{name}` and `operations` on one route"),
            "write another route for what is not spoken there",
        ),
        (None, true) => {
            problems.add(route.place, "`operations` is empty: every method would be denied");
        }
        (Some(_), true) | (None, false) => {}
    }
}

/// The key by which processes that share it bind sessions.
pub(super) fn session_key(name: &Located<String>, reading: &mut Reading<'_>) -> Option<Arc<SessionKey>> {
    let path = reading.beside(name);
    let mut bytes = Vec::new();
    let read = Bounded::open(&path, LONGEST_KEY).and_then(|mut file| file.read_to_end(&mut bytes));
    let help = "make one with `openssl rand -out session.key 32`, for the user that the proxy runs as alone";
    match read {
        Ok(_) if bytes.len() >= SHORTEST_KEY => Some(Arc::new(SessionKey::new(&bytes))),
        Ok(_) => {
            let message =
                format!("`{}` holds {} bytes, and a key has at least {SHORTEST_KEY}", name.value, bytes.len());
            reading.problems.add_with_help(name.place, message, help);
            None
        }
        Err(error) => {
            reading.problems.add_with_help(name.place, format!("`{}` cannot be read: {error}", name.value), help);
            None
        }
    }
}
