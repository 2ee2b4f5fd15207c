//! The columns of a row, and how their values are encoded. Both are fixed before the first record is read.

use super::super::column::Encoder;
use super::super::schema::Layout;
use crate::config::plan::{Kind, Mapping};

/// The columns of a row, in order: the mapped ones, then those that the program fills itself.
#[derive(Clone, Debug)]
pub struct Columns {
    /// The mapped fields that have a column.
    pub(crate) mapped: Vec<Stored>,
    /// How the values of each column are encoded, including those that the program fills itself.
    pub(crate) encoders: Vec<Encoder>,
    /// Position of the key in `mapped`.
    pub(crate) key: usize,
}

/// A mapped field that has a column.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// The index of the field in the mapping.
    pub(crate) field: usize,
    /// The path of the field at the source, as errors name it.
    pub(crate) source: String,
    pub(crate) name: String,
    pub(crate) column: String,
}

/// The columns that the program fills itself in every row. They follow the mapped columns, and are sent as arrays like those.
pub(crate) const KEPT: [(&str, Kind); 3] = [
    ("validation_status", Kind::String),
    ("needs_review", Kind::Boolean),
    ("source_version", Kind::DateTime),
];

impl Columns {
    /// The columns where the table is not known. None if the key of the mapping has no column: then nothing could be written.
    pub fn new(mapping: &Mapping) -> Option<Self> {
        let mapped: Vec<Stored> = mapping
            .fields
            .iter()
            .enumerate()
            .filter_map(|(index, field)| {
                Some(Stored {
                    field: index,
                    source: field.source.join("."),
                    name: field.name.clone(),
                    column: field.column.clone()?,
                })
            })
            .collect();
        let key = mapped
            .iter()
            .position(|stored| stored.field == mapping.key)?;
        let encoders = mapped
            .iter()
            .map(|stored| mapping.fields[stored.field].kind)
            .chain(KEPT.map(|(_, kind)| kind))
            .map(Encoder::of)
            .collect();
        Some(Self {
            mapped,
            encoders,
            key,
        })
    }

    /// The columns adapted to a table that was inspected with the same mapping, so that values are encoded as it takes them.
    #[must_use]
    pub fn fitted(mut self, layout: &Layout) -> Self {
        self.encoders = layout
            .columns
            .iter()
            .map(|column| column.encoder.clone())
            .collect();
        self
    }

    /// How many columns a row has.
    pub(crate) fn width(&self) -> usize {
        self.mapped.len() + KEPT.len()
    }
}
