//! Types of columns: the usual table with one more column, whose values change as well.

use serde_json::json;

use super::shape::Shape;

pub fn numbers_and_times() -> Vec<Shape> {
    vec![
        Shape::extra("boolean", "boolean", "boolean", |r, n| {
            r["extra"] = json!(n % 2 == 0)
        }),
        Shape::extra("smallint", "smallint", "integer", |r, n| {
            r["extra"] = json!(n)
        })
        .poison(|r, _| r["extra"] = json!(40_000), "-32768 to 32767"),
        Shape::extra("integer", "integer", "integer", |r, n| {
            r["extra"] = json!(n)
        })
        .poison(|r, _| r["extra"] = json!(3_000_000_000_u64), "2147483647"),
        Shape::extra("bigint", "bigint", "integer", |r, n| {
            r["extra"] = json!(n as u64 * 3_000_000_000)
        }),
        Shape::extra("numeric", "numeric", "decimal", |r, n| {
            r["extra"] = json!(n as f64 + 0.1)
        }),
        Shape::extra("numeric(5,2)", "numeric(5,2)", "decimal", |r, n| {
            r["extra"] = json!(n as f64 + 0.125)
        })
        .poison(|r, _| r["extra"] = json!(1_000), "at most 3 digits"),
        Shape::extra("real", "real", "decimal", |r, n| {
            r["extra"] = json!(n as f64 + 0.1)
        }),
        Shape::extra("double precision", "double precision", "decimal", |r, n| {
            r["extra"] = json!(n as f64 + 0.1)
        }),
        Shape::extra("money", "money", "decimal", |r, n| {
            r["extra"] = json!(n as f64 + 0.25)
        }),
        Shape::extra("oid", "oid", "", |r, n| r["extra"] = json!(n.to_string()))
            .poison(|r, _| r["extra"] = json!("many"), "22P02"),
        Shape::extra("pg_lsn", "pg_lsn", "", |r, n| {
            r["extra"] = json!(format!("16/{n:X}"))
        }),
        Shape::extra("date", "date", "date", |r, n| {
            r["extra"] = json!(format!("2024-02-{:02}", 1 + n % 28))
        }),
        Shape::extra("timestamp", "timestamp", "datetime", |r, n| {
            r["extra"] = json!(format!("2024-02-01T10:{n:02}:00+05:30"))
        }),
        Shape::extra("timestamptz(0)", "timestamptz(0)", "datetime", |r, n| {
            r["extra"] = json!(format!("2024-02-01T10:{n:02}:00.6Z"));
        }),
        Shape::extra("time", "time", "", |r, n| {
            r["extra"] = json!(format!("10:{n:02}:00"))
        })
        .poison(|r, _| r["extra"] = json!("25:00"), "22008"),
        Shape::extra("timetz", "timetz", "", |r, n| {
            r["extra"] = json!(format!("10:{n:02}:00+02"))
        }),
        Shape::extra("interval", "interval", "", |r, n| {
            r["extra"] = json!(format!("{n} days 2 hours"))
        })
        .poison(|r, _| r["extra"] = json!("soon"), "22007"),
        Shape::extra("bit(4)", "bit(4)", "", |r, n| {
            r["extra"] = json!(format!("{:04b}", n % 16))
        })
        .poison(|r, _| r["extra"] = json!("10101"), "22026"),
        Shape::extra("bit varying(6)", "bit varying(6)", "", |r, n| {
            r["extra"] = json!(format!("{n:b}"))
        })
        .poison(|r, _| r["extra"] = json!("1010101"), "22001"),
    ]
}

pub fn texts_and_documents() -> Vec<Shape> {
    vec![
        Shape::extra("text", "text", "", |r, n| {
            r["extra"] = json!(format!("é {n}"))
        }),
        Shape::extra("varchar(10)", "varchar(10)", "", |r, n| {
            r["extra"] = json!(format!("é {n}"))
        })
        .edit("to: extra }", "to: extra, max_length: 10 }")
        .poison(|r, _| r["extra"] = json!("12345678901"), "at most 10"),
        Shape::extra("char(5)", "char(5)", "", |r, n| {
            r["extra"] = json!(format!("é{n}"))
        })
        .poison(|r, _| r["extra"] = json!("123456"), "at most 5"),
        Shape::extra("\"char\"", "\"char\"", "", |r, _| r["extra"] = json!("a"))
            .poison(|r, _| r["extra"] = json!("ab"), "at most 1"),
        Shape::extra("name", "name", "", |r, n| {
            r["extra"] = json!(format!("n{n}"))
        }),
        Shape::extra("citext", "citext", "", |r, n| {
            r["extra"] = json!(format!("N{n}"))
        })
        .extension("citext"),
        Shape::extra("bytea", "bytea", "", |r, n| {
            r["extra"] = json!(format!("\\x{n:04x}"))
        })
        .poison(|r, _| r["extra"] = json!("\\xq"), "22023"),
        Shape::extra("uuid", "uuid", "uuid", |r, n| {
            r["extra"] = json!(format!("0190b6f4-93b1-7a44-8c3e-{n:012x}"))
        }),
        Shape::extra("json", "json", "json", |r, n| {
            r["extra"] = json!({"b": [n, null], "a": "é"})
        }),
        Shape::extra("jsonb", "jsonb", "json", |r, n| {
            r["extra"] = json!({"b": [n, 1.5], "a": {"c": null}})
        }),
        Shape::extra("jsonpath", "jsonpath", "", |r, n| {
            r["extra"] = json!(format!("$.a[{n}]"))
        })
        .poison(|r, _| r["extra"] = json!("$.["), "42601"),
        Shape::extra("tsvector", "tsvector", "", |r, n| {
            r["extra"] = json!(format!("'word{n}':1"))
        }),
        Shape::extra("tsquery", "tsquery", "", |r, n| {
            r["extra"] = json!(format!("'a' & 'b{n}'"))
        }),
        Shape::extra("inet", "inet", "", |r, n| {
            r["extra"] = json!(format!("192.0.2.{n}"))
        })
        .poison(|r, _| r["extra"] = json!("192.0.2"), "22P02"),
        Shape::extra("cidr", "cidr", "", |r, n| {
            r["extra"] = json!(format!("10.{n}.0.0/16"))
        }),
        Shape::extra("macaddr", "macaddr", "", |r, n| {
            r["extra"] = json!(format!("08:00:2b:01:02:{n:02x}"))
        }),
        Shape::extra("xml", "xml", "", |r, n| {
            r["extra"] = json!(format!("<a>{n}</a>"))
        })
        .poison(|r, _| r["extra"] = json!("<a>"), "2200"),
        Shape::extra("point, which has no equality", "point", "", |r, n| {
            r["extra"] = json!(format!("({n},1)"))
        }),
        Shape::extra("polygon, which has no order", "polygon", "", |r, n| {
            r["extra"] = json!(format!("((0,0),(0,1),({n},0))"))
        }),
        Shape::extra("hstore", "hstore", "", |r, n| {
            r["extra"] = json!(format!("a=>{n}"))
        })
        .extension("hstore"),
    ]
}

