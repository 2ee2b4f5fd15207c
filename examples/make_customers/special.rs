//! The special cases: everything that real sources send and that a careless program loses, mangles or dies of. It must not
//! depend on the code under test.

use crate::{Expected, Record, quoted};
use Expected::{Rejected, Valid, Warning};

/// One special record.
pub struct Case {
    /// Its name in `expected.tsv`.
    pub name: &'static str,
    pub expected: Expected,
    pub kind: Kind,
}

/// How it comes about.
pub enum Kind {
    /// A new, good record (score 90), altered.
    Alter(fn(&mut Record)),
    /// An accepted record of so many lines ago comes once more, altered.
    Repeat {
        lines_back: usize,
        alter: fn(&mut Record),
    },
}

const fn alter(name: &'static str, expected: Expected, alter: fn(&mut Record)) -> Case {
    Case {
        name,
        expected,
        kind: Kind::Alter(alter),
    }
}

const fn repeat(name: &'static str, lines_back: usize, alter: fn(&mut Record)) -> Case {
    Case {
        name,
        expected: Valid,
        kind: Kind::Repeat { lines_back, alter },
    }
}

/// The cases four times over, those that must be rejected only twice.
pub fn all() -> Vec<Case> {
    let mut cases = scores();
    for round in 0..4 {
        cases.extend(
            [
                names(),
                addresses(),
                dates(),
                identities(),
                shapes(),
                repetitions(),
            ]
            .into_iter()
            .flatten()
            .filter(|case| case.expected != Rejected || round % 2 == 0),
        );
    }
    cases
}

/// The digits of the record's own id, six of them.
fn digits(record: &Record) -> String {
    record
        .get("external_id")
        .chars()
        .filter(char::is_ascii_digit)
        .collect()
}

#[rustfmt::skip]
fn scores() -> Vec<Case> {
    vec![
        alter("score 0", Rejected, |r| { r.set("quality_score", "0"); }),
        alter("score 49", Rejected, |r| { r.set("quality_score", "49"); }),
        alter("score 49.5", Rejected, |r| { r.set("quality_score", "49.5"); }),
        alter("score 49.999999999999999999", Rejected, |r| { r.set("quality_score", "49.999999999999999999"); }),
        alter("score 50", Warning, |r| { r.set("quality_score", "50"); }),
        alter("score 50.0", Warning, |r| { r.set("quality_score", "50.0"); }),
        alter("score 79", Warning, |r| { r.set("quality_score", "79"); }),
        alter("score 79.5", Warning, |r| { r.set("quality_score", "79.5"); }),
        alter("score 79.999999999999999999", Warning, |r| { r.set("quality_score", "79.999999999999999999"); }),
        alter("score 80", Valid, |r| { r.set("quality_score", "80"); }),
        alter("score 8.05e1", Valid, |r| { r.set("quality_score", "8.05e1"); }),
        alter("score 100", Valid, |r| { r.set("quality_score", "100"); }),
        alter("score 101", Rejected, |r| { r.set("quality_score", "101"); }),
        alter("score -1", Rejected, |r| { r.set("quality_score", "-1"); }),
        alter("score 1e400", Rejected, |r| { r.set("quality_score", "1e400"); }),
        alter("score as text", Valid, |r| { r.set("quality_score", "\"87\""); }),
        alter("score of 20 digits", Rejected, |r| { r.set("quality_score", "12345678901234567890"); }),
        alter("score is a word", Rejected, |r| { r.set_text("quality_score", "high"); }),
        alter("score is true", Rejected, |r| { r.set("quality_score", "true"); }),
    ]
}

