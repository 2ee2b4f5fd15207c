//! The conditions of a table as sets. Every input column is a dimension, cut into segments at the values that its cells
//! mention, and every cell is the set of segments that it accepts.
//!
//! No cell distinguishes two values of one segment, so finitely many segments stand for all values. The rule index, the lint
//! and the nearest change read this. A cell that is more than comparisons with constants is unknown here.

mod sample;

use std::cmp::Ordering;

use super::bits::{Bits, SetOperations as _};
use super::feel::ast::{Comparison, Expr, Test};
use super::feel::eval::{self, Frame};
use super::feel::value::{Kind, Range, Value, order};
use super::input_variable::Values;
use super::table::{Column, Table};

/// Largest column that is cut into segments: rules times segments.
const MAX_BITS: usize = 200_000_000;

/// The dimensions of a table and its cells on them.
#[derive(Debug)]
pub struct RuleSpace {
    /// One an input column; none where the column cannot be cut into segments at all.
    pub dimensions: Vec<Option<Dimension>>,
    /// By column, then rule: the segments accepted; none = unknown.
    pub cells: Vec<Vec<Option<Bits>>>,
    /// Columns that were not cut since they are too large.
    pub oversized: Vec<usize>,
}

/// The values of one input column. With `n` points there are `2n + 2` segments: the open stretch before point `i` is
/// `2i`, point `i` itself is `2i + 1`, the stretch behind the last point is `2n`, and null is `2n + 1`.
#[derive(Debug)]
pub struct Dimension {
    /// The type of its values; [`Kind::Any`] when no cell says.
    pub kind: Kind,
    /// Values the cells mention, upwards.
    pub points: Vec<Value>,
    /// Segments that hold a value which the table allows; null is always among them.
    pub live: Bits,
    /// Those of them that hold a value which records can bring.
    pub possible: Bits,
    /// The values that records can bring.
    pub values: Values,
    /// Does a cell accept null by more than `-`?
    pub null_matters: bool,
}

impl RuleSpace {
    /// Cuts a table, each column by itself. Nothing is assumed of the values that records bring.
    pub fn of(table: &Table) -> Self {
        Self::with_values(table, |_| Values::default())
    }

    /// Cuts a table, each column by itself, where the values of each column are known.
    pub fn with_values(table: &Table, values: impl Fn(&Column) -> Values) -> Self {
        let columns: Vec<Vec<usize>> = (0..table.inputs.len()).map(|column| vec![column]).collect();
        Self::grouped(table, &columns, values)
    }

    /// Cuts a table, the columns of a group (which test the same expression) as one.
    pub fn grouped(
        table: &Table,
        groups: &[Vec<usize>],
        values: impl Fn(&Column) -> Values,
    ) -> Self {
        let mut dimensions = Vec::new();
        let mut cells = Vec::new();
        let mut oversized = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            let columns: Vec<&Column> = group.iter().map(|column| &table.inputs[*column]).collect();
            let entries: Vec<Vec<&[Test]>> = table
                .rules
                .iter()
                .map(|rule| {
                    group
                        .iter()
                        .map(|column| {
                            rule.tests
                                .get(*column)
                                .map_or(&[] as &[Test], Vec::as_slice)
                        })
                        .collect()
                })
                .collect();
            let values = columns
                .first()
                .map_or_else(Values::default, |column| values(column));
            let (dimension, sets) =
                Dimension::of(&columns, &entries, values, || oversized.push(index));
            dimensions.push(dimension);
            cells.push(sets);
        }
        Self {
            dimensions,
            cells,
            oversized,
        }
    }
}

/// Do the cells of a rule accept everything?
fn is_any(cells: &[&[Test]]) -> bool {
    cells.iter().all(|tests| matches!(tests, [Test::Any]))
}

