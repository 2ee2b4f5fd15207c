//! What follows from the fields for the whole record.
use std::borrow::Cow;

use datasync::config::plan::Kind;
use datasync::model::record::Cell;
use datasync::transform::{Mapped, Transform};
use rust_decimal::Decimal;

use super::{at, customers, decimal, field, mapping, outcome, shape, text};

#[test]
fn a_good_record() {
    let transform = Transform::new(&customers()).unwrap();
    assert_eq!(
        transform.variable_names(),
        [
            "customerId",
            "customerName",
            "email",
            "createdAt",
            "qualityScore",
            "recordType",
            "country",
            "hasRequiredFields"
        ]
    );
    let outcome = shape(
        &transform,
        r#" {"external_id":"C-1","full_name":"Zoë Ångström","contact_email":"zoe+x@example.com",
            "created_date":"2024-02-29T12:00:00+01:00","quality_score":79.5,"record_type":"partner",
            "address":{"street":"Main","country":"SE","geo":{"lat":1e400}},"ignored":[1e400,{"a":1,"a":2}]} "#,
    );
    assert_eq!(outcome.messages(), [""; 0]);
    assert_eq!(outcome.missing, [0u16; 0]);
    assert_eq!(outcome.id.as_deref(), Some("C-1"));
    assert_eq!(outcome.version, Some(1_709_204_400_000_000));
    assert_eq!(
        outcome.variables,
        [
            text("C-1"),
            text("Zoë Ångström"),
            text("zoe+x@example.com"),
            at("2024-02-29T11:00:00Z"),
            decimal("79.5"),
            text("partner"),
            text("SE"),
            Cell::Boolean(true)
        ]
    );
}

