//! What holds for any input, checked against independent readings of it.
use std::borrow::Cow;

use datasync::config::plan::{Kind, Mapping};
use datasync::model::record::Cell;
use datasync::transform::Transform;
use proptest::prelude::*;

use super::{convert, field, mapping, shape};

/// One field of every type, some with constraints.
fn everything() -> Mapping {
    let kinds = [
        Kind::String,
        Kind::Integer,
        Kind::Decimal,
        Kind::Boolean,
        Kind::Date,
        Kind::DateTime,
        Kind::Email,
        Kind::Uuid,
        Kind::Json,
    ];
    let mut mapping = mapping(
        kinds
            .into_iter()
            .zip("abcdefghi".chars())
            .map(|(kind, name)| field(&name.to_string(), kind)),
    );
    mapping.fields.push(field("n.a.b", Kind::String));
    mapping.fields.push(field("n.a", Kind::Json));
    mapping
}

fn any_json() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no infinities", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,25})?",
    ];
    let text = prop_oneof![
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        r#""([a-z@.]|\\u[0-9a-fA-F]{4}|\\[nrtbf/"\\]){0,8}""#,
        r#""[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:]{5,8}(\.[0-9]{0,9})?(Z|[+-][0-9]{2}:?[0-9]{2})?""#,
        r#""[0-9a-fA-F-]{30,37}""#,
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        number,
        text
    ];
    leaf.prop_recursive(4, 64, 12, |inner| {
        let key = prop_oneof!["[a-in]", Just("id".to_owned()), "[a-z]{1,12}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key, inner), 0..24).prop_map(|pairs| {
                let pairs: Vec<_> = pairs
                    .into_iter()
                    .map(|(key, value)| format!("\"{key}\":{value}"))
                    .collect();
                format!("{{{}}}", pairs.join(", "))
            }),
        ]
    })
}

