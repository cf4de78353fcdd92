//! The import rule, made a test.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Bottom first. A module may import modules on earlier lines, and nothing else.
const LAYERS: &[&[&str]] = &[
    &["access", "protocol", "net", "telemetry"],
    &["policy", "route", "identity"],
    &["compile", "audit"],
    &["snapshot"],
    &["analyze"],
    &["proxy", "supply", "admin"],
    &["config"],
    &["app"],
    &["cli"],
];

/// A crate that shapes the design is named in one place only.
const HOMES: &[(&str, &[&str])] = &[
    // What is decided by is swapped in the cell alone. Addresses of upstreams are not part of it, and change by themselves.
    ("arc_swap", &["snapshot/cell.rs", "net/endpoints.rs"]),
    ("rustls", &["net/"]),
    ("webpki", &["identity/", "net/"]),
    ("x509_cert", &["identity/", "net/authority.rs"]),
    ("h2", &["net/"]),
    ("hyper", &["net/", "proxy/", "admin/", "cli/demo/"]),
    ("hyper_util", &["net/", "cli/demo/"]),
    ("regex", &["policy/condition/eval/"]),
    ("tokio", &["net/", "proxy/", "supply/", "admin/", "audit/", "app/", "cli/demo/"]),
    (
        "serde",
        &[
            "protocol/",
            "identity/",
            "compile/",
            "audit/",
            "admin/",
            "config/",
            "proxy/mcp.rs",
            "proxy/rejection.rs",
            "cli/demo/",
        ],
    ),
    ("apollo_parser", &["protocol/graphql/"]),
];

#[test]
fn imports_point_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in rust_files(&src) {
        let module = top_module(&src, &file);
        if module == "lib" || module == "main" {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for import in crate_imports(&text).filter(|import| *import != module) {
            let down = layer(import) < layer(&module);
            if !down {
                wrong.push(format!("{}: {module} imports {import}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "sideways or upward imports:\n{}", wrong.join("\n"));
}

#[test]
fn crates_stay_at_home() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in rust_files(&src) {
        let path = file.strip_prefix(&src).unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        for (name, homes) in HOMES {
            let named = text.contains(&format!("{name}::"));
            assert!(!named || homes.iter().any(|home| path.starts_with(home)), "{path} names {name}");
        }
    }
}

#[test]
fn the_core_is_pure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let impure = [
        "tokio::",
        "Instant::now",
        "SystemTime::now",
        "std::env",
        "env::var",
        "std::fs",
        "fs::read",
        "std::net::Tcp",
        "thread::",
        "rand::",
    ];
    for module in ["access", "protocol", "policy", "route", "identity", "compile", "analyze"] {
        for file in rust_files(&src.join(module)) {
            // Tests may look at a clock and make keys.
            if file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs") {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for name in impure {
                assert!(!code.contains(name), "{} names {name}", file.display());
            }
        }
    }
}

fn layer(module: &str) -> usize {
    LAYERS
        .iter()
        .position(|modules| modules.contains(&module))
        .unwrap_or_else(|| panic!("`{module}` has no layer: add it to LAYERS"))
}

/// The first segment of each `crate::a` path and of each `crate::{a, b}` group.
fn crate_imports(text: &str) -> impl Iterator<Item = &str> {
    text.split("crate::").skip(1).flat_map(|rest| {
        let mut depth = 0;
        let mut heads = Vec::new();
        let mut head = true;
        for part in rest.split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_')) {
            let (name, end) = part.split_at(part.len() - part.chars().last().map_or(0, char::len_utf8));
            if head && !name.is_empty() {
                heads.push(name);
                head = false;
            }
            match end {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," if depth == 1 => head = true,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        heads
    })
}

fn top_module(src: &Path, file: &Path) -> String {
    let first = file.strip_prefix(src).unwrap().iter().next().unwrap();
    first.to_str().unwrap().trim_end_matches(".rs").to_owned()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
    files
}
