//! The check that `if_match` names a field which records have, on the first page. Knows nothing of other pages.

use serde_json::Value;

use super::super::error::{ApiError, Kind};
use super::{Page, Pages};
use crate::config::path;

impl Pages {
    /// A version path that no record of the first page has is a mistake in mappings.yaml: nothing would ever be sent. What
    /// only changed may be few records that happen to have none.
    pub(super) fn no_version_in(&self, page: &Page) -> Option<ApiError> {
        let wanted = self.version_path.as_ref()?;
        if page.index > 0 || self.is_incremental || page.records.is_empty() {
            return None;
        }
        let has_it = |raw: &str| {
            let record: Result<Value, _> = serde_json::from_str(raw);
            // What cannot be read shows nothing.
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