/// The cells of columns that cannot be cut: only `-` is known to accept.
fn any_or_unknown(entries: &[Vec<&[Test]>]) -> Vec<Option<Bits>> {
    let cells = entries.iter();
    cells
        .map(|cells| is_any(cells).then(|| Bits::all(2)))
        .collect()
}

/// The values that cells mention, upwards.
fn points<'t>(kind: Kind, cells: impl Iterator<Item = &'t [Test]>) -> Vec<Value> {
    if kind == Kind::Boolean {
        return vec![Value::Boolean(false), Value::Boolean(true)];
    }
    let mut points = Vec::new();
    for tests in cells {
        constants(tests, &mut |value| {
            if value.kind() == kind && !value.is_null() {
                points.push(value.clone());
            }
        });
    }
    points.sort_by(|a, b| order(a, b).unwrap_or(Ordering::Equal));
    points.dedup_by(|a, b| order(a, b) == Some(Ordering::Equal));
    points
}

impl Dimension {
    fn of(
        columns: &[&Column],
        entries: &[Vec<&[Test]>],
        values: Values,
        too_large: impl FnOnce(),
    ) -> (Option<Self>, Vec<Option<Bits>>) {
        let allowed: Vec<&[Test]> = columns
            .iter()
            .filter_map(|column| column.allowed.as_deref())
            .collect();
        let all = || {
            let cells = entries.iter().flatten().copied();
            cells.chain(allowed.iter().copied())
        };
        let declared = columns
            .iter()
            .map(|column| column.kind)
            .find(|kind| *kind != Kind::Any);
        let kind = declared
            .or_else(|| inferred_kind(all()))
            .filter(|kind| matches!(kind, Kind::Any | Kind::Boolean) || kind.is_ordered());
        let (Some(kind), false) = (kind, columns.iter().any(|column| column.collection)) else {
            return (None, any_or_unknown(entries));
        };
        let points = points(kind, all());
        if (2 * points.len() + 2).saturating_mul(entries.len()) > MAX_BITS {
            too_large();
            return (None, any_or_unknown(entries));
        }
        let mut dimension = Self {
            kind,
            live: Bits::with_capacity(2 * points.len() + 2),
            possible: Bits::default(),
            values,
            points,
            null_matters: false,
        };
        dimension.find_live(&allowed);
        let cells: Vec<Option<Bits>> = entries
            .iter()
            .map(|cells| {
                let mut set = Bits::all(dimension.segments());
                for tests in cells {
                    set = set.and(&dimension.set_of(tests)?);
                }
                Some(set)
            })
            .collect();
        let accepts_null = |set: &Option<Bits>| {
            set.as_ref()
                .is_some_and(|set| set.contains(dimension.null()))
        };
        dimension.null_matters = entries
            .iter()
            .zip(&cells)
            .any(|(tests, set)| !is_any(tests) && accepts_null(set));
        (Some(dimension), cells)
    }

    /// Finds the segments that hold a value which the table allows, and those of them that records can bring.
    fn find_live(&mut self, allowed: &[&[Test]]) {
        for segment in 0..self.null() {
            if self.plain_sample(segment).is_some() {
                self.live.insert(segment);
            }
        }
        self.live.insert(self.null());
        for tests in allowed {
            if let Some(mut set) = self.set_of(tests) {
                set.insert(self.null());
                self.live = self.live.and(&set);
            }
        }
        self.possible = self.live.clone();
        for segment in self.live.ones() {
            if self.sample(segment).is_none() {
                self.possible.remove(segment);
            }
        }
    }

    /// How many segments there are, null included.
    pub fn segments(&self) -> usize {
        2 * self.points.len() + 2
    }

    /// The segment of null.
    pub fn null(&self) -> usize {
        2 * self.points.len() + 1
    }

