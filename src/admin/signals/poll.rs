//! Asks transmitters for signals and waits until there are some (RFC 8936).

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use thiserror::Error;
use tokio::{
    sync::watch,
    task::{JoinHandle, yield_now},
    time::{Instant, sleep},
};

use crate::{
    audit::SignalWay,
    identity::{Heard, InvalidSignal, InvalidToken},
    net::{ClientError, ClientTls, DrainSignal, FIRST_RETRY, FetchError, LONGEST_RETRY, Question, ask, jittered},
};

use super::intake::{NotTaken, Sender, SignalIntake};

/// The time for a connection, and for the rest of an answer after its head.
const DEADLINE: Duration = Duration::from_secs(5);
/// The longest answer: so many bytes for each signal with its name, and for all that is around them.
const SIGNAL_BYTES: usize = 9 * 1024;
const ANSWER_BYTES: usize = 4 * 1024;
/// The least time between two polls that bring nothing: not every transmitter waits until there is something.
const LEAST: Duration = Duration::from_secs(1);
/// The longest pause while there are signals for later: others that come behind them do not wait longer.
const LONGEST_LATER: Duration = Duration::from_secs(5);
/// How long a signal is looked at again and again whose key is not there, before it is refused.
const PATIENCE: Duration = Duration::from_secs(300);
/// The longest file of a bearer token, in bytes.
const LONGEST_BEARER: u64 = 16 * 1024;

/// A transmitter, and how it is polled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PollSettings {
    /// Where it is polled.
    pub url: Arc<str>,
    /// The file of the bearer token that it knows this receiver by, read for each poll.
    pub bearer_file: PathBuf,
    /// The authorities for its certificate, read for each poll; the machine's if there is none.
    pub ca_file: Option<PathBuf>,
    /// The most signals in one answer.
    pub max_events: u16,
    /// How long it may wait until there are some.
    pub wait: Duration,
}

impl PollSettings {
    /// The most signals in one answer, if nothing else is said, and if as many as possible are wanted.
    pub const DEFAULT_EVENTS: u16 = 32;
    /// See [`Self::DEFAULT_EVENTS`].
    pub const MOST_EVENTS: u16 = 100;
    /// How long a poll may wait, if nothing else is said.
    pub const DEFAULT_WAIT: Duration = Duration::from_secs(30);
    /// The longest that a poll may wait.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(300);

    fn longest_answer(&self) -> usize {
        usize::from(self.max_events) * SIGNAL_BYTES + ANSWER_BYTES
    }
}

/// Why a file is no bearer token.
#[derive(Debug, Error)]
pub enum InvalidBearer {
    /// It cannot be read.
    #[error("`{0}` cannot be read: {1}")]
    Unreadable(PathBuf, io::Error),
    /// It is not one token.
    #[error("`{0}` is not one line with a token of at most 16 KiB")]
    NotAToken(PathBuf),
}

/// The value of `Authorization` with the bearer token of the file. Refuses what is not one line of visible ASCII.
pub fn read_bearer(path: &Path) -> Result<HeaderValue, InvalidBearer> {
    let unreadable = |error| InvalidBearer::Unreadable(path.to_owned(), error);
    let not_a_token = || InvalidBearer::NotAToken(path.to_owned());
    let metadata = fs::metadata(path).map_err(unreadable)?;
    // A pipe could be waited for for ever.
    if !metadata.is_file() || metadata.len() > LONGEST_BEARER {
        return Err(not_a_token());
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let token = text.trim_ascii();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(not_a_token());
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| not_a_token())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Polls all transmitters, each for itself.
#[derive(Debug)]
pub struct SignalPoller {
    intake: SignalIntake,
}

/// Ends with its holder.
#[derive(Debug)]
struct Following(JoinHandle<()>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl SignalPoller {
    /// A poller that hands what it gets to the intake.
    pub fn new(intake: SignalIntake) -> Self {
        Self { intake }
    }

    /// Polls the transmitters that the settings name, now and after each change, until the drain is ordered: that is to be
    /// one that waits for the last answer, which a signal may end. Polls that
    /// wait then are given up: what was not acknowledged is sent again.
    pub async fn run(self, mut settings: watch::Receiver<Vec<PollSettings>>, mut drain: DrainSignal) {
        let mut followed: HashMap<PollSettings, Following> = HashMap::new();
        loop {
            let wanted = settings.borrow_and_update().clone();
            followed.retain(|known, _| wanted.contains(known));
            for one in wanted {
                let begin = |one: &PollSettings| Transmitter::new(one.clone(), self.intake.clone()).follow();
                followed.entry(one.clone()).or_insert_with(|| Following(tokio::spawn(begin(&one))));
            }
            tokio::select! {
                biased;
                () = drain.ordered() => return,
                changed = settings.changed() => if changed.is_err() {
                    // Nobody will change them any more.
                    drain.ordered().await;
                    return;
                },
            }
        }
    }
}

/// What a poll came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Polled {
    /// There are signals that had not come before.
    New,
    /// There are only such as had come before, are refused, or are for later.
    Known,
    /// There are none.
    Nothing,
    /// There was no answer as long as the transmitter may wait.
    Unanswered,
}

/// What a transmitter says (RFC 8936, section 2.5). Its `moreAvailable` changes nothing: after an answer with signals
/// the next poll follows at once in any case, for it acknowledges them.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    sets: Map<String, Value>,
}

