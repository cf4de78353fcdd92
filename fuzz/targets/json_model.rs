//! Models as JSON: what is read can be written, and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::compile::{JsonForm, ModelDocument, ModelFormat};

fn nobody(_: &str) -> Result<String, String> {
    Err("no such file".to_owned())
}

fuzz_target!(|text: &str| {
    let read = |text: &str, format| ModelDocument::read(&"model".into(), text, format, &mut nobody);
    let Ok(document) = read(text, ModelFormat::Json) else { return };
    let json = document.to_json(JsonForm::Short);
    let again = read(&json.to_string(), ModelFormat::Json).unwrap_or_else(|problems| panic!("{json}\n{problems:?}"));
    assert_eq!(again.to_json(JsonForm::Short), json, "{json}");
    let _ = document.to_json(JsonForm::Api { id: "01H0H015178Y2V4CX10C2KGHF4" }).to_string();
    let _ = document.to_dsl();
});
