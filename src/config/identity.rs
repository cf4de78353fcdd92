//! The `identity` section.

use std::{sync::Arc, time::Duration};

use http::HeaderName;

use crate::{
    access::{ActorMode, Diagnostic, Entity, Place},
    identity::{
        Algorithm, ApiKey, ApiKeySettings, AuthenticatorSettings, AuthorizationDetails, ChainSettings, EntityTemplate,
        GrantSettings, InvalidKeySet, InvalidSettings, IssuerSettings, IssuerUrl, KeySet, ProofNeed, ProofSettings,
        SignalSettings, SubjectRule,
    },
    route::RouteTable,
    supply::{KeyDocument, KeyForm, KeyUrl},
};

use super::{
    authentication, contextual, denylist,
    file_identity::{self as file, Actors},
    located::Located,
    resource::{self, is_secure_url},
    settings::Reading,
    signatures, spiffe,
};

/// How often a key set is fetched, if nothing else is said.
pub(super) const REFRESH: Duration = Duration::from_secs(300);
/// How long keys that cannot be fetched are used, unless the configuration says otherwise.
pub(super) const MAX_STALENESS: Duration = Duration::from_secs(3600);
/// The longest owner of an API key, in bytes: it is in the record of each of its requests.
const LONGEST_OWNER: usize = 256;

/// The settings of an authenticator, or what they wait for; `None` after a problem.
pub(super) fn settings(
    identity: &file::Identity,
    signals: Option<SignalSettings>,
    routes: Option<&RouteTable>,
    reading: &mut Reading<'_>,
) -> Option<Result<AuthenticatorSettings, String>> {
    let (mut issuers, mut named) = (Vec::new(), Vec::new());
    let mut waiting = None;
    for issuer in &identity.jwt {
        if let Some((settings, missing)) = issuer_settings(issuer, reading) {
            issuers.push(settings);
            named.push(issuer);
            waiting = missing.or(waiting);
        }
    }
    let mut complete = issuers.len() == identity.jwt.len();
    let api_keys = match &identity.api_keys {
        None => Some(None),
        Some(keys) => api_keys(keys, reading).map(Some),
    };
    let actor_mode = match identity.actors {
        Actors::All => ActorMode::All,
        Actors::Current => ActorMode::Current,
    };
    let proofs = identity.dpop.as_ref().map(|dpop| ProofSettings {
        window: reading.problems.duration(dpop.window.as_ref(), ProofSettings::DEFAULT_WINDOW),
        origin: dpop.origin.as_ref().and_then(|origin| reading.problems.parse(origin)),
        need: if dpop.required { ProofNeed::Always } else { ProofNeed::WhereBound },
    });
    let signatures = identity.signatures.as_ref().map(|written| signatures::settings(written, reading));
    let spiffe = spiffe::settings(&identity.spiffe, reading);
    let rule = identity.authentication.as_ref();
    let rule = rule.map(|rule| authentication::rule(rule, identity, &mut reading.problems));
    let task_header = identity.task_header.as_ref().and_then(|name| reading.problems.parse(name));
    let transaction_header = identity.transaction_header.as_ref().and_then(|name| reading.problems.parse(name));
    repeated_issuers(identity, reading);
    let described = identity.protected_resource.as_ref();
    let protected_resource = described.map(|described| resource::settings(described, identity, routes, reading));
    complete &= api_keys.is_some() && spiffe.is_some();
    let settings = AuthenticatorSettings {
        longest_token: None,
        issuers,
        api_keys: api_keys.flatten(),
        spiffe: spiffe.unwrap_or_default(),
        // A problem was reported if there is one that came to nothing.
        rule: rule.flatten(),
        actor_mode,
        task_header,
        transaction_header,
        // A problem was reported if there is one that came to nothing.
        signatures: signatures.flatten(),
        signals,
        proofs,
        // A problem was reported if there is one that came to nothing.
        protected_resource: protected_resource.flatten(),
    };
    // All of them, whatever else is wrong or waited for.
    for problem in settings.problems() {
        complete = false;
        let place = place_of(&problem, identity, &named);
        match (&problem, spiffe::advice(&problem)) {
            // It is named above, beside its first place.
            (InvalidSettings::RepeatedIssuer { .. }, _) => {}
            (_, Some(advice)) => reading.problems.add_with_help(place, problem.to_string(), advice),
            (_, None) => reading.problems.add(place, problem.to_string()),
        }
    }
    complete.then(|| waiting.map_or(Ok(settings), Err))
}

