//! Prints the results of `check-api` and `check-db`.

use crate::commands::cli::{Global, Output};
use crate::model::record::Check;
use crate::support::text::clean;

/// Prints the checks. Returns true if all succeeded.
pub(super) fn show(global: &Global, checks: &[Check]) -> bool {
    let ok = checks.iter().all(|check| check.ok);
    if global.quiet && ok {
        return ok;
    }
    if global.output == Output::Json {
        let list: Vec<_> = checks
            .iter()
            .map(|check| {
                serde_json::json!({
                    "name": check.name, "ok": check.ok, "seconds": check.seconds,
                    "detail": check.detail, "hint": check.hint,
                })
            })
            .collect();
        super::print(&(serde_json::json!({ "ok": ok, "checks": list }).to_string() + "\n"));
        return ok;
    }
    let mut text = String::new();
    for check in checks {
        let mark = if check.ok { "ok  " } else { "FAIL" };
        let time = format!("{:.3} s", check.seconds);
        // Several findings of one check are printed one a line.
        for (i, line) in check.detail.lines().enumerate() {
            text += &if i == 0 {
                format!("{mark} {:<18} {time:>9}  {}\n", check.name, clean(line))
            } else {
                format!("     {:<18} {:>9}  {}\n", "", "", clean(line))
            };
        }
        for line in check.hint.iter().flat_map(|hint| hint.lines()) {
            text += &format!("     {:<18} {:>9}  → {}\n", "", "", clean(line));
        }
    }
    super::print(&text);
    ok
}
