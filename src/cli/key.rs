//! The command `key new`.

use std::process::ExitCode;

use aws_lc_rs::rand;

use crate::identity::NewApiKey;

use super::arguments::Key;

/// Makes a key and prints what to do with it.
pub(super) fn key(command: &Key) -> anyhow::Result<ExitCode> {
    let Key::New { subject } = command;
    let mut random = [0; 24];
    rand::fill(&mut random).map_err(|_| anyhow::anyhow!("the machine gives no random bytes"))?;
    let key = NewApiKey::generate(random);
    // The key itself on standard output, so that it can be piped to where it is kept; the rest is for people.
    println!("{}", key.text);
    eprintln!("This key is shown once. Add this to `identity.api_keys.keys` of the configuration:");
    eprintln!("  - id: {}\n    hash: {}\n    subject: {subject}", key.id, key.hash);
    Ok(ExitCode::SUCCESS)
}