/// Two issuers alike, whatever else is wrong with them.
fn repeated_issuers(identity: &file::Identity, reading: &mut Reading<'_>) {
    for (index, issuer) in identity.jwt.iter().enumerate() {
        let name = &issuer.issuer;
        let first = identity.jwt.iter().take(index).find(|other| other.issuer.value == name.value);
        if let Some(first) = first {
            let message = format!("the issuer `{}` is configured twice", name.value);
            let line = first.issuer.place.line;
            reading.problems.add_with_help(name.place, message, format!("it is on line {line} already, merge the two"));
        }
    }
}

/// Where a problem of settings is, those of issuers among these.
fn place_of(problem: &InvalidSettings, identity: &file::Identity, issuers: &[&Located<file::Issuer>]) -> Place {
    let issuer = |index: &usize| issuers.get(*index).map(|issuer| issuer.issuer.place);
    let audiences = |index: &usize| issuers.get(*index).map(|issuer| issuer.audiences.place);
    let keys = |index: &usize| identity.api_keys.as_ref().and_then(|keys| keys.keys.get(*index)).map(|key| key.place);
    let place = match problem {
        InvalidSettings::NoAudience { index } => audiences(index),
        InvalidSettings::UnnamedIssuer { index }
        | InvalidSettings::RepeatedIssuer { index, .. }
        | InvalidSettings::NoAlgorithm { index }
        | InvalidSettings::NoType { index }
        | InvalidSettings::Leeway { index }
        | InvalidSettings::MaxAge { index }
        | InvalidSettings::MaxActors { index }
        | InvalidSettings::NoUsableKey { index } => issuer(index),
        InvalidSettings::RepeatedApiKey { index, .. } | InvalidSettings::ApiKeyId { index, .. } => keys(index),
        InvalidSettings::RepeatedTrustDomain { .. }
        | InvalidSettings::NoSpiffeSubject { .. }
        | InvalidSettings::SharedSubjects { .. } => spiffe::place_of(problem, &identity.spiffe),
        InvalidSettings::ProofWindow => {
            identity.dpop.as_ref().and_then(|dpop| dpop.window.as_ref()).map(|window| window.place)
        }
        InvalidSettings::Signatures(problem) => {
            identity.signatures.as_ref().map(|written| signatures::place_of(problem, written))
        }
        InvalidSettings::TaskHeader(_) => identity.task_header.as_ref().map(|header| header.place),
        InvalidSettings::TransactionHeader(_) => identity.transaction_header.as_ref().map(|header| header.place),
        InvalidSettings::ApiKeyHeader(_) => {
            identity.api_keys.as_ref().and_then(|keys| keys.header.as_ref()).map(|header| header.place)
        }
    };
    place.unwrap_or_default()
}

