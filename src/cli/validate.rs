//! The command `validate`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use serde_json::json;

use crate::{
    access::Scope,
    app::{check_everything, load_snapshot},
    config::ListenSettings,
    net::Role,
    route::{AccessTemplate, BodyRule, CallRule, DetailNeed, FormRule, Operation, Protocol, Route},
    snapshot::Snapshot,
};

use super::{
    arguments::Validate,
    print::{print_problems, problems_as_json, table},
};

/// Reports every problem, or prints the routes as they are.
pub(super) fn validate(options: &Validate) -> anyhow::Result<ExitCode> {
    let mut output = io::stdout();
    match load_snapshot(&options.config) {
        Ok(snapshot) if options.json => {
            writeln!(output, "{}", serde_json::to_string_pretty(&as_json(&snapshot, &proxies(options)))?)?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(snapshot) => {
            print_routes(output, &snapshot, &proxies(options))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) if options.json => {
            writeln!(output, "{}", serde_json::to_string_pretty(&problems_as_json(&problems))?)?;
            Ok(ExitCode::FAILURE)
        }
        Err(problems) => {
            print_problems(&problems);
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The listeners that agents name as their proxy, and whether these intercept.
fn proxies(options: &Validate) -> Vec<(String, bool)> {
    let settings = check_everything(&options.config);
    let proxy = |listener: ListenSettings| match listener.arrival.role {
        Role::Proxy(interception) => Some((listener.address.to_string(), interception.is_some())),
        Role::Service | Role::TunnelEnd(_) => None,
    };
    settings.map(|settings| settings.listeners.into_iter().filter_map(proxy).collect()).unwrap_or_default()
}

fn print_routes(mut output: impl Write, snapshot: &Snapshot, proxies: &[(String, bool)]) -> io::Result<()> {
    let mut rows =
        vec![["METHOD", "HOST", "PATH", "HEADERS", "UPSTREAM", "ACCESSES", "NOTES"].map(str::to_owned).to_vec()];
    for (route, method, operation) in operations(snapshot) {
        let headers = route.headers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        rows.push(vec![
            method,
            route.host.to_string(),
            route.path.to_string(),
            if headers.is_empty() { "-".to_owned() } else { headers },
            upstream(snapshot, route),
            accesses(&operation.accesses),
            notes(route, operation).join(", "),
        ]);
        for (call, rule) in operation.protocol.iter().flat_map(Protocol::rules) {
            let (what, notes) = (accesses(&rule.accesses), call_notes(rule).join(", "));
            rows.push(vec![
                String::new(),
                String::new(),
                format!("  {call}"),
                String::new(),
                String::new(),
                what,
                notes,
            ]);
        }
    }
    let statistics = snapshot.policy.statistics();
    writeln!(output, "{}", table(&rows))?;
    writeln!(output, "everything else is denied")?;
    for (address, intercepts) in proxies {
        let tunnels = if *intercepts { "and tunnels for https, which end in it" } else { "tunnels are refused" };
        writeln!(output, "{address} is an explicit proxy, for routes with `egress: true`: http, {tunnels}")?;
    }
    writeln!(output)?;
    writeln!(
        output,
        "valid: {} routes, {} types, {} tuples",
        snapshot.routes.routes().len(),
        snapshot.policy.model().types().count(),
        statistics.tuples
    )
}

/// Every method of every route, in the order of the configuration.
fn operations(snapshot: &Snapshot) -> impl Iterator<Item = (&Route, String, &Operation)> {
    snapshot.routes.routes().iter().flat_map(|route| {
        let mut operations: Vec<_> = route
            .operations
            .iter()
            .map(|(method, operation)| (route.as_ref(), method.to_string(), operation))
            .collect();
        operations.sort_by(|one, other| one.1.cmp(&other.1));
        operations
    })
}

fn upstream(snapshot: &Snapshot, route: &Route) -> String {
    snapshot.upstream(route.upstream).map(|upstream| upstream.name.to_string()).unwrap_or_default()
}

fn accesses(accesses: &[AccessTemplate]) -> String {
    if accesses.is_empty() {
        return "what its message says:".to_owned();
    }
    worded(accesses).join(" and ")
}

fn worded(accesses: &[AccessTemplate]) -> Vec<String> {
    accesses.iter().map(|access| format!("{} on {}", access.action, access.resource)).collect()
}

fn call_notes(rule: &CallRule) -> Vec<String> {
    let mut notes = Vec::new();
    if rule.task_required {
        notes.push("task required".to_owned());
    }
    if !rule.scopes.is_empty() {
        let scopes: Vec<&str> = rule.scopes.iter().map(Scope::as_str).collect();
        notes.push(format!("scopes {}", scopes.join(" ")));
    }
    notes
}

fn notes(route: &Route, operation: &Operation) -> Vec<String> {
    let mut notes = Vec::new();
    match operation.body {
        BodyRule::Refuse => notes.push("no body".to_owned()),
        BodyRule::Stream { forms: FormRule::Unread, .. } => notes.push("body passed on unread".to_owned()),
        BodyRule::Stream { forms: FormRule::Checked, .. } => {
            notes.push("body passed on unread but for forms".to_owned())
        }
        BodyRule::Inspect { limit } => notes.push(format!("body read as JSON up to {limit} bytes")),
    }
    if operation.task_required {
        notes.push("task required".to_owned());
    }
    if !operation.scopes.is_empty() {
        let scopes: Vec<&str> = operation.scopes.iter().map(Scope::as_str).collect();
        notes.push(format!("scopes {}", scopes.join(" ")));
    }
    if let Some(rule) = &operation.details {
        let need = match rule.need {
            DetailNeed::Required => "required",
            DetailNeed::Cap => "if there are any",
        };
        notes.push(format!("authorization details of type {} {need}", rule.kind));
    }
    if let Some(rule) = &operation.uses {
        notes.push(format!("at most {} uses within {:?}", rule.most, rule.within));
    }
    if let Some(rule) = &operation.bytes {
        notes.push(format!("at most {} bytes within {:?}", rule.most, rule.within));
    }
    if let Some(filter) = &operation.filter {
        notes.push(format!("each element: {} on {}", filter.access.action, filter.access.resource));
    }
    if let Some(upgrade) = &operation.upgrade {
        notes.push(upgrade.to_string());
    }
    if let Some(rule) = &route.authentication {
        notes.push(rule.to_string());
    }
    if route.is_egress {
        notes.push("for agents' egress".to_owned());
    }
    if route.takes_escaped_slashes {
        notes.push("slashes may be escaped".to_owned());
    }
    if let Some(pause) = route.body_pause {
        notes.push(format!("body may pause for {pause:?}"));
    }
    if let Some(pause) = route.answer_pause {
        notes.push(format!("answer may pause for {pause:?}"));
    }
    if route.hides_existence {
        notes.push("hides existence".to_owned());
    }
    if route.credential == crate::access::CredentialHandling::Forward {
        notes.push("credential forwarded".to_owned());
    }
    notes
}

fn as_json(snapshot: &Snapshot, proxies: &[(String, bool)]) -> serde_json::Value {
    let routes: Vec<_> = operations(snapshot)
        .map(|(route, method, operation)| {
            let calls = operation.protocol.iter().flat_map(Protocol::rules).map(
                |(call, rule)| json!({ "call": call, "accesses": worded(&rule.accesses), "notes": call_notes(rule) }),
            );
            let calls: Vec<_> = calls.collect();
            json!({
                "name": &*route.name,
                "method": method,
                "host": route.host.to_string(),
                "path": route.path.to_string(),
                "headers": route.headers.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "upstream": upstream(snapshot, route),
                "accesses": worded(&operation.accesses),
                "calls": calls,
                "notes": notes(route, operation),
            })
        })
        .collect();
    let statistics = snapshot.policy.statistics();
    let proxies: Vec<_> =
        proxies.iter().map(|(address, intercepts)| json!({ "address": address, "intercepts": intercepts })).collect();
    json!({ "valid": true, "routes": routes, "tuples": statistics.tuples, "explicit_proxies": proxies })
}
