//! FEEL by example: what people write in cells, and what it comes to.

use datasync::decision::feel::eval::{Frame, evaluate, holds_any};
use datasync::decision::feel::parse::Scope;
use datasync::decision::feel::value::Value;

fn scope() -> Scope {
    let mut scope = Scope::new(false);
    for (slot, name) in [
        "a",
        "Quality Score",
        "person",
        "tags",
        "nothing",
        "Pre-check",
    ]
    .into_iter()
    .enumerate()
    {
        scope.add(name, slot);
    }
    scope
}

fn frame(scope: &Scope) -> Frame {
    let mut values = vec![
        Value::integer(7),
        Value::Number("79.5".parse().unwrap()),
        Value::of_json(&serde_json::json!({"name": "Ada", "home": {"country": "GB"}})),
        Value::of_json(&serde_json::json!(["new", "vip"])),
        Value::Null,
        Value::integer(1),
    ];
    values.resize(scope.next_slot.max(6), Value::Null);
    Frame {
        values,
        ..Frame::default()
    }
}

fn value(text: &str) -> String {
    let mut scope = scope();
    let expression = scope
        .expression(text)
        .unwrap_or_else(|error| panic!("{text}: {}", error.message));
    evaluate(&expression, &mut frame(&scope)).literal()
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(value(text), *expected, "{text}");
    }
}

/// What an input entry says to an input: yes, no, or cannot be said.
fn holds(entry: &str, input: &str) -> Option<bool> {
    let mut scope = scope();
    let input = evaluate(&scope.expression(input).unwrap(), &mut frame(&scope));
    let tests = scope
        .tests(entry)
        .unwrap_or_else(|error| panic!("{entry}: {}", error.message));
    holds_any(&tests, &input, &mut frame(&scope))
}

#[test]
fn literals() {
    check(&[
        ("79.50", "79.5"),
        (".5", "0.5"),
        ("1.2e3", "1200"),
        (
            "\"a \\\"b\\\" \\u00e9 \\uD83D\\uDE00 \\n\"",
            "\"a \\\"b\\\" é 😀 \n\"",
        ),
        ("null", "null"),
        ("true", "true"),
        ("date(\"2026-02-28\")", "date(\"2026-02-28\")"),
        ("@\"2026-02-28\"", "date(\"2026-02-28\")"),
        ("@\"10:11:12.5+02:00\"", "time(\"10:11:12.5+02:00\")"),
        (
            "@\"2026-02-28T10:11:12Z\"",
            "date and time(\"2026-02-28T10:11:12Z\")",
        ),
        ("@\"P1DT2H\"", "duration(\"P1DT2H\")"),
        ("duration(\"P14M\")", "duration(\"P1Y2M\")"),
        ("date(\"2026-02-30\")", "null"),
        ("[1, \"a\", [true]]", "[1, \"a\", [true]]"),
        ("{a b: 1, \"c\": a b + 1}", "{a b: 1, c: 2}"),
    ]);
}

#[test]
fn arithmetic_is_exact_and_binds_as_in_school() {
    check(&[
        ("0.1 + 0.2", "0.3"),
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("2 ** 3 ** 2", "64"),
        ("-a ** 2", "49"),
        ("10 - 3 - 2", "5"),
        ("1 / 4", "0.25"),
        ("1 / 0", "null"),
        ("\"a\" + \"b\"", "\"ab\""),
        ("\"a\" + 1", "null"),
        ("a + nothing", "null"),
        (
            "date(\"2026-01-31\") + duration(\"P1M\")",
            "date(\"2026-02-28\")",
        ),
        (
            "date(\"2026-03-01\") - date(\"2026-02-01\")",
            "duration(\"P28D\")",
        ),
        ("duration(\"PT90M\") * 2", "duration(\"PT3H\")"),
        (
            "99999999999999999999999999 * 99999999999999999999999999",
            "null",
        ),
    ]);
}

#[test]
fn names_may_hold_spaces_and_signs() {
    check(&[
        ("Quality Score", "79.5"),
        ("Quality   Score - 9.5", "70"),
        ("Pre-check + 1", "2"),
        ("person.name", "\"Ada\""),
        ("person.home.country", "\"GB\""),
        ("person.unknown", "null"),
        ("tags[1]", "\"new\""),
        ("tags[-1]", "\"vip\""),
        ("tags[item = \"vip\"]", "[\"vip\"]"),
        ("[{n: 1}, {n: 5}][n > 2].n", "[5]"),
    ]);
}

#[test]
fn logic_has_three_values() {
    check(&[
        ("true and nothing", "null"),
        ("false and nothing", "false"),
        ("true or nothing", "true"),
        ("false or nothing", "null"),
        ("not(nothing)", "null"),
        ("nothing = null", "true"),
        ("a = null", "false"),
        ("a = \"7\"", "null"),
        ("a < \"7\"", "null"),
        ("a != 7", "false"),
        ("if nothing then 1 else 2", "2"),
        ("if a > 5 then \"big\" else \"small\"", "\"big\""),
        ("a between 5 and 7", "true"),
        ("a in [1..7)", "false"),
        ("a in (< 3, [6..8])", "true"),
        ("a in (1, 7)", "true"),
        ("\"vip\" in tags", "true"),
        ("a instance of number", "true"),
        ("some t in tags satisfies t = \"vip\"", "true"),
        ("every t in tags satisfies t = \"vip\"", "false"),
        ("for i in 1..3 return i * i", "[1, 4, 9]"),
        ("is defined(a)", "true"),
        ("is defined(b)", "false"),
    ]);
}

