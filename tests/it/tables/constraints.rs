//! Constraints, indexes and foreign keys.

use serde_json::json;

use super::shape::Shape;

fn table(name: &'static str, sql: &str) -> Shape {
    Shape::new(name, format!("ALTER TABLE customers {sql}"))
}

pub fn shapes() -> Vec<Shape> {
    let ranges = |name, constraint: &str| {
        Shape::new(
            name,
            format!("ALTER TABLE customers ADD extra int4range; {constraint}"),
        )
        .field("extra: { to: extra }")
        .record(|r, n| r["extra"] = json!(format!("[{},{})", n * 10, n * 10 + 5)))
        .poison(|r, _| r["extra"] = json!("[1,3)"), "23P01")
    };
    let index =
        |name, sql: &str| Shape::new(name, format!("CREATE INDEX beside ON customers {sql}"));
    vec![
        table("NOT NULL", "ALTER email SET NOT NULL").poison(|r, _| r["contact_email"] = json!(null), "23502"),
        table("CHECK of one column", "ADD CHECK (quality_score <> 81)").poison(|r, _| r["quality_score"] = json!(81), "23514"),
        table("CHECK of two columns", "ADD CHECK (customer_name <> email)")
            .poison(|r, _| r["full_name"] = r["contact_email"].clone(), "23514"),
        table("CHECK that was not validated", "ADD CHECK (quality_score <> 81) NOT VALID")
            .poison(|r, _| r["quality_score"] = json!(81), "23514"),
        table("CHECK that is not enforced", "ADD CHECK (quality_score < 0) NOT ENFORCED").since(18),
        table("a second unique column", "ADD UNIQUE (email)").poison(|r, _| r["contact_email"] = json!("f3@example.com"), "23505"),
        table("a second unique column, deferred", "ADD UNIQUE (email) DEFERRABLE INITIALLY DEFERRED")
            .poison(|r, _| r["contact_email"] = json!("f3@example.com"), "23505"),
        Shape::new("a unique index on an expression beside the key", "CREATE UNIQUE INDEX ON customers (lower(email))")
            .poison(|r, _| r["contact_email"] = json!("F3@example.com"), "23505"),
        Shape::new("a partial unique index beside the key", "CREATE UNIQUE INDEX ON customers (email) WHERE quality_score > 80")
            .poison(|r, _| r["contact_email"] = json!("f3@example.com"), "23505"),
        ranges("an exclusion constraint", "ALTER TABLE customers ADD EXCLUDE USING gist (extra WITH &&)"),
        ranges("an exclusion constraint, deferred", "ALTER TABLE customers ADD EXCLUDE USING gist (extra WITH &&) DEFERRABLE INITIALLY DEFERRED"),
        ranges("a partial exclusion constraint", "ALTER TABLE customers ADD EXCLUDE USING gist (extra WITH &&) WHERE (quality_score > 10)"),
        index("a partial index", "(email) WHERE needs_review"),
        index("an index on an expression", "(lower(customer_name), (quality_score * 2))"),
        index("an index on an expression that fails for one row", "((1 / (quality_score - 81)))")
            .poison(|r, _| r["quality_score"] = json!(81), "22012"),
        index("an index on a function", "(initial(customer_name))")
            .before("CREATE FUNCTION initial(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT left($1, 1)'"),
        index("a hash index", "USING hash (email)"),
        index("a GIN index", "USING gin (to_tsvector('simple', customer_name))"),
        index("a BRIN index", "USING brin (created_at)"),
        index("an index that a long text does not fit into", "(extra)")
            .before("ALTER TABLE customers ADD extra text")
            .field("extra: { to: extra }")
            .poison(
                |r, _| {
                    let mut seed = 7_u64;
                    let text = (0..9_000).map(|_| {
                        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        char::from(b'!' + u8::try_from((seed >> 33) % 90).unwrap_or_default())
                    });
                    r["extra"] = json!(text.collect::<String>());
                },
                "54000",
            ),
        Shape::new("extended statistics", "CREATE STATISTICS two (dependencies) ON email, customer_name FROM customers"),
    ]
}

pub fn foreign_keys() -> Vec<Shape> {
    const KINDS: &str =
        "CREATE TABLE kinds (kind text PRIMARY KEY); INSERT INTO kinds VALUES ('lead')";
    let kind = |name, options: &str| {
        Shape::new(
            name,
            format!("{KINDS}; ALTER TABLE customers ADD FOREIGN KEY (record_type) REFERENCES kinds {options}"),
        )
        .poison(|r, _| r["record_type"] = json!("partner"), "23503")
    };
    vec![
        kind("a foreign key", ""),
        kind("a foreign key, deferrable", "DEFERRABLE"),
        kind("a foreign key, deferred", "DEFERRABLE INITIALLY DEFERRED"),
        kind("a foreign key that cascades", "ON UPDATE CASCADE ON DELETE CASCADE"),
        kind("a foreign key that was not validated", "NOT VALID"),
        Shape::new(
            "a foreign key to the table itself",
            "ALTER TABLE customers ADD parent varchar(100) REFERENCES customers (customer_id)",
        )
        .field("parent: { to: parent }")
        .record(|r, n| r["parent"] = json!(format!("F-{:05}", n / 2)))
        .poison(|r, _| r["parent"] = json!("nobody"), "23503"),
        Shape::new(
            "a foreign key to the table itself, deferred",
            "ALTER TABLE customers ADD parent varchar(100) REFERENCES customers (customer_id) DEFERRABLE INITIALLY DEFERRED",
        )
        .field("parent: { to: parent }")
        .record(|r, n| r["parent"] = json!(format!("F-{:05}", 29_usize.saturating_sub(n))))
        .poison(|r, _| r["parent"] = json!("nobody"), "23503"),
        Shape::new(
            "a foreign key from a key to its main table",
            "CREATE TABLE people (code varchar(100) PRIMARY KEY); \
             INSERT INTO people SELECT 'F-' || lpad(n::text, 5, '0') FROM generate_series(0, 99) n; \
             ALTER TABLE customers ADD FOREIGN KEY (customer_id) REFERENCES people",
        )
        .poison(|r, _| r["external_id"] = json!("F-99999"), "23503"),
    ]
}
