//! Key sets from URLs, fetched again before they are old and when a token names an unknown key.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use prometheus::{GaugeVec, IntCounterVec, Opts};
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    identity::{Algorithm, IssuerUrl, KeySet},
    net::{ClientTls, FIRST_RETRY, FetchError, LONGEST_RETRY, MediaType, fetch, jittered},
    telemetry::{MetricsError, Registry},
};

/// The longest metadata of an issuer.
const METADATA_BYTES: usize = 256 * 1024;
/// The longest key set.
const BYTES: usize = 1024 * 1024;
/// The time for one document, and for the keys with all that leads to them.
const DEADLINE: Duration = Duration::from_secs(5);
const WHOLE_DEADLINE: Duration = Duration::from_secs(10);
/// A token with an unknown key makes for at most one fetch in this time.
const PAUSE: Duration = Duration::from_secs(10);

/// The media type of a directory of keys that sign messages (draft-ietf-webbotauth-httpsig-directory).
const DIRECTORY: MediaType = MediaType::Exactly("application/http-message-signatures-directory+json");

/// The key sets that have been fetched, by URL.
pub type KeyDocuments = HashMap<String, KeyDocument>;

/// A key set as it was fetched last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyDocument {
    /// Its text.
    Good(Arc<str>),
    /// It could not be fetched for so long that its keys may not be used any more.
    Outdated,
}

/// A key set to fetch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyUrl {
    /// Whose it is, as the configuration and the metrics name it: an issuer, or an agent that signs.
    pub owner: String,
    /// Where it is. For an issuer that says so itself, where that is asked for first.
    pub url: String,
    /// The issuer whose metadata say where its keys are, if it is to be asked.
    pub issuer: Option<IssuerUrl>,
    /// In which form it is.
    pub form: KeyForm,
    /// For which algorithms there must be a key in it; for any if there are none.
    pub algorithms: Vec<Algorithm>,
    /// How often it is fetched.
    pub refresh: Duration,
    /// How long the last good one is used while it cannot be fetched.
    pub max_staleness: Duration,
    /// The authorities for its host's certificate; the machine's if there is none.
    pub ca_file: Option<PathBuf>,
}

/// In which form a key set is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyForm {
    /// As any JSON.
    KeySet,
    /// As a directory of keys that sign messages, by its own media type.
    Directory,
}

/// What is known of the key sets that are fetched, by owner.
#[derive(Debug, Clone)]
pub struct KeySetMetrics {
    last_success: GaugeVec,
    failures: IntCounterVec,
}

impl KeySetMetrics {
    /// Makes the metrics and registers them.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let last_success = Opts::new(
            "portcullis_key_set_last_success_timestamp_seconds",
            "When the key set of an issuer was last fetched, in Unix time; 0 if it never was.",
        );
        let failures = Opts::new(
            "portcullis_key_set_fetch_failures_total",
            "Attempts to fetch the key set of an issuer that failed.",
        );
        Ok(Self {
            last_success: registry.register(GaugeVec::new(last_success, &["issuer"]))?,
            failures: registry.register(IntCounterVec::new(failures, &["issuer"]))?,
        })
    }

    fn begin(&self, owner: &str) {
        self.last_success.with_label_values(&[owner]);
        self.failures.with_label_values(&[owner]);
    }

    fn fetched(&self, owner: &str) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.last_success.with_label_values(&[owner]).set(now.as_secs_f64());
    }

    fn failed(&self, owner: &str) {
        self.failures.with_label_values(&[owner]).inc();
    }

    fn end(&self, owner: &str) {
        // One that is not there is none to end.
        let _ = self.last_success.remove_label_values(&[owner]);
        let _ = self.failures.remove_label_values(&[owner]);
    }
}

#[derive(Debug)]
pub(super) struct KeyFetcher {
    documents: Arc<Mutex<KeyDocuments>>,
    tasks: HashMap<KeyUrl, (JoinHandle<()>, Arc<Notify>)>,
    arrived: Arc<Notify>,
    unknown_key: Arc<Notify>,
    metrics: KeySetMetrics,
}

impl KeyFetcher {
    pub(super) fn new(unknown_key: Arc<Notify>, metrics: KeySetMetrics) -> Self {
        Self { documents: Arc::default(), tasks: HashMap::new(), arrived: Arc::default(), unknown_key, metrics }
    }

