//! The quality score: that of the source, else the completeness of the record.
//!
//! Completeness is 100 × the weight of the mapped fields that are present and well-formed ÷ the weight of all of them,
//! rounded half up to two places, exactly. The score field itself does not count. A field with a default or with blank
//! text does not count as present.

use anyhow::{Context, bail, ensure};
use rust_decimal::Decimal;

use super::Found;
use crate::config::plan::{Kind, Mapping};
use crate::model::record::Cell;

/// Where a record's score comes from.
#[derive(Clone, Debug)]
pub(super) struct Score {
    /// The field that holds it, if any.
    pub(super) field: Option<usize>,
    /// Weight of each field, as whole numbers of one common unit; none = never computed.
    pub(super) weights: Option<Vec<i128>>,
    total: i128,
    /// The score field is an integer, and so is what is put there.
    whole: bool,
}

impl Score {
    pub(super) fn new(mapping: &Mapping) -> anyhow::Result<Self> {
        let field = mapping.quality_score.field;
        let mut whole = false;
        if let Some(index) = field {
            let field = mapping
                .fields
                .get(index)
                .context("the quality score field is not mapped")?;
            match field.kind {
                Kind::Decimal => {}
                Kind::Integer => whole = true,
                _ => bail!(
                    "field `{}` holds the quality score, so its type must be decimal or integer",
                    field.name
                ),
            }
        }
        if field.is_some() && !mapping.quality_score.fallback_completeness {
            return Ok(Self {
                field,
                weights: None,
                total: 0,
                whole,
            });
        }
        let places = mapping.fields.iter().map(|field| field.weight.scale());
        let places = places.max().unwrap_or(0);
        let mut weights = Vec::with_capacity(mapping.fields.len());
        for (index, mapped) in mapping.fields.iter().enumerate() {
            let weight = mapped.weight;
            ensure!(
                !weight.is_sign_negative() || weight.is_zero(),
                "field `{}`: its weight is negative",
                mapped.name
            );
            let unit = 10i128.pow(places - weight.scale());
            let weight = weight.mantissa().checked_mul(unit);
            let weight = weight.filter(|weight| *weight < 10i128.pow(28));
            let weight = weight
                .with_context(|| format!("field `{}`: its weight is too exact", mapped.name))?;
            weights.push(if field == Some(index) { 0 } else { weight });
        }
        let total: i128 = weights.iter().sum();
        ensure!(
            total > 0,
            "the weights of all fields are zero: no quality score can be computed"
        );
        Ok(Self {
            field,
            weights: Some(weights),
            total,
            whole,
        })
    }

    /// The score of a record whose source gives none; null where none shall be computed.
    pub(super) fn computed(&self, cells: &[Cell<'_>], found: &[Found]) -> Cell<'static> {
        let Some(weights) = &self.weights else {
            return Cell::Null;
        };
        let present: i128 = weights
            .iter()
            .zip(found)
            .zip(cells)
            .filter(|((_, found), cell)| **found == Found::Value && !cell.is_blank())
            .map(|((weight, _), _)| weight)
            .sum();
        self.of(present)
    }

    /// The score of a record whose present fields weigh so much.
    pub(super) fn of(&self, present: i128) -> Cell<'static> {
        if self.whole {
            // Round down, so that rounding never lifts a record over a bound of the rules.
            let score = 100 * present / self.total;
            return i64::try_from(score).map_or(Cell::Null, Cell::Integer);
        }
        let hundredths = (20_000 * present + self.total) / (2 * self.total);
        let score = Decimal::from_i128_with_scale(hundredths, 2);
        Cell::Decimal(score.normalize())
    }
}
