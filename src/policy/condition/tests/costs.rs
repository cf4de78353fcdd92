//! What evaluations cost: the numbers are cel-go's.

use super::{ConditionError, EvaluationFault, PARAMETERS, REQUEST, ask};

fn cost(expression: &str) -> u64 {
    let (answer, cost) = ask(PARAMETERS, expression, "{}", REQUEST);
    assert!(answer.is_ok(), "{expression}: {answer:?}");
    cost
}

#[test]
fn each_step_costs_what_it_costs_in_cel_go() {
    for (expression, wanted) in [
        ("true", 0),
        ("b", 1),
        ("x == 1", 2),
        ("m.k == 'v'", 3),
        ("has(m.k)", 2),
        ("has(a.k.j)", 3),
        ("l[x - 1] == 'a'", 5),
        ("(b ? m : m).k == 'v'", 3),
        ("b ? b : b", 1),
        ("x in [1, 2, 3]", 1),
        ("x in li", 4),
        ("x in []", 0),
        ("'k' in m", 2),
        ("s == ''", 1),
        ("s.contains('b')", 2),
        ("s.matches('a.*')", 2),
        ("duration('1h') < du", 2),
        ("t.getHours('+02:00') == 14", 3),
        ("l.exists(v, v == 'b')", 14),
        ("l.all(v, v != 'z')", 12),
        ("l.exists_one(v, v == 'b')", 9),
        ("size(l.map(v, v + 'x')) == 2", 32),
        ("size(l.filter(v, v == 'a')) == 1", 21),
        ("[x][0] == 1", 14),
        ("{'a': x}.a == 1", 34),
        ("'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' == 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'", 3),
        ("s + 'aaaaaaaaaaaaaaaaaa' != s", 6),
    ] {
        assert_eq!(cost(expression), wanted, "{expression}");
    }
}

#[test]
fn a_hundred_is_allowed_and_no_more() {
    let sum = |terms: usize| format!("{} < 0", vec!["1"; terms].join(" + "));
    let (answer, cost) = ask("", &sum(100), "{}", "{}");
    assert_eq!((answer, cost), (Ok(false), 100));
    let (answer, _) = ask("", &sum(101), "{}", "{}");
    assert!(matches!(answer, Err(ConditionError::Failed { fault: EvaluationFault::CostExceeded, .. })));
}

#[test]
fn nothing_rescues_an_evaluation_that_costs_too_much() {
    let request = format!(r#"{{"l":[{}]}}"#, vec!["1"; 5_000].join(","));
    for expression in [
        "l.exists(v, v == 2) || true",
        "!l.all(v, l.all(w, w == v)) || true",
        "l.map(v, v).size() == 1 || true",
        "2 in l || true",
        "l.exists_one(v, v == 1 || true) || true",
    ] {
        let (answer, _) = ask("l: list<int>", expression, "{}", &request);
        assert!(
            matches!(answer, Err(ConditionError::Failed { fault: EvaluationFault::CostExceeded, .. })),
            "{expression}: {answer:?}"
        );
    }
}

#[test]
fn loops_that_cost_nothing_end_too() {
    let request = format!(r#"{{"l":[{}]}}"#, vec!["1"; 9_000].join(","));
    let nested = "l.exists_one(v, l.exists_one(w, l.exists_one(y, l.exists_one(z, false))))";
    let (answer, _) = ask("l: list<int>", nested, "{}", &request);
    assert!(matches!(answer, Err(ConditionError::Failed { fault, .. }) if fault.is_final()));
}

#[test]
fn large_texts_are_bounded() {
    let request = format!(r#"{{"s":"{}"}}"#, "a".repeat(30_000));
    for expression in ["s + s == s", "s.matches('(a*)*b')", "s == s", "s.contains(s)"] {
        let (answer, _) = ask("s: string", expression, "{}", &request);
        assert!(matches!(answer, Err(ConditionError::Failed { .. })), "{expression}: {answer:?}");
    }
}