#[rustfmt::skip]
fn names() -> Vec<Case> {
    vec![
        alter("name with emoji", Valid, |r| { r.set_text("full_name", "Sunny \u{1F33B} Flowers \u{1F469}\u{200D}\u{1F33E}"); }),
        alter("name in two directions", Valid, |r| { r.set_text("full_name", "שלום Trading \u{200F}(תל אביב)"); }),
        alter("name with combining accents", Valid, |r| { r.set_text("full_name", "Zoe\u{308} Ande\u{301}n"); }),
        alter("name with quotes and backslash", Valid, |r| { r.set_text("full_name", "Rob \"Bob\" O'Hara \\ Sons; --"); }),
        alter("name with line break and tab", Valid, |r| { r.set_text("full_name", "North\tWing\nCafé"); }),
        alter("name with blanks around it", Valid, |r| { r.set_text("full_name", "  Petra Lang  "); }),
        alter("name of 255 characters", Valid, |r| { r.set_text("full_name", &"山".repeat(255)); }),
        alter("name of 256 characters", Rejected, |r| { r.set_text("full_name", &"山".repeat(256)); }),
        alter("name of 5,000 characters", Rejected, |r| { r.set_text("full_name", &"long ".repeat(1_000)); }),
        alter("name absent", Rejected, |r| { r.remove("full_name"); }),
        alter("name null", Rejected, |r| { r.set("full_name", "null"); }),
        alter("name empty", Rejected, |r| { r.set_text("full_name", ""); }),
        alter("name blank", Rejected, |r| { r.set_text("full_name", " \t\u{a0}\u{3000} "); }),
        alter("name with NUL", Rejected, |r| { r.set("full_name", "\"Nul\\u0000 Byte\""); }),
        alter("name with half a surrogate pair", Rejected, |r| { r.set("full_name", "\"Half \\ud83d\""); }),
        alter("name is a list", Rejected, |r| { r.set("full_name", "[\"Ana\",\"Lima\"]"); }),
        alter("name is an object", Rejected, |r| { r.set("full_name", "{\"first\":\"Ana\",\"last\":\"Lima\"}"); }),
    ]
}

#[rustfmt::skip]
fn addresses() -> Vec<Case> {
    vec![
        alter("e-mail with plus tag", Valid, |r| { r.set_text("contact_email", "mara.voss+orders-2026@example.com"); }),
        alter("e-mail in capitals", Valid, |r| { r.set_text("contact_email", "SALES@EXAMPLE.ORG"); }),
        alter("e-mail at an international domain", Valid, |r| { r.set_text("contact_email", "info@grüße.example"); }),
        alter("e-mail at a punycode domain", Valid, |r| { r.set_text("contact_email", "info@xn--gre-6ka8i.example"); }),
        alter("e-mail with international mailbox", Valid, |r| { r.set_text("contact_email", "用户@例子.example"); }),
        alter("e-mail with apostrophe", Valid, |r| { r.set_text("contact_email", "o'neill@example.net"); }),
        alter("e-mail absent", Valid, |r| { r.remove("contact_email"); }),
        alter("e-mail null", Valid, |r| { r.set("contact_email", "null"); }),
        alter("e-mail of one dot", Rejected, |r| { r.set_text("contact_email", "."); }),
        alter("e-mail without @", Rejected, |r| { r.set_text("contact_email", "mara.voss.example.com"); }),
        alter("e-mail with two @", Rejected, |r| { r.set_text("contact_email", "mara@@example.com"); }),
        alter("e-mail with a blank", Rejected, |r| { r.set_text("contact_email", "mara voss@example.com"); }),
        alter("e-mail without mailbox", Rejected, |r| { r.set_text("contact_email", "@example.com"); }),
        alter("e-mail without domain", Rejected, |r| { r.set_text("contact_email", "mara@"); }),
        alter("e-mail is a number", Rejected, |r| { r.set("contact_email", "42"); }),
    ]
}

