//! The services behind the proxy.

use std::{sync::Arc, time::Duration};

use crate::{
    access::Place,
    identity::SpiffeId,
    net::{ClientTls, EndpointRules, Endpoints, HttpVersion, Network, Reach, TargetUrl, Times, UpstreamPeer},
    snapshot::Upstream,
};

use super::{
    endpoints,
    file::File,
    file_places::{self as file, OriginalDestination, UpstreamProtocol},
    located::Located,
    problems::Problems,
    requested_host,
    settings::Reading,
};

/// The upstreams; `None` after a problem.
pub(super) fn upstreams(file: &File, reading: &mut Reading<'_>) -> Option<Vec<Upstream>> {
    check_upgrades(file, &mut reading.problems);
    requested_host::check_routes(file, &mut reading.problems);
    let upstreams: Vec<Upstream> =
        file.upstreams.iter().filter_map(|(name, written)| upstream(name, written, file, reading)).collect();
    (upstreams.len() == file.upstreams.len()).then_some(upstreams)
}

/// Refuses upgrades before upstreams that speak HTTP/2 alone: a WebSocket begins by HTTP/1.1.
fn check_upgrades(file: &File, problems: &mut Problems) {
    for route in &file.routes {
        let speaks = file.upstreams.get(&route.upstream.value).map(|upstream| upstream.protocol);
        if !matches!(speaks, Some(UpstreamProtocol::Http2)) {
            continue;
        }
        for upgrade in route.operations.values().filter_map(|operation| operation.upgrade.as_ref()) {
            let message =
                format!("a WebSocket begins by HTTP/1.1, and `{}` is spoken to by HTTP/2", route.upstream.value);
            problems.add_with_help(upgrade.place, message, "give it an upstream without `protocol: http2`");
        }
    }
}

fn upstream(name: &str, written: &Located<file::Upstream>, file: &File, reading: &mut Reading<'_>) -> Option<Upstream> {
    let (urls, destination) = places(written, file, reading).unzip();
    let problems = &mut reading.problems;
    let times = Times {
        connect: problems.duration(written.connect_timeout.as_ref(), Duration::from_secs(2)),
        response: problems.duration(written.response_timeout.as_ref(), Duration::from_secs(30)),
    };
    let tls = match (&urls, &destination) {
        (Some(urls), _) if urls.iter().any(|url| url.is_tls()) => client_tls(written, reading),
        (_, Some(Destination::Requested(_))) => client_tls(written, reading),
        (Some(_), _) => refuse_tls(written, problems).map(|()| None),
        (None, _) => None,
    };
    let problems = &mut reading.problems;
    if let (Some(preserve), Some(urls)) = (written.preserve_host.as_ref().filter(|preserve| !preserve.value), &urls) {
        let help = "leave it out: the upstream gets the host that the client asked for";
        match urls.as_slice() {
            [url] if !url.is_local() => {}
            [] | [_] => problems.add_with_help(preserve.place, "there is no host that could be sent instead", help),
            [_, _, ..] => problems.add_with_help(preserve.place, "several URLs have several hosts", help),
        }
    }
    let token = written.transaction_token.as_ref().filter(|wanted| wanted.value);
    if let (Some(wanted), None) = (token, &file.transaction_tokens) {
        let message = "there are no tokens: `transaction_tokens` says nothing of who makes them";
        let help = "add `transaction_tokens: { issuer: …, audience: …, keys: […] }`";
        problems.add_with_help(wanted.place, message, help);
    }
    if let Some(Destination::Original(_) | Destination::Requested(_)) = &destination {
        endpoints::refuse_written(written, problems);
        if let Some(wanted) = token {
            let message = "the client chooses where it goes: the token would be given to whoever listens there";
            problems.add_with_help(wanted.place, message, "send tokens to upstreams with a `url` only");
        }
    }
    let version = match (written.protocol, &tls) {
        (UpstreamProtocol::Auto, Some(Some(_))) => HttpVersion::Negotiated,
        (UpstreamProtocol::Auto, Some(None) | None) | (UpstreamProtocol::Http1, _) => HttpVersion::Http1,
        (UpstreamProtocol::Http2, _) => HttpVersion::Http2,
    };
    // Whatever is wrong with where it is: all problems are in one report.
    let rules = endpoints::with_written(EndpointRules::new(name, Vec::new(), None, times), written, problems);
    let rules = EndpointRules { urls: urls?, tls: tls?, version, ..rules };
    let (original_destination, requested_host) = match destination? {
        Destination::Own => (None, None),
        Destination::Original(networks) => (Some(networks), None),
        Destination::Requested(reach) => (None, Some(reach)),
    };
    Some(Upstream {
        name: name.into(),
        endpoints: Arc::new(Endpoints::new(rules)),
        original_destination,
        requested_host,
        preserve_host: written.preserve_host.as_ref().is_none_or(|preserve| preserve.value),
        transaction_token: token.is_some(),
    })
}

/// Where requests go.
enum Destination {
    /// To the URLs of the upstream.
    Own,
    /// To where redirected connections were meant to go, in these networks.
    Original(Arc<[Network]>),
    /// To the host that the client asks for, at these addresses.
    Requested(Reach),
}

type Places = (Vec<Arc<TargetUrl>>, Destination);