/// One transmitter that is being followed.
#[derive(Debug)]
struct Transmitter {
    settings: PollSettings,
    intake: SignalIntake,
    sender: Sender,
    // What the next poll says of the signals of the last one.
    taken: Vec<String>,
    refused: BTreeMap<String, Value>,
    // Since when those have come whose key is not there.
    keyless: HashMap<String, Instant>,
    // The machine's authorities, until a poll fails.
    machine: Option<ClientTls>,
}

impl Transmitter {
    fn new(settings: PollSettings, intake: SignalIntake) -> Self {
        let sender = Sender { way: SignalWay::Poll, source: Arc::clone(&settings.url) };
        let (taken, refused, keyless) = (Vec::new(), BTreeMap::new(), HashMap::new());
        Self { settings, intake, sender, taken, refused, keyless, machine: None }
    }

    async fn follow(mut self) {
        let (mut retry, mut is_failing) = (FIRST_RETRY, false);
        loop {
            let begun = Instant::now();
            let polled = self.poll().await;
            let outcome = match &polled {
                Ok(Polled::New | Polled::Known | Polled::Nothing) => "answered",
                Ok(Polled::Unanswered) => "unanswered",
                Err(_) => "failed",
            };
            self.intake.metrics().count_poll(outcome);
            let url = &*self.settings.url;
            if is_failing && polled.is_ok() {
                tracing::info!(url, "a transmitter of signals answers again");
            }
            is_failing = polled.is_err();
            let pause = match polled {
                Ok(Polled::New | Polled::Unanswered) => {
                    retry = FIRST_RETRY;
                    Duration::ZERO
                }
                Ok(Polled::Nothing) => {
                    retry = FIRST_RETRY;
                    LEAST.saturating_sub(begun.elapsed())
                }
                Ok(Polled::Known) => back_off(&mut retry).min(LONGEST_LATER),
                Err(problem) => {
                    self.machine = None;
                    let pause = back_off(&mut retry);
                    tracing::error!(url, problem, ?pause, "a transmitter of signals could not be polled");
                    pause
                }
            };
            sleep(pause).await;
        }
    }

    async fn poll(&mut self) -> Result<Polled, String> {
        let authorization = read_bearer(&self.settings.bearer_file).map_err(|problem| problem.to_string())?;
        let question = Question {
            url: &self.settings.url,
            tls: tls(&self.settings, &mut self.machine)?,
            authorization,
            body: question(&self.settings, &self.taken, &self.refused),
            limit: self.settings.longest_answer(),
        };
        let answer = match ask(question, self.settings.wait, DEADLINE).await {
            Ok(answer) => answer,
            Err(FetchError::Client(ClientError::ResponseTimeout)) => return Ok(Polled::Unanswered),
            Err(error) => return Err(error.to_string()),
        };
        let answer: Answer = serde_json::from_slice(&answer)
            .map_err(|error| format!("the answer is not as RFC 8936 has it: {error}"))?;
        // It has heard what was said of the signals before.
        self.taken.clear();
        self.refused.clear();
        Ok(self.take(answer).await)
    }

    async fn take(&mut self, answer: Answer) -> Polled {
        let mut polled = if answer.sets.is_empty() { Polled::Nothing } else { Polled::Known };
        self.keyless.retain(|id, _| answer.sets.contains_key(id));
        for (id, signal) in answer.sets.into_iter().take(usize::from(self.settings.max_events)) {
            let outcome = self.intake.take(signal.as_str().unwrap_or_default(), &self.sender);
            if self.note(id, outcome) {
                polled = Polled::New;
            }
            // Others on this thread do not wait for many signatures.
            yield_now().await;
        }
        polled
    }

