//! `datasync show`: prints everything that is stored of a record, values included, from the tables and the state directory.

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::subject::Subject;
use crate::commands::cli::{Global, Output};
use crate::exit::Exit;
use crate::reporting::report::history::table;
use crate::spool;
use crate::store::held::{self, StoredCopies};
use crate::store::{self, PastRun, StoreError};
use crate::support::text::clean;

/// Everything that was found.
struct Holdings {
    tables: StoredCopies,
    files: spool::SpooledCopies,
    /// Cases and log rows in the state directory that mention the record.
    documents: Vec<String>,
    runs: Vec<PastRun>,
    /// Why the tables could not be read.
    away: Option<StoreError>,
}

pub(super) fn run(global: &Global, id: &str) -> Result<Exit> {
    let mut subject = Subject::open(global, id)?;
    let found = look(&mut subject)?;
    let exit = if found.away.is_some() {
        Exit::Database
    } else {
        Exit::Success
    };
    if global.quiet && exit == Exit::Success {
        return Ok(exit);
    }
    let target = subject.target()?;
    super::print(&match global.output {
        Output::Json => as_json(&target, id, &found).to_string() + "\n",
        _ => as_text(&target, id, &found),
    });
    Ok(exit)
}

fn look(subject: &mut Subject<'_>) -> Result<Holdings> {
    let files = subject.in_files()?;
    let documents = subject.in_documents()?;
    let documents = documents.iter().map(|(path, _)| path.display().to_string());
    let mut found = Holdings {
        tables: StoredCopies::default(),
        files,
        documents: documents.collect(),
        runs: Vec::new(),
        away: None,
    };
    let database = subject.plan.database()?.clone();
    let mapping = subject.mapping.clone();
    let mut connection =
        match std::mem::replace(&mut subject.database, Err(StoreError::not_asked())) {
            Ok(connection) => connection,
            Err(error) => {
                found.away = Some(error);
                return Ok(found);
            }
        };
    match subject.wanted(|wanted| held::find(&mut connection, &database, &mapping, *wanted)) {
        Ok(held) => found.tables = held,
        Err(error) => {
            found.away = Some(error);
            return Ok(found);
        }
    }
    let files = found.files.waiting.iter().chain(&found.files.quarantined);
    let mut ids = found.tables.run_ids.clone();
    ids.extend(files.filter_map(|kept| kept.run_id.clone()));
    ids.extend(found.tables.log_rows.iter().cloned());
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    match store::history::of(&mut connection, &database, &ids) {
        Ok(runs) => found.runs = runs,
        // The schema is older or incomplete, so some tables are missing.
        Err(error) if error.kind() == "schema_mismatch" => log::warn!("{error}"),
        Err(error) => found.away = Some(error),
    }
    found.runs.reverse();
    Ok(found)
}

fn as_json(target: &str, id: &str, found: &Holdings) -> Value {
    let rows = |texts: &[String]| -> Vec<Value> { texts.iter().map(|text| parsed(text)).collect() };
    json!({
        "id": id,
        "target": target,
        "customer": found.tables.customer.as_deref().map(parsed),
        "rejections": rows(&found.tables.rejections),
        "outbox": rows(&found.tables.outbox),
        "spool": found.files.waiting.iter().map(kept).collect::<Vec<_>>(),
        "quarantine": found.files.quarantined.iter().map(kept).collect::<Vec<_>>(),
        "cases": found.tables.cases,
        "log_rows": found.tables.log_rows,
        "documents": found.documents,
        "unread_files": found.files.unread.iter()
            .map(|(path, why)| json!({ "file": path.display().to_string(), "why": why })).collect::<Vec<_>>(),
        "runs": found.runs,
        "database_ok": found.away.is_none(),
    })
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

fn kept(kept: &spool::SpooledRecord) -> Value {
    json!({
        "file": kept.path.display().to_string(),
        "run_id": kept.run_id,
        "requested_at": jiff::Timestamp::from_microsecond(kept.requested_at.0).map(|at| at.to_string()).ok(),
        "record": kept.raw,
    })
}

fn as_text(target: &str, id: &str, found: &Holdings) -> String {
    let mut out = format!("Record {} of {target}\n", clean(id));
    let mut section = |title: &str, lines: &[String]| {
        out += &format!("\n{title}\n");
        if lines.is_empty() {
            out += "  nothing\n";
        }
        for line in lines {
            out += &format!("  {}\n", clean(line));
        }
    };
    let tables = &found.tables;
    if let Some(why) = &found.away {
        section("The tables could not be read", &[why.to_string()]);
    } else {
        let row = tables.customer.iter().flat_map(|row| fields(row));
        section("The row", &row.collect::<Vec<_>>());
        let lines = tables.rejections.iter().flat_map(|row| fields(row));
        section("Rejections", &lines.collect::<Vec<_>>());
        let lines = tables.outbox.iter().flat_map(|row| fields(row));
        section(
            "What the API is still to be told",
            &lines.collect::<Vec<_>>(),
        );
    }
    section("In the spool", &files(&found.files.waiting));
    section("In quarantine", &files(&found.files.quarantined));
    let cases = tables.cases.iter().map(|id| format!("case {id}"));
    let runs = tables.log_rows.iter().map(|id| format!("log of run {id}"));
    let mentions = cases.chain(runs).chain(found.documents.iter().cloned());
    section("Mentioned by", &mentions.collect::<Vec<_>>());
    if !found.files.unread.is_empty() {
        let lines = found.files.unread.iter();
        let lines = lines.map(|(path, why)| format!("{}: {why}", path.display()));
        section(
            "Files that could not be looked at",
            &lines.collect::<Vec<_>>(),
        );
    }
    if !found.runs.is_empty() {
        out += &format!("\nIts runs, newest first\n{}", table(&found.runs));
    }
    out
}

/// The fields of a row, one a line.
fn fields(row: &str) -> Vec<String> {
    let row: Map<String, Value> = serde_json::from_str(row).unwrap_or_default();
    row.iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name:<18} {text}"),
            value => format!("{name:<18} {value}"),
        })
        .collect()
}

fn files(files: &[spool::SpooledRecord]) -> Vec<String> {
    files
        .iter()
        .map(|kept| {
            let raw = kept.raw.as_deref();
            format!(
                "{}: {}",
                kept.path.display(),
                raw.unwrap_or("a damaged part mentions it")
            )
        })
        .collect()
}
