//! What contexts say, and which of them wins.

use super::{ConditionError, ask, bind, compile};

/// Whether the JSON value is taken for the type, and `expression` then says of `p`: T, F, or E for an error.
fn said(kind: &str, expression: &str, value: &str) -> char {
    match ask(&format!("p: {kind}"), expression, "{}", &format!("{{\"p\":{value}}}")).0 {
        Ok(true) => 'T',
        Ok(false) => 'F',
        Err(ConditionError::Unconvertible { .. }) => 'E',
        Err(other) => panic!("{kind} {expression} {value}: {other}"),
    }
}

#[test]
fn values_are_converted_as_openfga_converts_them() {
    for (kind, expression, value, wanted) in [
        ("int", "p == 1", "1", 'T'),
        ("int", "p == 1", "1.0", 'T'),
        ("int", "p == 1", "1.5", 'E'),
        ("int", "p == 1", "\"1\"", 'T'),
        ("int", "p == 1", "\"+1.0\"", 'T'),
        ("int", "p == 1000", "\"1e3\"", 'T'),
        ("int", "p == 1", "\"1.5\"", 'E'),
        ("int", "p == 1", "\" 1\"", 'E'),
        ("int", "p == 1", "\"0x1\"", 'E'),
        ("int", "p == 1", "\"1_0\"", 'E'),
        ("int", "p == 1", "\"\"", 'E'),
        ("int", "p == 1", "\"Inf\"", 'E'),
        ("int", "p == 1", "true", 'E'),
        ("int", "p == 1", "null", 'E'),
        ("int", "p == 1", "[1]", 'E'),
        ("int", "p == 9223372036854775807", "\"9223372036854775807\"", 'T'),
        ("int", "p == 9223372036854775807", "1e300", 'T'),
        ("int", "p == -9223372036854775808", "\"-1e30\"", 'T'),
        ("int", "p == 9007199254740992", "9007199254740993", 'T'),
        ("uint", "p == 1u", "\"1\"", 'T'),
        ("uint", "p == 1u", "-1", 'E'),
        ("uint", "p == 9223372036854775807u", "\"18446744073709551615\"", 'T'),
        ("double", "p == 0.1", "0.1", 'T'),
        ("double", "p == 0.5", "\"0.5\"", 'T'),
        ("double", "p == 0.1", "\"0.1\"", 'E'),
        ("double", "p == 0.1", "\"0.1000000000000000055511151231257827\"", 'T'),
        ("double", "p > 1.0", "\"1e400\"", 'E'),
        ("double", "p > 1.0", "\"1e-400\"", 'E'),
        ("double", "p > 1.0", "\"18446744073709551615\"", 'E'),
        ("double", "p > 1.0", "\"inf\"", 'T'),
        ("double", "p > 1.0", "\"nan\"", 'E'),
        ("double", "p > 1.0", "true", 'E'),
        ("bool", "p", "true", 'T'),
        ("bool", "p", "\"true\"", 'E'),
        ("bool", "p", "1", 'E'),
        ("string", "p == '1'", "\"1\"", 'T'),
        ("string", "p == '1'", "1", 'E'),
        ("string", "p == ''", "null", 'E'),
        ("duration", "p == duration('90m')", "\"1h30m\"", 'T'),
        ("duration", "p < duration('0s')", "\"-1.5h\"", 'T'),
        ("duration", "p == duration('0s')", "\"0\"", 'T'),
        ("duration", "p == duration('1us')", "\"1µs\"", 'T'),
        ("duration", "p > duration('0s')", "\"9223372036854775808ns\"", 'E'),
        ("duration", "p > duration('0s')", "\"1d\"", 'E'),
        ("duration", "p > duration('0s')", "\"1\"", 'E'),
        ("duration", "p > duration('0s')", "60", 'E'),
        ("timestamp", "p.getFullYear() == 2024", "\"2024-01-01T00:00:00Z\"", 'T'),
        ("timestamp", "p.getFullYear() == 2023", "\"2024-01-01T0:00:00+02:00\"", 'T'),
        ("timestamp", "p.getMilliseconds() == 500", "\"2024-01-01T00:00:00,5Z\"", 'T'),
        ("timestamp", "p.getFullYear() == 2024", "\"2024-01-01t00:00:00Z\"", 'E'),
        ("timestamp", "p.getFullYear() == 2024", "\"2024-01-01T00:00:60Z\"", 'E'),
        ("timestamp", "p.getFullYear() == 2024", "\"2023-02-29T00:00:00Z\"", 'E'),
        ("timestamp", "p.getFullYear() == 2024", "1704067200", 'E'),
        ("ipaddress", "p.in_cidr('10.0.0.0/8')", "\"::ffff:10.0.0.1\"", 'T'),
        ("ipaddress", "p.in_cidr('10.0.0.0/8')", "\"10.0.0.01\"", 'E'),
        ("ipaddress", "p.in_cidr('10.0.0.0/8')", "\"10.0.0.1/8\"", 'E'),
        ("any", "p == null", "null", 'T'),
        ("any", "type(p) == double", "1", 'T'),
        ("list<string>", "p == ['a']", "[\"a\"]", 'T'),
        ("list<string>", "p == ['a']", "[1]", 'E'),
        ("list<int>", "p == [1, 2]", "[1, \"2\"]", 'T'),
        ("list<any>", "p == [null]", "[null]", 'T'),
        ("list<string>", "p == ['a']", "\"a\"", 'E'),
        ("map<int>", "p.k == 1", "{\"k\":\"1\"}", 'T'),
        ("map<int>", "p.k == 1", "{\"k\":null}", 'E'),
        ("map<list<int>>", "p.k[0] == 1", "{\"k\":[1]}", 'T'),
        ("map<any>", "p == {}", "[]", 'E'),
    ] {
        assert_eq!(said(kind, expression, value), wanted, "{kind} {expression} {value}");
    }
}

