//! Where agents connect, and how.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use crate::{
    access::Place,
    net::{
        AnonymousClients, Arrival, CertificateFiles, ClientVerification, Forwarders, InvalidAddress, ListenAddress,
        ServerTls, Sources, TrustedProxies,
    },
};

use super::{
    explicit_proxy,
    file::File,
    file_places::{self as file, Listen},
    located::Located,
    places::{check_socket, refuse_twice, twice},
    problems::Problems,
    settings::Reading,
};

/// So many proxies in front of each other are more than there are anywhere.
const MOST_HOPS: usize = 16;

/// One place that agents connect to.
#[derive(Debug, Clone)]
pub struct ListenSettings {
    /// Where it is.
    pub address: ListenAddress,
    /// How connections arrive.
    pub arrival: Arrival,
    /// Its TLS identity, if it does not speak in the clear.
    pub tls: Option<ServerTls>,
}

impl ListenSettings {
    /// One that clients connect to themselves.
    pub(super) fn plain(address: SocketAddr, tls: Option<ServerTls>) -> Self {
        Self { address: address.into(), arrival: Arrival::default(), tls }
    }
}

/// The data listeners; `None` after a problem.
pub(super) fn listeners(file: &File, reading: &mut Reading<'_>) -> Option<Vec<ListenSettings>> {
    if file.listen.is_empty() {
        reading.problems.add(Place::default(), "`listen` is empty: agents could not connect");
        return None;
    }
    let limit = file.limits.connections_per_source.as_ref();
    let sources = limit.map(|limit| Arc::new(Sources::at_most(reading.problems.count_of(Some(limit), 1))));
    let mut listeners: Vec<ListenSettings> = Vec::new();
    let mut complete = true;
    for listen in &file.listen {
        match listener(listen, &listeners, file, reading) {
            Some(mut listener) => {
                listener.arrival.sources.clone_from(&sources);
                listeners.push(listener);
            }
            None => complete = false,
        }
    }
    complete.then_some(listeners)
}

fn listener(
    listen: &Listen,
    others: &[ListenSettings],
    file: &File,
    reading: &mut Reading<'_>,
) -> Option<ListenSettings> {
    let address = address(listen, reading);
    let tls = match &listen.tls {
        None => Some(None),
        Some(tls) => server_tls(tls, reading).map(Some),
    };
    match &address {
        Some(ListenAddress::Ip(address)) => {
            refuse_twice(Some(*address), &listen.address, others, &mut reading.problems);
        }
        Some(address) if others.iter().any(|other| other.address == *address) => {
            twice(&listen.address, &mut reading.problems);
        }
        Some(_) | None => {}
    }
    let in_front = in_front(listen, address.as_ref(), &mut reading.problems);
    let original = listen.original_destination.as_ref().filter(|wanted| wanted.value);
    if let (Some(wanted), Some(ListenAddress::Unix(..))) = (original, &address) {
        let message = "connections are never redirected to a Unix socket";
        reading.problems.add(wanted.place, message);
    }
    let role = explicit_proxy::role(listen, file, reading);
    let (proxies, forwarders) = in_front?;
    let original_destination = original.is_some();
    let arrival = Arrival { proxies, forwarders, original_destination, sources: None, role: role? };
    Some(ListenSettings { address: address?, arrival, tls: tls? })
}

/// Where it is; a path is relative to the configuration.
fn address(listen: &Listen, reading: &mut Reading<'_>) -> Option<ListenAddress> {
    let written = &listen.address;
    let address = match written.value.parse() {
        Ok(ListenAddress::Unix(path, default)) => {
            let mode = match &listen.mode {
                Some(mode) => self::mode(mode, &mut reading.problems)?,
                None => default,
            };
            let path = reading.beside(&path.to_string_lossy());
            check_socket(&path, written, &mut reading.problems);
            return Some(ListenAddress::Unix(path, mode));
        }
        Ok(address) => Some(address),
        Err(InvalidAddress::Unknown) => {
            let message = format!("`{}` is not an address and a port", written.value);
            let help = "write `127.0.0.1:8080`, `0.0.0.0:8080`, `[::1]:8080`, `unix:PATH` or `systemd:NAME`";
            reading.problems.add_with_help(written.place, message, help);
            None
        }
        Err(problem @ (InvalidAddress::NoPath | InvalidAddress::NoName)) => {
            reading.problems.add(written.place, problem.to_string());
            None
        }
    };
    if let Some(mode) = &listen.mode {
        reading.problems.add(mode.place, "`mode` is for `unix:PATH` only: it is the mode of the socket's file");
    }
    address
}

