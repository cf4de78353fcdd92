//! The file of what was revoked.

use std::sync::Arc;

use serde::Deserialize;

use crate::{
    access::{Entity, Place, Timestamp},
    identity::{Denylist, Revocation, Which},
};

use super::{documents::read_text, located::Located, problems::Problems, settings::Reading};

/// The largest file, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;

/// The most entries: what has expired is refused anyway.
const MOST: usize = 10_000;

/// One entry, as people write it: exactly one of `token`, `entity`, `issuer` and `api_key` alone, but that a token may be
/// of an issuer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    token: Option<Located<String>>,
    entity: Option<Located<String>>,
    issuer: Option<Located<String>>,
    api_key: Option<Located<String>>,
    issued_before: Option<Located<String>>,
    // For people.
    #[serde(rename = "reason")]
    _reason: Option<String>,
}

/// What the file revokes; `None` after a problem. A file that is empty or gone is a problem: it would revoke nothing.
pub(super) fn read(name: &Located<String>, reading: &mut Reading<'_>) -> Option<Arc<Denylist>> {
    let path = reading.file(&name.value);
    let text = match read_text(&path, LARGEST) {
        Ok(text) => text,
        Err(error) => {
            reading.problems.add(name.place, format!("`{}` cannot be read: {error}", path.display()));
            return None;
        }
    };
    let mut problems = Problems::of_file(&path);
    let list = entries(&text, &mut problems);
    let list = problems.settle(list);
    list.map(Arc::new).map_err(|found| reading.problems.extend(found)).ok()
}

fn entries(text: &str, problems: &mut Problems) -> Option<Denylist> {
    let entries: Option<Vec<Located<Entry>>> = match serde_saphyr::from_str(text) {
        Ok(entries) => entries,
        Err(error) => {
            super::settings::syntax(&error, problems);
            return None;
        }
    };
    let Some(entries) = entries else {
        let help = "write `[]` if nothing is revoked: a file that lost its content must not revoke nothing by that";
        problems.add_with_help(Place::default(), "the list is empty without saying so", help);
        return None;
    };
    if entries.len() > MOST {
        let message = format!("at most {MOST} entries are read, these are {}", entries.len());
        let help = "remove those of tokens that have expired, or revoke by `entity` or `issued_before`";
        problems.add_with_help(Place::default(), message, help);
        return None;
    }
    Some(entries.iter().filter_map(|entry| revocation(entry, problems)).collect())
}

fn revocation(entry: &Located<Entry>, problems: &mut Problems) -> Option<Revocation> {
    let before = match &entry.issued_before {
        Some(text) => Some(time(text, problems)?),
        None => None,
    };
    let text = |text: &Located<String>| Box::<str>::from(text.as_str());
    let revocation = match (&entry.token, &entry.entity, &entry.issuer, &entry.api_key, before) {
        (Some(id), None, issuer, None, None) => Revocation::Token { id: text(id), issuer: issuer.as_ref().map(text) },
        (None, Some(entity), None, None, before) => {
            let entity: Entity = problems.parse(entity)?;
            Revocation::Member { entity, which: before.map_or(Which::All, Which::IssuedBefore) }
        }
        (None, None, Some(issuer), None, Some(before)) => Revocation::Issuer { issuer: text(issuer), before },
        (None, None, None, Some(id), None) => Revocation::ApiKey(text(id)),
        _ => {
            let help = "write `{ token: JTI }`, with `issuer` or not; `{ entity: user:erin }`, with `issued_before` or \
                        not; `{ issuer: …, issued_before: … }`; or `{ api_key: ID }`";
            problems.add_with_help(entry.place, "the entry does not say what is revoked", help);
            return None;
        }
    };
    let named = [&entry.token, &entry.issuer, &entry.api_key];
    for text in named.into_iter().flatten().filter(|text| text.is_empty()) {
        problems.add(text.place, "the text is empty, so that nothing would be revoked");
    }
    Some(revocation)
}

/// A moment such as `2027-01-31T00:00:00Z`.
pub(super) fn time(text: &Located<String>, problems: &mut Problems) -> Option<Timestamp> {
    match humantime::parse_rfc3339_weak(&text.value) {
        Ok(time) => Some(Timestamp::from(time)),
        Err(_) => {
            let message = format!("`{}` is not a time", text.value);
            problems.add_with_help(text.place, message, "write it in UTC, such as `2027-01-31T00:00:00Z`");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Result<usize, String> {
        let mut problems = Problems::of_file(Path::new("denied.yaml"));
        let list = entries(text, &mut problems);
        let list = problems.settle(list).map_err(|found| found.iter().map(ToString::to_string).collect::<String>());
        list.map(|list| list.len())
    }

    #[test]
    fn an_empty_list_says_so() {
        assert_eq!(read("[]"), Ok(0));
        for text in ["", "\n", "# nothing\n", "null", "~", "---\n"] {
            assert!(read(text).is_err_and(|problem| problem.contains("without saying so")), "{text:?}");
        }
    }

    #[test]
    fn an_entry_says_one_thing() {
        let good = "- { token: a }\n- { token: b, issuer: x }\n- { entity: user:erin }\n- { api_key: abcdefgh }\n\
                    - { entity: task:t, issued_before: 2026-01-01T00:00:00Z, reason: why }\n\
                    - { issuer: x, issued_before: 2026-01-01T00:00:00Z }\n";
        assert_eq!(read(good), Ok(6));
        for text in [
            "- {}",
            "- { issuer: x }",
            "- { token: a, entity: user:erin }",
            "- { token: a, api_key: b }",
            "- { token: a, issued_before: 2026-01-01T00:00:00Z }",
            "- { api_key: a, issued_before: 2026-01-01T00:00:00Z }",
            "- { entity: erin }",
            "- { entity: \"user:*\" }",
            "- { token: \"\" }",
            "- { tokens: a }",
            "- a",
            "a: b",
            "- { token: a, token: b }",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn entries_are_bounded() {
        assert_eq!(read(&"- { token: a }\n".repeat(MOST)), Ok(1));
        assert!(read(&"- { token: a }\n".repeat(MOST + 1)).is_err_and(|problem| problem.contains("at most 10000")));
    }
}