#[test]
fn the_tuple_wins_over_the_request() {
    let ask = |tuple: &str, request: &str| ask("p: int", "p == 1", tuple, request).0;
    assert_eq!(ask(r#"{"p":1}"#, r#"{"p":2}"#), Ok(true));
    assert_eq!(ask(r#"{"p":2}"#, r#"{"p":1}"#), Ok(false));
    assert_eq!(ask(r#"{"p":1}"#, r#"{"p":"not a number"}"#), Ok(true));
    assert_eq!(ask("{}", r#"{"p":1,"unknown":[]}"#), Ok(true));
    assert!(
        matches!(ask(r#"{"p":"x"}"#, r#"{"p":1}"#), Err(ConditionError::Unconvertible { parameter, .. }) if parameter == "p")
    );
}

#[test]
fn every_declared_parameter_must_have_a_value() {
    let ask = |tuple: &str, request: &str| ask("p: int, q: string, r: any", "true || p == 1", tuple, request).0;
    assert_eq!(ask(r#"{"p":1}"#, r#"{"q":"","r":null}"#), Ok(true));
    let missing = ask(r#"{"q":""}"#, "{}").unwrap_err();
    assert_eq!(missing.to_string(), "condition `c` is missing `p`, `r`");
}

#[test]
fn a_condition_without_parameters_takes_no_context() {
    assert_eq!(ask("", "true", "{}", "{}").0, Ok(true));
    assert!(matches!(ask("", "true", "{}", r#"{"p":1}"#).0, Err(ConditionError::NoParameters(_))));
}

#[test]
fn a_tuple_may_give_declared_values_only() {
    let condition = compile("p: int", "p == 1").unwrap();
    let refused = bind(&condition, r#"{"p":1,"z":1,"k":2}"#).unwrap_err();
    assert_eq!(refused.to_string(), "condition `c` does not declare `k`, `z`");
    assert!(bind(&condition, r#"{"p":"a wrong value is an error later"}"#).is_ok());
}
