//! `datasync forget`: removes a record from all that datasync stores besides the table of customers, and says what is left.

use anyhow::Result;
use serde_json::{Value, json};

use super::subject::Subject;
use crate::commands::cli::{ForgetArgs, Global, Output};
use crate::exit::{Busy, Exit};
use crate::reporting::incident;
use crate::spool::{self, RecordMatcher};
use crate::store::held::{self, RemovedRows};
use crate::store::lease::{self, Asked};
use crate::store::{Connection, StoreError};
use crate::support::text::clean;

/// What was removed, or would be in a dry run.
#[derive(Default)]
struct Erased {
    tables: RemovedRows,
    files: spool::RemovedCopies,
    documents: u64,
    /// The statement that deletes the row of the table; none where there is no row.
    row: Option<String>,
    /// Files that still hold the record, or may hold it, with the reason.
    unread: Vec<(std::path::PathBuf, String)>,
    away: Option<StoreError>,
}

pub(super) fn run(global: &Global, args: &ForgetArgs) -> Result<Exit> {
    let mut subject = Subject::open(global, &args.id)?;
    let erased = if args.dry_run {
        preview(&mut subject)?
    } else {
        erase(&mut subject)?
    };
    let exit = if erased.away.is_some() {
        Exit::Database
    } else if erased.unread.is_empty() {
        Exit::Success
    } else {
        Exit::State
    };
    if !(global.quiet && exit == Exit::Success) {
        let target = subject.target()?;
        super::print(&match global.output {
            Output::Json => as_json(&target, args, &erased).to_string() + "\n",
            _ => as_text(&target, args, &erased),
        });
    }
    Ok(exit)
}

/// Finds what would be removed.
fn preview(subject: &mut Subject<'_>) -> Result<Erased> {
    let found = subject.in_files()?;
    let mut files: Vec<_> = found
        .waiting
        .iter()
        .chain(&found.quarantined)
        .map(|kept| &kept.path)
        .collect();
    files.sort();
    files.dedup();
    let mut erased = Erased {
        files: spool::RemovedCopies {
            waiting: found.waiting.len() as u64,
            quarantined: found.quarantined.len() as u64,
            files: files.len() as u64,
        },
        documents: subject.in_documents()?.len() as u64,
        ..Erased::default()
    };
    erased.unread = found.unread;
    with_database(subject, &mut erased, |connection, subject, erased| {
        let database = subject.plan.database.clone();
        let Some(database) = database else {
            return Ok(());
        };
        let held = subject
            .wanted(|wanted| held::find(connection, &database, &subject.mapping, *wanted))?;
        erased.tables = RemovedRows {
            rejections: held.rejections.len() as u64,
            explanations: 0,
            outbox: held.outbox.len() as u64,
            cases: held.cases.len() as u64,
            log_rows: held.log_rows.len() as u64,
        };
        Ok(())
    });
    Ok(erased)
}

/// Removes the record from the tables and then from the files. The lease keeps a run from replaying the files meanwhile.
fn erase(subject: &mut Subject<'_>) -> Result<Erased> {
    let mut erased = Erased::default();
    let run_id = uuid::Uuid::now_v7();
    let target = subject.target()?;
    let database = subject.plan.database()?.clone();
    if let Ok(connection) = &mut subject.database {
        match take_lease(connection, &database, &target, run_id) {
            Ok(None) => {}
            Ok(Some(busy)) => return Err(busy.into()),
            Err(error) => subject.database = Err(error),
        }
    }
    with_database(subject, &mut erased, |connection, subject, erased| {
        erased.tables = subject
            .wanted(|wanted| held::remove(connection, &database, &subject.mapping, *wanted))?;
        Ok(())
    });
    let removed = erase_files(subject, &mut erased);
    if let Ok(connection) = &mut subject.database
        && let Err(error) = lease::release(connection, &database, &target, run_id)
    {
        log::info!("{error}");
    }
    removed.map(|()| erased)
}

fn erase_files(subject: &Subject<'_>, erased: &mut Erased) -> Result<()> {
    let (files, unread) = spool::remove(
        &subject.plan.state_dir,
        RecordMatcher {
            is_it: &|raw| subject.is_it(raw),
            is_mentioned: &|bytes| subject.is_mentioned(bytes),
        },
    )?;
    erased.files = files;
    erased.unread = unread;
    let documents = subject.in_documents()?;
    Subject::replace_documents(&documents)?;
    erased.documents = documents.len() as u64;
    Ok(())
}

