//! Tables in partitions, and tables that inherit.

use serde_json::json;

use super::shape::Shape;

/// `customers` in partitions.
fn by(name: &'static str, by: &str, parts: &str) -> Shape {
    Shape::new(
        name,
        format!(
            "ALTER TABLE customers RENAME TO plain; \
             CREATE TABLE customers (LIKE plain INCLUDING DEFAULTS INCLUDING IDENTITY) PARTITION BY {by}; {parts}"
        ),
    )
    .after("ALTER TABLE customers ADD UNIQUE (customer_id)")
}

const HASHED: &str = "CREATE TABLE p0 PARTITION OF customers FOR VALUES WITH (MODULUS 2, REMAINDER 0); \
    CREATE TABLE p1 PARTITION OF customers FOR VALUES WITH (MODULUS 2, REMAINDER 1)";
const RANGES: &str = "CREATE TABLE p0 PARTITION OF customers FOR VALUES FROM (MINVALUE) TO ('F-00010'); \
    CREATE TABLE p1 PARTITION OF customers FOR VALUES FROM ('F-00010') TO ('G')";

pub fn shapes() -> Vec<Shape> {
    let mut shapes = vec![
        by("partitions by hash", "HASH (customer_id)", HASHED),
        by("partitions by range", "RANGE (customer_id)", RANGES),
        by("a row that no partition takes", "RANGE (customer_id)", RANGES).poison(|r, _| r["external_id"] = json!("Z"), "23514"),
        by(
            "partitions by list, with a default",
            "LIST (customer_id)",
            "CREATE TABLE p0 PARTITION OF customers FOR VALUES IN ('F-00001', 'F-00002'); CREATE TABLE p1 PARTITION OF customers DEFAULT",
        ),
        by(
            "partitions of partitions",
            "RANGE (customer_id)",
            "CREATE TABLE p0 PARTITION OF customers FOR VALUES FROM (MINVALUE) TO ('F-00010') PARTITION BY HASH (customer_id); \
             CREATE TABLE p00 PARTITION OF p0 FOR VALUES WITH (MODULUS 1, REMAINDER 0); \
             CREATE TABLE p1 PARTITION OF customers DEFAULT",
        ),
        by(
            "a partition whose columns have another order",
            "LIST (customer_id)",
            "CREATE TABLE p1 AS SELECT 1 AS gone, updated_at, sync_id, source_version, email, needs_review, customer_name, \
             validation_status, created_at, record_type, quality_score, customer_id FROM plain; \
             ALTER TABLE p1 DROP gone, ALTER customer_id SET NOT NULL, ALTER needs_review SET NOT NULL; ALTER TABLE customers ATTACH PARTITION p1 DEFAULT",
        )
        .before("ALTER TABLE customers DROP id"),
        by("partitions with a trigger", "HASH (customer_id)", HASHED)
            .after(
                "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN IF NEW.quality_score = 81 THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$; \
                 CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION guard()",
            )
            .poison(|r, _| r["quality_score"] = json!(81), "P0001"),
        by("a partition with a constraint of its own", "HASH (customer_id)", HASHED)
            .after("ALTER TABLE p0 ADD CHECK (quality_score <> 81); ALTER TABLE p1 ADD CHECK (quality_score <> 81)")
            .poison(|r, _| r["quality_score"] = json!(81), "23514"),
        by(
            "partitions by a key of integer",
            "RANGE (customer_id)",
            "CREATE TABLE p0 PARTITION OF customers FOR VALUES FROM (MINVALUE) TO (10); \
             CREATE TABLE p1 PARTITION OF customers FOR VALUES FROM (10) TO (MAXVALUE)",
        )
        .before("ALTER TABLE customers ALTER customer_id TYPE integer USING NULL")
        .key("integer", |r, n| r["external_id"] = json!(n)),
        Shape::new(
            "partitions by another column",
            "ALTER TABLE customers RENAME TO plain; \
             CREATE TABLE customers (LIKE plain INCLUDING DEFAULTS INCLUDING IDENTITY) PARTITION BY LIST (record_type); \
             CREATE TABLE p0 PARTITION OF customers DEFAULT; ALTER TABLE customers ADD UNIQUE (customer_id, record_type)",
        )
        .refused("only where it is partitioned by customer_id alone"),
        Shape::new(
            "one partition as the table",
            "ALTER TABLE customers DROP id; ALTER TABLE customers RENAME TO plain; \
             CREATE TABLE everybody (LIKE plain INCLUDING DEFAULTS INCLUDING IDENTITY) PARTITION BY LIST (record_type); \
             CREATE TABLE customers PARTITION OF everybody FOR VALUES IN ('lead'); \
             ALTER TABLE customers ADD UNIQUE (customer_id)",
        )
        .poison(|r, _| r["record_type"] = json!("partner"), "23514"),
    ];
    shapes.extend(inheritance());
    shapes
}

fn inheritance() -> Vec<Shape> {
    vec![
        Shape::new(
            "a table that inherits",
            "CREATE TABLE everybody (region text DEFAULT 'north'); ALTER TABLE customers ADD region text DEFAULT 'north', INHERIT everybody",
        ),
        Shape::new(
            "a table that others inherit from",
            "CREATE TABLE former () INHERITS (customers); INSERT INTO former (id, customer_id) VALUES (1, 'old')",
        )
        .stored("ONLY customers"),
        Shape::new(
            "a table whose heirs have the same keys",
            "CREATE TABLE former () INHERITS (customers); \
             INSERT INTO former (id, customer_id, customer_name) SELECT n, 'F-' || lpad(n::text, 5, '0'), 'former' FROM generate_series(0, 40) n",
        )
        .stored("ONLY customers"),
    ]
}
