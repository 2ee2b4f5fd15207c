//! Kinds of conflict keys.

use serde_json::json;

use super::shape::Shape;

const NO_KEY: &str = "ALTER TABLE customers DROP CONSTRAINT customers_customer_id_key";

/// The key's type alone is another.
fn typed(name: &'static str, ty: &str) -> Shape {
    Shape::new(
        name,
        format!("ALTER TABLE customers ALTER customer_id TYPE {ty} USING NULL"),
    )
}

/// The unique constraint is replaced.
fn instead(name: &'static str, sql: &str) -> Shape {
    Shape::new(name, format!("{NO_KEY}; {sql}"))
}

pub fn shapes() -> Vec<Shape> {
    let mut shapes = works();
    shapes.extend(refused());
    shapes
}

fn works() -> Vec<Shape> {
    vec![
        Shape::new("the table of schema.sql", ""),
        instead(
            "a primary key that is the conflict key",
            "ALTER TABLE customers DROP id, ADD PRIMARY KEY (customer_id)",
        ),
        typed("a key of smallint", "smallint")
            .key("integer", |r, n| r["external_id"] = json!(n as i64 - 15)),
        typed("a key of integer", "integer").key("integer", |r, n| {
            r["external_id"] = json!(n as i64 * 7 - 100)
        }),
        typed("a key of bigint", "bigint").key("integer", |r, n| {
            r["external_id"] = json!(9_000_000_000_000_000_u64 + n as u64)
        }),
        typed("a key of numeric", "numeric")
            .key("decimal", |r, n| r["external_id"] = json!(n as f64 / 4.0)),
        typed("a key of numeric(12,2)", "numeric(12,2)")
            .key("decimal", |r, n| r["external_id"] = json!(n as f64 / 4.0)),
        typed("a key of double precision", "double precision")
            .key("decimal", |r, n| r["external_id"] = json!(n as f64 / 8.0)),
        typed("a key of uuid", "uuid").key("uuid", |r, n| {
            r["external_id"] = json!(format!("0190b6f4-93b1-7a44-8c3e-{:012x}", n * 977));
        }),
        typed("a key of date", "date").key("date", |r, n| {
            r["external_id"] = json!(format!("2024-0{}-{:02}", 1 + n / 28, 1 + n % 28));
        }),
        typed("a key of timestamptz", "timestamptz").key("datetime", |r, n| {
            r["external_id"] = json!(format!("2024-03-01T00:{n:02}:00Z"));
        }),
        typed("a key of text", "text"),
        typed("a key of char(20)", "char(20)")
            .edit("customerId, max_length: 100 }", "customerId, max_length: 20 }"),
        typed("a key of name", "name"),
        typed("a key of inet", "inet")
            .record(|r, n| r["external_id"] = json!(format!("10.0.0.{n}"))),
        typed("a key of bytea", "bytea")
            .record(|r, n| r["external_id"] = json!(format!("\\x00ff{n:02x}"))),
        typed("a key of citext", "citext").extension("citext"),
        Shape::new(
            "a key of a domain",
            "CREATE DOMAIN code AS varchar(20) CHECK (VALUE ~ '^F-'); ALTER TABLE customers ALTER customer_id TYPE code",
        )
        .edit("customerId, max_length: 100 }", "customerId, max_length: 20 }"),
        Shape::new(
            "a key of an enum",
            "DO $$ BEGIN EXECUTE 'CREATE TYPE code AS ENUM (' || (SELECT string_agg(format('%L', 'F-' || lpad(n::text, 5, '0')), ',' \
             ORDER BY n DESC) FROM generate_series(0, 50) n) || ')'; END $$; \
             ALTER TABLE customers ALTER customer_id TYPE code USING NULL",
        ),
        typed("a key that sorts by bytes", "varchar(100) COLLATE \"C\""),
        Shape::new(
            "a key that ignores case (ICU collation)",
            "CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
             ALTER TABLE customers ALTER customer_id TYPE text COLLATE anycase",
        ),
        instead(
            "a unique index without a constraint",
            "CREATE UNIQUE INDEX by_code ON customers (customer_id)",
        ),
        instead(
            "a unique index that sorts downwards",
            "CREATE UNIQUE INDEX ON customers (customer_id DESC NULLS LAST)",
        ),
        instead(
            "a unique index that includes other columns",
            "CREATE UNIQUE INDEX ON customers (customer_id) INCLUDE (email)",
        ),
        instead(
            "a unique key that takes one null",
            "ALTER TABLE customers ADD UNIQUE NULLS NOT DISTINCT (customer_id)",
        )
        .since(15),
        instead(
            "a unique key beside a composite primary key",
            "ALTER TABLE customers DROP CONSTRAINT customers_pkey; ALTER TABLE customers ALTER record_type SET NOT NULL, \
             ADD PRIMARY KEY (record_type, customer_id), ADD UNIQUE (customer_id)",
        ),
        Shape::new(
            "a second unique key on the same column",
            "CREATE UNIQUE INDEX twice ON customers (customer_id)",
        ),
        Shape::new(
            "a key that another table refers to",
            "CREATE TABLE orders (customer varchar(100) REFERENCES customers (customer_id))",
        ),
    ]
}

fn refused() -> Vec<Shape> {
    const NOT_UNIQUE: &str = "not unique by itself";
    vec![
        instead("no unique key", "").refused(NOT_UNIQUE),
        instead("a unique key of two columns", "ALTER TABLE customers ADD UNIQUE (customer_id, record_type)").refused(NOT_UNIQUE),
        instead("a partial unique index", "CREATE UNIQUE INDEX ON customers (customer_id) WHERE needs_review").refused("partial, deferrable or invalid"),
        instead("a deferrable unique key", "ALTER TABLE customers ADD UNIQUE (customer_id) DEFERRABLE").refused("partial, deferrable or invalid"),
        instead("a unique index on an expression", "CREATE UNIQUE INDEX ON customers (lower(customer_id))").refused(NOT_UNIQUE),
        instead("an exclusion constraint in place of the key", "ALTER TABLE customers ADD EXCLUDE (customer_id WITH =)").refused(NOT_UNIQUE),
        Shape::new(
            "an invalid unique index",
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'customers_customer_id_key'::regclass",
        )
        .refused("partial, deferrable or invalid"),
        typed("a key that is always generated", "integer")
            .key("integer", |r, n| r["external_id"] = json!(n))
            .after("ALTER TABLE customers ALTER customer_id SET NOT NULL, ALTER customer_id ADD GENERATED ALWAYS AS IDENTITY")
            .refused("always generated by the database"),
    ]
}
