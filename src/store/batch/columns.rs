//! The columns of a row and how the values of each are written: fixed before the first record is read.

use super::super::column::Encoder;
use super::super::schema::Layout;
use crate::config::plan::{Kind, Mapping};

/// The columns a row has, in order: the mapped ones, then those the program keeps itself.
#[derive(Clone, Debug)]
pub struct Columns {
    /// Each mapped field that has a column.
    pub(crate) mapped: Vec<Stored>,
    /// How the values of each column are written, those the program keeps included.
    pub(crate) encoders: Vec<Encoder>,
    /// Position of the key in `mapped`.
    pub(crate) key: usize,
}

/// A mapped field that is stored.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Its index in the mapping.
    pub(crate) field: usize,
    /// Its path at the source, as errors name it.
    pub(crate) source: String,
    pub(crate) name: String,
    pub(crate) column: String,
}

/// The columns the program fills itself for every row it writes, as arrays: after the mapped ones.
pub(crate) const KEPT: [(&str, Kind); 3] = [
    ("validation_status", Kind::String),
    ("needs_review", Kind::Boolean),
    ("source_version", Kind::DateTime),
];

impl Columns {
    /// For a table that is not known (yet). None when the mapping's key has no column: nothing could be written.
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

    /// For a table that has been looked at through the same mapping: values are written as its columns take them.
    #[must_use]
    pub fn fitted(mut self, layout: &Layout) -> Self {
        self.encoders = layout
            .columns
            .iter()
            .map(|column| column.encoder.clone())
            .collect();
        self
    }

    pub(crate) fn width(&self) -> usize {
        self.mapped.len() + KEPT.len()
    }
}
