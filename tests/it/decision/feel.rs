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
fn junctions_have_the_truth_tables_of_the_standard() {
    let truth = [
        (Some(true), "true"),
        (Some(false), "false"),
        (None, "nothing"),
    ];
    let text =
        |truth: Option<bool>| truth.map_or("null", |truth| if truth { "true" } else { "false" });
    for (a, left) in truth {
        for (b, right) in truth {
            let both = match (a, b) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            };
            let either = match (a, b) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            };
            check(&[
                (&format!("{left} and {right}"), text(both)),
                (&format!("{left} or {right}"), text(either)),
            ]);
        }
        check(&[(&format!("not({left})"), text(a.map(|truth| !truth)))]);
        // What is no boolean counts as "cannot be said".
        check(&[
            (&format!("{left} and 1"), text(a.filter(|truth| !truth))),
            (&format!("\"x\" or {left}"), text(a.filter(|truth| *truth))),
        ]);
    }
}

#[test]
fn an_interval_with_an_end_that_is_null_says_neither_yes_nor_no() {
    check(&[
        ("a in [nothing..10]", "null"),
        ("a in [1..nothing)", "null"),
        ("a in [1..Quality Score]", "true"),
        ("a in (a..Quality Score]", "false"),
        ("a between nothing and 10", "null"),
        ("a between nothing and 5", "false"),
        ("nothing in [1..5]", "null"),
        ("a in (nothing, 7)", "true"),
    ]);
    assert_eq!(holds("[a..Quality Score]", "79.5"), Some(true));
    assert_eq!(holds("not([nothing..10])", "5"), None);
    assert_eq!(holds("[nothing..10], 5", "5"), Some(true));
}

#[test]
fn an_expression_may_begin_with_an_equals_sign() {
    check(&[
        ("= a + 1", "8"),
        ("=person.name", "\"Ada\""),
        ("= a = 7", "true"),
    ]);
}

#[test]
fn contexts_lists_and_paths_nest() {
    check(&[
        ("{a: {b: [10, 20]}}.a.b[2]", "20"),
        (
            "{first name: \"Ada\", greeting: \"Hi \" + first name}.greeting",
            "\"Hi Ada\"",
        ),
        ("[{n: 1}, {n: 2}].n", "[1, 2]"),
        ("[[1, 2], [3]][2]", "[3]"),
        ("person.home", "{country: \"GB\"}"),
        ("nothing.name", "null"),
    ]);
}

#[test]
fn dates_times_and_durations_have_parts() {
    check(&[
        ("date(\"2026-11-22\").year", "2026"),
        ("date(\"2026-11-22\").month", "11"),
        ("date(\"2026-11-22\").day", "22"),
        ("time(\"10:11:12Z\").hour", "10"),
        ("time(\"10:11:12Z\").minute", "11"),
        ("time(\"10:11:12Z\").second", "12"),
        ("time(\"10:11:12+02:00\").time offset", "duration(\"PT2H\")"),
        (
            "@\"2026-07-01T12:00:00@Europe/Paris\".timezone",
            "\"Europe/Paris\"",
        ),
        ("duration(\"P1Y2M\").years", "1"),
        ("duration(\"P1Y2M\").months", "2"),
        ("duration(\"P2DT3H4M5S\").days", "2"),
        ("duration(\"P2DT3H4M5S\").minutes", "4"),
        ("duration(\"P2DT3H4M5S\").seconds", "5"),
        (
            "@\"2026-01-01T24:00:00Z\" - @\"PT1S\"",
            "date and time(\"2026-01-01T23:59:59Z\")",
        ),
        ("@\"2026-01-01T24:00:01\"", "null"),
    ]);
}

#[test]
fn patterns_are_those_of_xpath() {
    check(&[
        // White space in the pattern does not count with `x`, but for that in brackets.
        (
            "matches(\"hello world\", \"he ll o[ ]worl d\", \"x\")",
            "true",
        ),
        (
            "matches(\"hello world\", \"hello\\ sworld\", \"x\")",
            "true",
        ),
        ("matches(\"b\", \"^[a-z-[aeiou]]$\")", "true"),
        ("matches(\"a\", \"^[a-z-[aeiou]]$\")", "false"),
        ("matches(\"a\\u000Db\", \"a.b\")", "false"),
        ("matches(\"a\\u000Db\", \"a.b\", \"s\")", "true"),
        ("matches(\"a.b\", \"a.b\", \"q\")", "true"),
        ("matches(\"axb\", \"a.b\", \"q\")", "false"),
        ("matches(\"a\", \"a\", \"y\")", "null"),
    ]);
    // The same pattern with other flags is another pattern.
    check(&[
        ("matches(\"A\", \"a\")", "false"),
        ("matches(\"A\", \"a\", \"i\")", "true"),
        ("matches(\"A\", \"a\")", "false"),
    ]);
}

