//! Triggers and rules.

use serde_json::json;

use super::shape::Shape;

/// A trigger that does this.
fn trigger(name: &'static str, when: &str, body: &str) -> Shape {
    Shape::new(
        name,
        format!(
            "CREATE TABLE audit (what text); \
             CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$; \
             CREATE {when} EXECUTE FUNCTION act()"
        ),
    )
}

const ROWS: &str = "TRIGGER act BEFORE INSERT OR UPDATE ON customers FOR EACH ROW";

pub fn shapes() -> Vec<Shape> {
    vec![
        trigger("BEFORE, raises for one row", ROWS, "IF NEW.quality_score = 81 THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW;")
            .poison(|r, _| r["quality_score"] = json!(81), "P0001"),
        trigger("BEFORE, skips one row", ROWS, "IF NEW.quality_score = 81 THEN RETURN NULL; END IF; RETURN NEW;")
            .poison(|r, _| r["quality_score"] = json!(81), "database_skipped"),
        trigger("BEFORE, sets the time of the change", ROWS, "NEW.updated_at := clock_timestamp(); RETURN NEW;"),
        trigger("BEFORE, fills a column that is not written", ROWS, "NEW.region := upper(NEW.email); RETURN NEW;")
            .before("ALTER TABLE customers ADD region text"),
        trigger("BEFORE, changes a column that is written", ROWS, "NEW.customer_name := upper(NEW.customer_name); RETURN NEW;")
            .unforeseen(),
        trigger("BEFORE UPDATE, where something differs", "TRIGGER act BEFORE UPDATE ON customers FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)", "RETURN NEW;"),
        trigger("BEFORE UPDATE OF a column", "TRIGGER act BEFORE UPDATE OF email ON customers FOR EACH ROW", "RETURN NEW;"),
        trigger("AFTER, keeps an audit", "TRIGGER act AFTER INSERT OR UPDATE ON customers FOR EACH ROW", "INSERT INTO audit VALUES (NEW.customer_id); RETURN NULL;"),
        trigger(
            "AFTER, whose own statement fails for one row",
            "TRIGGER act AFTER INSERT OR UPDATE ON customers FOR EACH ROW",
            "INSERT INTO audit VALUES (1 / (NEW.quality_score - 81)); RETURN NULL;",
        )
        .poison(|r, _| r["quality_score"] = json!(81), "22012"),
        trigger(
            "AFTER, deferred, raises for one row",
            "CONSTRAINT TRIGGER act AFTER INSERT OR UPDATE ON customers DEFERRABLE INITIALLY DEFERRED FOR EACH ROW",
            "IF NEW.quality_score = 81 THEN RAISE EXCEPTION 'no'; END IF; RETURN NULL;",
        )
        .poison(|r, _| r["quality_score"] = json!(81), "P0001"),
        trigger("on statements", "TRIGGER act AFTER INSERT OR UPDATE ON customers FOR EACH STATEMENT", "INSERT INTO audit VALUES (TG_OP); RETURN NULL;"),
        trigger(
            "on statements, with the new rows",
            "TRIGGER act AFTER INSERT ON customers REFERENCING NEW TABLE AS added FOR EACH STATEMENT",
            "INSERT INTO audit SELECT customer_id FROM added; RETURN NULL;",
        ),
        trigger("on statements, raises for one row", "TRIGGER act AFTER INSERT ON customers REFERENCING NEW TABLE AS added FOR EACH STATEMENT",
            "IF EXISTS (SELECT FROM added WHERE quality_score = 81) THEN RAISE EXCEPTION 'no'; END IF; RETURN NULL;")
            .poison(|r, _| r["quality_score"] = json!(81), "P0001"),
        trigger("one that is disabled", ROWS, "RAISE EXCEPTION 'no';").after("ALTER TABLE customers DISABLE TRIGGER act"),
        trigger("one for replicas only", ROWS, "RAISE EXCEPTION 'no';").after("ALTER TABLE customers ENABLE REPLICA TRIGGER act"),
        Shape::new(
            "one that suppresses updates without a change",
            "CREATE TRIGGER z BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        ),
        trigger("one that notifies", "TRIGGER act AFTER INSERT OR UPDATE ON customers FOR EACH ROW", "PERFORM pg_notify('customers', NEW.customer_id); RETURN NULL;"),
        trigger("BEFORE DELETE", "TRIGGER act BEFORE DELETE ON customers FOR EACH ROW", "RAISE EXCEPTION 'no';"),
    ]
}

pub fn rules() -> Vec<Shape> {
    const REFUSED: &str = "a rule on INSERT or UPDATE";
    let rule = |name, sql: &str| {
        Shape::new(
            name,
            format!("CREATE TABLE audit (what text); CREATE RULE act AS {sql}"),
        )
    };
    vec![
        rule(
            "ON INSERT DO ALSO",
            "ON INSERT TO customers DO ALSO INSERT INTO audit VALUES (NEW.customer_id)",
        )
        .refused(REFUSED),
        rule(
            "ON INSERT DO INSTEAD",
            "ON INSERT TO customers DO INSTEAD INSERT INTO audit VALUES (NEW.customer_id)",
        )
        .refused(REFUSED),
        rule(
            "ON INSERT DO INSTEAD NOTHING, for some rows",
            "ON INSERT TO customers WHERE NEW.quality_score = 81 DO INSTEAD NOTHING",
        )
        .refused(REFUSED),
        rule(
            "ON UPDATE DO INSTEAD NOTHING",
            "ON UPDATE TO customers DO INSTEAD NOTHING",
        )
        .refused(REFUSED),
        rule(
            "ON UPDATE DO ALSO NOTHING",
            "ON UPDATE TO customers DO ALSO NOTHING",
        )
        .refused(REFUSED),
        rule(
            "ON DELETE DO INSTEAD NOTHING",
            "ON DELETE TO customers DO INSTEAD NOTHING",
        ),
        rule(
            "ON INSERT, disabled",
            "ON INSERT TO customers DO ALSO INSERT INTO audit VALUES (NEW.customer_id)",
        )
        .after("ALTER TABLE customers DISABLE RULE act"),
    ]
}
