//! Authentication: each form end to end, and where its secrets must not be.
#![allow(clippy::unwrap_used)]

mod certificates;
mod forms;
mod oauth;
mod rotation;

use crate::support::Workplace;
use crate::support::http::Running;

/// A workplace whose mappings.yaml has this `auth`, without `API_TOKEN`.
fn place(api: &Running, auth: &str) -> Workplace {
    let place = Workplace::new().env("API_BASE_URL", api.url());
    place.edit(
        "mappings.yaml",
        "auth: { type: bearer }  ",
        &format!("auth: {auth}\n    #"),
    );
    place.edit("mappings.yaml", "initial: 500ms", "initial: 5ms");
    place
}

/// Records that the shipped mapping accepts.
fn records(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!(r#"{{"external_id":"K-{number}","full_name":"Name","contact_email":"k@example.com","created_date":"2024-01-01T00:00:00Z","quality_score":90,"record_type":"lead"}}"#))
        .collect()
}
