//! The parts that the statements of one table are built from: names, sent values, and comparisons.
//!
//! In the SQL `t` is a stored row, `u` a row of the batch as it was sent (its columns are `c0`, `c1` and so on, in the order
//! of the layout; `o` is its number), and `EXCLUDED` the row that an INSERT proposed.

use super::super::super::schema::{Layout, LayoutColumn};
use super::super::super::{quote, quote_table};
use crate::config::plan::Database;

/// Names and expressions of one table.
pub(super) struct Parts<'a> {
    pub(super) layout: &'a Layout,
    /// The table that is written, quoted.
    pub(super) table: String,
    /// The column of the conflict key, quoted.
    pub(super) key: String,
    /// The operator by which two keys are equal.
    pub(super) equals: String,
    /// The position of the version among the columns of a batch.
    pub(super) version_place: usize,
    /// The columns of a batch, quoted.
    names: Vec<String>,
    /// The expression that converts each value of `u` for its column.
    converted: Vec<String>,
}

impl<'a> Parts<'a> {
    /// The names and expressions for this table.
    pub(super) fn new(db: &Database, layout: &'a Layout) -> Self {
        let key = &layout.columns[layout.key];
        let names: Vec<String> = layout.columns.iter().map(|c| quote(&c.name)).collect();
        let version_place = layout
            .columns
            .iter()
            .position(|column| column.name == "source_version")
            .unwrap_or(layout.columns.len() - 1);
        Self {
            layout,
            table: quote_table(&db.schema, &db.table),
            key: quote(&key.name),
            equals: key.operator("="),
            version_place,
            converted: layout
                .columns
                .iter()
                .enumerate()
                .map(|(place, column)| column.stored(&format!("u.c{place}")))
                .collect(),
            names,
        }
    }

    /// The column of the conflict key.
    pub(super) fn key_column(&self) -> &LayoutColumn {
        &self.layout.columns[self.layout.key]
    }

    /// The column of the version.
    pub(super) fn version_column(&self) -> &LayoutColumn {
        &self.layout.columns[self.version_place]
    }

    /// The columns of a batch, separated by commas.
    pub(super) fn columns(&self) -> String {
        self.names.join(", ")
    }

    /// All columns that are written.
    pub(super) fn written(&self) -> String {
        format!("({}, \"sync_id\", \"updated_at\")", self.columns())
    }

    /// `INSERT INTO` the table, which is called `t`.
    pub(super) fn insert_into(&self) -> String {
        format!("INSERT INTO {} AS t {}", self.table, self.written())
    }

    /// A parameter after those of the columns. The first one has the number 1.
    pub(super) fn parameter(&self, number: usize) -> String {
        format!("${}", self.names.len() + number)
    }

    /// The values of `sync_id` and `updated_at`, which are the same in every row.
    pub(super) fn run_and_now(&self) -> String {
        format!(
            "{}::uuid, {}::timestamptz",
            self.parameter(1),
            self.parameter(2)
        )
    }

    /// `c0, c1` and so on.
    pub(super) fn inputs(&self) -> String {
        self.each(|place| format!("c{place}"))
    }

    /// The sent rows, with an array for each column: `unnest($1::text[], …) AS u(c0, …)`.
    pub(super) fn sent(&self) -> String {
        format!("unnest({}) AS u({})", self.arrays(), self.inputs())
    }

    /// The same, with the number of each row from 1.
    pub(super) fn sent_numbered(&self) -> String {
        format!(
            "unnest({}) WITH ORDINALITY AS u({}, o)",
            self.arrays(),
            self.inputs()
        )
    }

    /// The number of rows that were sent.
    pub(super) fn number_sent(&self) -> String {
        format!("cardinality({})", self.array(0))
    }

    fn arrays(&self) -> String {
        self.each(|place| self.array(place))
    }

    /// The parameter with the values of one column.
    fn array(&self, place: usize) -> String {
        let wire = self.layout.columns[place].wire();
        format!("${}::{}[]", place + 1, wire.typname())
    }

    /// The sent values, converted for their columns.
    pub(super) fn converted(&self) -> String {
        self.converted.join(", ")
    }

    /// The same, under the names `c0, c1` and so on.
    pub(super) fn converted_as_inputs(&self) -> String {
        self.each(|place| format!("{} AS c{place}", self.converted[place]))
    }

    /// The key of a sent row, converted for its column.
    pub(super) fn sent_key(&self) -> &str {
        &self.converted[self.layout.key]
    }