/// How many keys the record has, and how many different ones.
fn keys_at_top(raw: &str) -> Option<(usize, usize)> {
    struct Count;
    impl<'de> serde::de::Visitor<'de> for Count {
        type Value = (usize, usize);
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<(usize, usize), A::Error> {
            let mut all = 0;
            let mut distinct = std::collections::BTreeSet::new();
            while let Some((key, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                all += 1;
                distinct.insert(key);
            }
            Ok((all, distinct.len()))
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    serde::Deserializer::deserialize_map(&mut deserializer, Count).ok()
}

/// An integer's value computed with big-number arithmetic on decimal strings: digits shifted by the exponent.
fn by_hand(number: &str) -> (bool, String, i64) {
    let (negative, rest) = number
        .strip_prefix('-')
        .map_or((false, number), |rest| (true, rest));
    let (digits, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let exponent: i64 = exponent.parse().unwrap();
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    let stripped = significant.trim_end_matches('0');
    if stripped.is_empty() {
        return (false, "0".to_owned(), 0);
    }
    let dropped = i64::try_from(significant.len() - stripped.len()).unwrap();
    let power = exponent - i64::try_from(fraction.len()).unwrap() + dropped;
    (negative, stripped.to_owned(), power)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_panics_and_never_leaves_a_hole(raw in any_json()) {
        let transform = Transform::new(&everything()).unwrap();
        let outcome = shape(&transform, &raw);
        prop_assert_eq!(outcome.variables.len(), transform.variable_names().len());
        prop_assert_eq!(outcome.variables.last(), Some(&Cell::Boolean(
            raw.starts_with('{') && outcome.missing.is_empty() && outcome.errors.iter().all(|error| error.field != "record" || error.expected != "a JSON object")
        )));
        if !raw.starts_with('{') {
            prop_assert_eq!(outcome.errors.len(), 1);
        }
        if let Some((all, distinct)) = keys_at_top(&raw)
            && all != distinct
        {
            prop_assert!(!outcome.errors.is_empty());
        }
    }

    #[test]
    fn never_panics_on_any_text(raw in any::<String>(), cut in any::<prop::sample::Index>(), json in any_json()) {
        let transform = Transform::new(&everything()).unwrap();
        shape(&transform, &raw);
        shape(&transform, &format!("{{{raw}"));
        let cut = (0..=cut.index(json.len() + 1)).rev().find(|at| json.is_char_boundary(*at)).unwrap();
        shape(&transform, &json[..cut]);
    }

    /// Any object that is JSON is read, and one that is damaged in one place only if it still is JSON.
    #[test]
    fn what_is_json_is_what_serde_json_says(json in any_json(), place in any::<prop::sample::Index>(), with in "[\\x00-\\x20\"\\\\{}\\[\\]:,.0-9eE+\\-tfnu]{0,2}", cut in 0usize..3) {
        let mut json = format!(" {{\"id\":1,\"j\": {json} ,\"n\":{{\"a\":{json}}}}}");
        let transform = Transform::new(&everything()).unwrap();
        let unreadable = |json: &str| shape(&transform, json).errors.iter().any(|error| error.problem.starts_with("JSON that cannot be read"));
        prop_assert!(!unreadable(&json));
        let letters: Vec<usize> = json.char_indices().map(|(at, _)| at).collect();
        let first = place.index(letters.len());
        let end = letters.get(first + cut).copied().unwrap_or(json.len());
        json.replace_range(letters[first]..end, &with);
        if json.trim_start_matches([' ', '\n', '\r', '\t']).starts_with('{') {
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok();
            prop_assert_eq!(!unreadable(&json), is_json, "{}", json);
        }
    }

    #[test]
    fn strings_read_as_serde_json_reads_them(text in any::<String>()) {
        let value = serde_json::to_string(&text).unwrap();
        let cell = convert(&field("x", Kind::String), &value);
        if text.contains('\0') {
            prop_assert!(cell.is_err());
        } else {
            prop_assert_eq!(cell, Ok(Cell::Text(Cow::Owned(text))));
        }
    }

    #[test]
    fn escapes_read_as_serde_json_reads_them(value in r#""([a-zé]|\\u[0-9a-fA-F]{4}|\\ud8[0-9a-f]{2}\\udc[0-9a-f]{2}|\\[nrtbf/"\\]){0,8}""#) {
        let cell = convert(&field("x", Kind::String), &value);
        match serde_json::from_str::<String>(&value) {
            Ok(text) if !text.contains('\0') => prop_assert_eq!(cell, Ok(Cell::Text(Cow::Owned(text)))),
            _ => prop_assert!(cell.is_err()),
        }
    }

    #[test]
    fn integers_round_trip(value in any::<i64>(), quoted in any::<bool>(), zeros in 0usize..30) {
        let mut written = value.to_string();
        if zeros > 0 {
            written = format!("{written}.{}", "0".repeat(zeros));
        }
        if quoted {
            written = format!("\"{written}\"");
        }
        prop_assert_eq!(convert(&field("x", Kind::Integer), &written), Ok(Cell::Integer(value)));
    }

    #[test]
    fn numbers_are_exact_or_refused(number in "-?(0|[1-9][0-9]{0,32})(\\.[0-9]{1,32})?([eE][+-]?[0-9]{1,2})?") {
        let (negative, digits, power) = by_hand(&number);
        let sign = if negative { "-" } else { "" };

        let fits = digits.len() <= 28 && power >= -28 && i64::try_from(digits.len()).unwrap() + power <= 28;
        match convert(&field("x", Kind::Decimal), &number) {
            Ok(Cell::Decimal(value)) => {
                let (of_value, its_digits, its_power) = by_hand(&value.to_string());
                prop_assert_eq!((of_value, its_digits, its_power), (negative, digits.clone(), power));
            }
            other => {
                prop_assert!(other.is_err());
                prop_assert!(!fits, "{number} fits");
            }
        }

        let whole = (power >= 0 && digits.len() <= 19 && power <= 19)
            .then(|| format!("{sign}{digits}{}", "0".repeat(usize::try_from(power).unwrap())))
            .and_then(|written| written.parse::<i64>().ok());
        prop_assert_eq!(convert(&field("x", Kind::Integer), &number).ok(), whole.map(Cell::Integer));
    }

    #[test]
    fn times_read_as_jiff_reads_them(second in -62_135_596_800i64..253_402_207_200, nanosecond in 0i32..1_000_000_000, offset in -1439i32..1440, digits in 0usize..=9) {
        let at = jiff::Timestamp::new(second, 0).unwrap();
        let offset = jiff::tz::Offset::from_seconds(offset * 60).unwrap();
        let local = offset.to_datetime(at);
        prop_assume!((1..=9999).contains(&local.year()));
        let fraction = if digits == 0 { String::new() } else { format!(".{}", &format!("{nanosecond:09}")[..digits]) };
        let sign = if offset.seconds() < 0 { '-' } else { '+' };
        let minutes = offset.seconds().abs() / 60;
        let written = format!("{local}{fraction}{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        let parsed: jiff::Timestamp = written.parse().unwrap();
        let expected = i64::try_from(parsed.as_nanosecond().div_euclid(1_000)).unwrap();
        prop_assert_eq!(convert(&field("x", Kind::DateTime), &format!("\"{written}\"")), Ok(Cell::DateTime(expected)), "{}", written);
    }

    #[test]
    fn dates_read_as_jiff_reads_them(year in 0i16..=9999, month in 0i8..=13, day in 0i8..=32) {
        let cell = convert(&field("x", Kind::Date), &format!("\"{year:04}-{month:02}-{day:02}\""));
        match jiff::civil::Date::new(year, month, day) {
            Ok(date) if year > 0 => {
                let since = date.since(jiff::civil::date(1970, 1, 1)).unwrap().get_days();
                prop_assert_eq!(cell, Ok(Cell::Date(since)));
            }
            _ => prop_assert!(cell.is_err()),
        }
    }
}
