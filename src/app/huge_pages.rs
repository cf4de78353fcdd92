//! Whether the kernel may give the process its memory in huge pages.

use std::{fs, path::PathBuf};

use rustix::thread::disable_transparent_huge_pages;

/// From a graph of so many bytes on they are worth it: decisions look at memory all over it.
const LARGE: usize = 4 << 20;

/// Whether the kernel may give the process its memory in huge pages.
///
/// Each thread has memory of its own, of which a process with a small policy uses less than one huge page: given out whole,
/// they were four fifths of what it held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HugePages {
    /// As the machine is set.
    Allowed,
    /// Not even where they are asked for.
    Forbidden,
}

impl HugePages {
    /// What is best while these files are read, of which a graph becomes that is about as large or smaller.
    pub(super) fn for_files(files: &[PathBuf]) -> Self {
        let sizes = files.iter().filter_map(|file| fs::metadata(file).ok()).map(|file| file.len());
        Self::for_graph(sizes.sum::<u64>().try_into().unwrap_or(usize::MAX))
    }

    /// What is best with a graph of so many bytes.
    pub(super) fn for_graph(bytes: usize) -> Self {
        if bytes < LARGE { Self::Forbidden } else { Self::Allowed }
    }

    /// Has it so from now on. What the process holds already stays as it is.
    pub fn set(self) {
        // Linux has this since 3.15. Where it is not to be had, everything works as well, in more memory.
        if let Err(error) = disable_transparent_huge_pages(self == Self::Forbidden) {
            tracing::debug!(%error, "huge pages are left as they are");
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::thread::transparent_huge_pages_are_disabled;

    use super::*;

    #[test]
    fn only_large_policies_have_huge_pages() {
        for (bytes, is_disabled) in [(1 << 10, true), (LARGE - 1, true), (LARGE, false)] {
            HugePages::for_graph(bytes).set();
            assert_eq!(transparent_huge_pages_are_disabled().unwrap(), is_disabled, "{bytes}");
        }
    }
}