#[rustfmt::skip]
fn dates() -> Vec<Case> {
    vec![
        alter("created at +14:00", Valid, |r| { r.set_text("created_date", "2024-01-01T00:30:00+14:00"); }),
        alter("created at -12:00", Valid, |r| { r.set_text("created_date", "2023-12-31T23:30:00-12:00"); }),
        alter("created at +05:45", Valid, |r| { r.set_text("created_date", "2024-06-15T12:00:00+05:45"); }),
        alter("created in microseconds", Valid, |r| { r.set_text("created_date", "2024-06-15T12:00:00.123456Z"); }),
        alter("created on a leap day", Valid, |r| { r.set_text("created_date", "2024-02-29T23:59:59Z"); }),
        alter("created before 1970", Valid, |r| { r.set_text("created_date", "1931-03-04T05:06:07Z"); }),
        alter("created absent", Valid, |r| { r.remove("created_date"); }),
        alter("updated absent", Valid, |r| { r.remove("updated_date"); }),
        alter("created on no leap day", Rejected, |r| { r.set_text("created_date", "2023-02-29T00:00:00Z"); }),
        alter("created in words", Rejected, |r| { r.set_text("created_date", "yesterday"); }),
        alter("created day first", Rejected, |r| { r.set_text("created_date", "31/12/2022 10:00"); }),
        alter("created without offset", Rejected, |r| { r.set_text("created_date", "2024-06-15T12:00:00"); }),
        alter("created in year 300000", Rejected, |r| { r.set_text("created_date", "+300000-01-01T00:00:00Z"); }),
        alter("created is a number", Rejected, |r| { r.set("created_date", "1718452800"); }),
    ]
}

#[rustfmt::skip]
fn identities() -> Vec<Case> {
    vec![
        alter("type unknown", Valid, |r| { r.set_text("record_type", "franchise"); }),
        alter("type in capitals", Valid, |r| { r.set_text("record_type", "CUSTOMER"); }),
        alter("type absent", Valid, |r| { r.remove("record_type"); }),
        alter("type null", Valid, |r| { r.set("record_type", "null"); }),
        alter("type too long for its column", Rejected, |r| { r.set_text("record_type", &"very ".repeat(12)); }),
        alter("id is an integer", Valid, |r| { r.set("external_id", digits(r)); }),
        alter("id is an integer of 20 digits", Valid, |r| { r.set("external_id", format!("98765432101234{}", digits(r))); }),
        alter("id absent", Rejected, |r| { r.remove("external_id"); }),
        alter("id null", Rejected, |r| { r.set("external_id", "null"); }),
        alter("id empty", Rejected, |r| { r.set_text("external_id", ""); }),
        alter("id blank", Rejected, |r| { r.set_text("external_id", "   "); }),
        alter("id of 101 characters", Rejected, |r| { r.set_text("external_id", &"x".repeat(101)); }),
        alter("id is a list", Rejected, |r| { r.set("external_id", "[1]"); }),
    ]
}

#[rustfmt::skip]
fn shapes() -> Vec<Case> {
    vec![
        alter("no score: null", Valid, |r| { r.set("quality_score", "null"); }),
        alter("no score: absent", Valid, |r| { r.remove("quality_score"); }),
        alter("address absent", Valid, |r| { r.remove("address"); }),
        alter("address null", Valid, |r| { r.set("address", "null"); }),
        alter("unmapped integer of 20 digits", Valid, |r| { r.set("loyalty_number", "98765432109876543210"); }),
        alter("unmapped NUL", Valid, |r| { r.set("note", "\"a\\u0000b\""); }),
        alter("unmapped nesting", Valid, |r| { r.set("extra", format!("{}1{}", "[".repeat(40), "]".repeat(40))); }),
        alter("unmapped long text", Valid, |r| { r.set("note", quoted(&"Lorem ipsum dolor sit amet. ".repeat(40))); }),
        alter("a field twice", Rejected, |r| { r.repeat("full_name", "\"Somebody Else\""); }),
    ]
}

#[rustfmt::skip]
fn repetitions() -> Vec<Case> {
    vec![
        repeat("again, same page", 5, |_| ()),
        repeat("again, two pages on", 210, |_| ()),
        repeat("again and newer, same page", 7, |r| {
            r.set_text("contact_email", "moved@example.com").set_text("updated_date", "2025-12-30T08:00:00Z");
        }),
        repeat("again and newer, many pages on", 640, |r| {
            r.set_text("contact_email", "moved@example.net").set_text("updated_date", "2025-12-31T09:30:00+01:00");
        }),
        repeat("again but older, many pages on", 430, |r| {
            r.set_text("contact_email", "former@example.net").set_text("updated_date", "2013-05-05T05:05:05-05:00");
        }),
    ]
}
