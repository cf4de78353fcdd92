//! What holds for every text.

use proptest::prelude::*;

use super::worlds::read;
use crate::{
    compile::{JsonForm, TupleFormat, store_file, tuples},
    policy::{Added, TupleCondition, TupleText},
};

/// Pieces that models are made of, in any order.
fn pieces() -> impl Strategy<Value = String> {
    const PIECES: [&str; 44] = [
        "model\n  schema 1.1\n",
        "module a\n",
        "type ",
        "extend type ",
        "user",
        "doc",
        "\n",
        "  relations\n",
        "    define ",
        "viewer",
        ": ",
        "[user]",
        "[",
        "]",
        "(",
        ")",
        " or ",
        " and ",
        " but not ",
        " from ",
        " with ",
        "cc",
        ", ",
        ":*",
        "#",
        " #",
        "# x\n",
        "condition cc(x: int) { x == 1 }\n",
        "condition ",
        "{",
        "}",
        "\"",
        "'",
        "'''",
        "//",
        "\\",
        "r'",
        "<",
        ">",
        "é",
        "\r\n",
        "\t",
        "list<int>",
        "\u{feff}",
    ];
    proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..40).prop_map(|pieces| pieces.concat())
}

fn nobody(_: &str) -> Result<String, String> {
    Err("no such file".to_owned())
}

/// A rule, with parentheses where they are needed.
fn rule() -> impl Strategy<Value = (String, bool)> {
    let leaf = prop_oneof![Just("a"), Just("b"), Just("a from p")].prop_map(|leaf| (leaf.to_owned(), true));
    leaf.prop_recursive(4, 16, 3, |inner| {
        let operator = prop_oneof![Just(" or "), Just(" and "), Just(" but not ")];
        (operator, proptest::collection::vec(inner, 2..4)).prop_map(|(operator, mut operands)| {
            if operator == " but not " {
                operands.truncate(2);
            }
            let grouped = |(text, is_leaf): (String, bool)| if is_leaf { text } else { format!("({text})") };
            (operands.into_iter().map(grouped).collect::<Vec<_>>().join(operator), false)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_text_is_a_panic(text in prop_oneof![pieces(), ".*"]) {
        let _ = read("model.fga", &text, &[]);
        let _ = read("model.fga", &format!("model\n  schema 1.1\ntype user\n{text}"), &[]);
        let _ = read("fga.mod", "schema: '1.2'\ncontents: [a.fga]\n", &[("a.fga", &text)]);
        let _ = read("fga.mod", &text, &[]);
        let _ = read("model.json", &text, &[]);
        let _ = store_file(&"store".into(), &text, &mut nobody);
        let under_header = format!("user_type,user_id,relation,object_type,object_id\n{text}");
        for (text, format) in [
            (&text, TupleFormat::Csv),
            (&under_header, TupleFormat::Csv),
            (&text, TupleFormat::Json),
            (&text, TupleFormat::JsonLines),
            (&text, TupleFormat::Yaml),
        ] {
            let mut take = |_: TupleText<'_>, _: Option<TupleCondition>| Ok(Added::Stored);
            let _ = tuples(&"t".into(), &mut text.as_bytes(), format, None, &mut take);
        }
    }

    #[test]
    fn what_is_printed_is_read_as_it_was(
        (rule, _) in rule(),
        types in proptest::sample::subsequence(vec!["user", "user:*", "user with cc", "doc#a", "doc#b with cc"], 1..5),
        expression in proptest::sample::select(&["x == 1", "x\n  == 1 // one\n&& true", "'}' == r'\\'", "\"\"\"a\n#\n\"\"\" == 'b'"][..]),
    ) {
        let text = format!(
            "model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define p: [doc]\n    define a: [{types}, user]\n    \
             define b: [user] or a\n    define c: {rule}\ncondition cc(x: int) {{ {expression} }}\n",
            types = types.join(", "),
        );
        let model = read("model.fga", &text, &[]).unwrap();
        let printed = model.to_dsl().unwrap();
        let again = read("model.fga", &printed, &[]).unwrap();
        let json = model.to_json(JsonForm::Short);
        prop_assert_eq!(&again.to_json(JsonForm::Short), &json);
        prop_assert_eq!(&again.to_dsl().unwrap(), &printed);
        let from_json = read("model.json", &json.to_string(), &[]).unwrap();
        prop_assert_eq!(&from_json.to_json(JsonForm::Short), &json);
        prop_assert_eq!(&from_json.to_dsl().unwrap(), &printed);
    }
}