    pub(super) fn documents(&self) -> KeyDocuments {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a key set that is new or has changed.
    pub(super) async fn changed(&self) {
        loop {
            tokio::select! {
                () = self.arrived.notified() => return,
                () = self.unknown_key.notified() => self.tasks.values().for_each(|(_, ask)| ask.notify_one()),
            }
        }
    }

    /// Fetches these key sets from now on, and no others.
    pub(super) fn want(&mut self, urls: &[KeyUrl]) {
        let owners: BTreeSet<&str> = urls.iter().map(|url| url.owner.as_str()).collect();
        for known in self.tasks.keys().filter(|known| !owners.contains(known.owner.as_str())) {
            self.metrics.end(&known.owner);
        }
        self.tasks.retain(|known, (task, _)| {
            let wanted = urls.contains(known);
            if !wanted {
                task.abort();
            }
            wanted
        });
        for url in urls {
            self.tasks.entry(url.clone()).or_insert_with(|| {
                let ask = Arc::new(Notify::new());
                self.metrics.begin(&url.owner);
                let kept = Kept {
                    documents: Arc::clone(&self.documents),
                    arrived: Arc::clone(&self.arrived),
                    metrics: self.metrics.clone(),
                };
                (tokio::spawn(keep_fresh(url.clone(), kept, Arc::clone(&ask))), ask)
            });
        }
    }
}

impl Drop for KeyFetcher {
    fn drop(&mut self) {
        self.tasks.values().for_each(|(task, _)| task.abort());
    }
}

/// Where a fetched key set goes, and who is told.
struct Kept {
    documents: Arc<Mutex<KeyDocuments>>,
    arrived: Arc<Notify>,
    metrics: KeySetMetrics,
}

async fn keep_fresh(source: KeyUrl, kept: Kept, ask: Arc<Notify>) {
    let Kept { documents, arrived, metrics } = kept;
    let keep = |document: KeyDocument| {
        let mut documents = documents.lock().unwrap_or_else(PoisonError::into_inner);
        if documents.insert(source.url.clone(), document.clone()) != Some(document) {
            arrived.notify_one();
        }
    };
    let mut retry = FIRST_RETRY;
    // When the last good one is too old; `None` if there is none. One that was fetched by other settings ages as well.
    let is_good = |document: &KeyDocument| matches!(document, KeyDocument::Good(_));
    let known = documents.lock().unwrap_or_else(PoisonError::into_inner).get(&source.url).is_some_and(is_good);
    let mut outdated = if known { Instant::now().checked_add(source.max_staleness) } else { None };
    loop {
        let fetched = timeout(WHOLE_DEADLINE, fetch_keys(&source)).await;
        let fetched = fetched.unwrap_or_else(|_| Err("no document in time".to_owned()));
        match &fetched {
            Ok(_) => metrics.fetched(&source.owner),
            Err(_) => metrics.failed(&source.owner),
        }
        let pause = match fetched {
            Ok(text) => {
                retry = FIRST_RETRY;
                outdated = Instant::now().checked_add(source.max_staleness);
                keep(KeyDocument::Good(text));
                jittered(source.refresh)
            }
            Err(problem) if outdated.is_some_and(|outdated| outdated <= Instant::now()) => {
                tracing::error!(url = source.url, problem, "a key set is too old to be used, its tokens are refused");
                outdated = None;
                keep(KeyDocument::Outdated);
                retry
            }
            Err(problem) => {
                tracing::warn!(url = source.url, problem, "a key set could not be fetched");
                let pause = jittered(retry);
                retry = longer(retry, source.refresh);
                pause
            }
        };
        let fetched = Instant::now();
        let next = outdated.map_or(fetched + pause, |outdated| (fetched + pause).min(outdated.max(fetched)));
        tokio::select! {
            () = sleep_until(next) => {}
            () = ask.notified() => sleep_until(next.min(fetched + PAUSE)).await,
        }
    }
}

async fn fetch_keys(source: &KeyUrl) -> Result<Arc<str>, String> {
    let tls = match &source.ca_file {
        Some(file) => ClientTls::with_authorities(file),
        None => ClientTls::with_machine_authorities(),
    };
    let tls = if source.url.starts_with("https:") { Some(tls.map_err(|error| error.to_string())?) } else { None };
    let url = match &source.issuer {
        None => source.url.clone(),
        Some(issuer) => discovered(issuer, tls.clone()).await?,
    };
    // An issuer in the clear, on this machine, may have its keys elsewhere.
    let tls = tls.filter(|_| url.starts_with("https:"));
    let form = match source.form {
        KeyForm::KeySet => MediaType::Json,
        KeyForm::Directory => DIRECTORY,
    };
    let document = fetch(&url, tls, form, BYTES, DEADLINE).await.map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(&document).map_err(|_| "it is not UTF-8".to_owned())?;
    // A document that is no key set, or of no use, never replaces one that is.
    let keys = KeySet::parse(text).map_err(|error| error.to_string())?;
    if !source.algorithms.is_empty() && !keys.serves(&source.algorithms) {
        let named: Vec<_> = source.algorithms.iter().map(|algorithm| algorithm.name()).collect();
        return Err(format!("none of its keys is for the algorithms of its tokens, {}", named.join(", ")));
    }
    Ok(text.into())
}

/// Where the issuer says that its keys are. The next place is asked only if there is nothing at the one before: metadata
/// that are wrong are not passed over.
async fn discovered(issuer: &IssuerUrl, tls: Option<ClientTls>) -> Result<String, String> {
    let mut last = String::new();
    for url in issuer.metadata_urls() {
        match fetch(&url, tls.clone(), MediaType::Json, METADATA_BYTES, DEADLINE).await {
            Ok(metadata) => {
                return issuer.keys_url(&metadata).map_err(|problem| format!("the metadata at {url}: {problem}"));
            }
            Err(FetchError::Status(status)) if status.is_client_error() => {
                last = format!("the metadata at {url}: the answer is {status}, not 200");
            }
            Err(error) => return Err(format!("the metadata at {url}: {error}")),
        }
    }
    Err(last)
}

/// The pause after one more attempt that failed: who is asked often is asked again as soon.
fn longer(retry: Duration, refresh: Duration) -> Duration {
    (retry * 2).min(LONGEST_RETRY).min(refresh.max(FIRST_RETRY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_grows_but_never_beyond_the_time_between_two_fetches() {
        let seconds = Duration::from_secs;
        assert_eq!(longer(FIRST_RETRY, seconds(300)), seconds(2));
        assert_eq!(longer(seconds(32), seconds(300)), LONGEST_RETRY);
        assert_eq!(longer(seconds(4), seconds(5)), seconds(5));
        assert_eq!(longer(FIRST_RETRY, seconds(1)), seconds(1));
        assert_eq!(longer(FIRST_RETRY, Duration::from_millis(10)), FIRST_RETRY, "nobody is asked in a storm");
    }
}
