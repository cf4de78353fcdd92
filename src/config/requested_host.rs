//! Upstreams that are the host which a client of an explicit proxy asks for.

use crate::net::{Network, Reach};

use super::{
    file::File,
    file_places::{self as file, RequestedHost},
    located::Located,
    problems::Problems,
};

/// Refuses routes for egress that name no host: nobody could choose one by them. And routes to such upstreams that are not
/// for egress: nobody could reach them.
pub(super) fn check_routes(file: &File, problems: &mut Problems) {
    for route in &file.routes {
        let upstream = file.upstreams.get(&route.upstream.value);
        let is_chosen = upstream.is_some_and(|upstream| upstream.requested_host.is_some());
        if is_chosen && !route.egress {
            let message =
                format!("`{}` is the host that is asked for, and the route is not for egress", route.upstream.value);
            problems.add_with_help(route.upstream.place, message, "add `egress: true`");
        }
        if route.egress && route.host.is_none() {
            let message = "clients of explicit proxies choose the host, and the route names none";
            problems.add_with_help(route.path.place, message, "add `host: api.example`, or `*.example`");
        }
    }
}

/// Which addresses may be reached; `None` after a problem.
pub(super) fn reach(
    written: &Located<RequestedHost>,
    upstream: &file::Upstream,
    file: &File,
    problems: &mut Problems,
) -> Option<Reach> {
    let before = problems.count();
    if !file.listen.iter().any(|listen| listen.explicit_proxy.is_some()) {
        let help = "add `explicit_proxy` to the listener that agents name as their proxy";
        problems.add_with_help(written.place, "no listener is an explicit proxy: nobody could ask for a host", help);
    }
    if let Some(client) = &upstream.client {
        let message = "the client chooses where it goes: the certificate would be shown to whoever asks for one there";
        problems.add_with_help(client.place, message, "show certificates to upstreams with a `url` only");
    }
    if let Some(id) = &upstream.spiffe_id {
        problems.add(id.place, "`spiffe_id` is for upstreams with a `url`: here the client chooses where it goes");
    }
    let reach = match &written.within {
        None => Reach::Public,
        Some(within) => {
            if within.is_empty() {
                let help = "name networks, or leave it out: then it is the public internet";
                problems.add_with_help(within.place, "`within` is empty: no host could be reached", help);
            }
            let networks: Vec<Network> = within.iter().filter_map(|network| problems.parse(network)).collect();
            Reach::Within(networks.into())
        }
    };
    (problems.count() == before).then_some(reach)
}