#[test]
fn a_list_of_one_counts_as_its_item_where_text_or_a_number_is_wanted() {
    check(&[
        ("upper case(tags[item = \"vip\"])", "\"VIP\""),
        ("starts with([\"lead\"], \"le\")", "true"),
        ("upper case(tags)", "null"),
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

#[test]
fn instance_of_looks_into_lists_contexts_and_ranges() {
    check(&[
        ("[1, 2] instance of list<number>", "true"),
        ("[1, \"2\"] instance of list<number>", "false"),
        ("[1, null] instance of list<number>", "true"),
        ("[] instance of list<string>", "true"),
        ("null instance of list<Any>", "false"),
        ("1 instance of list<number>", "false"),
        ("[[1], [2]] instance of list<list<number>>", "true"),
        (
            "[[1], [\"a\"]] instance of list < list < number > >",
            "false",
        ),
        ("{a: 1, b: \"x\"} instance of context<a: number>", "true"),
        (
            "{a: 1, b: \"x\"} instance of context<a: number, b: number>",
            "false",
        ),
        ("{b: 1} instance of context<a: number>", "false"),
        ("{a: [1]} instance of context<a: list<number>>", "true"),
        ("[1..2] instance of range<number>", "true"),
        ("[1..2] instance of range<string>", "false"),
        ("[1, \"2\"] instance of list", "true"),
        ("(1 instance of number) and true", "true"),
    ]);
    for text in [
        "1 instance of list<",
        "1 instance of list<number",
        "1 instance of function<> -> Any",
        "1 instance of tNumbers",
    ] {
        assert!(scope().expression(text).is_err(), "{text}");
    }
}

#[test]
fn functions_that_need_no_function_as_an_argument() {
    check(&[
        ("sort([3, 1, 2])", "[1, 2, 3]"),
        ("sort([\"b\", \"a\"])", "[\"a\", \"b\"]"),
        (
            "sort([@\"2026-02-01\", @\"2026-01-01\"])[1] = @\"2026-01-01\"",
            "true",
        ),
        ("sort([1, \"a\"])", "null"),
        ("sort([1, null])", "null"),
        ("sort([])", "[]"),
        ("list replace([1, 2, 3], 2, 9)", "[1, 9, 3]"),
        ("list replace([1, 2, 3], -1, 9)", "[1, 2, 9]"),
        ("list replace([1], 2, 9)", "null"),
        (
            "list replace(list: [1], position: 1, newItem: [2])",
            "[[2]]",
        ),
        ("range(\"[1..5)\") = [1..5)", "true"),
        ("3 in range(\"(1..3)\")", "false"),
        (
            "range(\"[@\\\"2026-01-01\\\"..@\\\"2026-01-31\\\"]\").end = @\"2026-01-31\"",
            "true",
        ),
        ("range(\"[5..1]\")", "null"),
        ("range(\"[1..a]\")", "null"),
        ("range(\"5\")", "null"),
        (
            "context([{key: \"a\", value: 1}, {key: \"b\", value: null}])",
            "{a: 1, b: null}",
        ),
        ("context({key: \"a\", value: 1})", "{a: 1}"),
        (
            "context([{key: \"a\", value: 1}, {key: \"a\", value: 2}])",
            "null",
        ),
        ("context([{key: \"a\"}])", "null"),
        ("context put({a: 1}, \"b\", 2)", "{a: 1, b: 2}"),
        ("context put({a: 1}, \"a\", 2)", "{a: 2}"),
        ("context put({a: {b: 1}}, [\"a\", \"b\"], 2)", "{a: {b: 2}}"),
        ("context put({a: 1}, [], 2)", "null"),
        ("context put(null, \"a\", 2)", "null"),
        ("context merge([{a: 1, b: 1}, {b: 2}])", "{a: 1, b: 2}"),
        ("context merge([{a: 1}, 5])", "null"),
    ]);
    let refused = scope()
        .expression("sort([1, 2], function(x, y) x > y)")
        .unwrap_err();
    assert!(
        refused
            .message
            .contains("functions as values are not supported"),
        "{}",
        refused.message
    );
}

#[test]
fn how_points_and_intervals_lie_to_one_another() {
    check(&[
        ("before(1, 10)", "true"),
        ("before(1, [1..10])", "false"),
        ("before(1, (1..10])", "true"),
        ("before([1..10), 10)", "true"),
        ("before([1..10], [10..20])", "false"),
        ("after(12, [2..5])", "true"),
        ("after((5..10], 5)", "true"),
        ("meets([1..5], [5..10])", "true"),
        ("meets([1..5), [5..10])", "false"),
        ("met by([5..10], [1..5])", "true"),
        ("overlaps([1..5], [3..8])", "true"),
        ("overlaps([1..5), [5..8])", "false"),
        ("overlaps before([1..5], [3..8])", "true"),
        ("overlaps before([1..8], [3..5])", "false"),
        ("overlaps after([3..8], [1..5])", "true"),
        ("overlaps after((1..5], [1..5])", "true"),
        ("finishes(10, [1..10])", "true"),
        ("finishes([5..10], [1..10])", "true"),
        ("finished by([1..10), [5..10))", "true"),
        ("includes([1..10], 5)", "true"),
        ("includes([1..10), [1..10])", "false"),
        ("during([2..3], [1..10])", "true"),
        ("during(10, [1..10))", "false"),
        ("starts(1, [1..10])", "true"),
        ("starts([1..5), [1..5))", "true"),
        ("started by([1..10], [1..5])", "true"),
        ("coincides([1..5], [1..5])", "true"),
        ("coincides([1..5), [1..5])", "false"),
        ("coincides(3, 3)", "true"),
        (
            "before(@\"2026-01-01\", [@\"2026-02-01\"..@\"2026-03-01\"])",
            "true",
        ),
        ("during(point: 5, range: [1..10])", "true"),
        // What cannot be compared, has no end, or is a point where an interval is wanted.
        ("before(1, \"a\")", "null"),
        ("before(1, null)", "null"),
        ("meets(1, [1..2])", "null"),
        ("overlaps([1..5], (> 3))", "null"),
    ]);
}
