//! Models in OpenFGA's language: what is read can be written, and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::compile::{JsonForm, ModelDocument, ModelFormat};

fn nobody(_: &str) -> Result<String, String> {
    Err("no such file".to_owned())
}

fuzz_target!(|text: &str| {
    let read = |text: &str, format| ModelDocument::read(&"model".into(), text, format, &mut nobody);
    let Ok(document) = read(text, ModelFormat::Dsl) else { return };
    let json = document.to_json(JsonForm::Short);
    let printed = document.to_dsl().unwrap_or_else(|problems| panic!("{problems:?}"));
    let again = read(&printed, ModelFormat::Dsl).unwrap_or_else(|problems| panic!("{printed}\n{problems:?}"));
    assert_eq!(again.to_json(JsonForm::Short), json, "{printed}");
    let from_json =
        read(&json.to_string(), ModelFormat::Json).unwrap_or_else(|problems| panic!("{json}\n{problems:?}"));
    assert_eq!(from_json.to_json(JsonForm::Short), json, "{json}");
});
