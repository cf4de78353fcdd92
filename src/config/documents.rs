//! Files that people name in a configuration, read with care.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use thiserror::Error;

use crate::access::{Diagnostic, Place};

/// Why a file is not read.
#[derive(Debug, Error)]
pub(super) enum Unreadable {
    /// It is not there, not a regular file, too large, and the like.
    #[error(transparent)]
    Failed(#[from] io::Error),
    /// It holds bytes that are no UTF-8.
    #[error("from line {}, column {} on it is not UTF-8, save it as UTF-8", .0.line, .0.column)]
    NotUtf8(Place),
}

impl Unreadable {
    /// The same as a problem of the file itself.
    pub(super) fn in_file(&self, name: &Arc<str>) -> Diagnostic {
        match self {
            Self::Failed(error) => Diagnostic::new(name, Place::default(), format!("cannot be read: {error}")),
            Self::NotUtf8(place) => {
                Diagnostic::new(name, *place, "from here on it is not UTF-8").with_help("save the file as UTF-8")
            }
        }
    }
}

/// The text of a regular file of at most `limit` bytes.
pub(super) fn read_text(path: &Path, limit: u64) -> Result<String, Unreadable> {
    let mut bytes = Vec::new();
    Bounded::open(path, limit)?.read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|error| {
        let mut counted = Counted::default();
        counted.take(error.as_bytes());
        Unreadable::NotUtf8(counted.place())
    })
}

/// Where a regular file is not UTF-8, if it is not. It is read in parts, to that place.
pub(super) fn not_utf8(path: &Path, limit: u64) -> Option<Place> {
    let mut input = Bounded::open(path, limit).ok()?;
    let (mut counted, mut part) = (Counted::default(), vec![0; 64 * 1024]);
    let mut begun = 0;
    loop {
        let read = input.read(part.get_mut(begun..)?).ok()?;
        let held = part.get(..begun + read)?;
        let whole = counted.take(held);
        // What is left may be the beginning of a character.
        let is_wrong = held.len() - whole > 3 || (read == 0 && whole < held.len());
        if is_wrong || read == 0 {
            return is_wrong.then(|| counted.place());
        }
        let (length, end) = (held.len() - whole, held.len());
        part.copy_within(whole..end, 0);
        begun = length;
    }
}

/// How much was read, in lines and characters.
#[derive(Debug, Default)]
struct Counted {
    lines: u32,
    characters: u32,
}

impl Counted {
    /// Counts what is UTF-8 at the beginning of these bytes, and says how many bytes that are.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let chunk = bytes.utf8_chunks().next();
        let text = chunk.as_ref().map(std::str::Utf8Chunk::valid).unwrap_or_default();
        for character in text.chars() {
            match character {
                '\n' => (self.lines, self.characters) = (self.lines.saturating_add(1), 0),
                _ => self.characters = self.characters.saturating_add(1),
            }
        }
        text.len()
    }

    fn place(&self) -> Place {
        Place { line: self.lines.saturating_add(1), column: self.characters.saturating_add(1) }
    }
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
