//! What expressions answer.

use super::{EvaluationFault, answer};

fn all_hold(expressions: &[&str]) {
    for expression in expressions {
        assert_eq!(answer(expression), Ok(true), "{expression}");
    }
}

fn all_fail(fault: EvaluationFault, expressions: &[&str]) {
    for expression in expressions {
        assert_eq!(answer(expression), Err(fault), "{expression}");
    }
}

#[test]
fn numbers_are_calculated_in_their_type() {
    all_hold(&[
        "2 * 3 + 4 == 10 && 2 + 3 * 4 == 14 && 10 - 3 - 2 == 5 && 100 / 10 / 5 == 2",
        "-7 / 2 == -3 && -7 % 2 == -1",
        "0xFF == 255 && 0xFFu == 255u && -0xF == -15",
        "-9223372036854775808 < 9223372036854775807",
        "1.0 / 0.0 > 1e300 && .5 == 0.5",
        "0.0 / 0.0 != 0.0 / 0.0 && !(0.0 / 0.0 < 1.0)",
        "1 - -1 == 2 && x-1 == 0 && -(-x) == 1",
    ]);
    all_fail(
        EvaluationFault::Overflow,
        &["9223372036854775807 + x > 1", "0u - u > 0u", "-(-9223372036854775808) < x", "-9223372036854775808 / -1 < x"],
    );
    all_fail(EvaluationFault::DivisionByZero, &["x / 0 == 1", "x % 0 == 1", "u / 0u == 1u"]);
}

#[test]
fn values_of_unknown_types_are_compared_as_numbers_or_differ() {
    all_hold(&[
        "dyn(x) == 1.0 && dyn(1) < 2.5 && dyn(-1) < 0u && dyn(2u) == 2",
        "dyn(1) != 'a' && a.k == 1 && a.k < 2u && [dyn(1), 2.0] == [1.0, 2]",
        "a.n == null && a != null && m.n == null && t != null && ip != null",
        "dyn(1.0) in [1] && dyn(1u) in [1] && !(a in [1])",
    ]);
    all_fail(EvaluationFault::NoOverload, &["dyn(1) < 'a'", "dyn(1) + 1.0 == 2.0", "a < 5"]);
}

#[test]
fn an_error_yields_to_the_operand_that_decides() {
    all_hold(&[
        "1 / 0 == 1 || b",
        "b || 1 / 0 == 1",
        "!(1 / 0 == 1 && !b)",
        "m.z.y.x || true",
        "-(x / 0) == 1 || true",
    ]);
    all_fail(EvaluationFault::DivisionByZero, &["1 / 0 == 1 && b", "!b || x / 0 == 1", "b ? x / 0 == 1 : true"]);
}

#[test]
fn loops_answer_for_their_elements() {
    all_hold(&[
        "l.exists(v, v == 'b') && !l.exists(v, v == 'z') && l.all(v, v != 'z') && l.exists_one(v, v == 'b')",
        "l.map(v, v + 'x') == ['ax', 'bx'] && l.map(v, v == 'a', v + 'x') == ['ax']",
        "l.filter(v, v == 'a') == ['a'] && m.exists(k, k == 'k')",
        "[1, 2, 3].exists(i, 6 / (i - 2) == 6)",
        "[[1]].map(v, v)[0][0] == 1 && [l].exists(v, v.exists(w, w == 'b'))",
        "l.exists(x, x == 'a') && x == 1",
    ]);
    all_fail(
        EvaluationFault::DivisionByZero,
        &["[1, 2, 3].exists(i, 6 / (i - 2) == 7)", "[1, 2].exists_one(i, 1 / (i - 1) == 1)", "[1].map(i, 1 / 0) == []"],
    );
}

