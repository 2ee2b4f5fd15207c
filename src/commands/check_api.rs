//! `datasync check-api`: checks the connection to the API, and its first page against the mapping.

use anyhow::Result;

use crate::api;
use crate::commands::cli::Global;
use crate::config::Needs;
use crate::exit::Exit;

pub(super) fn run(global: &Global) -> Result<Exit> {
    let plan = super::load(global, Needs::API)?;
    let alert = plan.alerts.api_response_time;
    let checks = api::check(plan.api()?, &plan.mapping, alert, api::Reader::Asking);
    Ok(if super::checks::show(global, &checks) {
        Exit::Success
    } else {
        Exit::Api
    })
}
