//! Listeners that agents name as their proxy.

use crate::net::{CertificateFiles, Interception, Role};

use super::{
    file::File,
    file_places::{self as file, Listen},
    settings::Reading,
};

/// What clients take the listener for; `None` after a problem.
pub(super) fn role(listen: &Listen, file: &File, reading: &mut Reading<'_>) -> Option<Role> {
    let Some(written) = &listen.explicit_proxy else { return Some(Role::Service) };
    let before = reading.problems.count();
    if let Some(original) = listen.original_destination.as_ref().filter(|wanted| wanted.value) {
        let message = "clients that name their proxy are not redirected to it";
        reading.problems.add_with_help(original.place, message, "make two listeners of it");
    }
    if !file.routes.iter().any(|route| route.egress && route.host.is_some()) {
        let message = "no route with a `host` says `egress: true`: every request by way of this proxy would be denied";
        let help = "add both to the routes of the services that agents reach through it";
        reading.problems.add_with_help(written.place, message, help);
    }
    let identity = &file.identity;
    if identity.jwt.is_empty() && identity.api_keys.is_none() && identity.spiffe.is_empty() {
        let message = "nobody can say who they are by `Proxy-Authorization`: every request would be denied";
        let help = "add `identity.jwt`, `identity.api_keys`, or `identity.spiffe` with `tls.client` of the listener";
        reading.problems.add_with_help(written.place, message, help);
    }
    let interception = match &written.interception {
        None => None,
        Some(written) => Some(interception(written, reading)?),
    };
    (reading.problems.count() == before).then_some(Role::Proxy(interception))
}

fn interception(written: &file::Interception, reading: &mut Reading<'_>) -> Option<Interception> {
    let (certificate, key) = (reading.file(&written.certificate.value), reading.file(&written.key.value));
    match Interception::load(CertificateFiles { certificate: &certificate, key: &key }) {
        Ok(interception) => Some(interception),
        Err(error) => {
            let of_key = error.file() == Some(&key);
            let place = if of_key { written.key.place } else { written.certificate.place };
            let help = "it takes a private authority: `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 \
                        -nodes -subj \"/CN=Agents' egress\" -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.pem`";
            reading.problems.add_with_help(place, error.to_string(), help);
            None
        }
    }
}
