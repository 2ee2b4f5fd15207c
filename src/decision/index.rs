//! The rule index: one binary search an input, one AND of bitsets, and the rule is found. No allocation.
//!
//! Built for a deciding table whose inputs are facts and whose cells compare with constants. It only ever answers "this
//! rule"; every other case (no rule, several, a wrong type) is left to the table itself, which has the words for it.

use std::cmp::Ordering;

use rust_decimal::Decimal;

use super::feel::ast::Expr;
use super::feel::eval::Frame;
use super::feel::value::{Kind, Value};
use super::grid::Grid;
use super::table::{HitPolicy, Table};
use super::verdict::{self, Rules, Verdict};
use crate::record::{Action, Cell, Validation};

/// Largest index that is built, in words of 8 bytes.
const MAX_WORDS: usize = 4 * 1024 * 1024;
/// Most input columns an index takes.
const MAX_COLUMNS: usize = 32;

/// The index of one table.
#[derive(Debug)]
pub struct Index {
    words: usize,
    columns: Vec<IndexColumn>,
    ready: Vec<Ready>,
    hit: HitPolicy,
    /// By rule: its place in the order of priorities.
    ranks: Vec<usize>,
}

/// The verdict of a rule, worked out at start.
#[derive(Debug)]
struct Ready {
    validation: Validation,
    action: Action,
    reason: Box<str>,
    id: Box<str>,
}

#[derive(Debug)]
struct IndexColumn {
    fact: usize,
    search: Search,
    null: usize,
    /// By segment, `words` words each: the rules whose cell accepts it. Segments that are not allowed have none.
    rules: Vec<u64>,
}

/// How the segment of a cell is found.
#[derive(Debug)]
enum Search {
    /// Any value is as good as another.
    Any,
    Boolean,
    /// Points times ten to the scale, as whole numbers.
    Number(u32, Vec<i64>),
    Text(Vec<Box<str>>),
    /// Days.
    Date(Vec<i64>),
    /// Microseconds.
    DateTime(Vec<i64>),
}

impl Index {
    /// Builds it, where the table allows.
    pub fn of(table: &Table, facts: usize) -> Option<Self> {
        if !table.hit.is_single() || table.inputs.len() > MAX_COLUMNS || table.rules.is_empty() {
            return None;
        }
        let words = table.rules.len().div_ceil(64);
        let ready = ready(table)?;
        let grid = Grid::of(table);
        let mut columns = Vec::new();
        let mut total = 0;
        for (column, (axis, cells)) in table.inputs.iter().zip(grid.axes.iter().zip(&grid.cells)) {
            let (Expr::Slot(fact), Some(axis)) = (&column.expr, axis) else {
                return None;
            };
            if *fact >= facts {
                return None;
            }
            total += axis.segments() * words;
            if total > MAX_WORDS {
                return None;
            }
            let mut rules = vec![0_u64; axis.segments() * words];
            for (rule, cell) in cells.iter().enumerate() {
                for segment in cell.as_ref()?.and(&axis.live).iter() {
                    rules[segment * words + rule / 64] |= 1 << (rule % 64);
                }
            }
            columns.push(IndexColumn {
                fact: *fact,
                search: Search::of(axis.kind, &axis.points)?,
                null: axis.null(),
                rules,
            });
        }
        let mut order = table.by_priority(
            &(0..table.rules.len()).collect::<Vec<_>>(),
            &mut Frame::default(),
        );
        if table.hit != HitPolicy::Priority {
            order.sort_unstable();
        }
        let mut ranks = vec![0; order.len()];
        for (rank, rule) in order.iter().enumerate() {
            ranks[*rule] = rank;
        }
        Some(Self {
            words,
            columns,
            ready,
            hit: table.hit,
            ranks,
        })
    }

