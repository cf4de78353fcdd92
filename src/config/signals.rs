//! The `shared_signals` section.

use crate::identity::{ApiKeyHash, SignalSettings};

use super::{
    file::File,
    settings::{DecisionSettings, ListenSettings, Reading, server_tls},
};

/// The listener for signals, and whose are heard; `None` after a problem.
pub(super) fn settings(
    file: &File,
    listeners: Option<&[ListenSettings]>,
    decision: Option<&DecisionSettings>,
    reading: &mut Reading<'_>,
) -> Option<(ListenSettings, SignalSettings)> {
    let written = file.shared_signals.as_ref()?;
    let before = reading.problems.count();
    let address = reading.problems.address(&written.address);
    let mut others = listeners.unwrap_or_default().iter().chain(decision.map(|decision| &decision.listener));
    if address.is_some_and(|address| address.port() != 0 && others.any(|other| other.address == address)) {
        reading.problems.add(written.address.place, format!("`{}` is listened on twice", written.address.value));
    }
    if written.audiences.is_empty() || written.audiences.iter().any(|audience| audience.is_empty()) {
        reading.problems.add(written.audiences.place, "signals need audiences, and none of them empty");
    }
    if file.identity.jwt.is_empty() {
        let help = "signals are of the issuers of `identity.jwt`, and verified by their keys";
        reading.problems.add_with_help(written.address.place, "there is no issuer that could send signals", help);
    }
    let bearer: Option<ApiKeyHash> = match written.bearer.value.parse() {
        Ok(hash) => Some(hash),
        Err(_) => {
            let message = "`bearer` is the hash of a token: `sha256:` and 64 hexadecimal digits";
            let help = "make a token of at least 32 random bytes, give it to the sender, and write its hash here";
            reading.problems.add_with_help(written.bearer.place, message, help);
            None
        }
    };
    let keep = reading.problems.duration(written.keep.as_ref(), SignalSettings::DEFAULT_KEEP);
    let tls = match &written.tls {
        None => None,
        Some(tls) => Some(server_tls(tls, reading)?),
    };
    (reading.problems.count() == before).then_some(())?;
    let audiences = written.audiences.iter().map(|audience| audience.as_str().into()).collect();
    Some((ListenSettings { address: address?, tls }, SignalSettings { audiences, bearer: bearer?, keep }))
}
