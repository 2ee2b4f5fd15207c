//! Checks on the first page that records have the field that `if_match` names.

use serde_json::Value;

use super::super::error::{ApiError, Kind};
use super::{Page, Pages};
use crate::config::path;

impl Pages {
    /// If no record of the first page has the field, that is a mistake in mappings.yaml: no message would ever be sent. The
    /// page of an incremental run is not checked, since it may hold a few records that happen to lack it.
    pub(super) fn no_version_in(&self, page: &Page) -> Option<ApiError> {
        let wanted = self.version_path.as_ref()?;
        if page.index > 0 || self.is_incremental || page.records.is_empty() {
            return None;
        }
        let has_it = |raw: &str| {
            let record: Result<Value, _> = serde_json::from_str(raw);
            // A record that cannot be parsed does not count against the path.
            record.map_or(true, |record| path::at(&record, wanted).is_some())
        };
        (!page.iter().any(has_it)).then(|| {
            let what = format!(
                "no record of the page has `{}`, which `if_match` of mappings.api.endpoints.update names",
                path::text(wanted)
            );
            let hint = "nothing was fetched or written: correct the path in mappings.yaml; `datasync check-api` lists the fields of a record";
            ApiError::new(Kind::NoSuchPath, what, hint).on_page(1)
        })
    }
}