/// Where it is, or who says so; `None` after a problem.
fn places(written: &Located<file::Upstream>, file: &File, reading: &mut Reading<'_>) -> Option<Places> {
    match (&written.url, &written.urls, &written.original_destination, &written.requested_host) {
        (Some(url), None, None, None) => Some((vec![Arc::new(place(url, reading)?)], Destination::Own)),
        (None, Some(urls), None, None) => Some((several(urls, reading)?, Destination::Own)),
        (None, None, Some(original), None) => {
            let networks = original_destination(original, file, &mut reading.problems)?;
            Some((Vec::new(), Destination::Original(networks)))
        }
        (None, None, None, Some(requested)) => {
            let reach = requested_host::reach(requested, written, file, &mut reading.problems)?;
            Some((Vec::new(), Destination::Requested(reach)))
        }
        _ => {
            let help =
                "write `url: \"http://host:port\"`, or `original_destination` for connections that are redirected";
            let message = "an upstream has exactly one of `url`, `urls`, `original_destination` and `requested_host`";
            reading.problems.add_with_help(written.place, message, help);
            None
        }
    }
}

fn place(url: &Located<String>, reading: &mut Reading<'_>) -> Option<TargetUrl> {
    match url.value.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        Some(path) => Some(TargetUrl::of_socket(reading.beside(path))),
        None => reading.problems.parse(url),
    }
}

fn several(urls: &Located<Vec<Located<String>>>, reading: &mut Reading<'_>) -> Option<Vec<Arc<TargetUrl>>> {
    let mut places: Vec<Arc<TargetUrl>> = Vec::new();
    for url in urls.iter() {
        let Some(parsed) = place(url, reading).map(Arc::new) else { continue };
        if places.contains(&parsed) {
            reading.problems.add(url.place, format!("`{}` is there twice", url.value));
        } else if places.first().is_some_and(|first| first.is_tls() != parsed.is_tls()) {
            let message = "all URLs of an upstream are `https`, or none is";
            reading.problems.add_with_help(url.place, message, "make two upstreams of them");
        }
        places.push(parsed);
    }
    if urls.is_empty() {
        let help = "write `urls: [\"http://host:port\"]`";
        reading.problems.add_with_help(urls.place, "`urls` is empty: there is no endpoint", help);
        return None;
    }
    (places.len() == urls.len()).then_some(places)
}

fn original_destination(
    written: &Located<OriginalDestination>,
    file: &File,
    problems: &mut Problems,
) -> Option<Arc<[Network]>> {
    let is_told = |listen: &file::Listen| listen.original_destination.as_ref().is_some_and(|wanted| wanted.value);
    if !file.listen.iter().any(is_told) {
        let help = "add `original_destination: true` to the listener that connections are redirected to";
        let message = "no listener can tell where connections were meant to go";
        problems.add_with_help(written.place, message, help);
    }
    if written.within.is_empty() {
        let message = "`within` is empty: no connection could go anywhere";
        problems.add_with_help(written.within.place, message, "name the networks of the services behind the proxy");
        return None;
    }
    let networks: Vec<Network> = written.within.iter().filter_map(|network| problems.parse(network)).collect();
    (networks.len() == written.within.len()).then(|| networks.into())
}

/// Refuses what is for TLS only.
fn refuse_tls(written: &file::Upstream, problems: &mut Problems) -> Option<()> {
    let before = problems.count();
    let keys = [
        ("ca_file", written.ca_file.as_ref().map(|written| written.place)),
        ("client", written.client.as_ref().map(|written| written.place)),
        ("spiffe_id", written.spiffe_id.as_ref().map(|written| written.place)),
    ];
    for (key, place) in keys {
        if let Some(place) = place {
            problems.add(place, format!("`{key}` is for `https` only, this upstream is in the clear"));
        }
    }
    (problems.count() == before).then_some(())
}

/// How the upstream is verified, and what it is shown; `None` after a problem.
fn client_tls(written: &Located<file::Upstream>, reading: &mut Reading<'_>) -> Option<Option<ClientTls>> {
    let peer = match &written.spiffe_id {
        None => UpstreamPeer::Named,
        Some(id) => {
            let parsed: SpiffeId = reading.problems.parse(id)?;
            if written.ca_file.is_none() {
                let help = "add `ca_file`: the authorities of its trust domain";
                let message = "`spiffe_id` needs `ca_file`: the machine's authorities vouch for no workload";
                reading.problems.add_with_help(id.place, message, help);
                return None;
            }
            UpstreamPeer::Spiffe(parsed.as_str().as_ref().into())
        }
    };
    let authorities = written.ca_file.as_ref().map(|name| reading.file(&name.value));
    let shown = written.client.as_ref().map(|client| (reading.file(&client.certificate), reading.file(&client.key)));
    let identity = shown.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
    match ClientTls::load(authorities.as_deref(), identity, peer) {
        Ok(tls) => Some(Some(tls)),
        Err(error) => {
            let of_authorities = error.file().is_some() && error.file() == authorities.as_ref();
            let place = |of_authorities: bool| -> Option<Place> {
                let client = written.client.as_ref().filter(|_| !of_authorities).map(|client| client.place);
                client.or(written.ca_file.as_ref().map(|name| name.place))
            };
            reading.problems.add(place(of_authorities).unwrap_or(written.place), error.to_string());
            None
        }
    }
}
