//! Files that people name in a configuration, read with care.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// The text of a regular file of at most `limit` bytes.
///
/// Pipes, sockets and devices are refused: reading them could wait for ever.
pub(super) fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let too_large = || io::Error::other(format!("it is larger than {} KiB", limit / 1024));
    if metadata.len() > limit {
        return Err(too_large());
    }
    let mut text = String::new();
    // It may grow while it is read.
    File::open(path)?.take(limit + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= limit) { Ok(text) } else { Err(too_large()) }
}
