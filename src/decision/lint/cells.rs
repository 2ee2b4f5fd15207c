//! Checks that look at one cell or one rule: types, cells nothing satisfies, unknown outputs, aggregations.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::linter::Linter;
use crate::decision::bits::{Bits, SetOperations as _};
use crate::decision::feel::ast::{Expr, Test};
use crate::decision::feel::value::{Kind, Value, equal};
use crate::decision::problem::{Check, Severity};
use crate::decision::rule_space::{self, Dimension};
use crate::decision::table::{Aggregation, HitPolicy, Output, Rule};
use crate::decision::verdict;

impl Linter<'_> {
    /// Values of the wrong type. Returns the cells (rule, column) so that they are not called empty as well.
    pub(super) fn types(&mut self) -> HashSet<(usize, usize)> {
        let rules = &self.table.rules;
        let mut mistyped = HashSet::new();
        for column in 0..self.table.inputs.len() {
            let known = self.variable_kind(column);
            if self.never_fits(column, known) {
                mistyped.extend((0..rules.len()).map(|row| (row, column)));
                continue;
            }
            let Some(expected) = self.expected_kind(column, known) else {
                continue;
            };
            for (row, rule) in rules.iter().enumerate() {
                if let Some((kind, text)) = mistyped_value(rule, column, expected) {
                    mistyped.insert((row, column));
                    self.find_mistyped((row, column), &text, kind, expected);
                }
            }
        }
        self.types_of_outputs();
        mistyped
    }

    /// The type that the cells of a column should have; none where they may have any.
    fn expected_kind(&self, index: usize, known: Kind) -> Option<Kind> {
        let column = &self.table.inputs[index];
        if column.collection {
            return None;
        }
        let expected = match (column.kind, known) {
            (Kind::Any, Kind::Any) => self.usual_kind(index)?,
            (Kind::Any, known) => known,
            (declared, _) => declared,
        };
        (!matches!(expected, Kind::List | Kind::Context | Kind::Range)).then_some(expected)
    }

    /// Where the cells of a column are of several types: the one that most have.
    fn usual_kind(&self, column: usize) -> Option<Kind> {
        let mut counts: HashMap<Kind, usize> = HashMap::new();
        for rule in &self.table.rules {
            rule_space::constants(&rule.tests[column], &mut |value| {
                if !value.is_null() {
                    *counts.entry(value.kind()).or_default() += 1;
                }
            });
        }
        if counts.len() < 2 {
            return None;
        }
        let most = |(kind, count): &(Kind, usize)| (*count, Reverse(kind.name()));
        counts.into_iter().max_by_key(most).map(|(kind, _)| kind)
    }

    fn find_mistyped(
        &mut self,
        (row, column): (usize, usize),
        text: &str,
        kind: Kind,
        expected: Kind,
    ) {
        let remedy = match (expected, kind) {
            (Kind::Date, Kind::Text) => "write a date: date(\"2026-01-31\")",
            (Kind::DateTime, _) => "write a date and time: date and time(\"2026-01-31T00:00:00Z\")",
            (Kind::Text, _) => "write text in double quotes",
            (_, Kind::Text) => "write it without quotes, or correct the column's typeRef",
            _ => "correct the cell, or the column's typeRef",
        };
        let message = format!(
            "{}: `{text}` is a {} in the column `{}`, which holds a {}: it can never match",
            self.rule_name(row),
            kind.name(),
            self.table.inputs[column].name,
            expected.name()
        );
        self.find(
            Check::Type,
            Severity::Error,
            &[row],
            Some(self.example_beside(row, self.group_of(column))),
            message,
            remedy,
        );
    }

    fn types_of_outputs(&mut self) {
        let table = self.table;
        for (index, output) in table.outputs.iter().enumerate() {
            if output.kind == Kind::Any {
                continue;
            }
            for (row, rule) in table.rules.iter().enumerate() {
                let kind = rule.outputs[index].kind();
                if kind == Kind::Any || kind == output.kind {
                    continue;
                }
                let message = format!(
                    "{}: the output `{}` is a {}, where its column holds a {}",
                    self.rule_name(row),
                    output.name.as_deref().unwrap_or("result"),
                    kind.name(),
                    output.kind.name()
                );
                self.find(
                    Check::Type,
                    Severity::Error,
                    &[row],
                    self.example_in(&[row]),
                    message,
                    "correct the output entry, or the column's typeRef",
                );
            }
        }
    }

    /// The type of the input variable that a column tests; [`Kind::Any`] when it is none, or not known.
    fn variable_kind(&self, column: usize) -> Kind {
        let slot = self.variable_of(self.group_of(column));
        slot.map_or(Kind::Any, |slot| self.variables[slot].kind)
    }

    /// Does the column expect a type that its input variable never has? Then it says so.
    fn never_fits(&mut self, index: usize, variable: Kind) -> bool {
        let column = &self.table.inputs[index];
        let fits = column.kind == variable && !column.collection;
        if fits || variable == Kind::Any || (column.kind == Kind::Any && !column.collection) {
            return false;
        }
        let expects = if column.collection {
            Kind::List.name()
        } else {
            column.kind.name()
        };
        let message = format!(
            "the column `{}` expects a {expects}, and records bring a {} for it: every record with a value there would be rejected",
            column.name,
            variable.name()
        );
        let example = serde_json::Map::from_iter([(column.name.clone(), plain(variable))]);
        let line = column.line;
        let added = self.find(
            Check::Type,
            Severity::Error,
            &[],
            Some(example),
            message,
            "correct the column's typeRef and its cells, or the field's type in mappings.yaml",
        );
        if let Some(finding) = added {
            finding.line = line;
        }
        true
    }

    /// A table without rules says the same of every record.
    pub(super) fn no_rules(&mut self) {
        let defaults = self
            .table
            .outputs
            .iter()
            .all(|output| output.default.is_some());
        let (severity, consequence) = match (self.deciding, defaults) {
            (true, false) => (Severity::Error, "every record would be rejected"),
            (true, true) => (
                Severity::Warning,
                "every record gets the defaults of its outputs",
            ),
            (false, _) => (Severity::Warning, "its result is the same for every record"),
        };
        let message = format!("the table \"{}\" has no rule: {consequence}", self.name);
        self.find(
            Check::Empty,
            severity,
            &[],
            Some(serde_json::Map::new()),
            message,
            "add a rule; with `-` in every input it holds for all records",
        );
    }

    /// Cells, or alternatives of a cell, that no value satisfies.
    pub(super) fn empty(&mut self, mistyped: &HashSet<(usize, usize)>) {
        for group in 0..self.groups.len() {
            for row in 0..self.table.rules.len() {
                let mut columns = self.groups[group].iter();
                if columns.any(|column| mistyped.contains(&(row, *column))) {
                    continue;
                }
                let Some((message, remedy)) = self.emptiness(group, row) else {
                    continue;
                };
                self.find(
                    Check::Empty,
                    Severity::Warning,
                    &[row],
                    Some(self.example_beside(row, group)),
                    format!("{}: {message}", self.rule_name(row)),
                    remedy,
                );
            }
        }
    }

    /// Why no value satisfies the cells of a rule in a group of columns, or an alternative in one of them; and the remedy.
    fn emptiness(&self, group: usize, row: usize) -> Option<(String, &'static str)> {
        let dimension = self.rule_space.dimensions[group].as_ref()?;
        let live = self.rule_space.cells[group][row]
            .as_ref()
            .map(|set| set.and(&dimension.live));
        let whole = live.is_some_and(|set| set.is_clear());
        let columns = &self.groups[group];
        let mut dead = columns
            .iter()
            .filter_map(|column| self.unsatisfied(dimension, row, *column));
        let name = self.column_name(group);
        let consequence = if whole {
            ": the rule can never match"
        } else {
            ""
        };
        Some(match dead.next_back() {
            Some((text, true)) => {
                let mut allowed = columns
                    .iter()
                    .filter_map(|column| self.table.inputs[*column].allowed_text.as_deref());
                let allowed = allowed.next().unwrap_or_default();
                (
                    format!(
                        "`{text}` in `{name}` is none of the column's allowed values ({allowed}){consequence}"
                    ),
                    "correct the value, or add it to the allowed values",
                )
            }
            Some((text, false)) => (
                format!("no value of `{name}` satisfies `{text}`{consequence}"),
                "correct the ends of the interval",
            ),
            None if whole => (
                format!("its cells for `{name}` exclude each other: the rule can never match"),
                "correct one of the cells, or remove the rule",
            ),
            None => return None,
        })
    }

    /// The last alternative of a cell that nothing satisfies, as text, and whether it is a value that exists and that the
    /// allowed values leave out.
    fn unsatisfied(
        &self,
        dimension: &Dimension,
        row: usize,
        column: usize,
    ) -> Option<(String, bool)> {
        let rule = &self.table.rules[row];
        let tests = &rule.tests[column];
        let mut sets = tests
            .iter()
            .rev()
            .filter_map(|test| Some((test, dimension.set_of(std::slice::from_ref(test))?)));
        let (test, set) = sets.find(|(_, set)| set.and(&dimension.live).is_clear())?;
        let mut segments = set.ones();
        let exists = segments.any(|segment| dimension.plain_sample(segment).is_some());
        let text = if tests.len() == 1 {
            rule.texts[column].to_string()
        } else {
            test_text(test, dimension, &set)
        };
        Some((text, exists))
    }

    /// Outputs that are none of the listed ones.
    pub(super) fn outputs(&mut self) {
        let table = self.table;
        for (index, output) in table.outputs.iter().enumerate() {
            if output.values.is_empty() {
                continue;
            }
            for row in 0..table.rules.len() {
                let Expr::Const(value) = &table.rules[row].outputs[index] else {
                    continue;
                };
                if value.is_null()
                    || output
                        .values
                        .iter()
                        .any(|known| equal(known, value) == Some(true))
                {
                    continue;
                }
                let known: Vec<String> = output.values.iter().map(Value::literal).collect();
                let message = format!(
                    "{}: the output {} of `{}` is none of its listed values ({})",
                    self.rule_name(row),
                    value.literal(),
                    output.name.as_deref().unwrap_or("result"),
                    known.join(", ")
                );
                self.find(
                    Check::UnknownOutput,
                    Severity::Error,
                    &[row],
                    self.example_in(&[row]),
                    message,
                    "write one of the listed values, or add this one to them",
                );
            }
        }
    }

    /// Verdicts that say pass and reject at once. Such a record is rejected.
    pub(super) fn contradictions(&mut self) {
        let table = self.table;
        let column = |name: &str| {
            let named = |output: &Output| output.name.as_deref() == Some(name);
            table.outputs.iter().position(named)
        };
        let (true, Some(validation), Some(action)) = (
            self.deciding,
            column(verdict::VALIDATION),
            column(verdict::ACTION),
        ) else {
            return;
        };
        for (row, rule) in table.rules.iter().enumerate() {
            let constant = |column: usize| rule.outputs[column].constant();
            let (Some(Value::Text(validation)), Some(Value::Text(action))) =
                (constant(validation), constant(action))
            else {
                continue;
            };
            if !matches!(
                (&**validation, &**action),
                ("VALID", "REJECT") | ("INVALID", "PROCESS")
            ) {
                continue;
            }
            let message = format!(
                "{}: it says {validation} and {action}, and such a record is rejected",
                self.rule_name(row)
            );
            self.find(
                Check::Contradiction,
                Severity::Warning,
                &[row],
                Some(self.example_beside(row, self.groups.len())),
                message,
                "write VALID with PROCESS, WARNING with REVIEW, INVALID with REJECT",
            );
        }
    }

    /// Sums of what cannot be added up, priorities that are not given, aggregations where there is nothing to aggregate.
    pub(super) fn aggregation(&mut self) {
        let table = self.table;
        if let Some(aggregation) = &table.stray_aggregation {
            let message = format!(
                "the aggregation {aggregation} goes with the hit policy COLLECT only: under {} it is passed over",
                table.hit.name()
            );
            self.find(
                Check::Aggregation,
                Severity::Warning,
                &[],
                self.example_of_any(),
                message,
                "remove it, or use COLLECT",
            );
        }
        match table.hit {
            HitPolicy::Collect(Some(aggregation)) => self.unfit_to_aggregate(aggregation),
            HitPolicy::Priority | HitPolicy::OutputOrder
                if table.outputs.iter().all(|output| output.values.is_empty()) =>
            {
                let message = format!(
                    "the hit policy {} orders by the listed output values, and no output lists any: rows decide",
                    table.hit.name()
                );
                self.find(
                    Check::Aggregation,
                    Severity::Warning,
                    &[],
                    self.example_of_any(),
                    message,
                    "list the output values, the most important first",
                );
            }
            _ => {}
        }
    }

    /// Outputs that cannot be added up, or have no order.
    fn unfit_to_aggregate(&mut self, aggregation: Aggregation) {
        for (row, rule) in self.table.rules.iter().enumerate() {
            let kind = rule.outputs[0].kind();
            let fits = match aggregation {
                Aggregation::Count => true,
                Aggregation::Sum => matches!(
                    kind,
                    Kind::Any | Kind::Number | Kind::Duration | Kind::Months
                ),
                Aggregation::Min | Aggregation::Max => kind == Kind::Any || kind.is_ordered(),
            };
            if fits {
                continue;
            }
            let message = format!(
                "{}: a {} cannot be aggregated by this table's hit policy",
                self.rule_name(row),
                kind.name()
            );
            self.find(
                Check::Aggregation,
                Severity::Warning,
                &[row],
                self.example_in(&[row]),
                message,
                "yield a number, or use COLLECT without an aggregation",
            );
        }
    }
}