    /// The segment of a value; none for a value of another type.
    pub fn segment_of(&self, value: &Value) -> Option<usize> {
        if value.is_null() {
            return Some(self.null());
        }
        if self.kind == Kind::Any {
            return Some(0);
        }
        if let Value::Boolean(truth) = value {
            return (self.kind == Kind::Boolean).then_some(if *truth { 3 } else { 1 });
        }
        if value.kind() != self.kind {
            return None;
        }
        let before = self
            .points
            .partition_point(|point| order(point, value) == Some(Ordering::Less));
        let on = self
            .points
            .get(before)
            .is_some_and(|point| order(point, value) == Some(Ordering::Equal));
        Some(2 * before + usize::from(on))
    }

    /// The segments that tests accept; none when they are more than comparisons with constants.
    pub fn set_of(&self, tests: &[Test]) -> Option<Bits> {
        let mut set = Bits::with_capacity(self.segments());
        for test in tests {
            set.union_with(&self.set_of_test(test)?);
        }
        if eval::holds_any(tests, &Value::Null, &mut Frame::default()) == Some(true) {
            set.insert(self.null());
        } else {
            set.remove(self.null());
        }
        Some(set)
    }

    fn set_of_test(&self, test: &Test) -> Option<Bits> {
        match test {
            Test::Any => Some(Bits::all(self.segments())),
            Test::Compare(comparison, Expr::Const(value)) => {
                Some(self.compared(*comparison, value))
            }
            Test::Value(Expr::Const(value)) => Some(self.equal_or_in(value)),
            Test::Truth(expr) => self.set_of_condition(expr),
            Test::Not(tests) => {
                let mut set = Bits::with_capacity(self.segments());
                for test in tests {
                    set.union_with(&self.set_of_test(test)?);
                }
                Some(set.inverted())
            }
            _ => None,
        }
    }

    fn set_of_condition(&self, expr: &Expr) -> Option<Bits> {
        match expr {
            Expr::Const(Value::Boolean(true)) => Some(Bits::all(self.segments())),
            Expr::Const(Value::Boolean(false)) => Some(Bits::with_capacity(self.segments())),
            Expr::Compare(comparison, pair) => match &**pair {
                [Expr::Input, Expr::Const(value)] => Some(self.compared(*comparison, value)),
                [Expr::Const(value), Expr::Input] => {
                    Some(self.compared(comparison.mirrored(), value))
                }
                _ => None,
            },
            Expr::And(items) => {
                let mut set = Bits::all(self.segments());
                for item in items {
                    set = set.and(&self.set_of_condition(item)?);
                }
                Some(set)
            }
            Expr::Or(items) => {
                let mut set = Bits::with_capacity(self.segments());
                for item in items {
                    set.union_with(&self.set_of_condition(item)?);
                }
                Some(set)
            }
            Expr::Between(parts) => match &**parts {
                [Expr::Input, Expr::Const(low), Expr::Const(high)] => Some(
                    self.compared(Comparison::AtLeast, low)
                        .and(&self.compared(Comparison::AtMost, high)),
                ),
                _ => None,
            },
            Expr::In(value, tests) if matches!(**value, Expr::Input) => {
                let mut set = Bits::with_capacity(self.segments());
                for test in tests {
                    set.union_with(&self.set_of_test(test)?);
                }
                Some(set)
            }
            Expr::Call(function, arguments) if function.name == "not" => self
                .set_of_condition(arguments.first()?)
                .map(|set| set.inverted()),
            _ => None,
        }
    }

    fn equal_or_in(&self, value: &Value) -> Bits {
        match value {
            Value::Range(range) => self.in_range(range),
            Value::List(items) => {
                let mut set = Bits::with_capacity(self.segments());
                for item in items.iter() {
                    set.union_with(&match item {
                        Value::Range(range) => self.in_range(range),
                        item => self.compared(Comparison::Equal, item),
                    });
                }
                set
            }
            value => self.compared(Comparison::Equal, value),
        }
    }

