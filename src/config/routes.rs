//! The `routes` section.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use http::{HeaderName, Method};

use crate::{
    access::{CredentialHandling, Entity, Place, RelationName, Template},
    policy::did_you_mean,
    route::{
        AccessTemplate, BodyRule, DetailRule, FormRule, HeaderMatch, HostPattern, ItemFilter, JsonPath, Operation,
        Origin, PathTemplate, Route, RouteTable, Source, UpstreamId, UsedBy,
    },
};

use super::{
    authentication, budget, calls, details,
    file::{self, BodyUse, Credential},
    file_identity::Identity,
    located::Located,
    problems::Problems,
    websocket,
};

/// What is the same for all routes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Common<'a> {
    /// The longest body that is inspected.
    pub(super) body: usize,
    /// The longest answer that is filtered.
    pub(super) filtered: usize,
    /// The types of resources that need a task.
    pub(super) task_types: &'a [Located<String>],
    /// Which kinds of credentials there are.
    pub(super) identity: &'a Identity,
}

/// The table of all routes; `None` after a problem.
pub(super) fn table(
    routes: &[Located<file::Route>],
    upstreams: &[String],
    common: Common<'_>,
    problems: &mut Problems,
) -> Option<RouteTable> {
    let before = problems.count();
    check_task_types(routes, common.task_types, problems);
    check_names(routes, problems);
    let made: Vec<Route> = routes.iter().filter_map(|written| route(written, upstreams, common, problems)).collect();
    check_counted_names(&made, problems);
    if problems.count() > before {
        return None;
    }
    match RouteTable::new(made) {
        Ok(table) => Some(table),
        Err(conflicts) => {
            for conflict in conflicts {
                let path = |index: usize| routes.get(index).map(|route| &route.path);
                if let Some((first, second)) = path(conflict.first).zip(path(conflict.second)) {
                    let message = format!(
                        "`{}` could match the same request as the route on line {}",
                        second.value, first.place.line
                    );
                    let help = "tell them apart by host, path, method or a header field's value, or merge them";
                    problems.add_with_help(second.place, message, help);
                }
            }
            None
        }
    }
}

fn route(
    written: &Located<file::Route>,
    upstreams: &[String],
    common: Common<'_>,
    problems: &mut Problems,
) -> Option<Route> {
    let path = checked(PathTemplate::parse(&written.path.value), written.path.place, problems);
    let host = match &written.host {
        Some(host) => checked(HostPattern::parse(&host.value), host.place, problems),
        None => Some(HostPattern::Any),
    };
    let upstream = upstream(&written.upstream, upstreams, problems);
    let headers = headers(&written.headers, problems);
    let rule = written.authentication.as_ref();
    let authentication = rule.map(|rule| authentication::rule(rule, common.identity, problems));
    calls::check_operations(written, problems);
    let body_pause = problems.optional_duration(written.body_pause.as_ref());
    let answer_pause = problems.optional_duration(written.answer_pause.as_ref());
    let origins: Option<Vec<Origin>> = written.origins.as_ref().map(|written| {
        written.iter().filter_map(|origin| checked(Origin::parse(&origin.value), origin.place, problems)).collect()
    });
    let path = path?;
    // Servers of MCP have to look at the origin, and no page asks unless it is said whose may.
    let origins = origins.or_else(|| written.mcp.as_ref().map(|_| Vec::new()));
    let mut operations = calls::operations(written, &path, (common.body, common.filtered, common.task_types), problems)
        .unwrap_or_default();
    for (name, operation) in &written.operations {
        let method = method(name, operation.place, problems);
        let made = self::operation(operation, method.as_ref(), &path, common, problems);
        operations.extend(method.zip(made));
    }
    let name = written.name.as_ref().map(|name| name.value.clone()).unwrap_or_else(|| match &host {
        Some(HostPattern::Any) | None => path.to_string(),
        Some(host) => format!("{host}{path}"),
    });
    Some(Route {
        name: name.into(),
        host: host?,
        path,
        headers: headers.into(),
        upstream: upstream?,
        // A problem was reported if there is one that came to nothing.
        authentication: authentication.flatten(),
        credential: match written.credential {
            Credential::Strip => CredentialHandling::Strip,
            Credential::Forward => CredentialHandling::Forward,
        },
        hides_existence: written.hide_existence,
        is_egress: written.egress,
        body_pause,
        answer_pause,
        takes_escaped_slashes: written.allow_encoded_slash,
        origins: origins.map(Into::into),
        operations,
        place: written.path.place,
    })
}

