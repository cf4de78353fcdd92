//! The demo's files, in a fresh directory of their own.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};

use crate::access::ActorMode;

const CONFIGURATION: &str = include_str!("../../../config/demo/portcullis.yaml");
const MODEL: &str = include_str!("../../../config/demo/model.fga");
const TUPLES: &str = include_str!("../../../config/demo/tuples.yaml");

/// Added to the configuration, so that records do not mix with what the demo prints.
const AUDIT: &str = "\n# Where decisions are recorded: one line of JSON each.\naudit:\n  file: audit.jsonl\n";

/// A change of `tuples.yaml`: one text is replaced by another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edit {
    /// A text that is there exactly once.
    pub(super) replace: &'static str,
    pub(super) by: &'static str,
}

/// A directory that is made for one demo, and removed after it.
#[derive(Debug)]
pub(super) struct Workplace {
    directory: PathBuf,
}

impl Workplace {
    /// Makes the directory and writes the company's files, with these addresses and keys.
    pub(super) fn make(proxy: (SocketAddr, ActorMode), upstream: SocketAddr, jwks: &str) -> anyhow::Result<Self> {
        let directory = env::temp_dir().join(format!("portcullis-demo-{}", uuid::Uuid::now_v7().simple()));
        make_private(&directory).with_context(|| format!("`{}` cannot be made", directory.display()))?;
        let workplace = Self { directory };
        let configuration = configuration(proxy, upstream)?;
        let files =
            [("portcullis.yaml", &*configuration), ("model.fga", MODEL), ("tuples.yaml", TUPLES), ("jwks.json", jwks)];
        for (name, text) in files {
            let file = workplace.directory.join(name);
            fs::write(&file, text).with_context(|| format!("`{}` cannot be written", file.display()))?;
        }
        Ok(workplace)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn configuration(&self) -> PathBuf {
        self.directory.join("portcullis.yaml")
    }

    pub(super) fn tuples(&self) -> PathBuf {
        self.directory.join("tuples.yaml")
    }

    pub(super) fn audit(&self) -> PathBuf {
        self.directory.join("audit.jsonl")
    }

    /// Changes the tuples as a careful writer does: beside the file, then in its place.
    pub(super) fn edit(&self, edit: Edit) -> anyhow::Result<()> {
        let text = replaced_once(&fs::read_to_string(self.tuples())?, edit.replace, edit.by)?;
        let beside = self.directory.join("tuples.yaml.new");
        fs::write(&beside, text)?;
        fs::rename(&beside, self.tuples())?;
        Ok(())
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            tracing::warn!(%error, directory = %self.directory.display(), "the demo's directory stays");
        }
    }
}

/// Nobody else may change what the demo decides by.
fn make_private(directory: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

fn configuration((listen, mode): (SocketAddr, ActorMode), upstream: SocketAddr) -> anyhow::Result<String> {
    let addresses = [
        ("address: 127.0.0.1:8080", format!("address: \"{listen}\"")),
        ("address: 127.0.0.1:9902", "address: 127.0.0.1:0".to_owned()),
        ("url: http://127.0.0.1:9001", format!("url: http://{upstream}")),
    ];
    let actors = match mode {
        ActorMode::All => "\nidentity:\n",
        ActorMode::Current => "\nidentity:\n  actors: current\n",
    };
    let mut text = replaced_once(CONFIGURATION, "\nidentity:\n", actors)?;
    for (written, wanted) in addresses {
        text = replaced_once(&text, written, &wanted)?;
    }
    text.push_str(AUDIT);
    Ok(text)
}

fn replaced_once(text: &str, replace: &str, by: &str) -> anyhow::Result<String> {
    let found = text.matches(replace).count();
    ensure!(found == 1, "`{replace}` is there {found} times, and should be once");
    Ok(text.replace(replace, by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_goes_with_its_workplace() {
        let (listen, upstream) = ("[::1]:7001".parse().unwrap(), "127.0.0.1:7002".parse().unwrap());
        let workplace = Workplace::make((listen, ActorMode::All), upstream, "{}").unwrap();
        let directory = workplace.directory().to_owned();
        let written = fs::read_to_string(workplace.configuration()).unwrap();
        assert!(written.contains("address: \"[::1]:7001\"") && written.contains("url: http://127.0.0.1:7002"));
        drop(workplace);
        assert!(!directory.exists());
    }

    #[test]
    fn a_text_that_is_not_there_once_is_not_replaced() {
        assert_eq!(replaced_once("a b", "b", "c").unwrap(), "a c");
        assert!(replaced_once("a a", "a", "c").is_err());
        assert!(replaced_once("a", "b", "c").is_err());
    }
}