    fn in_range(&self, range: &Range) -> Bits {
        let mut set = Bits::all(self.segments());
        if !range.low.is_null() {
            let comparison = if range.low_included {
                Comparison::AtLeast
            } else {
                Comparison::Greater
            };
            set = set.and(&self.compared(comparison, &range.low));
        }
        if !range.high.is_null() {
            let comparison = if range.high_included {
                Comparison::AtMost
            } else {
                Comparison::Less
            };
            set = set.and(&self.compared(comparison, &range.high));
        }
        set
    }

    /// The segments of the values that compare so with a constant (null left aside).
    fn compared(&self, comparison: Comparison, value: &Value) -> Bits {
        let mut set = Bits::with_capacity(self.segments());
        if value.is_null() {
            // Whatever is not null differs from null.
            if comparison == Comparison::Unequal {
                set.insert_range(0..self.null());
            }
            return set;
        }
        // A constant of another type compares with nothing.
        let Some(segment) = self.segment_of(value) else {
            return set;
        };
        if self.kind == Kind::Boolean {
            match comparison {
                Comparison::Equal => set.insert(segment),
                Comparison::Unequal => set.insert(4 - segment),
                _ => {}
            }
            return set;
        }
        let end = self.null();
        match comparison {
            Comparison::Equal => set.insert(segment),
            Comparison::Unequal => {
                set.insert_range(0..end);
                set.remove(segment);
            }
            Comparison::Less => set.insert_range(0..segment),
            Comparison::AtMost => set.insert_range(0..segment + 1),
            Comparison::Greater => set.insert_range(segment + 1..end),
            Comparison::AtLeast => set.insert_range(segment..end),
        }
        set
    }
}

impl Comparison {
    /// `5 < x` is `x > 5`.
    const fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::AtMost => Self::AtLeast,
            Self::Greater => Self::Less,
            Self::AtLeast => Self::AtMost,
            same => same,
        }
    }
}

/// The one type of all constants; `Any` when there is none, `None` when there are several.
pub fn inferred_kind<'t>(entries: impl Iterator<Item = &'t [Test]>) -> Option<Kind> {
    let mut kind = Kind::Any;
    let mut mixed = false;
    for tests in entries {
        constants(tests, &mut |value| {
            if kind == Kind::Any {
                kind = value.kind();
            } else if value.kind() != kind && !value.is_null() {
                mixed = true;
            }
        });
    }
    (!mixed).then_some(kind)
}

/// Visits every constant that tests compare with: the ends of intervals and the items of lists, one by one.
pub fn constants(tests: &[Test], see: &mut dyn FnMut(&Value)) {
    fn of_value(value: &Value, see: &mut dyn FnMut(&Value)) {
        match value {
            Value::Range(range) => {
                see(&range.low);
                see(&range.high);
            }
            Value::List(items) => items.iter().for_each(|item| of_value(item, see)),
            value => see(value),
        }
    }
    fn of_condition(expr: &Expr, see: &mut dyn FnMut(&Value)) {
        match expr {
            Expr::Compare(_, pair) => match &**pair {
                [Expr::Input, Expr::Const(value)] | [Expr::Const(value), Expr::Input] => {
                    of_value(value, see);
                }
                _ => {}
            },
            Expr::And(items) | Expr::Or(items) => {
                for item in items {
                    of_condition(item, see);
                }
            }
            Expr::Between(parts) => {
                if let [Expr::Input, Expr::Const(low), Expr::Const(high)] = &**parts {
                    see(low);
                    see(high);
                }
            }
            Expr::In(value, tests) if matches!(**value, Expr::Input) => constants(tests, see),
            Expr::Call(function, arguments) if function.name == "not" => {
                for argument in arguments {
                    of_condition(argument, see);
                }
            }
            _ => {}
        }
    }
    for test in tests {
        match test {
            Test::Compare(_, Expr::Const(value)) | Test::Value(Expr::Const(value)) => {
                of_value(value, see);
            }
            Test::Truth(expr) => of_condition(expr, see),
            Test::Not(tests) => constants(tests, see),
            _ => {}
        }
    }
}