    /// The verdict, when one rule gives it.
    pub fn decide(&self, facts: &[Cell<'_>]) -> Option<Verdict<'_>> {
        let ready = &self.ready[self.rule(facts)?];
        Some(Verdict {
            validation: ready.validation,
            action: ready.action,
            class: verdict::DECIDED,
            reason: std::borrow::Cow::Borrowed(&ready.reason),
            rules: Rules::One(&ready.id),
        })
    }

    fn rule(&self, facts: &[Cell<'_>]) -> Option<usize> {
        let mut rows: [&[u64]; MAX_COLUMNS] = [&[]; MAX_COLUMNS];
        for (row, column) in rows.iter_mut().zip(&self.columns) {
            let segment = column.segment(facts.get(column.fact)?)?;
            *row = &column.rules[segment * self.words..(segment + 1) * self.words];
        }
        let rows = &rows[..self.columns.len()];
        let mut found: Option<usize> = None;
        for word in 0..self.words {
            let mut matched = if word + 1 == self.words && !self.ready.len().is_multiple_of(64) {
                (1 << (self.ready.len() % 64)) - 1
            } else {
                u64::MAX
            };
            for row in rows {
                matched &= row[word];
            }
            while matched != 0 {
                let rule = word * 64 + matched.trailing_zeros() as usize;
                matched &= matched - 1;
                match (self.hit, found) {
                    (HitPolicy::First, None) => return Some(rule),
                    (_, None) => found = Some(rule),
                    (HitPolicy::Priority, Some(best)) => {
                        if self.ranks[rule] < self.ranks[best] {
                            found = Some(rule);
                        }
                    }
                    _ => return None,
                }
            }
        }
        found
    }
}

impl IndexColumn {
    fn segment(&self, cell: &Cell<'_>) -> Option<usize> {
        if matches!(cell, Cell::Null) {
            return Some(self.null);
        }
        match (&self.search, cell) {
            (Search::Any, _) => Some(0),
            (Search::Boolean, Cell::Boolean(truth)) => Some(if *truth { 3 } else { 1 }),
            (Search::Text(points), Cell::Text(text)) => {
                let text: &str = text;
                if points.len() <= 8 {
                    // Equality is what people write: a few comparisons beat a search.
                    for (index, point) in points.iter().enumerate() {
                        match text.cmp(point) {
                            Ordering::Less => return Some(2 * index),
                            Ordering::Equal => return Some(2 * index + 1),
                            Ordering::Greater => {}
                        }
                    }
                    return Some(2 * points.len());
                }
                Some(match points.binary_search_by(|point| (**point).cmp(text)) {
                    Ok(index) => 2 * index + 1,
                    Err(index) => 2 * index,
                })
            }
            (Search::Number(scale, points), Cell::Decimal(number)) => {
                let (whole, exact) = scaled(*number, *scale)?;
                Some(position(points, whole, exact))
            }
            (Search::Number(scale, points), Cell::Integer(number)) => {
                let whole = number.checked_mul(10_i64.checked_pow(*scale)?)?;
                Some(position(points, whole, true))
            }
            (Search::Date(points), Cell::Date(days)) => {
                Some(position(points, i64::from(*days), true))
            }
            (Search::DateTime(points), Cell::DateTime(micros)) => {
                Some(position(points, *micros, true))
            }
            _ => None,
        }
    }
}

impl Search {
    fn of(kind: Kind, points: &[Value]) -> Option<Self> {
        match kind {
            Kind::Any => Some(Self::Any),
            Kind::Boolean => Some(Self::Boolean),
            Kind::Text => points
                .iter()
                .map(|point| match point {
                    Value::Text(text) => Some(Box::from(&**text)),
                    _ => None,
                })
                .collect::<Option<_>>()
                .map(Self::Text),
            Kind::Number => {
                let numbers: Vec<Decimal> = points
                    .iter()
                    .map(|point| match point {
                        Value::Number(number) => Some(number.normalize()),
                        _ => None,
                    })
                    .collect::<Option<_>>()?;
                let scale = numbers.iter().map(Decimal::scale).max().unwrap_or(0);
                numbers
                    .iter()
                    .map(|number| scaled(*number, scale).map(|(whole, _)| whole))
                    .collect::<Option<_>>()
                    .map(|keys| Self::Number(scale, keys))
            }
            Kind::Date => points
                .iter()
                .map(|point| match point {
                    Value::Date(date) => {
                        Some(i64::from(super::feel::temporal::days_of_date(*date)))
                    }
                    _ => None,
                })
                .collect::<Option<_>>()
                .map(Self::Date),
            Kind::DateTime => points
                .iter()
                .map(|point| match point {
                    Value::DateTime(moment) if moment.instant() % 1000 == 0 => {
                        i64::try_from(moment.instant() / 1000).ok()
                    }
                    _ => None,
                })
                .collect::<Option<_>>()
                .map(Self::DateTime),
            _ => None,
        }
    }
}

/// The segment of a number that is `whole`, or lies between `whole` and the next.
fn position(points: &[i64], whole: i64, exact: bool) -> usize {
    let before = points.partition_point(|point| *point < whole);
    if points.get(before) == Some(&whole) {
        // On the point, or in the stretch behind it.
        2 * before + if exact { 1 } else { 2 }
    } else {
        2 * before
    }
}

/// A number times ten to the scale: rounded down, and whether that is exact. None when it is too large for the index.
fn scaled(number: Decimal, scale: u32) -> Option<(i64, bool)> {
    let digits = i64::try_from(number.mantissa()).ok()?;
    let own = number.scale();
    if own <= scale {
        return Some((digits.checked_mul(10_i64.checked_pow(scale - own)?)?, true));
    }
    match 10_i64.checked_pow(own - scale) {
        Some(unit) => Some((digits.div_euclid(unit), digits.rem_euclid(unit) == 0)),
        // More digits than 64 bits have: next to nothing.
        None => Some((if digits < 0 { -1 } else { 0 }, digits == 0)),
    }
}

/// The verdicts of all rules; none when one of them must be computed.
fn ready(table: &Table) -> Option<Vec<Ready>> {
    let mut frame = Frame::default();
    table
        .rules
        .iter()
        .enumerate()
        .map(|(index, rule)| {
            if !rule
                .outputs
                .iter()
                .all(|output| matches!(output, Expr::Const(_)))
            {
                return None;
            }
            let result = table.result(index, &mut frame);
            let verdict = verdict::read(&result, rule.note.as_deref(), Rules::One(&rule.id));
            (verdict.class == verdict::DECIDED).then(|| Ready {
                validation: verdict.validation,
                action: verdict.action,
                reason: verdict.reason.into(),
                id: rule.id.clone(),
            })
        })
        .collect()
}