/// What is written of an issuer, and what is waited for; `None` after a problem.
fn issuer_settings(
    issuer: &Located<file::Issuer>,
    reading: &mut Reading<'_>,
) -> Option<(IssuerSettings, Option<String>)> {
    let problems = &mut reading.problems;
    let before = problems.count();
    if issuer.issuer.trim() != issuer.issuer.as_str() {
        let message =
            format!("the issuer `{}` has white space around it, as no token's `iss` has", issuer.issuer.value);
        problems.add_with_help(issuer.issuer.place, message, format!("write `{}`", issuer.issuer.trim()));
    }
    let algorithms = match &issuer.algorithms {
        Some(names) => names.iter().filter_map(|name| problems.parse(name)).collect(),
        None => Algorithm::DEFAULT.to_vec(),
    };
    let types = match &issuer.types {
        Some(types) => types.iter().map(|name| name.as_str().into()).collect(),
        None => IssuerSettings::DEFAULT_TYPES.iter().map(|name| Box::from(*name)).collect(),
    };
    let subject = spiffe::subject_rule(issuer, problems);
    let mut template = |text: &Option<Located<String>>| text.as_ref().and_then(|text| problems.parse(text));
    let (actor, task, client) = (template(&issuer.actor), template(&issuer.task), template(&issuer.client));
    let client_subject = template(&issuer.client_subject);
    let leeway = problems.duration(issuer.leeway.as_ref(), IssuerSettings::DEFAULT_LEEWAY);
    let max_age = problems.optional_duration(issuer.max_age.as_ref());
    if issuer.scope_claim.as_ref().is_some_and(|claim| claim.is_empty()) {
        problems.add(issuer.scope_claim.as_ref().map_or(issuer.issuer.place, |it| it.place), "a claim has a name");
    }
    let grants = GrantSettings {
        scope_claim: issuer.scope_claim.as_ref().map_or(GrantSettings::DEFAULT_SCOPE_CLAIM, |claim| claim).into(),
        details: match issuer.authorization_details {
            file::AuthorizationDetails::Enforce => AuthorizationDetails::Enforce,
            file::AuthorizationDetails::Ignore => AuthorizationDetails::Ignore,
        },
    };
    let mut user_types = subject.as_ref().map(SubjectRule::type_names).unwrap_or_default();
    user_types.extend(client_subject.as_ref().map(EntityTemplate::type_name));
    let contextual = contextual::mappings(&issuer.contextual_tuples, &user_types, reading);
    let complete = reading.problems.count() == before;
    let (keys, missing) = key_set(&issuer.jwks, (&issuer.issuer, &algorithms), reading)?;
    if !complete {
        return None;
    }
    let chain = ChainSettings {
        subject: subject?,
        client_subject,
        actor,
        task,
        client,
        human_clients: issuer.human_clients.iter().map(|client| client.as_str().into()).collect(),
        max_actors: issuer.max_actors.unwrap_or(ChainSettings::DEFAULT_MAX_ACTORS),
    };
    let settings = IssuerSettings {
        issuer: issuer.issuer.value.as_str().into(),
        audiences: issuer.audiences.iter().map(|audience| audience.as_str().into()).collect(),
        algorithms,
        types,
        leeway,
        max_age,
        chain,
        grants,
        contextual: contextual.unwrap_or_default(),
        keys,
    };
    Some((settings, missing))
}

/// The keys, none of them while they are waited for; `None` after a problem.
fn key_set(
    keys: &file::Keys,
    (issuer, algorithms): (&Located<String>, &[Algorithm]),
    reading: &mut Reading<'_>,
) -> Option<(Arc<KeySet>, Option<String>)> {
    let discovery = keys.discovery.as_ref().filter(|discovery| discovery.value);
    if let (None, false) = (discovery, keys.hosts.is_empty()) {
        reading.problems.add(issuer.place, "`jwks.hosts` is for `discovery: true` only");
        return None;
    }
    match (&keys.file, &keys.url, discovery) {
        (Some(name), None, None) => keys_of_file(name, reading).map(|keys| (keys, None)),
        (None, url, discovery) if url.is_some() != discovery.is_some() => {
            let source = source(keys, url.as_ref(), (issuer, algorithms), reading)?;
            let missing = || format!("the keys of {} have not been fetched yet", issuer.value);
            Some(match fetched(source, reading)? {
                Some(keys) => (keys, None),
                None => (Arc::new(KeySet::outdated()), Some(missing())),
            })
        }
        (None, None, _) => {
            let help = "write `jwks: { discovery: true }`, or a `file` or a `url`";
            reading.problems.add_with_help(issuer.place, "`jwks` says nothing of where the keys are", help);
            None
        }
        (Some(_), ..) | (None, Some(_), _) => {
            let message = "`jwks` has more than one of `file`, `url` and `discovery`, write one of them";
            let second = keys.url.as_ref().map(|url| url.place);
            reading.problems.add(second.or(discovery.map(|it| it.place)).unwrap_or(issuer.place), message);
            None
        }
    }
}

/// The keys of a file; `None` after a problem.
pub(super) fn keys_of_file(name: &Located<String>, reading: &mut Reading<'_>) -> Option<Arc<KeySet>> {
    let file = reading.file(&name.value).display().to_string();
    let text = reading.text(name)?;
    parsed(&Arc::from(file), &text, reading)
}