/// Takes the lease of the table, so that no run writes the record again meanwhile. Returns the run that holds it, if any.
fn take_lease(
    connection: &mut Connection,
    database: &crate::config::plan::Database,
    target: &str,
    run_id: uuid::Uuid,
) -> Result<Option<Busy>, StoreError> {
    let asked = lease::acquire(
        connection,
        database,
        (target, target),
        run_id,
        &incident::who(),
    )?;
    let holder = match asked {
        Asked::Held(holder) => Some(holder),
        Asked::Granted { holders, .. } => holders
            .into_iter()
            .map(|(_, holder)| holder)
            .find(|holder| holder.run_id != run_id && !holder.is_stale()),
    };
    let Some(holder) = holder else {
        return Ok(None);
    };
    lease::release(connection, database, target, run_id)?;
    Ok(Some(Busy {
        target: target.to_owned(),
        who: holder.who,
        host: holder.host,
        since: holder.since,
        progress: holder.progress.unsigned_abs(),
    }))
}

/// Does something with the database if it can be reached, and looks for the record's row.
fn with_database(
    subject: &mut Subject<'_>,
    erased: &mut Erased,
    work: impl FnOnce(&mut Connection, &Subject<'_>, &mut Erased) -> Result<(), StoreError>,
) {
    let mut connection =
        match std::mem::replace(&mut subject.database, Err(StoreError::not_asked())) {
            Ok(connection) => connection,
            Err(error) => {
                erased.away = Some(error);
                return;
            }
        };
    let done = work(&mut connection, subject, erased).and_then(|()| {
        let Some(database) = &subject.plan.database else {
            return Ok(());
        };
        erased.row = held::delete_of_row(&mut connection, database, &subject.mapping, subject.id)?;
        Ok(())
    });
    erased.away = done.err();
    subject.database = Ok(connection);
}

/// Sentences about what the program cannot remove.
fn not_removed(erased: &Erased) -> Vec<String> {
    let mut remains = Vec::new();
    if let Some(why) = &erased.away {
        remains.push(format!(
            "the tables: they could not be reached ({}); type the same command again when the database is back",
            why.what()
        ));
    }
    if let Some(delete) = &erased.row {
        remains.push(format!("the row in the table: {delete}"));
    }
    for (path, why) in &erased.unread {
        remains.push(format!("maybe {}: {why}", path.display()));
    }
    remains.extend(
        [
            "the source: while it has the record, the next run fetches it again",
            "backups and replicas of the database and of the state directory, and freed blocks of their disks",
            "logs, report pages and alerts that were kept elsewhere: they may name the id",
        ]
        .map(str::to_owned),
    );
    remains
}

fn rows(erased: &Erased) -> [(&'static str, u64); 9] {
    let Erased {
        tables,
        files,
        documents,
        ..
    } = erased;
    [
        ("rejections", tables.rejections),
        ("explanations", tables.explanations),
        ("outbox", tables.outbox),
        ("cases", tables.cases),
        ("log_rows", tables.log_rows),
        ("spool_records", files.waiting),
        ("quarantine_records", files.quarantined),
        ("files", files.files),
        ("documents", *documents),
    ]
}

fn as_json(target: &str, args: &ForgetArgs, erased: &Erased) -> Value {
    let removed: serde_json::Map<String, Value> = rows(erased)
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count.into()))
        .collect();
    json!({
        "id": args.id,
        "target": target,
        "dry_run": args.dry_run,
        "removed": removed,
        "row": erased.row,
        "remains": not_removed(erased),
        "unread_files": erased.unread.iter().map(|(path, _)| path.display().to_string()).collect::<Vec<_>>(),
        "database_ok": erased.away.is_none(),
    })
}

fn as_text(target: &str, args: &ForgetArgs, erased: &Erased) -> String {
    let head = if args.dry_run {
        "Would remove"
    } else {
        "Removed"
    };
    let mut out = format!("{head} record {} of {target} from\n", clean(&args.id));
    for (name, count) in rows(erased) {
        out += &format!("  {:<20} {count}\n", name.replace('_', " "));
    }
    out += "Not removed, where it is there\n";
    for line in not_removed(erased) {
        out += &format!("  {}\n", clean(&line));
    }
    out
}
