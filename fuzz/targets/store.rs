//! Store files, whose tests are run.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::{analyze::run_tests, compile::store_file};

fuzz_target!(|text: &str| {
    let mut beside = |name: &str| match name {
        "model.fga" => Ok("model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define a: [user]\n".to_owned()),
        "tuples.yaml" => Ok("- { user: user:x, relation: a, object: doc:1 }\n".to_owned()),
        _ => Err("no such file".to_owned()),
    };
    if let Ok(store) = store_file(&"store.fga.yaml".into(), text, &mut beside) {
        let _ = run_tests(&store);
    }
});
