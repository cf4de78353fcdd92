//! The `shared_signals` section.

use std::{collections::HashSet, time::Duration};

use crate::{
    admin::{PollSettings, read_bearer},
    identity::{ApiKeyHash, SignalSettings},
    net::ClientTls,
};

use super::{
    file::File,
    file_tokens::{SharedSignals, Transmitter},
    listen::{ListenSettings, server_tls},
    located::Located,
    places::refuse_twice,
    resource::is_secure_url,
    settings::{DecisionSettings, Reading},
};

/// How signals come, and whose are heard.
#[derive(Debug)]
pub(super) struct Heard {
    /// Where they are pushed to, if they are.
    pub(super) listener: Option<ListenSettings>,
    /// Who is polled.
    pub(super) polls: Vec<PollSettings>,
    /// Whose are heard.
    pub(super) signals: SignalSettings,
}

/// What the section says; `None` if there is none, or after a problem.
pub(super) fn settings(
    file: &File,
    listeners: Option<&[ListenSettings]>,
    decision: Option<&DecisionSettings>,
    reading: &mut Reading<'_>,
) -> Option<Heard> {
    let written = file.shared_signals.as_ref()?;
    let before = reading.problems.count();
    let others = listeners.unwrap_or_default().iter().chain(decision.map(|decision| &decision.listener));
    let pushed = push(written, others, reading);
    let polls = polls(&written.poll, reading);
    if written.audiences.is_empty() || written.audiences.iter().any(|audience| audience.is_empty()) {
        reading.problems.add(written.audiences.place, "signals need audiences, and none of them empty");
    }
    if file.identity.jwt.is_empty() {
        let help = "signals are of the issuers of `identity.jwt`, and verified by their keys";
        reading.problems.add_with_help(written.audiences.place, "there is no issuer that could send signals", help);
    }
    if written.address.is_none() && written.poll.is_empty() {
        let help = "write `address` and `bearer` of a listener for what is pushed, or whom to `poll`";
        reading.problems.add_with_help(written.audiences.place, "no signal could come", help);
    }
    let keep = reading.problems.duration(written.keep.as_ref(), SignalSettings::DEFAULT_KEEP);
    (reading.problems.count() == before).then_some(())?;
    let audiences = written.audiences.iter().map(|audience| audience.as_str().into()).collect();
    let (listener, bearer) = pushed.unzip();
    Some(Heard { listener, polls, signals: SignalSettings { audiences, bearer, keep } })
}

/// The listener for what is pushed, and who may push; `None` if there is none, or after a problem.
fn push<'l>(
    written: &SharedSignals,
    others: impl Iterator<Item = &'l ListenSettings>,
    reading: &mut Reading<'_>,
) -> Option<(ListenSettings, ApiKeyHash)> {
    let (written_address, bearer) = match (&written.address, &written.bearer) {
        (Some(address), Some(bearer)) => (address, bearer),
        (None, None) if written.tls.is_none() => return None,
        (address, bearer) => {
            let place = address.as_ref().or(bearer.as_ref()).map_or(written.audiences.place, |written| written.place);
            let help = "what is pushed needs both: `address`, and the hash of the senders' token as `bearer`";
            reading.problems.add_with_help(place, "one of `address` and `bearer` is missing", help);
            return None;
        }
    };
    let address = reading.problems.address(written_address);
    refuse_twice(address, written_address, others, &mut reading.problems);
    let hash: Option<ApiKeyHash> = bearer.value.parse().ok();
    if hash.is_none() {
        let message = "`bearer` is the hash of a token: `sha256:` and 64 hexadecimal digits";
        let help = "make a token of at least 32 random bytes, give it to the sender, and write its hash here";
        reading.problems.add_with_help(bearer.place, message, help);
    }
    let tls = match &written.tls {
        None => None,
        Some(tls) => Some(server_tls(tls, reading)?),
    };
    Some((ListenSettings::plain(address?, tls), hash?))
}

fn polls(written: &[Located<Transmitter>], reading: &mut Reading<'_>) -> Vec<PollSettings> {
    let mut urls = HashSet::new();
    let mut polls = Vec::new();
    for one in written {
        if !urls.insert(&one.url.value) {
            let message = format!("`{}` is polled twice", one.url.value);
            reading.problems.add_with_help(one.url.place, message, "each stream has a URL of its own");
        }
        polls.push(poll(one, reading));
    }
    polls
}

fn poll(written: &Transmitter, reading: &mut Reading<'_>) -> PollSettings {
    if !is_secure_url(&written.url) {
        let message = format!("`{}` is no URL to poll", written.url.value);
        let help = "write an `https` URL: in the clear anybody could read the token, or keep signals back";
        reading.problems.add_with_help(written.url.place, message, help);
    }
    // They are read for each poll: that they change is no reason to build a snapshot.
    let bearer_file = reading.beside(&written.bearer_file);
    if let Err(problem) = read_bearer(&bearer_file) {
        reading.problems.add(written.bearer_file.place, problem.to_string());
    }
    let ca_file = written.ca_file.as_ref().map(|name| {
        let file = reading.beside(name);
        if let Err(problem) = ClientTls::with_authorities(&file) {
            reading.problems.add(name.place, problem.to_string());
        }
        file
    });
    let most = PollSettings::MOST_EVENTS;
    let max_events = written.max_events.as_ref().map_or(PollSettings::DEFAULT_EVENTS, |number| {
        if !(1..=most).contains(&number.value) {
            reading.problems.add(number.place, format!("`max_events` is from 1 to {most}"));
        }
        number.value
    });
    let wait = reading.problems.duration(written.wait.as_ref(), PollSettings::DEFAULT_WAIT);
    if let Some(place) = written.wait.as_ref().map(|wait| wait.place)
        && !(Duration::from_secs(1)..=PollSettings::LONGEST_WAIT).contains(&wait)
    {
        reading.problems.add(place, "`wait` is from 1s to 300s");
    }
    PollSettings { url: written.url.value.as_str().into(), bearer_file, ca_file, max_events, wait }
}
