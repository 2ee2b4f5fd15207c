//! What every type accepts and refuses.
use std::borrow::Cow;

use datasync::config::plan::Kind;
use datasync::model::record::Cell;

use super::{accepts, convert, decimal, field, mapping, outcome, refuses, text};

#[test]
fn strings() {
    let any = field("x", Kind::String);
    accepts(
        &any,
        &[
            ("\"plain\"", text("plain")),
            ("\"\"", text("")),
            ("\"  kept  \"", text("  kept  ")),
            ("\"Ünï ©ödé 東京 שלום 👩‍👩‍👧\"", text("Ünï ©ödé 東京 שלום 👩‍👩‍👧")),
            (
                r#""a\"b\\c\/d\b\f\n\r\t""#,
                text("a\"b\\c/d\u{8}\u{c}\n\r\t"),
            ),
            (r#""\u00e9\u6771\ud83d\ude00!""#, text("é東😀!")),
            (r#""\uD83D\uDE00""#, text("😀")),
            ("null", Cell::Null),
            ("42", text("42")),
            ("-1.50", text("-1.50")),
            ("1e3", text("1e3")),
            ("true", text("true")),
            ("false", text("false")),
        ],
    );
    refuses(
        &any,
        &[
            ("{}", "text: an object"),
            ("[\"a\"]", "text: an array"),
            (r#""a\u0000b""#, "text: text with a NUL character"),
            (
                r#""\ud800""#,
                "text: text with a lone surrogate (half of a character, \\ud800 to \\udfff)",
            ),
            (
                r#""\udc00\ud800""#,
                "text: text with a lone surrogate (half of a character, \\ud800 to \\udfff)",
            ),
            (
                r#""\ud83d\u0041""#,
                "text: text with a lone surrogate (half of a character, \\ud800 to \\udfff)",
            ),
            (
                r#""\ud83d\n""#,
                "text: text with a lone surrogate (half of a character, \\ud800 to \\udfff)",
            ),
        ],
    );
}

#[test]
fn a_whole_number_will_do_for_a_key_of_text() {
    let mapping = mapping([]);
    for (value, id) in [
        ("42", Some("42")),
        ("-7", Some("-7")),
        ("-0", Some("0")),
        (
            "123456789012345678901234567890",
            Some("123456789012345678901234567890"),
        ),
        ("\"A-1\"", Some("A-1")),
        ("\" 42\"", Some(" 42")),
        ("4.2", None),
        ("4e2", None),
        ("true", None),
        ("[1]", None),
    ] {
        let outcome = outcome(&mapping, &format!("{{\"id\":{value}}}"));
        assert_eq!(outcome.id.as_deref(), id, "{value}");
        assert_eq!(outcome.errors.is_empty(), id.is_some(), "{value}");
        assert!(outcome.missing.is_empty(), "{value}");
    }
    for value in ["null", "\"\"", "\"  \""] {
        let outcome = outcome(&mapping, &format!("{{\"id\":{value}}}"));
        assert_eq!(outcome.id, None, "{value}");
        assert_eq!(outcome.missing, [0], "{value}");
        assert_eq!(outcome.errors, [], "{value}");
    }
}

#[test]
fn a_key_of_any_type_has_one_spelling() {
    let id = |kind, value: &str| {
        let mut mapping = mapping([]);
        mapping.fields[0].kind = kind;
        outcome(&mapping, &format!("{{\"id\":{value}}}")).id
    };
    for value in ["42", "42.0", "\"42\"", "4.2e1"] {
        assert_eq!(id(Kind::Integer, value).as_deref(), Some("42"), "{value}");
    }
    assert_eq!(id(Kind::Integer, "-0").as_deref(), Some("0"));
    for value in ["4.20", "\"4.2\"", "42e-1"] {
        assert_eq!(id(Kind::Decimal, value).as_deref(), Some("4.2"), "{value}");
    }
    for value in [
        "\"F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6\"",
        "\"f81d4fae7dec11d0a76500a0c91e6bf6\"",
    ] {
        let id = id(Kind::Uuid, value);
        assert_eq!(
            id.as_deref(),
            Some("f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
            "{value}"
        );
    }
}

#[test]
fn integers() {
    let any = field("x", Kind::Integer);
    accepts(
        &any,
        &[
            ("0", Cell::Integer(0)),
            ("-0", Cell::Integer(0)),
            ("42", Cell::Integer(42)),
            ("-42", Cell::Integer(-42)),
            ("42.0", Cell::Integer(42)),
            (
                "42.000000000000000000000000000000000000000",
                Cell::Integer(42),
            ),
            ("4.2e1", Cell::Integer(42)),
            ("4200E-2", Cell::Integer(42)),
            ("\"42\"", Cell::Integer(42)),
            ("\"-42.0\"", Cell::Integer(-42)),
            ("9223372036854775807", Cell::Integer(i64::MAX)),
            ("-9223372036854775808", Cell::Integer(i64::MIN)),
            ("1e18", Cell::Integer(1_000_000_000_000_000_000)),
            ("0e99999999999999999999", Cell::Integer(0)),
            ("null", Cell::Null),
        ],
    );
    let beyond = "integer: a number out of range (beyond 64 bits)";
    let no_number = "integer: text that is no number";
    refuses(
        &any,
        &[
            ("9223372036854775808", beyond),
            ("-9223372036854775809", beyond),
            ("18446744073709551616", beyond),
            ("1e400", beyond),
            ("1e99999999999999999999", beyond),
            ("12345678901234567890000000000000000", beyond),
            ("42.5", "integer: a number with a fraction"),
            ("1e-1", "integer: a number with a fraction"),
            (
                "1e-99999999999999999999",
                "integer: a number with a fraction",
            ),
            (
                "42.00000000000000000000000000000001",
                "integer: a number of more than 28 significant digits",
            ),
            ("\"042\"", no_number),
            ("\"+42\"", no_number),
            ("\" 42\"", no_number),
            ("\"4 2\"", no_number),
            ("\"42.\"", no_number),
            ("\".5\"", no_number),
            ("\"1e\"", no_number),
            ("\"1e+\"", no_number),
            ("\"-\"", no_number),
            ("\"0x2a\"", no_number),
            ("\"NaN\"", no_number),
            ("\"1,000\"", no_number),
            ("\"٤٢\"", no_number),
            ("true", "integer: a boolean"),
            ("[42]", "integer: an array"),
        ],
    );
}

#[test]
fn decimals_are_exact() {
    let any = field("x", Kind::Decimal);
    accepts(
        &any,
        &[
            ("0", decimal("0")),
            ("-0.0", decimal("0")),
            ("79.5", decimal("79.5")),
            ("\"79.50\"", decimal("79.50")),
            ("0.1000000000000000055", decimal("0.1000000000000000055")),
            ("1e2", decimal("100")),
            ("1.5e-3", decimal("0.0015")),
            ("1e28", decimal("10000000000000000000000000000")),
            ("1e-28", decimal("0.0000000000000000000000000001")),
            (
                "-1234567890123456789012345678",
                decimal("-1234567890123456789012345678"),
            ),
            ("123456789012345678", decimal("123456789012345678")),
            ("1234567890123456789", decimal("1234567890123456789")),
            ("12345678901234567.8", decimal("12345678901234567.8")),
            ("1.00000000000000000000000000000000000", decimal("1")),
            ("null", Cell::Null),
        ],
    );
    let precise = "decimal: a number of more than 28 significant digits";
    refuses(
        &any,
        &[
            ("12345678901234567890123456789", precise),
            ("0.12345678901234567890123456789", precise),
            ("1.0000000000000000000000000000000001", precise),
            ("1e-29", "decimal: a number of more than 28 decimal places"),
            ("1e29", "decimal: a number out of range"),
            ("8e28", "decimal: a number out of range"),
            ("1e400", "decimal: a number out of range"),
            ("-1e400", "decimal: a number out of range"),
            ("1e99999999999999999999", "decimal: a number out of range"),
            ("\"12 EUR\"", "decimal: text that is no number"),
            ("\"1,5\"", "decimal: text that is no number"),
            ("false", "decimal: a boolean"),
            ("{}", "decimal: an object"),
        ],
    );
    // Decimal's equality ignores places; the column keeps them.
    let Ok(Cell::Decimal(kept)) = convert(&any, "79.50") else {
        panic!("79.50 is a decimal");
    };
    assert_eq!(kept.to_string(), "79.50");
}

#[test]
fn booleans() {
    let any = field("x", Kind::Boolean);
    accepts(
        &any,
        &[
            ("true", Cell::Boolean(true)),
            ("false", Cell::Boolean(false)),
            ("\"true\"", Cell::Boolean(true)),
            ("\"false\"", Cell::Boolean(false)),
            ("null", Cell::Null),
        ],
    );
    refuses(
        &any,
        &[
            ("1", "boolean: a number"),
            ("0", "boolean: a number"),
            ("\"yes\"", "boolean: text"),
            ("\"TRUE\"", "boolean: text"),
            ("[]", "boolean: an array"),
        ],
    );
}

#[test]
fn emails() {
    let any = field("x", Kind::Email);
    let long_local = format!("{}@example.com", "a".repeat(64));
    for address in [
        "a@b.co",
        "first.last@example.com",
        "first+tag@example.com",
        "o'brien@example.ie",
        "!#$%&'*+/=?^_`{|}~-@example.com",
        "user@sub-domain.example.co.uk",
        "user@xn--bcher-kva.example",
        "用户@例子.公司",
        "josé@correo.es",
        "अजय@डाटा.भारत",
        "user@123.com",
        &long_local,
    ] {
        let value = serde_json::to_string(address).unwrap();
        assert_eq!(convert(&any, &value), Ok(text(address)));
    }
    let long_local = format!("{}@example.com", "a".repeat(65));
    let long_label = format!("a@{}.com", "b".repeat(64));
    let long_domain = format!("a@{}com", "bb.".repeat(90));
    for address in [
        "n/a",
        "@example.com",
        "user@",
        "user",
        "user@localhost",
        "user@@example.com",
        "a@b@c.com",
        "user@example..com",
        "user@.example.com",
        "user@example.com.",
        "user@-example.com",
        "user@example-.com",
        "user@exa_mple.com",
        "user@127.0.0.1",
        "user@[127.0.0.1]",
        ".user@example.com",
        "user.@example.com",
        "us..er@example.com",
        "us er@example.com",
        " user@example.com",
        "user@example.com ",
        "user@exam ple.com",
        "user@example.com\n",
        "us\u{a0}er@example.com",
        "us\u{202e}er@example.com",
        "user@exam\u{200b}ple.com",
        "user@example.com,other@example.com",
        "User <user@example.com>",
        "\"quoted\"@example.com",
        "mailto:user@example.com",
        &long_local,
        &long_label,
        &long_domain,
    ] {
        let value = serde_json::to_string(address).unwrap();
        assert_eq!(
            convert(&any, &value),
            Err("e-mail address: text that is no address".to_owned()),
            "{address}"
        );
    }
    refuses(&any, &[("42", "e-mail address: a number")]);
}

#[test]
fn uuids() {
    let any = field("x", Kind::Uuid);
    let bytes = *uuid::Uuid::parse_str("f81d4fae-7dec-11d0-a765-00a0c91e6bf6")
        .unwrap()
        .as_bytes();
    accepts(
        &any,
        &[
            (
                "\"f81d4fae-7dec-11d0-a765-00a0c91e6bf6\"",
                Cell::Uuid(bytes),
            ),
            (
                "\"F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6\"",
                Cell::Uuid(bytes),
            ),
            ("\"f81d4fae7dec11d0a76500a0c91e6bf6\"", Cell::Uuid(bytes)),
        ],
    );
    let wrong = "UUID: text that is no UUID";
    refuses(
        &any,
        &[
            ("\"f81d4fae-7dec-11d0-a765-00a0c91e6bf\"", wrong),
            ("\"f81d4fae-7dec-11d0-a765-00a0c91e6bfg\"", wrong),
            ("\"f81d4fae7-dec-11d0-a765-00a0c91e6bf6\"", wrong),
            ("\"{f81d4fae-7dec-11d0-a765-00a0c91e6b}\"", wrong),
            ("\"urn:uuid:f81d4fae-7dec-11d0-a765-00a\"", wrong),
            ("\"ééééééééééééééééée\"", wrong),
            ("42", "UUID: a number"),
        ],
    );
}

#[test]
fn json_is_kept_as_written() {
    let any = field("x", Kind::Json);
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for value in [
        r#"{"b": 1.0, "a":[1,2, {"b":null}],  "é":"\u00e9"}"#,
        "[]",
        "\"text\"",
        "true",
        "1e400",
        "0.1000000000000000055",
        r#""\\u0000 is not the character""#,
        r#"[{"a":1},{"a":2}]"#,
        r#"{"a":{"a":{"a":"a"}}}"#,
        r#"["a","a"]"#,
        r#"{"a":"a:","b":"a:"}"#,
        &deep(512),
    ] {
        assert_eq!(
            convert(&any, value),
            Ok(Cell::Json(Cow::Owned(value.to_owned())))
        );
    }
    assert_eq!(convert(&any, "null"), Ok(Cell::Null));
    let many: Vec<_> = (0..40).map(|key| format!("\"key{key}\":0")).collect();
    let many = format!("{{{},\"key\\u0037\":1}}", many.join(","));
    let expected = |problem: &str| Err(format!("JSON that jsonb can hold: {problem}"));
    let deep = deep(513);
    for (value, problem) in [
        (r#"{"a":["\u0000"]}"#, "text with a NUL character"),
        (r#"{"\u0000":1}"#, "text with a NUL character"),
        (
            r#"["\ud800"]"#,
            "text with a lone surrogate (half of a character, \\ud800 to \\udfff)",
        ),
        (r#"[{"a":1 , "a" :1}]"#, "an object with a key twice"),
        (r#"{"a":{"b":1},"\u0061":2}"#, "an object with a key twice"),
        (&many, "an object with a key twice"),
        ("[1e10000]", "a number out of range"),
        ("[1e-99999999999]", "a number out of range"),
        (&deep, "JSON nested more than 512 levels deep"),
    ] {
        assert_eq!(convert(&any, value), expected(problem));
    }
}
