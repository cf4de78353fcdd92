//! Which store files are meant.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The files as they are named; in the place of a directory all `*.fga.yaml` and `*.fga.yml` below it, sorted.
///
/// A directory without any is refused: tests that are not there must not pass.
pub(super) fn store_files(named: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in named {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut below = Vec::new();
        collect(path, &mut below).map_err(|(path, error)| format!("`{}` cannot be read: {error}", path.display()))?;
        if below.is_empty() {
            return Err(format!("there is no `*.fga.yaml` in `{}`", path.display()));
        }
        below.sort();
        files.append(&mut below);
    }
    Ok(files)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    let failed = |error| (directory.to_owned(), error);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        // Links to directories are not followed: they may lead in a circle.
        if entry.file_type().map_err(failed)?.is_dir() {
            collect(&path, files)?;
        } else if is_store_file(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_store_file(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| name.ends_with(".fga.yaml") || name.ends_with(".fga.yml"))
}