/// Every access that any route asks for, as far as it can be read: what is wrong with the rest is reported elsewhere.
pub(super) fn accesses(routes: &[Located<file::Route>], file: &Path) -> Vec<AccessTemplate> {
    let reported = &mut Problems::of_file(file);
    let mut accesses = Vec::new();
    for route in routes {
        let Ok(path) = PathTemplate::parse(&route.path.value) else { continue };
        let spoken = calls::operations(route, &path, (0, 0, &[]), reported).unwrap_or_default();
        for protocol in spoken.values().filter_map(|operation| operation.protocol.as_ref()) {
            accesses.extend(protocol.accesses().into_iter().cloned());
        }
        for operation in route.operations.values() {
            let one = operation.action.as_ref().zip(operation.resource.as_ref());
            let several = operation.accesses.iter().flatten().map(|access| (&access.action, &access.resource));
            accesses.extend(
                one.into_iter()
                    .chain(several)
                    .filter_map(|(action, resource)| access(action, resource, &path, reported)),
            );
            if let Some(filter) = &operation.filter {
                let parse = |text: &str| Source::parse_item(text, &path);
                accesses.extend(access_with(&filter.action, &filter.resource, parse, reported));
            }
        }
    }
    accesses
}

/// A type that no route asks for is misspelled: what should need a task would not.
fn check_task_types(routes: &[Located<file::Route>], types: &[Located<String>], problems: &mut Problems) {
    let operations = routes.iter().flat_map(|route| route.operations.values());
    let resources = operations.flat_map(|operation| {
        let several = operation.accesses.iter().flatten().map(|access| &access.resource);
        several.chain(&operation.resource).chain(operation.filter.as_ref().map(|filter| &filter.resource))
    });
    let resources =
        resources.chain(routes.iter().flat_map(|route| calls::written(route)).map(|(_, resource)| resource));
    let known: Vec<&str> = resources.filter_map(|resource| resource.split_once(':')).map(|(name, _)| name).collect();
    for name in types.iter().filter(|name| !known.contains(&name.as_str())) {
        let message = format!("no route asks for the type `{}`", name.value);
        let help = did_you_mean(name, known.iter().copied())
            .unwrap_or_else(|| "name a type that a `resource` begins with, or remove it".to_owned());
        problems.add_with_help(name.place, message, help);
    }
}

fn upstream(name: &Located<String>, upstreams: &[String], problems: &mut Problems) -> Option<UpstreamId> {
    let found = upstreams.iter().position(|upstream| *upstream == name.value);
    if found.is_none() {
        let message = format!("there is no upstream `{}`", name.value);
        let add = || format!("add `{}: {{ url: \"http://…\" }}` to `upstreams`", name.value);
        let help = did_you_mean(&name.value, upstreams.iter().map(String::as_str)).unwrap_or_else(add);
        problems.add_with_help(name.place, message, help);
    }
    found.map(UpstreamId)
}

fn headers(written: &BTreeMap<String, Located<String>>, problems: &mut Problems) -> Vec<HeaderMatch> {
    let mut headers = Vec::new();
    for (name, value) in written {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => headers.extend(checked(HeaderMatch::new(name, &value.value), value.place, problems)),
            Err(_) => problems.add(value.place, format!("`{name}` is not a header field's name")),
        }
    }
    headers
}

fn method(name: &str, place: Place, problems: &mut Problems) -> Option<Method> {
    let legal = (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_uppercase());
    let served = legal && !matches!(name, "CONNECT" | "TRACE");
    let method = Method::from_bytes(name.as_bytes()).ok().filter(|_| served);
    if method.is_none() {
        let help = "write it in upper case, such as `GET`; CONNECT and TRACE are never forwarded";
        problems.add_with_help(place, format!("`{name}` is not a method that is served"), help);
    }
    method
}

fn operation(
    written: &Located<file::Operation>,
    method: Option<&Method>,
    path: &PathTemplate,
    common: Common<'_>,
    problems: &mut Problems,
) -> Option<Operation> {
    let before = problems.count();
    let mut accesses = Vec::new();
    match (&written.action, &written.resource, &written.accesses) {
        (Some(action), Some(resource), None) => accesses.extend(access(action, resource, path, problems)),
        (None, None, Some(several)) if !several.is_empty() => {
            accesses.extend(several.iter().filter_map(|one| access(&one.action, &one.resource, path, problems)));
        }
        _ => problems.add_with_help(
            written.place,
            "an operation stands for one access or for several",
            "write `action` and `resource`, or a list `accesses` of such pairs",
        ),
    }
    let filter = match &written.filter {
        Some(filter) if method == Some(&Method::HEAD) => {
            problems.add(filter.place, "the answer to HEAD has no elements to filter");
            None
        }
        Some(filter) => self::filter(filter, path, common, problems),
        None => None,
    };
    let types =
        accesses.iter().chain(filter.iter().map(|filter| &filter.access)).filter_map(|it| it.resource.type_name());
    let task_required =
        written.require_task || types.into_iter().any(|name| common.task_types.iter().any(|it| it.value == name));
    let upgrade = websocket::upgrade(written, method, problems);
    let uses = written.uses.as_ref().map(|uses| budget::uses(uses, problems));
    let bytes = written.bytes.as_ref().map(|bytes| budget::bytes(bytes, problems));
    let holders = [uses.map(|rule| rule.by), bytes.map(|rule| rule.by)];
    let task_required = task_required || holders.contains(&Some(UsedBy::Task));
    let scopes = written.scopes.iter().filter_map(|scope| problems.parse(scope)).collect();
    let details = written.authorization_details.as_ref().and_then(|rule| details::rule(rule, path, problems));
    let body = body(written, method, (&accesses, details.as_ref()), common, problems);
    (problems.count() == before).then(|| Operation {
        accesses: accesses.into(),
        protocol: None,
        body,
        task_required,
        scopes,
        details,
        uses,
        bytes,
        upgrade,
        filter,
    })
}