/// The keys that were fetched from there, none of them if that is too long ago; `Some(None)` if they were not yet.
pub(super) fn fetched(source: KeyUrl, reading: &mut Reading<'_>) -> Option<Option<Arc<KeySet>>> {
    let (url, document) = (source.url.clone(), reading.documents.get(&source.url).cloned());
    reading.keys.push(source);
    match document {
        Some(KeyDocument::Good(text)) => parsed(&Arc::from(url), &text, reading).map(Some),
        Some(KeyDocument::Outdated) => Some(Some(Arc::new(KeySet::outdated()))),
        None => Some(None),
    }
}

fn parsed(file: &Arc<str>, text: &str, reading: &mut Reading<'_>) -> Option<Arc<KeySet>> {
    match KeySet::parse(text) {
        Ok(keys) => Some(Arc::new(keys)),
        Err(problem) => {
            reading.problems.extend([key_problem(file, &problem)]);
            None
        }
    }
}

/// Where the keys are fetched from; `None` if what is written is wrong.
fn source(
    keys: &file::Keys,
    url: Option<&Located<String>>,
    (issuer, algorithms): (&Located<String>, &[Algorithm]),
    reading: &mut Reading<'_>,
) -> Option<KeyUrl> {
    let algorithms = algorithms.to_vec();
    let refresh = reading.problems.duration(keys.refresh.as_ref(), REFRESH);
    let max_staleness = reading.problems.duration(keys.max_staleness.as_ref(), MAX_STALENESS);
    let ca_file = keys.ca_file.as_ref().map(|name| reading.file(&name.value));
    let owner = issuer.value.clone();
    let problems = &mut reading.problems;
    let Some(url) = url else {
        let hosts = keys.hosts.iter().map(|host| host.as_str().into());
        let found = IssuerUrl::parse(&issuer.value, hosts);
        let found = found.map_err(|problem| problems.add(issuer.place, problem.to_string())).ok()?;
        let url = found.metadata_urls().into_iter().next().unwrap_or_default();
        let form = KeyForm::KeySet;
        return Some(KeyUrl { owner, url, issuer: Some(found), form, algorithms, refresh, max_staleness, ca_file });
    };
    if !is_secure_url(url) {
        let message = format!("`{}` is no URL to fetch keys from", url.value);
        problems.add_with_help(url.place, message, "write an `https` URL, keys in the clear could be anybody's");
        return None;
    }
    let (url, form) = (url.value.clone(), KeyForm::KeySet);
    Some(KeyUrl { owner, url, issuer: None, form, algorithms, refresh, max_staleness, ca_file })
}

fn key_problem(file: &Arc<str>, problem: &InvalidKeySet) -> Diagnostic {
    Diagnostic::new(file, problem.place(), problem.to_string())
}

fn api_keys(keys: &file::ApiKeys, reading: &mut Reading<'_>) -> Option<ApiKeySettings> {
    let problems = &mut reading.problems;
    let before = problems.count();
    let header: Option<HeaderName> = match &keys.header {
        Some(name) => problems.parse(name),
        None => Some(ApiKeySettings::DEFAULT_HEADER),
    };
    let mut made = Vec::new();
    for key in &keys.keys {
        let hash = problems.parse(&key.hash);
        let subject: Option<Entity> = problems.parse(&key.subject);
        let actors = key.actors.iter().filter_map(|actor| problems.parse(actor)).collect();
        let task = key.task.as_ref().and_then(|task| problems.parse(task));
        let scopes = key.scopes.iter().filter_map(|scope| problems.parse(scope)).collect();
        let owner = key.owner.as_ref().map(|owner| {
            if owner.is_empty() || owner.len() > LONGEST_OWNER || owner.chars().any(char::is_control) {
                problems.add(owner.place, "an owner is 1 to 256 bytes of plain text");
            }
            Arc::from(owner.as_str())
        });
        let expires = key.expires.as_ref().and_then(|text| denylist::time(text, problems));
        if let Some((hash, subject)) = hash.zip(subject) {
            made.push(ApiKey { id: key.id.as_str().into(), hash, subject, actors, task, scopes, owner, expires });
        }
    }
    (problems.count() == before).then_some(())?;
    Some(ApiKeySettings { header: header?, keys: made })
}