/// The last value in a cell that is not of the expected type: its type, and its text.
fn mistyped_value(rule: &Rule, column: usize, expected: Kind) -> Option<(Kind, String)> {
    let mut found: Option<(Kind, String)> = None;
    rule_space::constants(&rule.tests[column], &mut |value| {
        if !value.is_null() && value.kind() != expected {
            found = Some((value.kind(), value.literal()));
        }
    });
    for test in &rule.tests[column] {
        if let Test::Value(expr) | Test::Compare(_, expr) = test
            && expr.constant().is_none()
            && !matches!(expr.kind(), Kind::Any | Kind::List | Kind::Range)
            && expr.kind() != expected
        {
            found = Some((expr.kind(), rule.texts[column].to_string()));
        }
    }
    found
}

/// A value of a type that a record can bring, for examples.
fn plain(kind: Kind) -> serde_json::Value {
    match kind {
        Kind::Boolean => true.into(),
        Kind::Number => 1.into(),
        Kind::Date => "2026-01-31".into(),
        Kind::DateTime => "2026-01-31T00:00:00Z".into(),
        _ => "text".into(),
    }
}

fn test_text(test: &Test, dimension: &Dimension, set: &Bits) -> String {
    match test {
        Test::Value(Expr::Const(value)) => value.literal(),
        Test::Compare(comparison, Expr::Const(value)) => {
            format!("{} {}", comparison.symbol(), value.literal())
        }
        _ => dimension.text_of(set),
    }
}