#[test]
fn functions_that_tables_use() {
    check(&[
        ("string length(\"é😀\")", "2"),
        ("substring(\"customer\", 3)", "\"stomer\""),
        ("substring(\"customer\", -3, 2)", "\"me\""),
        ("upper case(\"straße\")", "\"STRASSE\""),
        ("lower case(\"ÉTÉ\")", "\"été\""),
        ("contains(\"ada@example.org\", \"@\")", "true"),
        ("starts with(string: \"lead\", match: \"le\")", "true"),
        ("ends with(\"lead\", \"x\")", "false"),
        ("matches(\"AB-12\", \"^[A-Z]{2}-[0-9]+$\")", "true"),
        ("matches(\"ab\", \"AB\", \"i\")", "true"),
        ("matches(\"ab\", \"(\")", "null"),
        (
            "replace(\"2026-01\", \"([0-9]+)-([0-9]+)\", \"$2/$1\")",
            "\"01/2026\"",
        ),
        ("split(\"a;b;;c\", \";\")", "[\"a\", \"b\", \"\", \"c\"]"),
        ("abs(-2.5)", "2.5"),
        ("floor(-1.5)", "-2"),
        ("ceiling(1.2)", "2"),
        ("round(2.5)", "3"),
        ("round half down(2.5, 0)", "2"),
        ("decimal(1 / 3, 2)", "0.33"),
        ("modulo(-12, 5)", "3"),
        ("min(3, 1, 2)", "1"),
        ("max([3, 1, 2])", "3"),
        ("sum(0.1, 0.2)", "0.3"),
        ("mean(1, 2, 6)", "3"),
        ("count(tags)", "2"),
        ("list contains(tags, \"vip\")", "true"),
        ("number(\"1 000,5\", \" \", \",\")", "1000.5"),
        ("string(1.50)", "\"1.5\""),
        ("date(\"2026-11-22\").weekday", "7"),
        ("date and time(\"2026-11-22T23:59:00Z\").hour", "23"),
        ("day of week(date(\"2026-11-22\"))", "\"Sunday\""),
        ("month of year(date(\"2026-11-22\"))", "\"November\""),
        (
            "years and months duration(date(\"2024-02-29\"), date(\"2026-02-28\"))",
            "duration(\"P1Y11M\")",
        ),
        ("duration(\"P2DT3H\").hours", "3"),
    ]);
}

#[test]
fn times_compare_as_instants() {
    check(&[
        (
            "date and time(\"2026-01-01T12:00:00+02:00\") = date and time(\"2026-01-01T10:00:00Z\")",
            "true",
        ),
        (
            "date and time(\"2026-07-01T12:00:00@Europe/Paris\") < date and time(\"2026-07-01T10:00:01Z\")",
            "true",
        ),
        ("time(\"10:00:00Z\") < time(\"11:00:00+02:00\")", "false"),
        (
            "date(\"2026-01-01\") < date and time(\"2026-01-02T00:00:00Z\")",
            "null",
        ),
    ]);
}

#[test]
fn input_entries() {
    for (entry, input, expected) in [
        ("-", "nothing", Some(true)),
        ("", "5", Some(true)),
        ("5", "5.0", Some(true)),
        ("= 5", "5", Some(true)),
        ("!= 5", "6", Some(true)),
        ("< 5", "5", Some(false)),
        ("<= 5", "5", Some(true)),
        ("[50..80)", "79.5", Some(true)),
        ("[50..80)", "80", Some(false)),
        ("]50..80]", "50", Some(false)),
        ("[50..80[", "80", Some(false)),
        ("< 0, > 100", "101", Some(true)),
        ("\"lead\", \"partner\"", "\"partner\"", Some(true)),
        ("not(\"lead\", \"partner\")", "\"partner\"", Some(false)),
        ("not(\"lead\")", "null", Some(true)),
        ("not(> 5)", "null", None),
        ("> 5", "null", None),
        ("null", "null", Some(true)),
        ("null, > 5", "null", Some(true)),
        ("> a", "8", Some(true)),
        ("[a..10]", "7", Some(true)),
        ("? > 5 and ? < 10", "7", Some(true)),
        ("starts with(?, \"le\")", "\"lead\"", Some(true)),
        ("string length(?) > 3, \"x\"", "\"x\"", Some(true)),
        ("true", "true", Some(true)),
        ("tags", "\"vip\"", Some(true)),
        ("[\"a\", \"b\"]", "\"b\"", Some(true)),
        ("date(\"2026-01-01\")", "date(\"2026-01-01\")", Some(true)),
        ("> date(\"2026-01-01\")", "date(\"2026-01-02\")", Some(true)),
        ("> 5", "\"7\"", None),
        ("a > 5", "\"anything\"", Some(true)),
    ] {
        assert_eq!(holds(entry, input), expected, "`{entry}` for {input}");
    }
}

#[test]
fn strict_reading_refuses_what_would_silently_be_null() {
    for (text, part) in [
        ("date(\"2026-02-30\")", "this is no date"),
        ("duration(\"1 day\")", "this is no duration"),
        ("@\"yesterday\"", "not a date"),
        ("[1..\"b\"]", "ends of this interval"),
        ("1 / 0", "cannot be computed"),
        ("0.12345678901234567890123456789", "28 digits"),
        (
            "substring(\"a\")",
            "called as substring(string, start position, [length])",
        ),
        ("function(x) x", "functions as values"),
        ("\"open", "no closing quote"),
        ("1 +", "found the end"),
        ("Qualty Score", "no input or decision named `Qualty`"),
    ] {
        let mut scope = Scope::new(true);
        scope.add("Quality Score", 0);
        let message = scope.expression(text).unwrap_err().message;
        assert!(message.contains(part), "{text}: {message}");
    }
}
