//! Files that people name in a configuration, read with care.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// The text of a regular file of at most `limit` bytes.
pub(super) fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    Bounded::open(path, limit)?.read_to_string(&mut text)?;
    Ok(text)
}

/// A regular file, of which no more than some bytes are ever read.
#[derive(Debug)]
pub(super) struct Bounded {
    file: File,
    limit: u64,
    left: u64,
}

impl Bounded {
    /// Opens a regular file of at most `limit` bytes.
    ///
    /// Pipes, sockets and devices are refused: reading them could wait for ever.
    pub(super) fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        if metadata.len() > limit {
            return Err(too_large(limit));
        }
        Ok(Self { file: File::open(path)?, limit, left: limit })
    }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        // It may grow while it is read.
        let left = u64::try_from(count).ok().and_then(|count| self.left.checked_sub(count));
        self.left = left.ok_or_else(|| too_large(self.limit))?;
        Ok(count)
    }
}

fn too_large(limit: u64) -> io::Error {
    io::Error::other(format!("it is larger than {} KiB", limit / 1024))
}
