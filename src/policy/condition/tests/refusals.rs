//! What is not a condition, and where it says so.

use super::{PARAMETERS, ask, compile};

fn refusal(expression: &str) -> String {
    match compile(PARAMETERS, expression) {
        Ok(_) => panic!("`{expression}` was compiled"),
        Err(problems) => {
            let text = |offset: Option<usize>| offset.map_or("-".to_owned(), |offset| offset.to_string());
            problems.iter().map(|problem| format!("{}: {problem}", text(problem.offset))).collect::<Vec<_>>().join("; ")
        }
    }
}

#[test]
fn types_must_agree() {
    for (expression, wanted) in [
        ("x < u", "2: `<` does not take (int, uint)"),
        ("x == 1.0", "2: `==` does not take (int, double)"),
        ("s == null", "2: `==` does not take (string, null)"),
        ("x in x", "2: `in` does not take (int, int)"),
        ("li[1u] == 2", "2: `[]` does not take (list<int>, uint)"),
        ("size(x) == 1", "0: `size` does not take (int)"),
        ("string(ip) == ''", "0: `string` does not take (ipaddress)"),
        ("(b ? x : s) == 1", "3: `?:` does not take (bool, int, string)"),
        ("x", "0: the expression gives int, and a condition must give a bool"),
        ("a", "0: the expression gives any, and a condition must give a bool"),
        ("x && b", "0: expected a bool, not int"),
        ("x.exists(v, v)", "0: a value of type int has no elements"),
        ("a.exists(v, v)", "0: a value of type any has no elements"),
        ("x.y == 1", "1: a value of type int has no fields"),
        ("y == x.z", "0: `y` is not a parameter of this condition; 6: a value of type int has no fields"),
        ("foo(x)", "0: `foo` is not a function"),
        ("l.existsOne(v, v == 'b')", "1: `existsOne` is not a function"),
    ] {
        let refusal = refusal(expression);
        assert!(refusal.starts_with(wanted) || refusal.contains(wanted), "{expression}: {refusal}");
    }
}

#[test]
fn words_must_make_an_expression() {
    for expression in [
        "",
        "x ==",
        "== x",
        "x === 1",
        "x = 1",
        "x == 1;",
        "x & 1 == 1",
        "x == 1)",
        "(x == 1",
        "'a",
        "'\\q' == s",
        "'a\nb' == s",
        "9223372036854775808 > 1",
        "1e999 > 1.0",
        "1. == 1.0",
        "if",
        "as == 1",
        "a ? b",
        "[1 2] == []",
        "rb'a' == b'a'",
        "'\\ud800' == s",
        "m[?'a'] == 1",
        "Foo{} == 1",
        "has(m)",
        "l.exists(1, true)",
        "size(l,) == 2",
        "a.",
        "#",
        "x == 1 /* */",
        "!-x",
        "\u{0}",
    ] {
        assert!(compile(PARAMETERS, expression).is_err(), "{expression}");
    }
}

#[test]
fn constants_that_cannot_be_converted_are_refused_at_once() {
    for expression in [
        "duration('soon') < du",
        "timestamp('2023-02-29T00:00:00Z') < t",
        "timestamp('2024-01-01T0:00:00Z') < t",
        "int('x') == 1",
        "uint(-1) == 1u",
        "s.matches('(')",
        "s.matches('(?x)a')",
        "s.matches('a++')",
        "a[null] == 1",
        "timestamp('0000-01-01T00:00:00Z') < t",
        "int(9223372036854775807.0) == 1",
    ] {
        assert!(compile(PARAMETERS, expression).is_err(), "{expression}");
    }
}

#[test]
fn messages_are_not_supported() {
    let refused = "google.protobuf.Int64Value{value: 5} == 5";
    assert_eq!(refusal(refused), "26: messages are not supported in conditions");
    assert_eq!(refusal("Point{} == 5"), "0: messages are not supported in conditions");
}

#[test]
fn a_parameter_is_declared_once() {
    assert!(compile("x: int, x: int", "x == 1").is_err());
    assert!(compile("", "true").is_ok());
}

#[test]
fn long_and_deep_expressions_are_refused_not_walked() {
    let nested = |open: &str, depth: usize, close: &str| format!("{}true{}", open.repeat(depth), close.repeat(depth));
    assert!(compile("", &nested("(", 240, ")")).is_ok());
    assert!(compile("", &nested("(", 251, ")")).is_err());
    assert!(compile("", &nested("(", 10_000, ")")).is_err());
    assert!(compile("", &nested("(true ? ", 10_000, " : true)")).is_err());
    assert!(compile("", &nested("!(", 10_000, ")")).is_err());
    assert!(compile("", &format!("{}true", "!".repeat(50_000))).is_ok());
    assert!(compile("", &format!("1{} == 1", " + 1".repeat(5_000))).is_err());
    assert!(compile("a: any", &format!("a{} == 1", ".a".repeat(5_000))).is_err());
    assert!(compile("", &format!("true{}", " && true".repeat(5_000))).is_ok());
    assert!(compile("", &" ".repeat(256 * 1024)).is_err());
    assert!(compile("", &format!("true // {}", "x".repeat(256 * 1024))).is_err());
}

#[test]
fn types_that_double_with_each_step_are_refused() {
    assert!(compile("", &format!("[1]{} == []", ".map(a, {'x': a, 'y': a})".repeat(4))).is_ok());
    assert!(compile("", &format!("[1]{} == []", ".map(a, {a: a})".repeat(60))).is_err());
}

/// Requests are worked on by threads with 2 MiB, and models come with requests.
#[test]
fn the_deepest_expressions_need_a_half_of_the_stack_of_a_thread() {
    let forms = [
        ("(", "true", ")"),
        ("!(", "true", ")"),
        ("true && (", "true", ")"),
        ("false ? true : (", "true", ")"),
        ("[", "true", "][0]"),
        ("{'k': ", "true", "}['k']"),
        ("bool(", "true", ")"),
        ("[true].exists(v, ", "v", ")"),
        ("1 == -size([", "true", "])"),
    ];
    for (open, inner, close) in forms {
        let expression = move |depth: usize| format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
        let walk = move || {
            let deepest = (1..260).rev().map(expression).find(|expression| compile("", expression).is_ok());
            let deepest = deepest.unwrap_or_else(|| panic!("{open}"));
            ask("", &deepest, "{}", "{}").1
        };
        let thread = std::thread::Builder::new().stack_size(1024 * 1024).spawn(walk);
        assert!(thread.unwrap().join().is_ok(), "{open}");
    }
}
