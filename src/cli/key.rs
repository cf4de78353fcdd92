//! The command `key new`.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use aws_lc_rs::rand;

use crate::identity::NewApiKey;

use super::arguments::{Key, NewKey};

/// Makes a key, and prints what to do with it.
pub(super) fn key(command: &Key) -> anyhow::Result<ExitCode> {
    let Key::New(wanted) = command;
    let expires = expiry(wanted)?;
    let mut random = [0; 24];
    rand::fill(&mut random).map_err(|_| anyhow::anyhow!("the machine gives no random bytes"))?;
    let key = NewApiKey::generate(random);
    // The key alone on standard output, so that it can be sent to where it is kept; its entry can be sent to a file.
    writeln!(io::stdout(), "{}", key.text)?;
    eprint!("{}", entry(wanted, &key, expires.as_deref()));
    Ok(ExitCode::SUCCESS)
}

/// The last moment that the key is not good for, in whole seconds.
fn expiry(wanted: &NewKey) -> anyhow::Result<Option<String>> {
    let Some(duration) = wanted.valid_for else { return Ok(None) };
    anyhow::ensure!(duration.as_secs() > 0, "a key that holds for less than a second is of no use");
    let end = SystemTime::now().checked_add(duration).context("so much time is not known")?;
    // After the year 9999 the time has no such text.
    let year = Duration::from_secs(253_402_300_799);
    let is_written = end.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since <= year);
    anyhow::ensure!(is_written, "a key ends before the year 10000");
    Ok(Some(humantime::format_rfc3339_seconds(end).to_string()))
}

/// The key's entry in the configuration. Texts are quoted as in JSON, which YAML reads too.
fn entry(wanted: &NewKey, key: &NewApiKey, expires: Option<&str>) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let subject = wanted.subject.as_str();
    let mut entry = format!(
        "      # An API key of {subject}: its text is shown once, and only its hash is kept here.\n      \
         - id: {}\n        hash: {}\n        subject: {}\n",
        key.id,
        key.hash,
        quoted(subject)
    );
    let mut line = |name: &str, value: &str| entry.push_str(&format!("        {name}: {value}\n"));
    if !wanted.actors.is_empty() {
        let actors: Vec<String> = wanted.actors.iter().map(|actor| quoted(actor.as_str())).collect();
        line("actors", &format!("[{}]", actors.join(", ")));
    }
    if let Some(task) = &wanted.task {
        line("task", &quoted(task.as_str()));
    }
    if let Some(owner) = &wanted.owner {
        line("owner", &quoted(owner));
    }
    if let Some(expires) = expires {
        line("expires", expires);
    }
    entry
}
