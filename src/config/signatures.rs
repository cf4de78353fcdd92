//! The `identity.signatures` section.

use std::sync::Arc;

use crate::{
    access::{Place, Scheme},
    identity::{
        BodyCover, InvalidSignatureSettings, KeySet, NonceNeed, Origin, SignatureSettings, SignedComponent,
        SigningAgent,
    },
    supply::{KeyForm, KeyUrl},
};

use super::{
    file_identity as file,
    identity::{MAX_STALENESS, REFRESH, fetched, keys_of_file},
    located::Located,
    resource::is_secure_url,
    settings::Reading,
};

/// Where directories are (draft-ietf-webbotauth-httpsig-directory).
const WELL_KNOWN: &str = "/.well-known/http-message-signatures-directory";

/// How signatures are accepted; `None` after a problem.
pub(super) fn settings(written: &file::Signatures, reading: &mut Reading<'_>) -> Option<SignatureSettings> {
    let before = reading.problems.count();
    let mut agents = Vec::new();
    for agent in written.agents.iter() {
        agents.extend(self::agent(agent, reading));
    }
    if reading.problems.count() == before {
        check_files(written, &agents, reading);
    }
    let problems = &mut reading.problems;
    let components = match &written.components {
        Some(names) => names.iter().filter_map(|name| problems.parse(name)).collect(),
        None => SignatureSettings::DEFAULT_COMPONENTS.to_vec(),
    };
    let tag = written.tag.as_ref().map_or(SignatureSettings::DEFAULT_TAG, |tag| tag.value.as_str());
    let settings = SignatureSettings {
        tag: tag.into(),
        components,
        max_lifetime: problems.duration(written.max_lifetime.as_ref(), SignatureSettings::DEFAULT_LIFETIME),
        leeway: problems.duration(written.leeway.as_ref(), SignatureSettings::DEFAULT_LEEWAY),
        nonce: if written.require_nonce { NonceNeed::Required } else { NonceNeed::Optional },
        body: if written.require_content_digest { BodyCover::Required } else { BodyCover::Optional },
        // The limit of all bodies that are read takes its place.
        longest_body: 0,
        scheme: written.scheme.map(|scheme| match scheme {
            file::Scheme::Http => Scheme::Http,
            file::Scheme::Https => Scheme::Https,
        }),
        agents,
    };
    (problems.count() == before).then_some(settings)
}

/// Where a problem of the settings is written.
pub(super) fn place_of(problem: &InvalidSignatureSettings, written: &file::Signatures) -> Place {
    let place = match problem {
        InvalidSignatureSettings::Tag => written.tag.as_ref().map(|tag| tag.place),
        InvalidSignatureSettings::NoHost => written.components.as_ref().map(|names| names.place),
        InvalidSignatureSettings::RepeatedComponent(component) => second(component, written),
        InvalidSignatureSettings::Lifetime => written.max_lifetime.as_ref().map(|lifetime| lifetime.place),
        InvalidSignatureSettings::Leeway => written.leeway.as_ref().map(|leeway| leeway.place),
        InvalidSignatureSettings::NoAgent => None,
    };
    place.unwrap_or(written.agents.place)
}

fn second(component: &SignedComponent, written: &file::Signatures) -> Option<Place> {
    let names = written.components.as_ref()?;
    names.iter().filter(|name| name.value == component.name()).nth(1).map(|name| name.place)
}

fn agent(written: &Located<file::SigningAgent>, reading: &mut Reading<'_>) -> Option<SigningAgent> {
    let subject = reading.problems.parse(&written.subject);
    let directory = &written.directory;
    let (keys, origin) = match (&directory.file, &directory.url) {
        (Some(name), None) => {
            let only_urls = [&directory.refresh, &directory.max_staleness, &directory.ca_file];
            if let Some(useless) = only_urls.into_iter().flatten().next() {
                reading.problems.add(useless.place, "this is for a directory with a `url` only");
            }
            (keys_of_file(name, reading)?, None)
        }
        (None, Some(url)) => (keys_of_url(url, directory, &written.subject, reading)?, Origin::of_url(&url.value)),
        (Some(_), Some(_)) | (None, None) => {
            let help = format!("write `{{ url: \"https://agent.example{WELL_KNOWN}\" }}` or `{{ file: … }}`");
            reading.problems.add_with_help(directory.place, "a directory has exactly one of `file` and `url`", help);
            return None;
        }
    };
    Some(SigningAgent { subject: subject?, keys, origin })
}

/// The keys of the directory, none until it is fetched: one that cannot be is no reason to serve nobody.
fn keys_of_url(
    url: &Located<String>,
    directory: &file::Directory,
    owner: &Located<String>,
    reading: &mut Reading<'_>,
) -> Option<Arc<KeySet>> {
    let is_well_known =
        url.value.parse::<http::Uri>().is_ok_and(|uri| uri.path() == WELL_KNOWN && uri.query().is_none());
    if !is_secure_url(url) || !is_well_known || url.value.contains(['#', '@']) {
        let message = format!("`{}` is no URL of a directory", url.value);
        let help = format!("write an `https` URL with the path `{WELL_KNOWN}`, keys in the clear could be anybody's");
        reading.problems.add_with_help(url.place, message, help);
        return None;
    }
    let source = KeyUrl {
        owner: owner.value.clone(),
        url: url.value.clone(),
        issuer: None,
        form: KeyForm::Directory,
        algorithms: Vec::new(),
        refresh: reading.problems.duration(directory.refresh.as_ref(), REFRESH),
        max_staleness: reading.problems.duration(directory.max_staleness.as_ref(), MAX_STALENESS),
        ca_file: directory.ca_file.as_ref().map(|name| reading.file(&name.value)),
    };
    Some(fetched(source, reading)?.unwrap_or_else(|| Arc::new(KeySet::outdated())))
}

/// Files are the operator's own: what is of no use in them is a mistake.
fn check_files(written: &file::Signatures, agents: &[SigningAgent], reading: &mut Reading<'_>) {
    let of_files: Vec<_> = written.agents.iter().zip(agents).filter(|(it, _)| it.directory.file.is_some()).collect();
    for (index, (named, agent)) in of_files.iter().enumerate() {
        let place = named.directory.place;
        if !agent.has_a_key() {
            let message = "none of these keys is for a signature algorithm that is served";
            let help = "take keys for Ed25519, ES256, ES384 or RS256";
            reading.problems.add_with_help(place, message, help);
        }
        let mut others = of_files.iter().take(index);
        if let Some((other, _)) = others.find(|(_, other)| other.keys.shares_a_key_with(&agent.keys)) {
            let message =
                format!("`{}` has one of these keys too: a signature would not say whose it is", other.subject.value);
            reading.problems.add(place, message);
        }
    }
}