#[test]
fn lists_and_maps_are_read() {
    all_hold(&[
        "l[0] == 'a' && li[dyn(1.0)] == 2 && m['k'] == 'v' && m.k == 'v' && mi.q == 3 && (b ? m : m).k == 'v'",
        "has(m.k) && !has(m.z) && has(m.n) && !has(a.k.j)",
        "'k' in m && x in li && !(x in []) && 'a' in l",
        "{'a': 1, 'a': 2}.a == 2 && {1: 2}[1] == 2 && {'a': dyn(1)} == {'a': 1.0}",
        "l + ['c'] == ['a', 'b', 'c'] && size(l + l) == 4 && size('é') == 1 && size(b'é') == 2",
    ]);
    all_fail(EvaluationFault::NoSuchKey, &["m.z == 1", "m[s] == 1", "a.z.j == 1", "has(a.z.j)"]);
    all_fail(EvaluationFault::IndexOutOfBounds, &["li[5] == 1", "li[-1] == 1", "li[dyn(1.5)] == 2"]);
}

#[test]
fn texts_are_searched_as_re2_searches_them() {
    all_hold(&[
        "s.contains('b') && s.startsWith('ab') && s.endsWith('') && s.matches('^[a-c]+$') && matches(s, 'b')",
        r"!'٣'.matches('\\d') && !'é'.matches('\\w') && 'é'.matches('^.$') && s.matches('(?i)ABC')",
        r"'a-b'.matches('^[a-]+b') && 'a]b'.matches('^[]a]+b') && 'a[b'.matches('^[a[]+b') && 'a{2'.matches('a{2')",
        r"s.matches('[[:alpha:]]+') && 'a.c'.matches('\\Qa.c\\E') && !s.matches('[\\d]') && s.matches('[^\\d]')",
        "'a longer text'.matches(s + '|text$')",
    ]);
    all_fail(EvaluationFault::BadPattern, &["s.matches(s + '(')", "s.matches(s + '(?x)')", "s.matches(s + 'a{1001}')"]);
}

#[test]
fn times_and_durations_are_calculated() {
    all_hold(&[
        "t + du > t && t - t == duration('0s') && du + t == t + du && duration('1h1m') == duration('61m')",
        "t.getFullYear() == 2024 && t.getMonth() == 1 && t.getDate() == 29 && t.getDayOfMonth() == 28",
        "t.getDayOfWeek() == 4 && t.getDayOfYear() == 59 && t.getHours() == 12 && t.getMilliseconds() == 789",
        "t.getHours('+02:00') == 14 && t.getHours('-02:30') == 10 && t.getHours('UTC') == 12",
        "du.getHours() == 1 && du.getMinutes() == 90 && duration('1.5s').getMilliseconds() == 1500",
        "timestamp('0001-01-01T00:00:00Z') < t && timestamp(0) == timestamp('1970-01-01T00:00:00Z')",
        "timestamp('2024-01-01T00:00:00.5+02:00') == timestamp('2023-12-31T22:00:00.5Z')",
    ]);
    all_fail(
        EvaluationFault::Overflow,
        &["timestamp('9999-12-31T23:59:59Z') + du > t", "timestamp('0001-01-01T00:00:00Z') - du < t"],
    );
    let unknown = ["24:00", "europe/vienna", "utc", "Etc/Unknown", "Local", "../zone", "Nowhere/Land", " UTC", "1"];
    let unknown = unknown.map(|zone| format!("t.getHours('{zone}') == 12"));
    all_fail(EvaluationFault::UnknownTimeZone, &unknown.each_ref().map(String::as_str));
}

