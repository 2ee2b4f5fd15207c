//! Views and other relations in place of the table, names that need quotes, schemas, and how the table is kept.

use serde_json::json;

use super::shape::Shape;

/// `customers` as a view of the table `stored`.
fn view(name: &'static str, sql: &str) -> Shape {
    Shape::new(
        name,
        format!("ALTER TABLE customers RENAME TO stored; {sql}"),
    )
    .stored("stored")
}

pub fn views() -> Vec<Shape> {
    const WHOLE: &str = "CREATE VIEW customers AS SELECT * FROM stored";
    const NO_UPSERT: &str = "name the table behind it";
    vec![
        view("a view of the whole table", WHOLE),
        view("a view of the written columns", "CREATE VIEW customers AS SELECT customer_id, customer_name, email, record_type, \
             quality_score, created_at, updated_at, validation_status, needs_review, source_version, sync_id FROM stored"),
        view("a view with other names of columns", "ALTER TABLE stored RENAME email TO \"E-Mail\"; \
             ALTER TABLE stored RENAME customer_id TO code; \
             CREATE VIEW customers AS SELECT code AS customer_id, \"E-Mail\" AS email, customer_name, record_type, \
             quality_score, created_at, updated_at, validation_status, needs_review, source_version, sync_id, upper(customer_name) AS shouted FROM stored"),
        view("a view of a view", "CREATE VIEW middle AS SELECT * FROM stored; CREATE VIEW customers AS SELECT * FROM middle"),
        view("a view of some rows, checked", "CREATE VIEW customers AS SELECT * FROM stored WHERE quality_score <> 81 WITH CHECK OPTION")
            .poison(|r, _| r["quality_score"] = json!(81), "44000"),
        view("a view with defaults", "CREATE VIEW customers AS SELECT * FROM stored; ALTER VIEW customers ALTER email SET DEFAULT 'x'"),
        view("a view with a security barrier", "CREATE VIEW customers WITH (security_barrier) AS SELECT * FROM stored"),
        view("a view with the rights of its user", "CREATE VIEW customers WITH (security_invoker) AS SELECT * FROM stored").since(15),
        view("a view of a partitioned table", "CREATE TABLE parts (LIKE stored INCLUDING IDENTITY) PARTITION BY HASH (customer_id); \
             CREATE TABLE p0 PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0); ALTER TABLE parts ADD UNIQUE (customer_id); \
             CREATE VIEW customers AS SELECT * FROM parts").stored("parts"),
        view("a view of a join", "CREATE TABLE regions (id bigint, region text); \
             CREATE VIEW customers AS SELECT s.*, region FROM stored s JOIN regions USING (id)").refused(NO_UPSERT),
        view("a view of groups", "CREATE VIEW customers AS SELECT DISTINCT * FROM stored").refused(NO_UPSERT),
        view("a view whose key is computed", "CREATE VIEW customers AS SELECT upper(customer_id)::varchar(100) AS customer_id, customer_name, email, \
             record_type, quality_score, created_at, updated_at, validation_status, needs_review, source_version, sync_id FROM stored").refused(NO_UPSERT),
        view("a view with INSTEAD OF triggers", "CREATE VIEW customers AS SELECT * FROM stored; \
             CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO stored SELECT NEW.*; RETURN NEW; END $$; \
             CREATE TRIGGER act INSTEAD OF INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION act()").refused(NO_UPSERT),
        view("a view with INSTEAD rules", "CREATE VIEW customers AS SELECT * FROM stored; \
             CREATE RULE act AS ON INSERT TO customers DO INSTEAD INSERT INTO stored SELECT NEW.*").refused(NO_UPSERT),
        view("a materialized view", "CREATE MATERIALIZED VIEW customers AS SELECT * FROM stored; CREATE UNIQUE INDEX ON customers (customer_id)")
            .refused("public.customers is a materialized view"),
        Shape::new("a foreign table", "CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER away FOREIGN DATA WRAPPER nothing; \
             ALTER TABLE customers RENAME TO stored; CREATE FOREIGN TABLE customers (id bigint, customer_id varchar(100), customer_name text, \
             email text, record_type text, quality_score numeric, created_at timestamptz, updated_at timestamptz, validation_status text, \
             needs_review boolean, source_version timestamptz, sync_id uuid) SERVER away").refused("public.customers is a foreign table"),
    ]
}