/// Uses are counted by the name of their route: two of one name would count into each other's.
/// In records and metrics one name would be two routes.
fn check_names(routes: &[Located<file::Route>], problems: &mut Problems) {
    let mut lines = BTreeMap::new();
    for route in routes {
        let Some(name) = &route.name else { continue };
        if let Some(line) = lines.insert(name.value.as_str(), name.place.line) {
            let message = format!("the route on line {line} is called `{}` too", name.value);
            let help = "give each of them a name of its own: records and metrics tell them apart by it";
            problems.add_with_help(name.place, message, help);
        }
    }
}

fn check_counted_names(routes: &[Route], problems: &mut Problems) {
    let mut names = HashSet::new();
    let is_counted = |operation: &Operation| operation.uses.is_some() || operation.bytes.is_some();
    for route in routes.iter().filter(|route| route.operations.values().any(is_counted)) {
        if !names.insert(&route.name) {
            let message = format!(
                "another route with `uses` or `bytes` is called `{}` too, by which they are counted",
                route.name
            );
            problems.add_with_help(route.place, message, "give each of them a `name` of its own");
        }
    }
}

fn body(
    written: &file::Operation,
    method: Option<&Method>,
    (accesses, details): (&[AccessTemplate], Option<&DetailRule>),
    common: Common<'_>,
    problems: &mut Problems,
) -> BodyRule {
    let resources = accesses.iter().map(|access| &access.resource);
    let reads_body = resources
        .chain(details.into_iter().flat_map(DetailRule::templates))
        .flat_map(Template::variables)
        .any(|variable| matches!(variable.source, Source::Body(_)));
    let usual = !matches!(method, Some(&Method::GET | &Method::HEAD | &Method::DELETE | &Method::OPTIONS));
    match (&written.body, reads_body) {
        (Some(body), true) if body.value == BodyUse::Refuse => {
            problems.add(body.place, "`body: refuse` on an operation whose resource is in the body");
            BodyRule::Refuse
        }
        (_, true) => BodyRule::Inspect { limit: common.body },
        (Some(body), false) if body.value == BodyUse::Allow => {
            BodyRule::Stream { limit: common.body, forms: FormRule::Unread }
        }
        (Some(_), false) => BodyRule::Refuse,
        (None, false) if usual => BodyRule::Stream { limit: common.body, forms: FormRule::Checked },
        (None, false) => BodyRule::Refuse,
    }
}

fn filter(
    written: &file::Filter,
    path: &PathTemplate,
    common: Common<'_>,
    problems: &mut Problems,
) -> Option<ItemFilter> {
    let each = checked(JsonPath::parse(&written.each.value), written.each.place, problems);
    if each.as_ref().is_some_and(|each| !each.each) {
        problems.add_with_help(written.each.place, "`each` names no elements", "end it with `[*]`");
    }
    let mut remove = Vec::new();
    for member in &written.remove {
        let member_path = checked(JsonPath::parse(&member.value), member.place, problems);
        if member_path.as_ref().is_some_and(|path| path.each) {
            problems.add(member.place, "`remove` names a member, not the elements of an array");
        }
        remove.extend(member_path);
    }
    let parse = |text: &str| Source::parse_item(text, path);
    let access = access_with(&written.action, &written.resource, parse, problems);
    Some(ItemFilter { each: each?, access: access?, remove: remove.into(), limit: common.filtered })
}

fn access(
    action: &Located<String>,
    resource: &Located<String>,
    path: &PathTemplate,
    problems: &mut Problems,
) -> Option<AccessTemplate> {
    access_with(action, resource, |text| Source::parse(text, path), problems)
}

pub(super) fn access_with(
    action: &Located<String>,
    resource: &Located<String>,
    source: impl FnMut(&str) -> Result<Source, String>,
    problems: &mut Problems,
) -> Option<AccessTemplate> {
    let action_name: Option<RelationName> = problems.parse(action);
    let template = checked(Template::parse(&resource.value, source), resource.place, problems)?;
    if template.type_name().is_none_or(str::is_empty) {
        let message = format!("`{}` does not begin with a type", resource.value);
        problems.add_with_help(resource.place, message, "write it like `account:{path.account}`");
        return None;
    }
    // Without variables it is one object, which must be one.
    if template.variables().next().is_none()
        && let Err(problem) = resource.value.parse::<Entity>()
    {
        problems.add(resource.place, problem.to_string());
    }
    Some(AccessTemplate { action: action_name?, resource: template, place: resource.place })
}

pub(super) fn checked<T, E: ToString>(result: Result<T, E>, place: Place, problems: &mut Problems) -> Option<T> {
    result.map_err(|problem| problems.add(place, problem.to_string())).ok()
}