/// A column of a type that `setup` makes.
fn made(
    name: &'static str,
    setup: &str,
    ty: &str,
    value: fn(&mut serde_json::Value, usize),
) -> Shape {
    Shape::new(
        name,
        format!("{setup}; ALTER TABLE customers ADD extra {ty}"),
    )
    .field("extra: { to: extra }")
    .record(value)
}

pub fn composed() -> Vec<Shape> {
    vec![
        made(
            "a domain over text",
            "CREATE DOMAIN short AS text CHECK (length(VALUE) < 5)",
            "short",
            |r, n| {
                r["extra"] = json!(n.to_string());
            },
        )
        .poison(|r, _| r["extra"] = json!("12345"), "23514"),
        made(
            "a domain over varchar(4)",
            "CREATE DOMAIN short AS varchar(4)",
            "short",
            |r, n| r["extra"] = json!(n.to_string()),
        )
        .edit("to: extra }", "to: extra, max_length: 4 }")
        .poison(|r, _| r["extra"] = json!("12345"), "at most 4"),
        made(
            "a domain over a domain that must have a value",
            "CREATE DOMAIN a AS text; CREATE DOMAIN b AS a NOT NULL DEFAULT ''",
            "b",
            |r, n| {
                r["extra"] = json!(n.to_string());
            },
        )
        .poison(|r, _| r["extra"] = json!(null), "23502"),
        made(
            "an enum",
            "CREATE TYPE colour AS ENUM ('red', 'green')",
            "colour",
            |r, _| r["extra"] = json!("red"),
        )
        .poison(|r, _| r["extra"] = json!("blue"), "one of red, green"),
        made(
            "a domain over an enum",
            "CREATE TYPE colour AS ENUM ('red', 'green'); CREATE DOMAIN paint AS colour",
            "paint",
            |r, _| {
                r["extra"] = json!("red");
            },
        )
        .poison(|r, _| r["extra"] = json!("blue"), "one of red, green"),
        made("an array of text", "", "text[]", |r, n| {
            r["extra"] = json!(format!("{{a,\"b {n}\"}}"))
        })
        .poison(|r, _| r["extra"] = json!("{a"), "22P02"),
        made("an array of integer", "", "integer[]", |r, n| {
            r["extra"] = json!(format!("{{1,{n}}}"))
        })
        .poison(|r, _| r["extra"] = json!("{a}"), "22P02"),
        made("an array of varchar(3)", "", "varchar(3)[]", |r, n| {
            r["extra"] = json!(format!("{{a,{n}}}"))
        })
        .poison(|r, _| r["extra"] = json!("{abcd}"), "22001"),
        made(
            "an array of an enum",
            "CREATE TYPE colour AS ENUM ('red', 'green')",
            "colour[]",
            |r, _| r["extra"] = json!("{red,green}"),
        )
        .poison(|r, _| r["extra"] = json!("{blue}"), "22P02"),
        made(
            "an array of a domain",
            "CREATE DOMAIN short AS varchar(3)",
            "short[]",
            |r, n| r["extra"] = json!(format!("{{{n}}}")),
        )
        .poison(|r, _| r["extra"] = json!("{abcd}"), "22001"),
        made(
            "a composite type",
            "CREATE TYPE pair AS (a integer, b text)",
            "pair",
            |r, n| r["extra"] = json!(format!("({n},x)")),
        )
        .poison(|r, _| r["extra"] = json!("(a"), "22P02"),
        made("a range", "", "int4range", |r, n| {
            r["extra"] = json!(format!("[{n},{})", n + 5))
        })
        .poison(|r, _| r["extra"] = json!("[2,1]"), "22000"),
        made(
            "a range of one's own",
            "CREATE TYPE span AS RANGE (subtype = float8)",
            "span",
            |r, n| {
                r["extra"] = json!(format!("[{n},{}.5)", n + 5));
            },
        ),
        made("a multirange", "", "int4multirange", |r, n| {
            r["extra"] = json!(format!("{{[{n},{})}}", n + 5))
        })
        .since(14),
    ]
}
