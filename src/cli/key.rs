//! The command `key new`.

use std::process::ExitCode;

use aws_lc_rs::rand;

use crate::identity::NewApiKey;

use super::arguments::Key;

/// Makes a key, and prints what to do with it.
pub(super) fn key(command: &Key) -> anyhow::Result<ExitCode> {
    let Key::New { subject } = command;
    let mut random = [0; 24];
    rand::fill(&mut random).map_err(|_| anyhow::anyhow!("the machine gives no random bytes"))?;
    let key = NewApiKey::generate(random);
    // The key alone on standard output, so that it can be sent to where it is kept; its entry can be sent to a file.
    println!("{}", key.text);
    eprintln!("      # An API key of {subject}: its text is shown once, and only its hash is kept here.");
    eprintln!("      - id: {}\n        hash: {}\n        subject: {subject}", key.id, key.hash);
    Ok(ExitCode::SUCCESS)
}