#[test]
fn variables_that_are_no_fields_have_their_own_slots() {
    let transform = Transform::new(&mapping([field("x", Kind::Integer)])).unwrap();
    assert_eq!(
        transform.variable_names(),
        ["id", "x", "recordType", "qualityScore", "hasRequiredFields"]
    );
    assert_eq!(
        transform.variable_kinds(),
        [
            Some(Kind::String),
            Some(Kind::Integer),
            None,
            Some(Kind::Decimal),
            Some(Kind::Boolean)
        ]
    );
    assert_eq!(
        shape(&transform, r#"{"id":"a","x":1}"#).variables,
        [
            text("a"),
            Cell::Integer(1),
            Cell::Null,
            decimal("100"),
            Cell::Boolean(true)
        ]
    );
    // A score field of another name feeds its own slot and the input variable.
    let mut other = mapping([field("points", Kind::Decimal)]);
    other.quality_score.field = Some(1);
    assert_eq!(
        outcome(&other, r#"{"id":"a","points":12.5}"#).variables,
        [
            text("a"),
            decimal("12.5"),
            Cell::Null,
            decimal("12.5"),
            Cell::Boolean(true)
        ]
    );
}

#[test]
fn all_errors_of_a_record_are_collected_and_none_holds_a_value() {
    let outcome = outcome(
        &customers(),
        r#"{"external_id":"C-1","full_name":{"secret":17171717},"contact_email":"secret-at-nowhere","created_date":"soon-secret",
            "quality_score":101,"record_type":["secret"],"address":{"country":{"secret":1}}}"#,
    );
    assert_eq!(
        outcome.messages(),
        [
            "full_name: expected text, found an object",
            "contact_email: expected e-mail address, found text that is no address",
            "created_date: expected datetime (RFC 3339), found text that is no such time",
            "quality_score: expected decimal from 0 to 100, found a number out of range (above the maximum)",
            "record_type: expected text, found an array",
            "address.country: expected text, found an object",
        ]
    );
    assert_eq!(outcome.id.as_deref(), Some("C-1"));
    // Ill-typed is not missing.
    assert_eq!(outcome.missing, [0u16; 0]);
}

#[test]
fn missing_required_fields_are_for_the_decision_to_judge() {
    for name in [
        "",
        r#","full_name":null"#,
        r#","full_name":"""#,
        r#","full_name":" \t\u00a0 ""#,
    ] {
        let outcome = outcome(&customers(), &format!(r#"{{"external_id":"C-1"{name}}}"#));
        assert_eq!(outcome.messages(), [""; 0], "{name}");
        assert_eq!(outcome.missing, [1], "{name}");
        assert_eq!(
            outcome.variables.last(),
            Some(&Cell::Boolean(false)),
            "{name}"
        );
    }
    let mut required_email = customers();
    required_email.fields[2].required = true;
    let outcome = outcome(
        &required_email,
        r#"{"external_id":"C-1","full_name":"Ana","contact_email":" "}"#,
    );
    assert_eq!(outcome.messages(), [""; 0]);
    assert_eq!(outcome.missing, [2]);
    assert_eq!(outcome.variables[2], Cell::Null);
}

#[test]
fn defaults_stand_in_for_absent_and_null_only() {
    let mapping = customers();
    for (value, expected) in [
        ("", text("customer")),
        (r#","record_type":null"#, text("customer")),
        (r#","record_type":"""#, text("")),
        (r#","record_type":"partner""#, text("partner")),
    ] {
        let outcome = outcome(&mapping, &format!(r#"{{"external_id":"C-1"{value}}}"#));
        assert_eq!(outcome.variables[5], expected, "{value}");
    }
    let mut typed = field("x", Kind::Date);
    typed.default = Some("\"1970-01-02\"".to_owned());
    typed.required = true;
    let outcome = outcome(&super::mapping([typed]), r#"{"id":"a"}"#);
    assert_eq!(outcome.variables[1], Cell::Date(1));
    assert_eq!(outcome.missing, [0u16; 0]);
}

#[test]
fn scores_come_from_the_source_exactly() {
    for (value, expected) in [
        ("0", "0"),
        ("49", "49"),
        ("49.5", "49.5"),
        ("50", "50"),
        ("79", "79"),
        ("79.5", "79.5"),
        ("79.99999999999999999999", "79.99999999999999999999"),
        ("80", "80"),
        ("\"80\"", "80"),
        ("100", "100"),
    ] {
        let raw = format!(r#"{{"external_id":"1","full_name":"A","quality_score":{value}}}"#);
        let outcome = outcome(&customers(), &raw);
        assert_eq!(outcome.variables[4], decimal(expected), "{value}");
        assert_eq!(outcome.messages(), [""; 0], "{value}");
    }
    for value in ["101", "-1", "\"high\"", "1e400"] {
        let raw = format!(r#"{{"external_id":"1","full_name":"A","quality_score":{value}}}"#);
        let outcome = outcome(&customers(), &raw);
        assert_eq!(outcome.errors.len(), 1, "{value}");
        assert_eq!(outcome.errors[0].field, "quality_score", "{value}");
    }
}

#[test]
fn without_a_score_completeness_counts() {
    // Six fields beside the score; the default of recordType does not make it present.
    for (rest, expected) in [
        ("", "16.67"),
        (r#","quality_score":null"#, "16.67"),
        (r#","full_name":"A""#, "33.33"),
        (r#","full_name":"  ""#, "16.67"),
        (r#","full_name":"A","contact_email":"a@b.co""#, "50"),
        (r#","full_name":"A","contact_email":"nonsense""#, "33.33"),
        (
            r#","full_name":"A","contact_email":"a@b.co","record_type":"customer","created_date":"2024-01-01T00:00:00Z","address":{"country":"SE"}"#,
            "100",
        ),
    ] {
        let outcome = outcome(&customers(), &format!(r#"{{"external_id":"1"{rest}}}"#));
        assert_eq!(outcome.variables[4], decimal(expected), "{rest}");
    }
    let mut weighted = mapping([field("x", Kind::String), field("y", Kind::String)]);
    weighted.fields[0].weight = Decimal::from_str_exact("0.5").unwrap();
    weighted.fields[1].weight = Decimal::from_str_exact("0.25").unwrap();
    weighted.fields[2].weight = Decimal::from_str_exact("7.25").unwrap();
    let score = |raw| outcome(&weighted, raw).variables[4].clone();
    assert_eq!(score(r#"{"id":"a"}"#), decimal("6.25"));
    assert_eq!(score(r#"{"id":"a","x":"b"}"#), decimal("9.38"), "half up");
    assert_eq!(score(r#"{"id":"a","y":"b"}"#), decimal("96.88"), "half up");

    let mut none = customers();
    none.quality_score.fallback_completeness = false;
    let outcome = outcome(&none, r#"{"external_id":"1","full_name":"A"}"#);
    assert_eq!(outcome.variables[4], Cell::Null);

    let mut whole = mapping([field("x", Kind::String), field("score", Kind::Integer)]);
    whole.fields.push(field("y", Kind::String));
    whole.quality_score.field = Some(2);
    let outcome = super::outcome(&whole, r#"{"id":"a","x":"b"}"#);
    assert_eq!(outcome.variables[2], Cell::Integer(66), "rounded down");
}

#[test]
fn a_key_twice_is_an_error_wherever_it_is() {
    let unmapped: Vec<_> = (0..40)
        .map(|key| format!(",\"other{key}\":{key}"))
        .collect();
    let unmapped = unmapped.concat();
    for (rest, expected) in [
        (
            r#","full_name":"A","full_name":"A""#.to_owned(),
            "full_name: expected each key once, found the key twice",
        ),
        (
            r#","full_name":"A","full\u005fname":"B""#.to_owned(),
            "full_name: expected each key once, found the key twice",
        ),
        (
            r#","address":{"country":"SE","country":"NO"}"#.to_owned(),
            "address.country: expected each key once, found the key twice",
        ),
        (
            r#","address":{},"address":{"country":"NO"}"#.to_owned(),
            "address: expected each key once, found the key twice",
        ),
        (
            r#","other":1,"other":2"#.to_owned(),
            "record: expected each key once, found a key twice that is not mapped",
        ),
        (
            r#","address":{"x":1,"\u0078":2}"#.to_owned(),
            "address: expected each key once, found a key twice that is not mapped",
        ),
        (
            format!("{unmapped},\"other7\":1"),
            "record: expected each key once, found a key twice that is not mapped",
        ),
    ] {
        let outcome = outcome(&customers(), &format!(r#"{{"external_id":"1"{rest}}}"#));
        assert_eq!(outcome.messages(), [expected], "{rest}");
    }
    let fine = format!(
        r#"{{"external_id":"1"{unmapped},"address":{{"other1":1,"external_id":2,"address":3}},"x":{{"y":1,"y":2}}}}"#
    );
    assert_eq!(outcome(&customers(), &fine).messages(), [""; 0]);
}

#[test]
fn nested_paths() {
    let mut mapping = mapping([
        field("a.b.c", Kind::Integer),
        field("a.b.d", Kind::Integer),
        field("a.e", Kind::Integer),
        field("a.b", Kind::Json),
        field("a.e", Kind::Decimal),
    ]);
    mapping.fields[5].name = "twice".to_owned();
    let transform = Transform::new(&mapping).unwrap();
    let outcome = shape(
        &transform,
        r#"{"id":"k","a":{"x":{"c":9},"b":{"c":1,"x":0,"d":2},"e":3},"b":{"c":9},"c":9}"#,
    );
    assert_eq!(outcome.messages(), [""; 0]);
    assert_eq!(
        outcome.variables[1..6],
        [
            Cell::Integer(1),
            Cell::Integer(2),
            Cell::Integer(3),
            Cell::Json(Cow::Borrowed(r#"{"c":1,"x":0,"d":2}"#)),
            decimal("3")
        ]
    );
    for (value, expected) in [
        ("null", None),
        ("{}", None),
        ("\"x\"", Some("a: expected an object, found text")),
        ("1", Some("a: expected an object, found a number")),
        ("-1", Some("a: expected an object, found a number")),
        ("1.5", Some("a: expected an object, found a number")),
        ("true", Some("a: expected an object, found a boolean")),
        ("[{}]", Some("a: expected an object, found an array")),
        (
            "{\"b\":[1]}",
            Some("a.b: expected an object, found an array"),
        ),
        ("{\"b\":null}", None),
        (
            "{\"b\":{\"c\":1,\"c\":1}}",
            Some("a.b: expected JSON that jsonb can hold, found an object with a key twice"),
        ),
    ] {
        let outcome = shape(&transform, &format!("{{\"id\":\"k\",\"a\":{value}}}"));
        assert_eq!(
            outcome.messages().first().map(String::as_str),
            expected,
            "{value}"
        );
        assert_eq!(outcome.id.as_deref(), Some("k"));
    }
}

#[test]
fn what_is_no_record() {
    let transform = Transform::new(&customers()).unwrap();
    for (raw, found) in [
        ("", "nothing"),
        ("  ", "nothing"),
        ("null", "null"),
        ("42", "a number"),
        ("\"text\"", "text"),
        ("[]", "an array"),
        ("true", "a boolean"),
    ] {
        let outcome = shape(&transform, raw);
        assert_eq!(
            outcome.messages(),
            [format!("record: expected a JSON object, found {found}")]
        );
        assert_eq!(outcome.id, None);
        assert_eq!(outcome.missing, [0u16; 0]);
        assert_eq!(outcome.variables.len(), transform.variable_names().len());
    }
    for raw in [
        "{",
        r#"{"external_id":"1""#,
        r#"{"external_id":"1"} {}"#,
        r#"{"external_id":"1",}"#,
        r#"{"external_id":01}"#,
        r#"{"external_id":"1","\ud800":1}"#,
        r#"{"external_id":"1","other":1.}"#,
        r#"{"external_id":"1","other":-}"#,
        r#"{"external_id":"1","other":1e+}"#,
        r#"{"external_id":"1","other":tru}"#,
        r#"{"external_id":"1","other":"\q"}"#,
        r#"{"external_id":"1","other":"\u12g4"}"#,
        r#"{"external_id":"1","other":[1,}"#,
        r#"{"external_id":"1" "other":1}"#,
        r#"{"external_id" "1"}"#,
        "{,}",
        r#"{"external_id":"1"}}"#,
        "{\"external_id\":\"1\"}\0",
        "{\"external_id\":\"a\tb\"}",
    ] {
        let outcome = shape(&transform, raw);
        assert_eq!(outcome.errors.len(), 1, "{raw}");
        assert_eq!(outcome.errors[0].field, "record", "{raw}");
        assert!(
            outcome.errors[0]
                .problem
                .starts_with("JSON that cannot be read"),
            "{raw}"
        );
        assert!(
            outcome.variables[..7]
                .iter()
                .all(|cell| *cell == Cell::Null)
        );
    }
}

#[test]
fn nothing_of_one_record_is_left_for_the_next() {
    let transform = Transform::new(&customers()).unwrap();
    let full = r#"{"external_id":"1","full_name":"A","quality_score":1,"record_type":"x","created_date":"2024-01-01T00:00:00Z","x":1,"x":1}"#;
    let mut mapped = Mapped::new();
    for second in ["{}", "[]", "{\"full_name\":", full] {
        transform.apply(full, &mut mapped);
        transform.apply(second, &mut mapped);
        let alone = shape(&transform, second);
        assert_eq!(mapped.variables, alone.variables);
        assert_eq!(mapped.errors, alone.errors);
        assert_eq!(mapped.missing, alone.missing);
        assert_eq!(mapped.id.as_deref(), alone.id.as_deref());
        assert_eq!(mapped.version, alone.version);
    }
}

#[test]
fn text_without_escapes_is_borrowed() {
    let transform = Transform::new(&customers()).unwrap();
    let raw = r#"{"external_id":"1","full_name":"Zoë","contact_email":"a@b.co"}"#;
    let mut mapped = Mapped::new();
    transform.apply(raw, &mut mapped);
    for slot in [0, 1, 2, 5] {
        let Cell::Text(text) = &mapped.variables[slot] else {
            panic!("slot {slot} is text");
        };
        assert!(matches!(text, Cow::Borrowed(_)), "slot {slot}");
    }
    assert!(matches!(mapped.id, Some(Cow::Borrowed("1"))));
}
