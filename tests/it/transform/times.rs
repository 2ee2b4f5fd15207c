//! How dates and times are read.
use datasync::config::plan::{Field, Kind};
use datasync::model::record::Cell;

use super::{accepts, at, field, refuses};

#[test]
fn dates() {
    let any = field("x", Kind::Date);
    accepts(
        &any,
        &[
            ("\"1970-01-01\"", Cell::Date(0)),
            ("\"1969-12-31\"", Cell::Date(-1)),
            ("\"2000-02-29\"", Cell::Date(11_016)),
            ("\"0001-01-01\"", Cell::Date(-719_162)),
            ("\"9999-12-31\"", Cell::Date(2_932_896)),
        ],
    );
    let wrong = "date (YYYY-MM-DD): text that is no such date";
    refuses(
        &any,
        &[
            ("\"2023-02-29\"", wrong),
            ("\"1900-02-29\"", wrong),
            ("\"2024-13-01\"", wrong),
            ("\"2024-00-10\"", wrong),
            ("\"2024-04-31\"", wrong),
            ("\"2024-04-00\"", wrong),
            ("\"0000-01-01\"", wrong),
            ("\"2024-1-1\"", wrong),
            ("\"20240101\"", wrong),
            ("\"01/02/2024\"", wrong),
            ("\"2024-01-01T00:00:00Z\"", wrong),
            ("\"２０２４-01\"", wrong),
            ("20240101", "date (YYYY-MM-DD): a number"),
        ],
    );
    let german = Field {
        format: Some("%d.%m.%Y".to_owned()),
        ..any
    };
    accepts(&german, &[("\"29.02.2000\"", Cell::Date(11_016))]);
    refuses(
        &german,
        &[
            (
                "\"29.02.2001\"",
                "date (%d.%m.%Y): text that is no such date",
            ),
            (
                "\"2000-02-29\"",
                "date (%d.%m.%Y): text that is no such date",
            ),
            (
                "\"01.01.-001\"",
                "date (%d.%m.%Y): a date out of range (years 1 to 9999)",
            ),
        ],
    );
}

#[test]
fn datetimes() {
    let any = field("x", Kind::DateTime);
    accepts(
        &any,
        &[
            ("\"1970-01-01T00:00:00Z\"", Cell::DateTime(0)),
            ("\"2024-02-29T12:34:56Z\"", at("2024-02-29T12:34:56Z")),
            ("\"2024-02-29t12:34:56z\"", at("2024-02-29T12:34:56Z")),
            ("\"2024-02-29 12:34:56Z\"", at("2024-02-29T12:34:56Z")),
            ("\"2024-02-29T12:34:56+05:30\"", at("2024-02-29T07:04:56Z")),
            ("\"2024-02-29T23:34:56-08:00\"", at("2024-03-01T07:34:56Z")),
            ("\"2024-02-29T12:34:56-00:00\"", at("2024-02-29T12:34:56Z")),
            ("\"2024-02-29T12:34:56.7Z\"", at("2024-02-29T12:34:56.7Z")),
            (
                "\"2024-02-29T12:34:56.123456Z\"",
                at("2024-02-29T12:34:56.123456Z"),
            ),
            // Finer than a microsecond is cut off, towards the past also before 1970.
            (
                "\"2024-02-29T12:34:56.123456999Z\"",
                at("2024-02-29T12:34:56.123456Z"),
            ),
            ("\"1969-12-31T23:59:59.9999999Z\"", Cell::DateTime(-1)),
            // The leap second is the first of the next day.
            ("\"2016-12-31T23:59:60Z\"", at("2017-01-01T00:00:00Z")),
            (
                "\"2017-01-01T00:59:60.5+01:00\"",
                at("2017-01-01T00:00:00Z"),
            ),
            (
                "\"0001-01-01T00:00:00Z\"",
                Cell::DateTime(-62_135_596_800_000_000),
            ),
            (
                "\"9999-12-31T23:59:59.999999Z\"",
                Cell::DateTime(253_402_300_799_999_999),
            ),
            // Odd, but beyond doubt.
            ("\"2024-02-29T12:34:56+0530\"", at("2024-02-29T07:04:56Z")),
            ("\"2024-02-29T12:34:56+05\"", at("2024-02-29T07:34:56Z")),
            ("\"2024-02-29T12:34Z\"", at("2024-02-29T12:34:00Z")),
            ("\"20240229T123456Z\"", at("2024-02-29T12:34:56Z")),
            ("null", Cell::Null),
        ],
    );
    let wrong = "datetime (RFC 3339): text that is no such time";
    let naive = "datetime (RFC 3339): a time without an offset (the field then needs `format` and `timezone`)";
    let range = "datetime (RFC 3339): a time out of range (years 1 to 9999)";
    refuses(
        &any,
        &[
            ("\"2024-02-29T12:34:56\"", naive),
            ("\"2024-02-29\"", naive),
            ("\"2023-02-29T12:34:56Z\"", wrong),
            ("\"2024-02-29T24:00:00Z\"", wrong),
            ("\"2024-02-29T12:60:00Z\"", wrong),
            ("\"2024-02-29T12:34:60Z\"", wrong),
            ("\"2024-02-29T12:34:60\"", wrong),
            ("\"2024-02-29T23:59:60+01:00\"", wrong),
            ("\"2024-02-29T12:34:56.Z\"", wrong),
            ("\"2024-02-29T12:34:56Zulu\"", wrong),
            ("\"yesterday\"", wrong),
            ("\"1709210096\"", wrong),
            ("\"0001-01-01T00:00:00+00:01\"", range),
            ("\"9999-12-31T23:59:59-00:01\"", range),
            ("1709210096", "datetime (RFC 3339): a number"),
            ("{}", "datetime (RFC 3339): an object"),
        ],
    );
}