/// The table under another name, in mappings.yaml too.
fn named(name: &'static str, schema: &str, table: &str, stored: &'static str) -> Shape {
    Shape::new(
        name,
        format!("CREATE SCHEMA IF NOT EXISTS {schema}; ALTER TABLE customers SET SCHEMA {schema}; ALTER TABLE {schema}.customers RENAME TO {table}"),
    )
    .stored(stored)
}

pub fn names_and_storage() -> Vec<Shape> {
    const NAMES: &str = "customers: { name: customers, schema: public, primary_key: id, conflict_key: customer_id }";
    let kept = |name, sql: &str| Shape::new(name, sql.to_owned());
    vec![
        named("another schema", "sales", "clients", "sales.clients")
            .edit(NAMES, "customers: { name: clients, schema: sales, primary_key: id, conflict_key: customer_id }"),
        named("names with quotes, spaces and capitals", "\"My Schema\"", "\"Kunden \"\"A\"\"\"", "\"My Schema\".\"Kunden \"\"A\"\"\"")
            .edit(NAMES, "customers: { name: 'Kunden \"A\"', schema: My Schema, primary_key: id, conflict_key: customer_id }"),
        named("a reserved word as the name", "\"user\"", "\"order\"", "\"user\".\"order\"")
            .edit(NAMES, "customers: { name: order, schema: user, primary_key: id, conflict_key: customer_id }"),
        named("a name of 63 bytes", "sales", &"n".repeat(63), "sales.nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn")
            .edit(NAMES, format!("customers: {{ name: {}, schema: sales, primary_key: id, conflict_key: customer_id }}", "n".repeat(63))),
        kept("columns with quotes and capitals", "ALTER TABLE customers RENAME customer_id TO \"Customer \"\"ID\"\"\"; \
             ALTER TABLE customers RENAME customer_name TO \"select\"; ALTER TABLE customers RENAME email TO \"É-mail's\"")
            .edit("to: customerId, max_length: 100 }", "to: customerId, max_length: 100, column: 'Customer \"ID\"' }")
            .edit("to: customerName, max_length: 255 }", "to: customerName, max_length: 255, column: select }")
            .edit("to: email, max_length: 255 }", "to: email, max_length: 255, column: \"É-mail's\" }")
            .edit("conflict_key: customer_id", "conflict_key: 'Customer \"ID\"'")
            .after("ALTER TABLE customers ADD CHECK (\"select\" <> 'POISON')")
            .poison(|r, _| r["full_name"] = json!("POISON"), "23514"),
        kept("tables of the log in a schema of their own", "CREATE SCHEMA log; DO $$ DECLARE t text; BEGIN \
             FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'sync%' LOOP \
             EXECUTE format('ALTER TABLE %I SET SCHEMA log', t); END LOOP; END $$; ALTER VIEW sync_rejections_now SET SCHEMA log; \
             CREATE VIEW sync_rejections AS SELECT * FROM log.sync_rejections")
            .edit("sync_log: { name: sync_log, schema: public }", "sync_log: { name: sync_log, schema: log }"),
        kept("an unlogged table", "ALTER TABLE customers SET UNLOGGED"),
        kept("half-filled pages", "ALTER TABLE customers SET (fillfactor = 50, autovacuum_enabled = off)"),
        kept("a typed table", "ALTER TABLE customers RENAME TO plain; CREATE TYPE client AS (customer_id varchar(100), customer_name varchar(255), \
             email varchar(255), record_type varchar(50), quality_score numeric, created_at timestamptz, updated_at timestamptz, \
             validation_status varchar(50), needs_review boolean, source_version timestamptz, sync_id uuid); \
             CREATE TABLE customers OF client (UNIQUE (customer_id))"),
        kept("a publication and full replica identity", "ALTER TABLE customers REPLICA IDENTITY FULL; CREATE PUBLICATION p FOR TABLE customers"),
        kept("a table that is clustered", "CLUSTER customers USING customers_customer_id_key"),
        kept("columns in another order", "ALTER TABLE customers RENAME TO plain; CREATE TABLE customers AS \
             SELECT sync_id, source_version, email, needs_review, customer_name, validation_status, updated_at, created_at, record_type, \
             quality_score, customer_id FROM plain; ALTER TABLE customers ADD UNIQUE (customer_id)"),
        kept("no table", "DROP TABLE customers").refused("public.customers does not exist"),
        kept("a sequence of that name", "DROP TABLE customers; CREATE SEQUENCE customers").refused("public.customers is a sequence"),
        kept("a log that is another table", "ALTER TABLE sync_log DROP pages, DROP status").refused("lacks"),
    ]
}
