//! `authentication`, of the `identity` section and of routes.

use crate::access::{CredentialKind, CredentialRule, Place};

use super::{
    file_identity::{self as file, Identity},
    located::Located,
    problems::Problems,
};

/// The rule; `None` after a problem.
pub(super) fn rule(
    written: &Located<file::Authentication>,
    identity: &Identity,
    problems: &mut Problems,
) -> Option<CredentialRule> {
    let place = written.place;
    match (&written.one_of, &written.all_of) {
        (Some(one_of), None) => kinds(one_of, place, identity, problems).map(CredentialRule::OneOf),
        (None, Some(all_of)) => {
            let kinds = kinds(all_of, place, identity, problems)?;
            if kinds.contains(&CredentialKind::Jwt) && kinds.contains(&CredentialKind::ApiKey) {
                let message = "a token and an API key never come together: each of them names a chain of its own";
                problems.add_with_help(place, message, "take one of them, with `spiffe` or `signature` beside it");
                return None;
            }
            Some(CredentialRule::AllOf(kinds))
        }
        (Some(_), Some(_)) | (None, None) => {
            let help = "write `{ one_of: [jwt, spiffe] }` or `{ all_of: [jwt, spiffe] }`";
            problems.add_with_help(place, "`authentication` has exactly one of `one_of` and `all_of`", help);
            None
        }
    }
}

fn kinds(
    written: &[Located<file::CredentialKind>],
    place: Place,
    identity: &Identity,
    problems: &mut Problems,
) -> Option<Box<[CredentialKind]>> {
    let before = problems.count();
    if written.is_empty() {
        problems.add(place, "no kind of credentials is named: every request would be denied");
    }
    let mut kinds = Vec::new();
    for named in written {
        let (kind, is_configured) = match named.value {
            file::CredentialKind::Jwt => (CredentialKind::Jwt, !identity.jwt.is_empty()),
            file::CredentialKind::ApiKey => (CredentialKind::ApiKey, identity.api_keys.is_some()),
            file::CredentialKind::Spiffe => (CredentialKind::Spiffe, !identity.spiffe.is_empty()),
            file::CredentialKind::Signature => (CredentialKind::Signature, identity.signatures.is_some()),
        };
        if !is_configured {
            let message = format!("`{kind}` is not configured in `identity`, so that no request could bring it");
            problems.add(named.place, message);
        }
        if kinds.contains(&kind) {
            problems.add(named.place, format!("`{kind}` is named twice"));
        }
        kinds.push(kind);
    }
    (problems.count() == before).then(|| kinds.into())
}
