//! Row-level policies, and roles with the least privileges.

use serde_json::json;

use super::shape::Shape;

const ALL: &str = "GRANT USAGE ON SCHEMA public TO ROLE; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ROLE;";

/// What a role needs beside the target, and more.
fn own(grants: &str) -> String {
    format!(
        "GRANT USAGE ON SCHEMA public TO ROLE; GRANT SELECT, INSERT, UPDATE, DELETE ON sync_log, sync_batches, sync_rejections, \
         sync_rejections_seen, sync_explanations, sync_cases, sync_state, sync_lease TO ROLE; {grants}"
    )
}

/// The columns that are written.
const WRITTEN: &str = "(customer_id, customer_name, email, record_type, quality_score, created_at, validation_status, \
    needs_review, source_version, sync_id, updated_at)";

pub fn shapes() -> Vec<Shape> {
    let policy = |name, sql: &str| {
        Shape::new(
            name,
            format!("ALTER TABLE customers ENABLE ROW LEVEL SECURITY; {sql}"),
        )
    };
    let mut shapes = vec![
        policy("policies that the owner passes by", "CREATE POLICY none ON customers USING (false)"),
        policy("a policy for all rows", "CREATE POLICY every ON customers USING (true)").role(ALL),
        policy("a policy that refuses one row", "CREATE POLICY part ON customers USING (true) WITH CHECK (quality_score <> 81)")
            .role(ALL)
            .poison(|r, _| r["quality_score"] = json!(81), "42501"),
        policy("policies that restrict each other", "CREATE POLICY every ON customers USING (true); \
             CREATE POLICY not_that ON customers AS RESTRICTIVE FOR INSERT WITH CHECK (quality_score <> 81)")
            .role(ALL)
            .poison(|r, _| r["quality_score"] = json!(81), "42501"),
        policy("policies command by command", "CREATE POLICY a ON customers FOR SELECT USING (true); \
             CREATE POLICY b ON customers FOR INSERT WITH CHECK (true); CREATE POLICY c ON customers FOR UPDATE USING (true)").role(ALL),
        Shape::new("policies that are switched off", "CREATE POLICY none ON customers USING (false)").role(ALL),
    ];
    shapes.extend(privileges());
    shapes
}

fn privileges() -> Vec<Shape> {
    let table = |name| {
        Shape::new(
            name,
            "REVOKE ALL ON SCHEMA public FROM public; REVOKE ALL ON ALL TABLES IN SCHEMA public FROM public",
        )
    };
    vec![
        table("a role with the privileges that check-db asks for").role(own("GRANT SELECT, INSERT, UPDATE ON customers TO ROLE")),
        table("writing the written columns only").role(own(&format!(
            "GRANT SELECT ON customers TO ROLE; GRANT INSERT {WRITTEN}, UPDATE {WRITTEN} ON customers TO ROLE"
        ))),
        table("reading and writing the written columns only").role(own(&format!(
            "GRANT SELECT {WRITTEN}, INSERT {WRITTEN}, UPDATE {WRITTEN} ON customers TO ROLE"
        ))),
        table("a role that may not read").role(own("GRANT INSERT, UPDATE ON customers TO ROLE")).denied("GRANT SELECT ON"),
        table("a role without the tables of the log").role("GRANT USAGE ON SCHEMA public TO ROLE; GRANT SELECT, INSERT, UPDATE ON customers TO ROLE")
            .denied("sync_log"),
        table("a serial column whose sequence may not be used")
            .before("ALTER TABLE customers ADD number serial")
            .role(own("GRANT SELECT, INSERT, UPDATE ON customers TO ROLE"))
            .denied("customers_number_seq"),
        table("privileges by membership").before("CREATE TABLE unused ()").role(own(
            "GRANT SELECT, INSERT, UPDATE ON customers TO public"
        )),
    ]
}
