//! Whatever is written, nothing panics.

use proptest::prelude::*;

use super::{PARAMETERS, REQUEST, bind, compile, context};
use crate::policy::condition::{ContextValue, RequestContext, conversion::convert, source::ParameterType};

/// Words that make sense next to each other more often than random letters do.
const WORDS: &[&str] = &[
    "x",
    "u",
    "d",
    "s",
    "b",
    "t",
    "du",
    "ip",
    "a",
    "l",
    "li",
    "m",
    "mi",
    "v",
    "1",
    "0",
    "-",
    "1u",
    "1.5",
    "'a'",
    "b'a'",
    "true",
    "null",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    ":",
    "?",
    "==",
    "!=",
    "<",
    ">=",
    "+",
    "*",
    "/",
    "%",
    "&&",
    "||",
    "!",
    "in",
    "has",
    "size",
    "exists",
    "all",
    "map",
    "filter",
    "exists_one",
    "dyn",
    "int",
    "string",
    "type",
    "timestamp",
    "duration",
    "matches",
    "contains",
    "in_cidr",
    "getHours",
    "k",
    "n",
    "'''",
    "\"",
    "\\",
    "r'",
    "//",
    "\n",
];

fn try_out(text: &str) {
    if let Ok(condition) = compile(PARAMETERS, text) {
        let request = context(REQUEST);
        let _ = condition.evaluate(&bind(&condition, "{}").unwrap(), &RequestContext::new(&request));
    }
}

proptest! {
    #[test]
    fn any_text_is_compiled_or_refused(text in any::<String>()) {
        try_out(&text);
    }

    #[test]
    fn any_words_are_compiled_or_refused(words in prop::collection::vec(prop::sample::select(WORDS), 0..40)) {
        try_out(&words.join(" "));
        try_out(&words.concat());
    }

    #[test]
    fn any_pattern_is_tried_or_refused(pattern in "[\\\\a-dQE\\[\\]{}()?*+^$|0-9,:<>&~-]{0,20}") {
        let _ = crate::policy::condition::eval::compile_pattern(&pattern);
    }

    #[test]
    fn any_text_is_converted_or_refused(text in prop_oneof![any::<String>(), "[-+0-9.eEhmsnuTZ:µ%/]{0,30}"]) {
        let value = ContextValue::String(text.into());
        for kind in [
            ParameterType::Int, ParameterType::Uint, ParameterType::Double, ParameterType::Duration,
            ParameterType::Timestamp, ParameterType::IpAddress, ParameterType::String,
        ] {
            let _ = convert(&value, &kind);
        }
    }

    #[test]
    fn numbers_keep_their_value_through_text(number in any::<i64>()) {
        let value = ContextValue::String(number.to_string().into());
        prop_assert_eq!(convert(&value, &ParameterType::Int), Ok(crate::policy::condition::eval::Datum::Int(number)));
    }
}
