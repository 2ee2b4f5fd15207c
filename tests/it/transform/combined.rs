//! Fields that are made of several values or of none, and what blank text means.

use datasync::config::plan::{Field, Kind, Origin};
use datasync::model::record::Cell;

use super::{field, mapping, outcome, text};

fn paths(names: &[&str]) -> Vec<Vec<String>> {
    names
        .iter()
        .map(|name| name.split('.').map(str::to_owned).collect())
        .collect()
}

fn joined(names: &[&str], separator: &str) -> Field {
    Field {
        origin: Origin::Joined {
            paths: paths(names),
            separator: separator.to_owned(),
        },
        ..field("whole", Kind::String)
    }
}

fn first_of(names: &[&str], kind: Kind) -> Field {
    Field {
        origin: Origin::FirstOf(paths(names)),
        ..field("first", kind)
    }
}

/// The cell of the one field beside the key, and its errors.
fn read(field: &Field, rest: &str) -> (Cell<'static>, Vec<String>) {
    let outcome = outcome(
        &mapping([field.clone()]),
        &format!("{{\"id\":\"1\"{rest}}}"),
    );
    let errors = outcome
        .errors
        .iter()
        .map(|error| format!("{}: {}: {}", error.field, error.expected, error.problem))
        .collect();
    (outcome.variables[1].clone(), errors)
}

#[test]
fn texts_are_joined_in_the_order_of_the_mapping_without_what_is_blank() {
    let name = joined(&["first", "last"], " ");
    for (rest, expected) in [
        (r#","first":"Ada","last":"Lovelace""#, text("Ada Lovelace")),
        (r#","last":"Lovelace","first":"Ada""#, text("Ada Lovelace")),
        (r#","last":"Lovelace""#, text("Lovelace")),
        (r#","first":null,"last":"Lovelace""#, text("Lovelace")),
        (r#","first":"  ","last":"Lovelace""#, text("Lovelace")),
        (r#","first":"A\u0064a","last":"L\"""#, text("Ada L\"")),
        (r#","first":7,"last":true"#, text("7 true")),
        (r#","first":"","last":null"#, Cell::Null),
        ("", Cell::Null),
    ] {
        assert_eq!(read(&name, rest), (expected, vec![]), "{rest}");
    }
    let nested = joined(&["name.first", "name.last", "id"], "");
    let (cell, errors) = read(&nested, r#","name":{"last":"b","first":"a"}"#);
    assert_eq!((cell, errors), (text("ab1"), vec![]));
}

#[test]
fn what_cannot_be_joined_is_an_error_of_the_record() {
    let name = joined(&["first", "last"], " ");
    for (rest, problem) in [
        (r#","first":{"x":1},"last":"L""#, "an object"),
        (r#","first":["x"],"last":"L""#, "an array"),
        (r#","first":"\ud800","last":"L""#, "lone surrogate"),
    ] {
        let (cell, errors) = read(&name, rest);
        assert_eq!(cell, Cell::Null, "{rest}");
        assert_eq!(errors.len(), 1, "{rest}");
        assert!(
            errors[0].starts_with("whole: ") && errors[0].contains(problem),
            "{errors:?}"
        );
    }
    let short = Field {
        max_length: Some(5),
        ..joined(&["first", "last"], " ")
    };
    let (_, errors) = read(&short, r#","first":"Ada","last":"L""#);
    assert!(errors.is_empty());
    let (_, errors) = read(&short, r#","first":"Ada","last":"Lo""#);
    assert_eq!(errors, ["whole: at most 5 characters: 6 characters"]);
}

#[test]
fn joined_texts_take_the_type_of_the_field() {
    let moment = Field {
        kind: Kind::DateTime,
        format: Some("%Y-%m-%d %H:%M".to_owned()),
        timezone: Some("UTC".to_owned()),
        ..joined(&["day", "time"], " ")
    };
    let (cell, errors) = read(&moment, r#","day":"1970-01-01","time":"00:01""#);
    assert_eq!((cell, errors), (Cell::DateTime(60_000_000), vec![]));
}

#[test]
fn a_key_can_be_put_together() {
    let mut mapping = mapping([]);
    mapping.fields[0] = joined(&["tenant", "id"], "/");
    let outcome = outcome(&mapping, r#"{"tenant":"eu","id":7}"#);
    assert_eq!(outcome.id.as_deref(), Some("eu/7"));
}

#[test]
fn the_first_value_that_is_not_blank_counts() {
    let phone = first_of(&["mobile", "phone", "work.phone"], Kind::String);
    for (rest, expected) in [
        (r#","mobile":"1","phone":"2""#, text("1")),
        (r#","phone":"2","mobile":"1""#, text("1")),
        (r#","mobile":null,"phone":"2""#, text("2")),
        (
            r#","mobile":"","phone":" \t","work":{"phone":3}"#,
            text("3"),
        ),
        (r#","mobile":"","phone":null"#, text("")),
        (r#","work":null"#, Cell::Null),
        ("", Cell::Null),
    ] {
        assert_eq!(read(&phone, rest), (expected, vec![]), "{rest}");
    }
    let number = first_of(&["a", "b"], Kind::Integer);
    assert_eq!(read(&number, r#","a":"","b":"""#), (Cell::Null, vec![]));
    assert_eq!(
        read(&number, r#","a":"","b":0"#),
        (Cell::Integer(0), vec![])
    );
    // A value that is there counts, right or wrong.
    let (_, errors) = read(&number, r#","a":"x","b":0"#);
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn a_constant_is_in_every_record_and_says_nothing_of_its_completeness() {
    let region = Field {
        origin: Origin::Constant,
        default: Some("\"eu\"".to_owned()),
        weight: rust_decimal::Decimal::ZERO,
        ..field("region", Kind::String)
    };
    // A member of that name at the source is not it.
    let (cell, errors) = read(&region, r#","region":"us""#);
    assert_eq!((cell, errors), (text("eu"), vec![]));
}

#[test]
fn blank_text_is_null_for_every_type_but_text_and_json_unless_the_field_says_otherwise() {
    let all = [
        Kind::Integer,
        Kind::Decimal,
        Kind::Boolean,
        Kind::Date,
        Kind::DateTime,
        Kind::Email,
        Kind::Uuid,
    ];
    for kind in all {
        for value in [r#""""#, r#""  ""#, r#""\t""#] {
            let rest = format!(",\"x\":{value}");
            assert_eq!(
                read(&field("x", kind), &rest),
                (Cell::Null, vec![]),
                "{kind:?}"
            );
            let keeps = Field {
                blank_is_null: false,
                ..field("x", kind)
            };
            assert_eq!(read(&keeps, &rest).1.len(), 1, "{kind:?}");
        }
        // The default stands in for it.
        if kind == Kind::Integer {
            let with_default = Field {
                default: Some("7".to_owned()),
                ..field("x", kind)
            };
            assert_eq!(read(&with_default, r#","x":"""#).0, Cell::Integer(7));
        }
    }
    assert_eq!(read(&field("x", Kind::String), r#","x":" ""#).0, text(" "));
    for kind in [Kind::String, Kind::Json] {
        let null = Field {
            blank_is_null: true,
            ..field("x", kind)
        };
        assert_eq!(read(&null, r#","x":" ""#), (Cell::Null, vec![]), "{kind:?}");
    }
}