    /// Notes what the transmitter will be told of a signal. Whether it counts now, and did not before.
    fn note(&mut self, id: String, outcome: Result<Heard, NotTaken>) -> bool {
        match outcome {
            Ok(heard) => {
                self.taken.push(id);
                heard != Heard::Repeated
            }
            // Nothing is said of it: it is sent again.
            Err(NotTaken::NotReady) => false,
            Err(NotTaken::Invalid(problem)) if problem.is_for_later() && !self.is_given_up(&id, &problem) => false,
            Err(NotTaken::Invalid(problem)) => {
                self.refused.insert(id, json!({ "err": problem.code(), "description": problem.to_string() }));
                // Who does not listen to that sends it again, which must not be at once.
                false
            }
        }
    }

    /// Whether its key has not come for so long that it will not.
    fn is_given_up(&mut self, id: &str, problem: &InvalidSignal) -> bool {
        if !matches!(problem, InvalidSignal::Token(InvalidToken::UnknownKey { .. })) {
            return false;
        }
        self.keyless.entry(id.to_owned()).or_insert_with(Instant::now).elapsed() >= PATIENCE
    }
}

/// The pause now, by chance up to a tenth shorter; the next one is twice as long.
fn back_off(retry: &mut Duration) -> Duration {
    let pause = jittered(*retry);
    *retry = (*retry * 2).min(LONGEST_RETRY);
    pause
}

fn tls(settings: &PollSettings, machine: &mut Option<ClientTls>) -> Result<Option<ClientTls>, String> {
    if !settings.url.starts_with("https:") {
        return Ok(None);
    }
    let made = match (&settings.ca_file, &machine) {
        (Some(file), _) => ClientTls::with_authorities(file),
        (None, Some(known)) => Ok(known.clone()),
        (None, None) => ClientTls::with_machine_authorities().inspect(|made| *machine = Some(made.clone())),
    };
    made.map(Some).map_err(|error| error.to_string())
}

/// What is asked, and what came of the signals before (RFC 8936, section 2.4).
fn question(settings: &PollSettings, taken: &[String], refused: &BTreeMap<String, Value>) -> Bytes {
    let mut question = Map::new();
    let mut say = |name: &str, value: Value| drop(question.insert(name.to_owned(), value));
    say("maxEvents", json!(settings.max_events));
    say("returnImmediately", json!(false));
    if !taken.is_empty() {
        say("ack", json!(taken));
    }
    if !refused.is_empty() {
        say("setErrs", json!(refused));
    }
    Value::Object(question).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> PollSettings {
        PollSettings {
            url: "http://127.0.0.1:1/poll".into(),
            bearer_file: "token".into(),
            ca_file: None,
            max_events: 2,
            wait: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_question_says_what_came_of_the_signals_before() {
        let asked = |taken: &[String], refused: &BTreeMap<String, Value>| {
            serde_json::from_slice::<Value>(&question(&settings(), taken, refused)).unwrap()
        };
        assert_eq!(asked(&[], &BTreeMap::new()), json!({ "maxEvents": 2, "returnImmediately": false }));
        let refused = BTreeMap::from([("b".to_owned(), json!({ "err": "invalid_key" }))]);
        let expected = json!({
            "maxEvents": 2, "returnImmediately": false, "ack": ["a"], "setErrs": { "b": { "err": "invalid_key" } },
        });
        assert_eq!(asked(&["a".to_owned()], &refused), expected);
    }

    #[test]
    fn a_bearer_token_is_one_line_of_a_small_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let read = |text: &[u8]| {
            fs::write(&path, text).unwrap();
            read_bearer(&path)
        };
        let value = read(b" abc.DEF-1~/= \n").unwrap();
        assert_eq!(value, "Bearer abc.DEF-1~/=");
        assert!(value.is_sensitive());
        for text in [&b""[..], b"\n", b"two words", b"two\nlines", b"\xc3\xa9", b"\xff", &[b'x'; 20_000]] {
            assert!(read(text).is_err(), "{text:?}");
        }
        assert!(read_bearer(folder.path()).is_err());
        assert!(read_bearer(&folder.path().join("nothing")).is_err());
    }
}
