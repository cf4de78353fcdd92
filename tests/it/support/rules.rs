//! Whether what is said of tests is so.

use std::{fs, path::Path};

/// Every test that a rule names is there.
pub(crate) fn each_is_a_test(rules: &[(&str, &[&str])]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    let mut folders = vec![root.join("src"), root.join("tests/it")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                code.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let is_test = |name: &str| {
        let is_declared = |indent: &str| code.contains(&format!("#[test]\n{indent}fn {name}("));
        is_declared("") || is_declared("    ") || code.contains(&format!("#[tokio::test]\n    async fn {name}("))
    };
    for (rule, tests) in rules {
        assert!(!tests.is_empty(), "{rule}");
        let missing: Vec<_> = tests.iter().filter(|test| !is_test(test)).collect();
        assert!(missing.is_empty(), "{rule}: there is no {missing:?}");
    }
}
