//! The `identity.spiffe` section.

use std::sync::Arc;

use crate::{
    access::Place,
    identity::{InvalidSettings, SpiffeSettings, SpiffeSubject, SpiffeSubjects, SubjectRule, TrustBundle},
};

use super::{
    file::File, file_identity as file, file_places::Tls, located::Located, problems::Problems, settings::Reading,
};

/// The trust domains; `None` after a problem.
pub(super) fn settings(written: &[file::Spiffe], reading: &mut Reading<'_>) -> Option<Vec<SpiffeSettings>> {
    let made: Vec<_> = written.iter().map(|domain| trust_domain(domain, reading)).collect();
    made.into_iter().collect()
}

/// How the subjects of an issuer's tokens are made: of claims or of SPIFFE IDs; `None` after a problem.
pub(super) fn subject_rule(issuer: &Located<file::Issuer>, problems: &mut Problems) -> Option<SubjectRule> {
    match (&issuer.subject, &issuer.spiffe) {
        (Some(subject), None) => problems.parse(subject),
        (None, Some(tokens)) => {
            let trust_domain = problems.parse(&tokens.trust_domain);
            if tokens.subjects.is_empty() {
                problems.add(tokens.subjects.place, "`subjects` is empty: every token would be refused");
            }
            let subjects: Vec<_> =
                tokens.subjects.iter().filter_map(|subject| self::subject(subject, problems)).collect();
            (!subjects.is_empty() && subjects.len() == tokens.subjects.len()).then_some(())?;
            Some(SubjectRule::Spiffe(SpiffeSubjects { trust_domain: trust_domain?, subjects }))
        }
        (Some(_), Some(_)) | (None, None) => {
            let help = "write `subject: \"user:{sub}\"`, or `spiffe` for JWT-SVIDs";
            problems.add_with_help(issuer.place, "an issuer has exactly one of `subject` and `spiffe`", help);
            None
        }
    }
}

fn trust_domain(written: &file::Spiffe, reading: &mut Reading<'_>) -> Option<SpiffeSettings> {
    let trust_domain = reading.problems.parse(&written.trust_domain);
    let bundle = bundle(&written.bundle.file, reading);
    let problems = &mut reading.problems;
    let subjects: Vec<_> = written.subjects.iter().filter_map(|subject| self::subject(subject, problems)).collect();
    let complete = subjects.len() == written.subjects.len();
    complete.then_some(())?;
    Some(SpiffeSettings { trust_domain: trust_domain?, bundle: bundle?, subjects })
}

fn bundle(name: &Located<String>, reading: &mut Reading<'_>) -> Option<Arc<TrustBundle>> {
    let text = reading.text(name)?;
    match TrustBundle::parse(&text) {
        Ok(bundle) => Some(Arc::new(bundle)),
        Err(problem) => {
            reading.problems.add(name.place, format!("`{}` is no bundle: {problem}", name.value));
            None
        }
    }
}

fn subject(written: &Located<file::SpiffeSubject>, problems: &mut Problems) -> Option<SpiffeSubject> {
    match SpiffeSubject::parse(&written.path, &written.subject) {
        Ok(subject) => Some(subject),
        Err(problem) => {
            problems.add(written.path.place, problem.to_string());
            None
        }
    }
}

/// Where a problem of the settings is written, if it is one of a trust domain.
pub(super) fn place_of(problem: &InvalidSettings, written: &[file::Spiffe]) -> Option<Place> {
    match problem {
        InvalidSettings::RepeatedTrustDomain { index, .. } => {
            written.get(*index).map(|domain| domain.trust_domain.place)
        }
        InvalidSettings::NoSpiffeSubject { index } | InvalidSettings::SharedSubjects { index, .. } => {
            written.get(*index).map(|domain| domain.subjects.place)
        }
        _ => None,
    }
}

/// What helps against a problem of the settings, if it is one of several trust domains.
pub(super) fn advice(problem: &InvalidSettings) -> Option<&'static str> {
    let meeting = matches!(problem, InvalidSettings::SharedSubjects { .. });
    meeting.then_some(
        "let their subjects begin otherwise, such as `agent:partner.example/{name}` and `agent:acme.example/{name}`",
    )
}

/// Whether some data listener asks clients for certificates.
pub(super) fn agents_are_asked(file: &File) -> bool {
    file.listen.iter().any(|listen| asks(listen.tls.as_ref()))
}

fn asks(tls: Option<&Tls>) -> bool {
    tls.is_some_and(|tls| tls.client.is_some())
}

/// Refuses trust domains where no listener asks for certificates: nobody would ever be known by one.
pub(super) fn check_listeners(file: &File, problems: &mut Problems) {
    let Some(first) = file.identity.spiffe.first() else { return };
    if agents_are_asked(file) || file.decision.as_ref().is_some_and(|decision| asks(decision.tls.as_ref())) {
        return;
    }
    let message = "`identity.spiffe` is of no use: no listener asks clients for certificates";
    let help = "add `client: { ca_file: … }` to the `tls` of a listener";
    problems.add_with_help(first.trust_domain.place, message, help);
}
