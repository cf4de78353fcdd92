//! Key sets from URLs, fetched again before they are old and when a token names an unknown key.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    identity::{IssuerUrl, KeySet},
    net::{ClientTls, FIRST_RETRY, FetchError, LONGEST_RETRY, MediaType, fetch, jittered},
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
    /// Where it is. For an issuer that says so itself, where that is asked for first.
    pub url: String,
    /// The issuer whose metadata say where its keys are, if it is to be asked.
    pub issuer: Option<IssuerUrl>,
    /// In which form it is.
    pub form: KeyForm,
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

#[derive(Debug)]
pub(super) struct KeyFetcher {
    documents: Arc<Mutex<KeyDocuments>>,
    tasks: HashMap<KeyUrl, (JoinHandle<()>, Arc<Notify>)>,
    arrived: Arc<Notify>,
    unknown_key: Arc<Notify>,
}

impl KeyFetcher {
    pub(super) fn new(unknown_key: Arc<Notify>) -> Self {
        Self { documents: Arc::default(), tasks: HashMap::new(), arrived: Arc::default(), unknown_key }
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
                let fetching =
                    keep_fresh(url.clone(), Arc::clone(&self.documents), Arc::clone(&self.arrived), Arc::clone(&ask));
                (tokio::spawn(fetching), ask)
            });
        }
    }
}

impl Drop for KeyFetcher {
    fn drop(&mut self) {
        self.tasks.values().for_each(|(task, _)| task.abort());
    }
}

async fn keep_fresh(source: KeyUrl, documents: Arc<Mutex<KeyDocuments>>, arrived: Arc<Notify>, ask: Arc<Notify>) {
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
        let pause = match fetched.unwrap_or_else(|_| Err("no document in time".to_owned())) {
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
                retry = (retry * 2).min(LONGEST_RETRY);
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
    // A document that is no key set never replaces one that is.
    KeySet::parse(text).map_err(|error| error.to_string())?;
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