/// The permissions of owner, group and others, in octal digits.
fn mode(written: &Located<String>, problems: &mut Problems) -> Option<u32> {
    let is_octal = matches!(written.value.len(), 3 | 4) && written.value.bytes().all(|byte| byte.is_ascii_digit());
    let mode = u32::from_str_radix(&written.value, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
    if mode.is_none() {
        let message = format!("`{}` is no mode of a file", written.value);
        problems.add_with_help(written.place, message, "write octal digits in quotes, such as `\"0660\"`");
    }
    mode
}

/// The proxies in front of a listener: those that say whose connections they pass on, and those that say it of requests.
type InFront = (Option<Arc<TrustedProxies>>, Option<Arc<Forwarders>>);

/// Who is in front of it; `None` after a problem.
fn in_front(listen: &Listen, address: Option<&ListenAddress>, problems: &mut Problems) -> Option<InFront> {
    match (&listen.proxy_protocol, &listen.forwarded_for) {
        (None, None) => {
            let Some(written) = &listen.trusted_proxies else { return Some((None, None)) };
            let help = "add `proxy_protocol: required`, or `forwarded_for: 1`";
            let message = "`trusted_proxies` is of no use without `proxy_protocol` or `forwarded_for`";
            problems.add_with_help(written.place, message, help);
            None
        }
        (Some(_), Some(written)) => {
            let help = "leave one of them out: a proxy says it once for a connection, or anew for each request";
            problems.add_with_help(written.place, "`proxy_protocol` says already whose connections these are", help);
            None
        }
        (Some(wanted), None) => {
            let proxies = proxies(wanted.place, "connections", listen, address, problems)?;
            Some((Some(Arc::new(proxies)), None))
        }
        (None, Some(written)) => {
            let hops = usize::try_from(written.value).ok().filter(|hops| (1..=MOST_HOPS).contains(hops));
            if hops.is_none() {
                let message = format!("`{}` is no number of proxies in front, from 1 to {MOST_HOPS}", written.value);
                problems.add(written.place, message);
            }
            if listen.explicit_proxy.is_some() {
                let message = "clients of an explicit proxy connect themselves";
                problems.add_with_help(written.place, message, "remove `forwarded_for`");
                return None;
            }
            let proxies = proxies(written.place, "requests", listen, address, problems)?;
            Some((None, Some(Arc::new(Forwarders { proxies, hops: hops? }))))
        }
    }
}

/// Who the proxies in front are; `None` after a problem.
fn proxies(
    wanted: Place,
    passed: &str,
    listen: &Listen,
    address: Option<&ListenAddress>,
    problems: &mut Problems,
) -> Option<TrustedProxies> {
    let Some(written) = &listen.trusted_proxies else {
        let help = "name the proxies in front of this listener, such as `trusted_proxies: [10.0.0.0/8]`";
        let message = format!("`trusted_proxies` is missing: who may say whose {passed} these are?");
        problems.add_with_help(wanted, message, help);
        return None;
    };
    if written.is_empty() {
        problems.add(written.place, "`trusted_proxies` is empty: nobody would be heard");
        return None;
    }
    let before = problems.count();
    let mut proxies = TrustedProxies::default();
    for one in &written.value {
        match (one.value.as_str(), address) {
            ("unix", Some(ListenAddress::Ip(_))) => {
                problems.add(one.place, "`unix` is for Unix sockets: nobody connects to this listener by one");
            }
            ("unix", _) => proxies.local = true,
            (_, Some(ListenAddress::Unix(..))) => {
                let help = "write `trusted_proxies: [unix]`, and say by `mode` who may connect";
                let message = format!("`{}`: who connects to a Unix socket has no address", one.value);
                problems.add_with_help(one.place, message, help);
            }
            (_, _) => proxies.networks.extend(problems.parse(one)),
        }
    }
    (problems.count() == before).then_some(proxies)
}

/// The TLS identity of a listener; `None` after a problem.
pub(super) fn server_tls(tls: &file::Tls, reading: &mut Reading<'_>) -> Option<ServerTls> {
    let certificate = reading.file(&tls.certificate.value);
    let key = reading.file(&tls.key.value);
    let clients = tls.client.as_ref().map(|client| reading.file(&client.ca_file.value));
    let verification = tls.client.as_ref().zip(clients.as_deref()).map(|(client, ca_file)| ClientVerification {
        ca_file,
        anonymous: match client.required {
            Some(true) | None => AnonymousClients::Refuse,
            Some(false) => AnonymousClients::Accept,
        },
    });
    let more: Vec<_> = tls
        .additional
        .iter()
        .map(|one| (reading.file(&one.certificate), reading.file(&one.key), one.certificate.place))
        .collect();
    let additional: Vec<_> = more.iter().map(|(certificate, key, _)| CertificateFiles { certificate, key }).collect();
    let identity = CertificateFiles { certificate: &certificate, key: &key };
    match ServerTls::load(identity, &additional, verification) {
        Ok(identity) => Some(identity),
        Err(error) => {
            let is_it = |file: &PathBuf| error.file() == Some(file);
            let of_clients = tls.client.as_ref().filter(|_| clients.as_ref().is_some_and(is_it));
            let of_more = more.iter().find(|(certificate, key, _)| is_it(certificate) || is_it(key));
            let place = of_more.map(|(_, _, place)| *place).or(of_clients.map(|client| client.ca_file.place));
            reading.problems.add(place.unwrap_or(tls.certificate.place), error.to_string());
            None
        }
    }
}