#[test]
fn datetimes_of_another_format() {
    let madrid = Field {
        format: Some("%d/%m/%Y %H:%M:%S".to_owned()),
        timezone: Some("Europe/Madrid".to_owned()),
        ..field("x", Kind::DateTime)
    };
    accepts(
        &madrid,
        &[
            ("\"15/01/2024 12:00:00\"", at("2024-01-15T11:00:00Z")),
            ("\"15/07/2024 12:00:00\"", at("2024-07-15T10:00:00Z")),
            // The clocks went back at 3: the earlier of the two. They went forward at 2: moved on by the hour.
            ("\"27/10/2024 02:30:00\"", at("2024-10-27T00:30:00Z")),
            ("\"31/03/2024 02:30:00\"", at("2024-03-31T01:30:00Z")),
        ],
    );
    let wrong = "datetime (format %d/%m/%Y %H:%M:%S): text that is no such time";
    refuses(
        &madrid,
        &[
            ("\"2024-01-15T12:00:00Z\"", wrong),
            ("\"31/02/2024 12:00:00\"", wrong),
            ("\"15/01/2024 12:00:00 \"", wrong),
            (
                "1709210096",
                "datetime (format %d/%m/%Y %H:%M:%S): a number",
            ),
        ],
    );
    let offset = Field {
        format: Some("%Y%m%d %H%M %z".to_owned()),
        ..field("x", Kind::DateTime)
    };
    accepts(
        &offset,
        &[("\"20240115 1200 +0100\"", at("2024-01-15T11:00:00Z"))],
    );
    let zone_only = Field {
        timezone: Some("Asia/Tokyo".to_owned()),
        ..field("x", Kind::DateTime)
    };
    accepts(
        &zone_only,
        &[
            ("\"2024-01-15T12:00:00\"", at("2024-01-15T03:00:00Z")),
            ("\"2024-01-15T12:00:00Z\"", at("2024-01-15T12:00:00Z")),
        ],
    );
}

#[test]
fn datetimes_as_counts() {
    let seconds = Field {
        format: Some("epoch_seconds".to_owned()),
        ..field("x", Kind::DateTime)
    };
    accepts(
        &seconds,
        &[
            ("0", Cell::DateTime(0)),
            ("1709210096", Cell::DateTime(1_709_210_096_000_000)),
            ("\"1709210096\"", Cell::DateTime(1_709_210_096_000_000)),
            ("1709210096.5", Cell::DateTime(1_709_210_096_500_000)),
            ("1.7e9", Cell::DateTime(1_700_000_000_000_000)),
            ("-0.0000001", Cell::DateTime(-1)),
            ("-1e-99", Cell::DateTime(-1)),
            ("1e-99", Cell::DateTime(0)),
            (
                "253402300799.999999",
                Cell::DateTime(253_402_300_799_999_999),
            ),
        ],
    );
    let range = "datetime (seconds since 1970): a time out of range (years 1 to 9999)";
    refuses(
        &seconds,
        &[
            ("253402300800", range),
            ("-62135596801", range),
            // Milliseconds where seconds were announced.
            ("1709210096000", range),
            ("1e400", range),
            (
                "\"2024-02-29T12:34:56Z\"",
                "datetime (seconds since 1970): text that is no number",
            ),
        ],
    );
    let milliseconds = Field {
        format: Some("epoch_milliseconds".to_owned()),
        ..seconds
    };
    accepts(
        &milliseconds,
        &[
            ("1709210096789", Cell::DateTime(1_709_210_096_789_000)),
            ("-1", Cell::DateTime(-1_000)),
        ],
    );
}
