//! The `transaction_tokens` section.

use http::HeaderName;

use crate::{access::CanonicalPath, identity::may_carry, net::SigningKey, snapshot::TransactionTokens};

use super::{file_tokens::TransactionTokens as Written, settings::Reading};

/// The field that the tokens travel in, if nothing else is said.
const HEADER: HeaderName = HeaderName::from_static("txn-token");

/// By what tokens are made; `None` after a problem.
pub(super) fn settings(written: &Written, reading: &mut Reading<'_>) -> Option<TransactionTokens> {
    let before = reading.problems.count();
    for name in [&written.issuer, &written.audience] {
        if name.is_empty() {
            reading.problems.add(name.place, "a name is not empty");
        }
    }
    let valid_for = reading.problems.duration(written.valid_for.as_ref(), TransactionTokens::DEFAULT_VALIDITY);
    if valid_for > TransactionTokens::LONGEST_VALIDITY || valid_for.subsec_nanos() != 0 {
        let place = written.valid_for.as_ref().map(|text| text.place).unwrap_or_default();
        reading.problems.add(place, "tokens are good for whole seconds, at most 300");
    }
    let header = match &written.header {
        Some(name) => reading.problems.parse::<HeaderName>(name),
        None => Some(HEADER),
    };
    if let Some((name, header)) = written.header.as_ref().zip(header.as_ref())
        && !may_carry(header)
    {
        reading.problems.add(name.place, format!("tokens cannot travel in the field `{header}`"));
    }
    if let Some(path) = &written.publish
        && !CanonicalPath::parse(path).is_ok_and(|canonical| canonical.as_str() == path.as_str())
    {
        let help = "write it like `/.well-known/jwks.json`";
        reading.problems.add_with_help(path.place, format!("`{}` is no path in its one spelling", path.value), help);
    }
    let mut keys: Vec<SigningKey> = Vec::new();
    for name in &written.keys {
        match SigningKey::load(&reading.file(&name.value)) {
            Ok(key) if keys.iter().any(|other| other.id() == key.id()) => {
                reading.problems.add(name.place, format!("the key in `{}` is there already", name.value));
            }
            Ok(key) => keys.push(key),
            Err(problem) => reading.problems.add(name.place, problem.to_string()),
        }
    }
    if written.keys.is_empty() {
        reading.problems.add(written.issuer.place, "`keys` is empty: nothing could be signed");
    }
    (reading.problems.count() == before).then_some(())?;
    let others = keys.split_off(1.min(keys.len()));
    let names = (written.issuer.as_str().into(), written.audience.as_str().into());
    let tokens = TransactionTokens::new(names, valid_for, header?, keys.pop()?);
    Some(match &written.publish {
        Some(path) => tokens.published_at(path.as_str().into(), &others),
        None => tokens,
    })
}
