//! The SQL of the write path, built once for a table. Everything that is counted is counted by these statements.

mod list;
mod rejections;

use tokio_postgres::types::Type;

use super::super::schema::{Layout, LayoutColumn};
use super::super::{quote, quote_table};
use crate::config::plan::Database;
pub use list::{Listed, list};
pub(in super::super) use rejections::{DIGEST_OF_IDS, RejectionStatements};

/// The statements of one table, built once.
#[derive(Debug)]
pub(super) struct Statements {
    /// None when a column does not read values as they travel.
    pub(super) copy: Option<String>,
    /// How rows are read as they are stored. None when what comes back could not be compared with what is sent.
    pub(super) walk: Option<IndexScan>,
    pub(super) all_new: String,
    pub(super) differing: String,
    pub(super) superseded: String,
    /// Locks the stored rows of some keys, in their order and in the opposite one.
    pub(super) lock_ascending: String,
    pub(super) lock_descending: String,
    pub(super) compare: String,
    pub(super) differences: String,
    /// Rows that are not stored yet, in the form of `differences`.
    pub(super) new_rows: String,
    pub(super) upsert_and_enqueue: String,
    pub(super) fates: String,
    /// Which rows are not stored as they were sent.
    pub(super) skipped: String,
    /// Writes rows also where nothing changes, and tells which the table takes: to be rolled back.
    pub(super) unguarded: String,
    /// Converts a value as it is converted for its column, by the column's place: only where a conversion can fail.
    pub(super) conversions: Vec<(usize, String)>,
    pub(super) rejections: RejectionStatements,
    pub(super) log: String,
    /// What a key travels as.
    pub(super) key_type: Type,
}

/// Reading the rows between two keys, in order, every written column, by COPY: the cheapest for both sides.
#[derive(Debug)]
pub(super) struct IndexScan {
    /// Sets the two keys for the transaction: COPY takes no parameters.
    pub(super) between: String,
    copy: String,
}

impl IndexScan {
    fn new(table: &str, key: &LayoutColumn, columns: &str) -> Self {
        let (not_before, not_after) = (key.operator(">="), key.operator("<="));
        let (key, cast) = (quote(&key.name), &key.cast);
        Self {
            between: format!(
                "SELECT set_config('datasync.first', $1::{cast}::text, true), set_config('datasync.last', $2::{cast}::text, true)"
            ),
            copy: format!(
                "COPY (SELECT {columns} FROM {table} WHERE {key} {not_before} current_setting('datasync.first')::{cast} \
                 AND {key} {not_after} current_setting('datasync.last')::{cast} ORDER BY {key} LIMIT "
            ),
        }
    }

    /// The statement that reads at most so many rows.
    pub(super) fn copy(&self, limit: usize) -> String {
        format!("{}{limit}) TO STDOUT (FORMAT binary)", self.copy)
    }
}

