//! What the write path knows of the target table: which columns it writes, and how values become those of a column.

use super::super::column::{ColumnType, Encoder};
use super::super::encode::Wire;
use super::super::quote;
use super::catalogue::CatalogueColumn;
use crate::config::plan::Kind;
use crate::model::clock::Micros;

/// What the write path needs to know of the table.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // independent facts of the table
pub struct Layout {
    /// The mapped columns in the mapping's order, then those the program keeps.
    pub(crate) columns: Vec<LayoutColumn>,
    /// Position of the conflict key in `columns`.
    pub(crate) key: usize,
    /// The version is mapped from the source, hence part of a row's content.
    pub(crate) version_is_content: bool,
    /// Rows that were written before this moment hold the time of a request instead of a version.
    pub(crate) versions_since: Option<Micros>,
    /// `schema.table`, as rejections and the log name it.
    pub(crate) target: String,
    /// No row yet.
    pub(crate) empty: bool,
    /// Citus keeps the table on other servers.
    pub(crate) distributed: bool,
    /// An INSERT can return `xmax`: neither a partitioned table nor a view can, nor a role that may read some columns only.
    pub(crate) has_system_columns: bool,
    /// The relation to read stored rows from: rows of tables that inherit from the target are not its own.
    pub(crate) stored: String,
    /// Names of triggers that may change or skip a row before it is stored.
    pub(crate) interceptors: Vec<String>,
    /// Functions of the table's triggers, as `schema.name`.
    pub(crate) functions: Vec<String>,
}

/// One column of the table that is written.
#[derive(Clone, Debug)]
pub struct LayoutColumn {
    pub name: String,
    /// The column's type as PostgreSQL prints it.
    pub type_name: String,
    /// Longest text in characters, where the type bounds it.
    pub max_characters: Option<usize>,
    pub(crate) ty: ColumnType,
    /// The type below any domain, without length or precision, as SQL.
    pub(crate) cast: String,
    /// The type has no equality, or one that is coarser than that of its text.
    pub(crate) compare_as_text: bool,
    pub(crate) encoder: Encoder,
    /// The column reads values as they travel: no cast is needed, COPY will do.
    pub(crate) takes_wire: bool,
    /// How a value that has travelled becomes one of the column.
    conversion: Conversion,
    /// The domain, where the column's type is one.
    domain: Option<String>,
    operators: Option<String>,
}

/// How a value becomes one of its column, as an INSERT of that very value would have it: what an INSERT refuses is refused,
/// and nothing is cut.
#[derive(Clone, Debug)]
enum Conversion {
    /// It travels as what the column is.
    None,
    /// By a cast to this type.
    Cast(String),
    /// By the type's own reading of text, which knows the column's length: a cast would cut what is too long. The row type
    /// of the table, and the name of the column as a text.
    Read(String, String),
}

impl LayoutColumn {
    pub(crate) const fn wire(&self) -> Wire {
        self.encoder.wire
    }

    /// An operator of the column's type, found whatever the session's `search_path` is.
    pub(crate) fn operator(&self, name: &str) -> String {
        match &self.operators {
            Some(beginning) => format!("{beginning}{name})"),
            None => name.to_owned(),
        }
    }

    /// PostgreSQL converts what travels, or checks it against a domain, and may refuse it.
    pub(crate) const fn is_converted(&self) -> bool {
        !matches!(self.conversion, Conversion::None) || self.domain.is_some()
    }

    /// The expression that makes a value of the column of one that has travelled.
    pub(crate) fn stored(&self, value: &str) -> String {
        let converted = match &self.conversion {
            Conversion::None => value.to_owned(),
            Conversion::Cast(ty) => format!("{value}::{ty}"),
            Conversion::Read(table, name) => {
                return format!(
                    "(pg_catalog.json_populate_record(NULL::{table}, pg_catalog.json_build_object({name}, {value}))).{}",
                    quote(&self.name)
                );
            }
        };
        match &self.domain {
            Some(domain) => format!("{converted}::{domain}"),
            None => converted,
        }
    }
}

impl Layout {
    /// The version has been mapped since then.
    pub const fn set_versions_since(&mut self, moment: Option<Micros>) {
        self.versions_since = moment;
    }

    /// Longest text of a column in characters, where its type bounds it.
    pub fn max_characters(&self, column: &str) -> Option<usize> {
        self.columns
            .iter()
            .find(|known| known.name == column)
            .and_then(|known| known.max_characters)
    }

    /// `schema.table`: names the target in every table of the program.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Triggers that may change or skip a row before it is stored: what a dry run cannot foresee.
    pub fn interceptors(&self) -> &[String] {
        &self.interceptors
    }

    /// The written columns.
    pub fn columns(&self) -> &[LayoutColumn] {
        &self.columns
    }
}

impl LayoutColumn {
    /// How values of a field of this kind are written into a column of the (quoted) table.
    pub(super) fn new(
        found: &CatalogueColumn,
        kind: Kind,
        timezone: Option<&str>,
        table: &str,
    ) -> Self {
        let (encoder, takes_wire) = Encoder::fitting(kind, timezone, &found.name, &found.ty);
        let same = found.ty.native && found.ty.name == encoder.wire.typname();
        let conversion = if same && (encoder.wire != Wire::Numeric || found.ty.modifier < 0) {
            Conversion::None
        } else if takes_wire && !same {
            // No length: what is too long is for the column to refuse.
            Conversion::Cast(found.base.clone())
        } else if found.cut_by_casts && encoder.wire == Wire::Text {
            let name = found.name.replace('\'', "''");
            Conversion::Read(table.to_owned(), format!("'{name}'"))
        } else {
            // Times and numbers are rounded as they are when they are stored.
            Conversion::Cast(found.precise.clone())
        };
        Self {
            name: found.name.clone(),
            type_name: found.ty.shown.clone(),
            max_characters: found.ty.max_characters(),
            ty: found.ty.clone(),
            cast: found.base.clone(),
            compare_as_text: found.compare_as_text,
            encoder,
            takes_wire,
            conversion,
            domain: found.domain.clone(),
            operators: found.operators.clone(),
        }
    }
}