    /// True if the stored row is newer than the sent one.
    pub(super) fn is_newer_than_sent(&self) -> String {
        self.is_newer_than(&self.converted[self.version_place])
    }

    /// True if the stored row is newer than this version. A version from before it was mapped is not compared.
    pub(super) fn is_newer_than(&self, version: &str) -> String {
        let own = self.stored(self.version_place);
        let since = self
            .layout
            .versions_since
            .map_or_else(String::new, |since| {
                format!(" AND t.\"updated_at\" >= '{since}'::timestamptz")
            });
        format!("({own} > {version}{since})")
    }

    /// A list with an item for each column of a batch, which `make` builds from the column's place.
    pub(super) fn each(&self, make: impl Fn(usize) -> String) -> String {
        (0..self.names.len())
            .map(make)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The stored value at this place of the layout.
    pub(super) fn stored(&self, place: usize) -> String {
        format!("t.{}", self.names[place])
    }

    /// True if the content of the stored row differs from that of the sent one.
    pub(super) fn differs_from_sent(&self) -> String {
        self.differs_from(|place| self.converted[place].clone())
    }

    /// True if the content of the stored row differs from that of the proposed one.
    fn differs_from_excluded(&self) -> String {
        self.differs_from(|place| format!("EXCLUDED.{}", self.names[place]))
    }

    /// True if the content of the stored row differs from these values. A version that is not mapped is not content.
    pub(super) fn differs_from(&self, new: impl Fn(usize) -> String) -> String {
        let differs: Vec<String> = (0..self.names.len())
            .filter(|place| *place != self.layout.key)
            .filter(|place| *place != self.version_place || self.layout.version_is_content)
            .map(|place| {
                let (old, new) = (self.stored(place), new(place));
                if place == self.version_place {
                    // A record without a version says nothing about the stored one.
                    format!("({new} IS NOT NULL AND {old} IS DISTINCT FROM {new})")
                } else if self.layout.columns[place].compare_as_text {
                    format!("{old}::text COLLATE \"C\" IS DISTINCT FROM {new}::text COLLATE \"C\"")
                } else {
                    format!("{old} IS DISTINCT FROM {new}")
                }
            })
            .collect();
        if differs.is_empty() {
            return "false".to_owned();
        }
        differs.join(" OR ")
    }

    /// The assignments of an update: all columns except the key.
    pub(super) fn set(&self) -> String {
        (0..self.names.len())
            .filter(|place| *place != self.layout.key)
            .map(|place| {
                let name = &self.names[place];
                if place == self.version_place {
                    format!("{name} = coalesce(EXCLUDED.{name}, t.{name})")
                } else {
                    format!("{name} = EXCLUDED.{name}")
                }
            })
            .chain(["sync_id", "updated_at"].map(|name| format!("{0} = EXCLUDED.{0}", quote(name))))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Updates an existing row if its content differs and its version is not newer. The check is repeated here for rows
    /// written by others since the comparison. Returns `inserted`, and without system columns the key as `k`.
    pub(super) fn on_conflict_update(&self) -> String {
        let (key, set, differs) = (&self.key, self.set(), self.differs_from_excluded());
        let newer = self.is_newer_than(&format!("EXCLUDED.{}", self.names[self.version_place]));
        let returning = if self.layout.has_system_columns {
            "(t.xmax = 0) AS inserted".to_owned()
        } else {
            format!("t.{key} AS k, true AS inserted")
        };
        format!(
            "ON CONFLICT ({key}) DO UPDATE SET {set} \
             WHERE {newer} IS NOT TRUE AND ({differs}) \
             RETURNING {returning}"
        )
    }

    /// The relation that a batch is compared with: a leading CTE (or nothing), and the relation's name.
    ///
    /// For an outer join with the table Citus fetches the whole table, once for each batch, and it fails if an INSERT reads
    /// from such a join. So there the rows in question are fetched first, by their keys.
    pub(super) fn known_rows(&self) -> (String, String) {
        let stored = &self.layout.stored;
        if !self.layout.distributed {
            return (String::new(), stored.clone());
        }
        let (columns, key, equals) = (self.columns(), &self.key, &self.equals);
        let (number, wire) = (self.layout.key + 1, self.key_column().wire().typname());
        let cast = &self.key_column().cast;
        let known = format!(
            "known AS MATERIALIZED (SELECT {columns}, \"sync_id\", \"updated_at\" FROM {stored} \
             WHERE {key} {equals} ANY(${number}::{wire}[]::{cast}[])), "
        );
        (known, "known".to_owned())
    }
}