impl Statements {
    pub(super) fn new(db: &Database, layout: &Layout) -> Self {
        let table = quote_table(&db.schema, &db.table);
        let stored_rows = &layout.stored;
        let key = &layout.columns[layout.key];
        let key_column = quote(&key.name);
        let equals = key.operator("=");
        let width = layout.columns.len();
        let names: Vec<String> = layout.columns.iter().map(|c| quote(&c.name)).collect();
        let input: Vec<String> = (0..width).map(|i| format!("c{i}")).collect();
        let arrays = layout
            .columns
            .iter()
            .enumerate()
            .map(|(i, c)| format!("${}::{}[]", i + 1, c.wire().typname()))
            .collect::<Vec<_>>()
            .join(", ");
        let cast = layout
            .columns
            .iter()
            .enumerate()
            .map(|(i, c)| c.stored(&format!("u.c{i}")))
            .collect::<Vec<_>>();
        let unnest = format!("unnest({arrays}) AS u({})", input.join(", "));
        let version = layout
            .columns
            .iter()
            .position(|c| c.name == "source_version")
            .unwrap_or(width - 1);
        // Without a mapped version the version is the time of fetching, which is no content.
        let content: Vec<usize> = (0..width)
            .filter(|i| *i != layout.key && (*i != version || layout.version_is_content))
            .collect();
        let differs = |old: &dyn Fn(usize) -> String, new: &dyn Fn(usize) -> String| {
            if content.is_empty() {
                return "false".to_owned();
            }
            content
                .iter()
                .map(|i| {
                    if *i == version {
                        // A record without a version says nothing about it.
                        format!(
                            "({new} IS NOT NULL AND {} IS DISTINCT FROM {new})",
                            old(*i),
                            new = new(*i)
                        )
                    } else if layout.columns[*i].compare_as_text {
                        format!(
                            "{}::text COLLATE \"C\" IS DISTINCT FROM {}::text COLLATE \"C\"",
                            old(*i),
                            new(*i)
                        )
                    } else {
                        format!("{} IS DISTINCT FROM {}", old(*i), new(*i))
                    }
                })
                .collect::<Vec<_>>()
                .join(" OR ")
        };
        let stored = |i: usize| format!("t.{}", names[i]);
        let version_name = &names[version];
        // What was stored before the version was mapped is the time of a request, and is compared with no version.
        let since = layout.versions_since.map_or_else(String::new, |since| {
            format!(" AND t.\"updated_at\" >= '{since}'::timestamptz")
        });
        let newer = |version: &str| format!("(t.{version_name} > {version}{since})");
        let set = (0..width)
            .filter(|i| *i != layout.key)
            .map(|i| {
                let name = &names[i];
                if i == version {
                    format!("{name} = coalesce(EXCLUDED.{name}, t.{name})")
                } else {
                    format!("{name} = EXCLUDED.{name}")
                }
            })
            .chain(["sync_id", "updated_at"].map(|name| format!("{0} = EXCLUDED.{0}", quote(name))))
            .collect::<Vec<_>>()
            .join(", ");
        let written = format!("({}, \"sync_id\", \"updated_at\")", names.join(", "));
        let copy = layout
            .columns
            .iter()
            .all(|column| column.takes_wire && !layout.distributed)
            .then(|| format!("COPY {table} {written} FROM STDIN (FORMAT binary)"));
        let walk = copy
            .is_some()
            .then(|| IndexScan::new(&layout.stored, key, &names.join(", ")));
        let into = format!("INSERT INTO {table} AS t {written}");
        // The guard holds against whoever wrote since the row was looked at.
        let returning = if layout.has_system_columns {
            "(t.xmax = 0) AS fresh".to_owned()
        } else {
            format!("t.{key_column} AS k, true AS fresh")
        };
        let conflict = format!(
            "ON CONFLICT ({key_column}) DO UPDATE SET {set} \
             WHERE {} IS NOT TRUE AND ({}) \
             RETURNING {returning}",
            newer(&format!("EXCLUDED.{version_name}")),
            differs(&stored, &|i| format!("EXCLUDED.{}", names[i]))
        );
        let (run, now) = (width + 1, width + 2);
        let all_new = format!(
            "{into} SELECT {}, ${run}::uuid, ${now}::timestamptz FROM {unnest} ON CONFLICT ({key_column}) DO NOTHING",
            cast.join(", ")
        );
        let as_input = cast
            .iter()
            .zip(&input)
            .map(|(cast, name)| format!("{cast} AS {name}"))
            .collect::<Vec<_>>()
            .join(", ");
        let (known, known_rows) = known_rows(layout, &names);
        // Rows that stay as they are go no further than the comparison.
        let differing = format!(
            "WITH {known}moved AS MATERIALIZED (SELECT {as_input}, {newer} AS late \
             FROM {unnest} LEFT JOIN {known_rows} t ON t.{key_column} {equals} {} \
             WHERE t.{key_column} IS NULL OR {newer} OR {}), \
             written AS ({into} SELECT {}, ${run}::uuid, ${now}::timestamptz FROM moved WHERE late IS NOT TRUE {conflict}) \
             SELECT (SELECT count(*) FILTER (WHERE fresh) FROM written), \
             (SELECT count(*) FILTER (WHERE NOT fresh) FROM written), \
             count(*) FILTER (WHERE late), count(*) FROM moved",
            cast[layout.key],
            differs(&stored, &|i| cast[i].clone()),
            input.join(", "),
            newer = newer(&cast[version]),
        );
        // Without system columns a row is new if it was not found before.
        let (is_new, fresh) = if layout.has_system_columns {
            ("NULL::boolean".to_owned(), "bool_or(fresh)")
        } else {
            (
                format!("t.{key_column} IS NULL"),
                "CASE WHEN bool_or(fresh) THEN bool_or(is_new) END",
            )
        };
        let differing = if layout.has_system_columns {
            differing
        } else {
            format!(
                "WITH {known}moved AS MATERIALIZED (SELECT {as_input}, {newer} AS late, {is_new} AS is_new \
                 FROM {unnest} LEFT JOIN {known_rows} t ON t.{key_column} {equals} {} \
                 WHERE t.{key_column} IS NULL OR {newer} OR {}), \
                 written AS ({into} SELECT {}, ${run}::uuid, ${now}::timestamptz FROM moved WHERE late IS NOT TRUE {conflict}), \
                 told AS (SELECT max(o) AS o, bool_or(late) AS late, {fresh} AS fresh FROM \
                 (SELECT c{} AS k, 1 AS o, late, is_new, NULL::boolean AS fresh FROM moved \
                 UNION ALL SELECT k, NULL, NULL, NULL, fresh FROM written) e GROUP BY k) \
                 SELECT count(*) FILTER (WHERE fresh), count(*) FILTER (WHERE NOT fresh), count(*) FILTER (WHERE late), \
                 count(o) FROM told",
                cast[layout.key],
                differs(&stored, &|i| cast[i].clone()),
                input.join(", "),
                layout.key,
                newer = newer(&cast[version]),
            )
        };
        let judged = format!(
            "{known}input AS MATERIALIZED (SELECT {} FROM {unnest}), \
             judged AS MATERIALIZED (SELECT s.*, CASE WHEN t.{key_column} IS NULL THEN 0 \
             WHEN {} THEN 3 WHEN {} THEN 1 ELSE 2 END AS fate \
             FROM input s LEFT JOIN {known_rows} t ON t.{key_column} {equals} s.c{})",
            as_input,
            newer(&format!("s.c{version}")),
            differs(&stored, &|i| format!("s.c{i}")),
            layout.key
        );
        let compare = format!(
            "WITH {judged} SELECT count(*) FILTER (WHERE fate = 0), count(*) FILTER (WHERE fate = 1), \
             count(*) FILTER (WHERE fate = 2), count(*) FILTER (WHERE fate = 3) FROM judged"
        );
        let differences = format!(
            "WITH {judged} SELECT j.c{key}::text, ARRAY[{}]::text[], ARRAY[{}]::text[] FROM judged j \
             JOIN {known_rows} t ON t.{key_column} {equals} j.c{key} WHERE j.fate = 1 ORDER BY 1 LIMIT {limit}",
            (0..width)
                .map(|i| format!("{}::text", stored(i)))
                .collect::<Vec<_>>()
                .join(", "),
            (0..width)
                .map(|i| format!("j.c{i}::text"))
                .collect::<Vec<_>>()
                .join(", "),
            key = layout.key,
            limit = "$".to_owned() + &(width + 1).to_string() + "::bigint",
        );
        let new_rows = format!(
            "WITH {judged} SELECT j.c{key}::text, ARRAY[{}]::text[], ARRAY[{}]::text[] FROM judged j \
             WHERE j.fate = 0 ORDER BY 1 LIMIT ${limit}::bigint",
            vec!["NULL"; width].join(", "),
            (0..width)
                .map(|i| format!("j.c{i}::text"))
                .collect::<Vec<_>>()
                .join(", "),
            key = layout.key,
            limit = width + 1,
        );
        // The same for write-back, which has to know what became of each row: by its number among those that are sent.
        // Grouping, not a join: it takes the key's own equality and no nested loop.
        let numbered = format!(
            "unnest({arrays}) WITH ORDINALITY AS u({}, o)",
            input.join(", ")
        );
        let by_key = if layout.has_system_columns {
            format!(", t.{key_column} AS k")
        } else {
            String::new()
        };
        let upsert_and_enqueue = format!(
            "WITH {known}moved AS MATERIALIZED (SELECT {as_input}, u.o, {newer} AS late, {is_new} AS is_new \
             FROM {numbered} LEFT JOIN {known_rows} t ON t.{key_column} {equals} {} \
             WHERE t.{key_column} IS NULL OR {newer} OR {}), \
             written AS ({into} SELECT {}, ${run}::uuid, ${now}::timestamptz FROM moved WHERE late IS NOT TRUE {conflict}{by_key}), \
             told AS (SELECT max(o) AS o, bool_or(late) AS late, {fresh} AS fresh FROM \
             (SELECT c{} AS k, o, late, is_new, NULL::boolean AS fresh FROM moved \
             UNION ALL SELECT k, NULL, NULL, NULL, fresh FROM written) e \
             GROUP BY k) \
             SELECT count(*) FILTER (WHERE fresh), count(*) FILTER (WHERE NOT fresh), count(*) FILTER (WHERE late), count(o), \
             array_agg(o) FILTER (WHERE fresh), array_agg(o) FILTER (WHERE NOT fresh), array_agg(o) FROM told",
            cast[layout.key],
            differs(&stored, &|i| cast[i].clone()),
            input.join(", "),
            layout.key,
            newer = newer(&cast[version]),
        );
        let fates = format!(
            "WITH {known}judged AS (SELECT u.o, CASE WHEN t.{key_column} IS NULL THEN 0 WHEN {} THEN 3 \
             WHEN {} THEN 1 ELSE 2 END AS fate FROM {numbered} LEFT JOIN {known_rows} t ON t.{key_column} {equals} {}) \
             SELECT o FROM judged WHERE fate = ANY(${}::int[]) ORDER BY o LIMIT ${}::bigint",
            newer(&cast[version]),
            differs(&stored, &|i| cast[i].clone()),
            cast[layout.key],
            width + 1,
            width + 2,
        );
        let skipped = format!(
            "WITH {known}judged AS (SELECT u.o, t.{key_column} IS NOT NULL AS stored, t.\"sync_id\" = ${}::uuid AS own \
             FROM {numbered} LEFT JOIN {known_rows} t ON t.{key_column} {equals} {} \
             WHERE t.{key_column} IS NULL OR ({} IS NOT TRUE AND ({}))) \
             SELECT o, stored FROM judged ORDER BY own IS TRUE, stored, o LIMIT ${}::bigint",
            width + 1,
            cast[layout.key],
            newer(&cast[version]),
            differs(&stored, &|i| cast[i].clone()),
            width + 2,
        );
        let unguarded = format!(
            "WITH input AS MATERIALIZED (SELECT {as_input}, u.o FROM {numbered}), \
             written AS ({into} SELECT {}, ${run}::uuid, ${now}::timestamptz FROM input \
             ON CONFLICT ({key_column}) DO UPDATE SET {set} RETURNING t.{key_column} AS k) \
             SELECT max(o) FROM (SELECT c{} AS k, o, false AS done FROM input \
             UNION ALL SELECT k, NULL, true FROM written) e GROUP BY k HAVING bool_or(done) AND max(o) IS NOT NULL",
            input.join(", "),
            layout.key,
        );
        let superseded = format!(
            "SELECT count(*) FROM unnest($1::{}[], $2::{}[]) AS u(k, v) \
             JOIN {stored_rows} t ON t.{key_column} {equals} {} WHERE {}{}",
            key.wire().typname(),
            layout.columns[version].wire().typname(),
            key.stored("u.k"),
            newer(&layout.columns[version].stored("u.v")),
            if layout.distributed {
                format!(
                    " AND t.{key_column} {equals} ANY($1::{}[]::{}[])",
                    key.wire().typname(),
                    key.cast
                )
            } else {
                String::new()
            }
        );
        let lock = |direction: &str| {
            format!(
                "SELECT FROM {stored_rows} WHERE {key_column} {equals} ANY($1::{}[]::{}[]) ORDER BY {key_column} {direction} \
                 FOR NO KEY UPDATE",
                key.wire().typname(),
                key.cast
            )
        };
        let conversions = layout
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.is_converted())
            .map(|(place, column)| {
                let (ty, value) = (column.wire().typname(), column.stored("u.c"));
                (
                    place,
                    format!("SELECT {value} FROM unnest($1::{ty}[]) AS u(c)"),
                )
            })
            .collect();
        let log = format!(
            "INSERT INTO {} (run_id, batch, inserted, updated, unchanged, superseded, duplicates, rejected, resolved, committed_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            quote_table(&db.log_schema, "sync_batches")
        );
        Self {
            copy,
            walk,
            all_new,
            differing,
            superseded,
            lock_ascending: lock("ASC"),
            lock_descending: lock("DESC"),
            compare,
            differences,
            new_rows,
            upsert_and_enqueue,
            fates,
            skipped,
            unguarded,
            conversions,
            rejections: RejectionStatements::new(db),
            log,
            key_type: key.wire().element(),
        }
    }
}

/// What a batch is compared with: a leading CTE (or nothing) and the relation's name.
///
/// Citus answers an outer join with the table by fetching all of it, once a batch, and fails where an INSERT reads from
/// such a join. So the rows in question are fetched first, by their keys.
fn known_rows(layout: &Layout, names: &[String]) -> (String, String) {
    let table = &layout.stored;
    if !layout.distributed {
        return (String::new(), table.clone());
    }
    let key = &layout.columns[layout.key];
    let cte = format!(
        "known AS MATERIALIZED (SELECT {}, \"sync_id\", \"updated_at\" FROM {table} WHERE {} {} ANY(${}::{}[]::{}[])), ",
        names.join(", "),
        names[layout.key],
        key.operator("="),
        layout.key + 1,
        key.wire().typname(),
        key.cast
    );
    (cte, "known".to_owned())
}
