//! The `identity.protected_resource` section.

use std::collections::BTreeSet;

use crate::{
    access::Scope,
    identity::{ProtectedResource, is_loopback},
    route::{Operation, RouteTable},
};

use super::{file_identity as file, located::Located, settings::Reading};

/// The scope of which clients must not be told, because it is for them and not for this API.
const OFFLINE_ACCESS: &str = "offline_access";

/// What clients are told; `None` after a problem.
pub(super) fn settings(
    written: &file::ProtectedResource,
    identity: &file::Identity,
    routes: Option<&RouteTable>,
    reading: &mut Reading<'_>,
) -> Option<ProtectedResource> {
    let problems = &mut reading.problems;
    let before = problems.count();
    let resource = problems.parse(&written.resource);
    let issuers: Vec<Located<String>> = identity.jwt.iter().map(|issuer| issuer.issuer.clone()).collect();
    let servers = written.authorization_servers.as_ref().unwrap_or(&issuers);
    if servers.is_empty() {
        let help = "add `identity.jwt`, or name them in `authorization_servers`";
        problems.add_with_help(written.resource.place, "clients are told of no authorization server", help);
    }
    for url in servers.iter().chain(&written.documentation) {
        if !is_secure_url(url) {
            problems.add(url.place, format!("`{}` is no `https` URL, which clients need", url.value));
        }
    }
    let mut scopes: BTreeSet<Scope> = BTreeSet::new();
    match &written.scopes {
        Some(named) => {
            for scope in named {
                if scope.value == OFFLINE_ACCESS {
                    let message =
                        format!("`{OFFLINE_ACCESS}` is between clients and issuers: an API does not ask for it");
                    problems.add(scope.place, message);
                }
                scopes.extend(problems.parse::<Scope>(scope));
            }
        }
        None => scopes.extend(operations(routes).flat_map(|operation| operation.scopes.iter().cloned())),
    }
    let kinds: BTreeSet<Box<str>> =
        operations(routes).filter_map(|operation| operation.details.as_ref()).map(|rule| rule.kind.clone()).collect();
    (problems.count() == before).then_some(())?;
    Some(ProtectedResource {
        resource: resource?,
        authorization_servers: servers.iter().map(|server| server.as_str().into()).collect(),
        scopes: scopes.into_iter().collect(),
        detail_types: kinds.into_iter().collect(),
        // The listeners say it.
        certificates: false,
        name: written.name.as_deref().map(Box::from),
        documentation: written.documentation.as_ref().map(|url| url.as_str().into()),
    })
}

fn operations(routes: Option<&RouteTable>) -> impl Iterator<Item = &Operation> {
    routes.into_iter().flat_map(RouteTable::routes).flat_map(|route| route.operations.values())
}

/// Whether nobody can change what is between here and there: `https`, or `http` to this machine.
pub(super) fn is_secure_url(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|url| match url.scheme_str() {
        Some("https") => url.host().is_some(),
        Some("http") => url.host().is_some_and(is_loopback),
        Some(_) | None => false,
    })
}