#[test]
fn clocks_are_read_in_the_zones_of_places() {
    // What OpenFGA reads, in the past and long after the last change that is known.
    for (zone, time, hour, minute) in [
        ("Europe/Vienna", "2024-03-31T00:59:59Z", 1, 59),
        ("Europe/Vienna", "2024-03-31T01:00:00Z", 3, 0),
        ("Europe/Vienna", "2024-10-27T01:00:00Z", 2, 0),
        ("Europe/Vienna", "1893-03-01T00:00:00Z", 1, 5),
        ("Europe/Vienna", "2168-05-24T11:50:44Z", 13, 50),
        ("America/New_York", "2182-01-06T03:23:30Z", 22, 23),
        ("Asia/Kolkata", "1856-12-07T13:17:11Z", 19, 10),
        ("Australia/Lord_Howe", "2166-08-05T04:00:55Z", 14, 30),
        ("Africa/Casablanca", "2197-11-07T05:44:12Z", 6, 44),
        ("America/Sao_Paulo", "1924-05-03T10:19:52Z", 7, 19),
        ("Pacific/Apia", "2158-10-01T19:43:45Z", 8, 43),
        ("Asia/Kathmandu", "1940-01-09T00:47:22Z", 6, 17),
        ("GB", "2146-01-15T01:45:11Z", 1, 45),
        ("EST5EDT", "2169-04-04T07:59:52Z", 3, 59),
        ("Etc/GMT+5", "2038-05-02T13:05:13Z", 8, 5),
        ("Antarctica/Troll", "2024-05-23T17:05:19Z", 19, 5),
        ("Europe/Dublin", "2008-08-06T23:03:05Z", 0, 3),
        ("Asia/Tehran", "2102-06-27T06:08:46Z", 9, 38),
    ] {
        let time = format!("timestamp('{time}')");
        all_hold(&[&format!(
            "{time}.getHours('{zone}') == {hour} && {time}.getMinutes('{zone}') == {minute} && {time} != t"
        )]);
    }
    all_hold(&[
        "timestamp('9999-12-31T23:59:59Z').getFullYear('Europe/Vienna') == 10000",
        "timestamp('0001-01-01T00:00:00Z').getFullYear('America/New_York') == 0",
        "t.getDayOfWeek('Pacific/Auckland') == 5 && t.getDate('Pacific/Auckland') == 1",
    ]);
}

#[test]
fn addresses_are_in_networks() {
    all_hold(&[
        "ip.in_cidr('10.0.0.0/8') && ip.in_cidr('0.0.0.0/0') && !ip.in_cidr('::/0') && !ip.in_cidr('11.0.0.0/8')",
        "ip == ipaddress('::ffff:10.0.0.1') && ip.in_cidr('::ffff:10.0.0.0/104') && !ip.in_cidr('::ffff:0:0/95')",
        "ipaddress('fe80::1').in_cidr('fe80::/10') && !ipaddress('fe80::1%eth0').in_cidr('fe80::/10')",
        "ip in [ipaddress('10.0.0.1')] && ip != dyn('10.0.0.1')",
    ]);
    all_fail(
        EvaluationFault::BadNetwork,
        &["ip.in_cidr('10.0.0.0')", "ip.in_cidr('10.0.0.0/33')", "ip.in_cidr('10.0.0.0/08')"],
    );
    all_fail(EvaluationFault::BadAddress, &["ipaddress('1.2.3') == ip", "ipaddress('01.2.3.4') == ip"]);
    all_fail(EvaluationFault::NoOverload, &["ip == dyn('10.0.0.1')"]);
}

#[test]
fn conversions_follow_go() {
    all_hold(&[
        "string(1000000.0) == '1e+06' && string(123456.0) == '123456' && string(0.00001) == '1e-05'",
        "string(du) == '5400s' && string(t) == '2024-02-29T12:34:56.789Z' && string(x) == '1'",
        "string(timestamp('2024-01-01T00:00:00+02:00')) == '2024-01-01T00:00:00+02:00'",
        "int('1') == x && int(1.9) == 1 && int(-1.9) == -1 && int(t) == 1709210096 && int(du) == 5400000000000",
        "uint('1') == 1u && double('1e3') == 1000.0 && bool('T') && bytes(s) == b'abc' && b'\\377' == b'\\xff'",
        "type(x) == int && type(l) == list && type(null) == null_type && type(t) == google.protobuf.Timestamp",
    ]);
    all_fail(EvaluationFault::BadConversion, &["int(s) == x", "bool(s)", "double(s + '1') == 1.0", "duration(s) < du"]);
}

#[test]
fn text_is_quoted_in_all_of_cels_ways() {
    all_hold(&[
        r#""\u00e9\x41\101" == 'éAA'"#,
        r"r'\d' == '\\d' && br'\d' == b'\\d'",
        "'''a\nb''' == 'a\\nb'",
        "x == 1 // a comment",
    ]);
}
