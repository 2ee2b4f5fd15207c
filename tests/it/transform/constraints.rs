//! What the constraints of a field refuse, and which mappings are refused at once.
use datasync::config::plan::{Field, Kind};
use datasync::model::record::Cell;
use datasync::transform::Transform;
use rust_decimal::Decimal;

use super::{accepts, customers, decimal, field, mapping, outcome, refuses, shape, text};

#[test]
fn length_is_counted_in_characters() {
    let short = Field {
        max_length: Some(3),
        ..field("x", Kind::String)
    };
    accepts(
        &short,
        &[
            ("\"abc\"", text("abc")),
            ("\"東京都\"", text("東京都")),
            ("\"😀😀😀\"", text("😀😀😀")),
        ],
    );
    refuses(
        &short,
        &[
            ("\"abcd\"", "at most 3 characters: 4 characters"),
            ("\"東京都庁\"", "at most 3 characters: 4 characters"),
            ("\"   abc   \"", "at most 3 characters: 9 characters"),
        ],
    );
    let trimmed = Field {
        trim: true,
        ..short
    };
    accepts(
        &trimmed,
        &[
            ("\"   abc\\u2003\"", text("abc")),
            ("\" a\\tb \"", text("a\tb")),
        ],
    );
}

#[test]
fn the_width_of_the_column_bounds_text_too() {
    let mut transform = Transform::new(&mapping([field("x", Kind::String)])).unwrap();
    transform.limit_length(1, 4).unwrap();
    transform.limit_length(1, 10).unwrap();
    let outcome = shape(&transform, r#"{"id":"k","x":"12345"}"#);
    assert_eq!(
        outcome.messages(),
        ["x: expected at most 4 characters, found 5 characters"]
    );
    let with_default = Field {
        default: Some("\"12345\"".to_owned()),
        ..field("x", Kind::String)
    };
    let mut transform = Transform::new(&mapping([with_default])).unwrap();
    assert!(transform.limit_length(1, 4).is_err());
    assert!(transform.limit_length(1, 5).is_ok());
    assert!(transform.limit_length(2, 5).is_err());
}

#[test]
fn an_over_long_key_is_no_key() {
    let outcome = outcome(
        &customers(),
        &format!(
            r#"{{"external_id":"{}","full_name":"Ana","quality_score":80}}"#,
            "9".repeat(101)
        ),
    );
    assert_eq!(outcome.id, None);
    assert_eq!(
        outcome.messages(),
        ["external_id: expected at most 100 characters, found 101 characters"]
    );
}

#[test]
fn bounds_patterns_and_choices() {
    let percent = Field {
        min: Some(Decimal::ZERO),
        max: Some(Decimal::ONE_HUNDRED),
        ..field("x", Kind::Decimal)
    };
    accepts(
        &percent,
        &[
            ("0", decimal("0")),
            ("100", decimal("100")),
            ("\"100.0\"", decimal("100")),
        ],
    );
    let expected = "decimal from 0 to 100";
    let below = format!("{expected}: a number out of range (below the minimum)");
    let above = format!("{expected}: a number out of range (above the maximum)");
    refuses(
        &percent,
        &[
            ("-0.0000000000000000000000001", below.as_str()),
            ("100.0000000000000000000000001", above.as_str()),
        ],
    );
    let at_least = Field {
        min: Some(Decimal::ONE),
        ..field("x", Kind::Integer)
    };
    refuses(
        &at_least,
        &[(
            "0",
            "integer of at least 1: a number out of range (below the minimum)",
        )],
    );
    let code = Field {
        pattern: Some("[A-Z]{2}|x".to_owned()),
        ..field("x", Kind::String)
    };
    accepts(&code, &[("\"ES\"", text("ES")), ("\"x\"", text("x"))]);
    let mismatch = "text that matches [A-Z]{2}|x: text that does not match";
    refuses(
        &code,
        &[
            ("\"ESP\"", mismatch),
            ("\"xx\"", mismatch),
            ("\"ES\\n\"", mismatch),
            ("\"\"", mismatch),
        ],
    );
    let choice = Field {
        one_of: vec!["gold".to_owned(), "silver".to_owned()],
        ..field("x", Kind::String)
    };
    accepts(&choice, &[("\"gold\"", text("gold"))]);
    refuses(
        &choice,
        &[("\"Gold\"", "one of gold, silver: another value")],
    );
    let level = Field {
        one_of: vec!["1".to_owned(), "2".to_owned()],
        ..field("x", Kind::Integer)
    };
    accepts(&level, &[("1.0", Cell::Integer(1))]);
    refuses(&level, &[("3", "one of 1, 2: another value")]);
}

#[test]
fn a_mapping_that_cannot_work_is_refused_at_once() {
    let text = || field("x", Kind::String);
    let time = || field("x", Kind::DateTime);
    let own = |value: &str| Some(value.to_owned());
    for (wrong, reason) in [
        (
            Field {
                default: own("{"),
                ..text()
            },
            "its default is no JSON value: JSON that cannot be read: EOF while parsing an object at line 1 column 1",
        ),
        (
            Field {
                default: own("[1]"),
                ..text()
            },
            "its default does not fit: expected text, found an array",
        ),
        (
            Field {
                default: own("\"abcd\""),
                max_length: Some(3),
                ..text()
            },
            "its default does not fit: expected at most 3 characters, found 4 characters",
        ),
        (
            Field {
                pattern: own("("),
                ..text()
            },
            "pattern `(`",
        ),
        (
            Field {
                pattern: own(")|("),
                ..text()
            },
            "pattern `)|(`",
        ),
        (
            Field {
                min: Some(Decimal::ONE),
                ..text()
            },
            "min and max bound numbers only",
        ),
        (
            Field {
                max_length: Some(3),
                ..field("x", Kind::Integer)
            },
            "pattern and max_length bound text only",
        ),
        (
            Field {
                one_of: vec!["true".to_owned()],
                ..field("x", Kind::Boolean)
            },
            "one_of serves text and numbers only",
        ),
        (
            Field {
                one_of: vec!["a".to_owned()],
                ..field("x", Kind::Integer)
            },
            "one_of: `a` is no number",
        ),
        (
            Field {
                min: Some(Decimal::TEN),
                max: Some(Decimal::ONE),
                ..field("x", Kind::Decimal)
            },
            "min is greater than max: no value could ever pass",
        ),
        (
            Field {
                format: own("%Y"),
                ..text()
            },
            "format serves dates and times only",
        ),
        (
            Field {
                timezone: own("UTC"),
                ..text()
            },
            "timezone serves datetimes only",
        ),
        (
            Field {
                timezone: own("Europe/Nowhere"),
                ..time()
            },
            "`Europe/Nowhere` is no time zone (a name such as Europe/Madrid is wanted)",
        ),
        (
            Field {
                format: own("%Y-%m-%d %H:%M"),
                ..time()
            },
            "format `%Y-%m-%d %H:%M` has no offset (%z), so `timezone` is needed",
        ),
        (
            Field {
                format: own("%Y %z %!"),
                ..time()
            },
            "format `%Y %z %!` is no strptime format",
        ),
        (
            Field {
                format: own("yyyy-mm-dd"),
                ..field("x", Kind::Date)
            },
            "format `yyyy-mm-dd` has no strptime directive such as %Y, %m and %d",
        ),
        (
            Field {
                format: own("epoch_seconds"),
                timezone: own("UTC"),
                ..time()
            },
            "an epoch is in UTC: `timezone` has no meaning",
        ),
    ] {
        let error = Transform::new(&mapping([wrong])).unwrap_err();
        let chain: Vec<_> = error.chain().map(ToString::to_string).collect();
        assert_eq!(chain[0], "field `x`");
        assert_eq!(chain[1], reason);
    }
    let mut version = mapping([text()]);
    version.version = Some(1);
    assert!(Transform::new(&version).is_err());
    let mut score = mapping([text()]);
    score.quality_score.field = Some(1);
    assert!(Transform::new(&score).is_err());
    let mut weightless = mapping([]);
    weightless.fields[0].weight = Decimal::ZERO;
    assert!(Transform::new(&weightless).is_err());
}
