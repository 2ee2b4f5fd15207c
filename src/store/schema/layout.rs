//! The layout of the target table: which columns are written, and how values are converted for them.

use super::super::column::{ColumnType, Encoder};
use super::super::encode::Wire;
use super::super::quote;
use super::catalogue::CatalogueColumn;
use crate::config::plan::Kind;
use crate::model::clock::Micros;

/// What the write path needs to know about the table.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // independent facts of the table
pub struct Layout {
    /// The mapped columns in the mapping's order, then those that the program fills itself.
    pub(crate) columns: Vec<LayoutColumn>,
    /// Position of the conflict key in `columns`.
    pub(crate) key: usize,
    /// The version is mapped from the source, so it belongs to the content of a row.
    pub(crate) version_is_content: bool,
    /// In rows written before this moment the version is the time of a request.
    pub(crate) versions_since: Option<Micros>,
    /// `schema.table`, as rejections and the log name it.
    pub(crate) target: String,
    /// True if the table has no row yet.
    pub(crate) empty: bool,
    /// True if Citus stores the table on other servers.
    pub(crate) distributed: bool,
    /// True if an INSERT can return `xmax`: not on a partitioned table or a view, or where the role may read few columns.
    pub(crate) has_system_columns: bool,
    /// The relation that stored rows are read from. It excludes the rows of tables that inherit from the target.
    pub(crate) stored: String,
    /// Names of triggers that may change or skip a row before it is stored.
    pub(crate) interceptors: Vec<String>,
    /// Functions of the table's triggers, as `schema.name`.
    pub(crate) functions: Vec<String>,
}

/// A column that is written.
#[derive(Clone, Debug)]
pub struct LayoutColumn {
    pub name: String,
    /// The column's type as PostgreSQL prints it.
    pub type_name: String,
    /// Longest text in characters, if the type limits it.
    pub max_characters: Option<usize>,
    pub(crate) ty: ColumnType,
    /// The type below any domain, without length or precision, as SQL.
    pub(crate) cast: String,
    /// The type has no equality, or a coarser one than its text has.
    pub(crate) compare_as_text: bool,
    pub(crate) encoder: Encoder,
    /// The column takes values in the form in which they are sent, without a cast, so that COPY can be used.
    pub(crate) takes_wire: bool,
    /// How a sent value is converted for the column.
    conversion: Conversion,
    /// The domain, if the column's type is one.
    domain: Option<String>,
    operators: Option<String>,
}

/// How a value is converted for its column: as by an INSERT of it. What that refuses is refused, and nothing is cut off.
#[derive(Clone, Debug)]
enum Conversion {
    /// It is sent in the column's own type.
    None,
    /// By a cast to this type.
    Cast(String),
    /// By the type's input function, which knows the column's length: a cast would cut off a text that is too long. Holds the
    /// row type of the table, and the name of the column as a text.
    Read(String, String),
}

impl LayoutColumn {
    /// The form in which values of this column are sent.
    pub(crate) const fn wire(&self) -> Wire {
        self.encoder.wire
    }

    /// An operator of the column's type, independent of the session's `search_path`.
    pub(crate) fn operator(&self, name: &str) -> String {
        match &self.operators {
            Some(beginning) => format!("{beginning}{name})"),
            None => name.to_owned(),
        }
    }

    /// True if PostgreSQL converts the sent value, or checks it against a domain, so that it may refuse it.
    pub(crate) const fn is_converted(&self) -> bool {
        !matches!(self.conversion, Conversion::None) || self.domain.is_some()
    }

    /// The expression that converts a sent value for the column.
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
    /// Sets since when the version has been mapped.
    pub const fn set_versions_since(&mut self, moment: Option<Micros>) {
        self.versions_since = moment;
    }

    /// Longest text of a column in characters, if its type limits it.
    pub fn max_characters(&self, column: &str) -> Option<usize> {
        self.columns
            .iter()
            .find(|known| known.name == column)
            .and_then(|known| known.max_characters)
    }

    /// `schema.table`: the name of the target in all tables of the program.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Triggers that may change or skip a row before it is stored, which a dry run cannot foresee.
    pub fn interceptors(&self) -> &[String] {
        &self.interceptors
    }

    /// The columns that are written.
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
            // The cast has no length, so that the column refuses a text that is too long.
            Conversion::Cast(found.base.clone())
        } else if found.cut_by_casts && encoder.wire == Wire::Text {
            let name = found.name.replace('\'', "''");
            Conversion::Read(table.to_owned(), format!("'{name}'"))
        } else {
            // Times and numbers are rounded as an INSERT rounds them.
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
