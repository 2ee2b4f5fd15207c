//! Finds what is wrong with a table before the first record does: overlaps, gaps, rules that cannot match, and more.
//!
//! Works on the table's conditions as sets of segments (`grid`). Every overlap is proven by an example that was matched
//! for real. What cannot be expressed as sets (functions of the input, names in cells) is left out, and the notes say so.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Serialize;

use super::bits::Bits;
use super::feel::ast::{Expr, Test};
use super::feel::eval::{self, Frame};
use super::feel::value::{Kind, Value, equal};
use super::grid::{self, Axis, Grid};
use super::model::Model;
use super::problem::{Problem, Problems};
use super::program::{NodeLogic, Program};
use super::table::{Aggregation, HitPolicy, Rule, Table};
use super::verdict;

/// Most findings of one check in one table.
const MAX_FINDINGS: usize = 100;
/// Most gaps that are told one by one.
const MAX_GAPS: usize = 20;
/// Work that one search may do, in words of a bitset.
const MAX_WORK: u64 = 40_000_000;
/// Most input columns that are searched for gaps.
const MAX_COLUMNS: usize = 64;

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Two rules match the same record where only one may, or where they must agree and do not.
    Overlap,
    /// Records that no rule covers.
    Gap,
    /// A rule whose records are all taken by others.
    Shadowed,
    /// A cell that no value satisfies.
    Empty,
    /// A value of another type than its column's.
    Type,
    /// A rule with too few or too many cells.
    Ragged,
    /// Two rules with the same conditions and outputs.
    Duplicate,
    /// Rules that could be one.
    Mergeable,
    /// An output that is none of the known ones.
    UnknownOutput,
    /// An aggregation that cannot work.
    Aggregation,
    /// A decision that requires itself.
    Cycle,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Such a table would misjudge or refuse records: no run starts with it.
    Error,
    /// Worth a look; an error with `--strict`.
    Warning,
}

/// One thing found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was checked.
    pub check: Check,
    /// How bad it is.
    pub severity: Severity,
    /// The decision.
    pub decision: String,
    /// Ids of the rules (`row 3` for one without).
    pub rules: Vec<String>,
    /// Their rows, from 1.
    pub rows: Vec<usize>,
    /// Line in the file.
    pub line: usize,
    /// A record that shows it: input → value.
    pub example: Option<serde_json::Map<String, serde_json::Value>>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// What the lint found, and where it had to stop.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Lint {
    /// In file order, errors first.
    pub findings: Vec<Finding>,
    /// What could not be analysed, and why.
    pub notes: Vec<String>,
}

impl Lint {
    /// Is there an error among the findings?
    pub fn has_errors(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(
            f,
            "{severity}[{}] line {}: {}",
            self.check.name(),
            self.line,
            self.message
        )?;
        if let Some(example) = &self.example {
            write!(
                f,
                "\n    example: {}",
                serde_json::Value::Object(example.clone())
            )?;
        }
        write!(f, "\n    remedy:  {}", self.remedy)
    }
}

impl Check {
    /// As the JSON output spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overlap => "overlap",
            Self::Gap => "gap",
            Self::Shadowed => "shadowed",
            Self::Empty => "empty",
            Self::Type => "type",
            Self::Ragged => "ragged",
            Self::Duplicate => "duplicate",
            Self::Mergeable => "mergeable",
            Self::UnknownOutput => "unknown_output",
            Self::Aggregation => "aggregation",
            Self::Cycle => "cycle",
        }
    }
}

/// Looks at the deciding decision of a file and at all it requires.
///
/// # Errors
/// What keeps the file from being read or compiled and is not one of the checks.
pub fn lint(
    xml: &str,
    file: &str,
    decision: Option<&str>,
    facts: &[&str],
) -> Result<Lint, Problems> {
    let model = Model::read(xml, file)?;
    let root = verdict::choose(&model, decision)?;
    verdict::check(&model, root)?;
    let compiled = Program::compile(&model, root, facts, true);
    let mut lint = Lint::default();
    match compiled {
        Err(problems) => of_problems(problems, &mut lint)?,
        Ok(program) => {
            if let Err(problems) = verdict::check_literals(&model, root, &program) {
                of_problems(problems, &mut lint)?;
            }
            let literals = lint.findings.len();
            let told: Vec<usize> = lint
                .findings
                .iter()
                .flat_map(|finding| finding.rows.clone())
                .collect();
            for (index, node) in program.nodes.iter().enumerate() {
                if let NodeLogic::Table(table) = &node.logic {
                    let known = lint.findings.len();
                    let linter = Linter::new(&node.name, table);
                    if index + 1 == program.nodes.len() {
                        for finding in &mut lint.findings[..literals] {
                            if let [row] = finding.rows[..] {
                                finding.example = linter.example_in(&[row - 1]);
                            }
                        }
                    }
                    linter.run(&mut lint);
                    if index + 1 == program.nodes.len() {
                        // An output that decides nothing has been told already.
                        let mut position = 0;
                        lint.findings.retain(|finding| {
                            position += 1;
                            position <= known
                                || finding.check != Check::UnknownOutput
                                || !finding.rows.iter().any(|row| told.contains(row))
                        });
                    }
                }
            }
        }
    }
    lint.findings.sort_by_key(|finding| {
        (
            finding.severity == Severity::Warning,
            finding.line,
            finding.check.name(),
        )
    });
    Ok(lint)
}

/// Mistakes that keep a table from being compiled and have a check's name are findings.
fn of_problems(problems: Problems, lint: &mut Lint) -> Result<(), Problems> {
    if problems.0.iter().any(|problem| problem.check.is_none()) {
        return Err(problems);
    }
    for problem in problems.0 {
        let Some(check) = problem.check else {
            continue;
        };
        let remedy = match check {
            Check::Ragged => "give the rule one entry a column, `-` where any value will do",
            Check::Cycle => "remove one of the requirements of the circle",
            Check::Aggregation => "use COLLECT with exactly one output for an aggregation",
            Check::UnknownOutput => "write one of the known values",
            _ => "correct the cell",
        };
        let mut message = String::new();
        if let Some(row) = problem.row {
            message = format!("{}: ", Problem::rule_name(row, problem.rule.as_deref()));
        }
        if let Some(column) = &problem.column {
            message = format!("{message}{column}: ");
        }
        if let Some(cell) = &problem.cell {
            message = format!("{message}`{cell}`: ");
        }
        message.push_str(&problem.message);
        lint.findings.push(Finding {
            check,
            severity: Severity::Error,
            decision: problem.decision.unwrap_or_default(),
            rules: problem
                .row
                .map(|row| problem.rule.unwrap_or_else(|| format!("row {row}")))
                .into_iter()
                .collect(),
            rows: problem.row.into_iter().collect(),
            line: problem.line,
            example: None,
            message,
            remedy: remedy.to_owned(),
        });
    }
    Ok(())
}

/// By group: the segments accepted, or the cells as written where they are unknown.
type Conditions = Vec<(Option<Bits>, String)>;

struct Linter<'t> {
    name: &'t str,
    table: &'t Table,
    /// Columns that test the same expression, as one.
    groups: Vec<Vec<usize>>,
    grid: Grid,
    findings: Vec<Finding>,
    notes: Vec<String>,
}

impl<'t> Linter<'t> {
    fn new(name: &'t str, table: &'t Table) -> Self {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (index, column) in table.inputs.iter().enumerate() {
            match groups
                .iter_mut()
                .find(|group| table.inputs[group[0]].name == column.name)
            {
                Some(group) => group.push(index),
                None => groups.push(vec![index]),
            }
        }
        let grid = Grid::grouped(table, &groups);
        Self {
            name,
            table,
            groups,
            grid,
            findings: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn run(mut self, lint: &mut Lint) {
        self.note_unknown();
        let mistyped = self.types();
        self.empty(&mistyped);
        self.outputs();
        self.aggregation();
        self.duplicates();
        self.overlaps();
        self.shadows();
        self.gaps();
        self.mergeable();
        lint.findings.append(&mut self.findings);
        lint.notes.append(&mut self.notes);
    }

    fn rule_name(&self, rule: usize) -> String {
        let rule = &self.table.rules[rule];
        Problem::rule_name(rule.row, rule.has_id.then_some(&*rule.id))
    }

    fn column_name(&self, group: usize) -> &str {
        &self.table.inputs[self.groups[group][0]].name
    }

    fn find(
        &mut self,
        check: Check,
        severity: Severity,
        rules: &[usize],
        example: Option<serde_json::Map<String, serde_json::Value>>,
        message: String,
        remedy: &str,
    ) {
        self.findings.push(Finding {
            check,
            severity,
            decision: self.name.to_owned(),
            rules: rules
                .iter()
                .map(|rule| self.table.rules[*rule].id.to_string())
                .collect(),
            rows: rules
                .iter()
                .map(|rule| self.table.rules[*rule].row)
                .collect(),
            line: rules
                .first()
                .map_or(self.table.line, |rule| self.table.rules[*rule].line),
            example,
            message,
            remedy: remedy.to_owned(),
        });
    }

    fn count(&self, check: Check) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.check == check)
            .count()
    }

    fn note_unknown(&mut self) {
        let mut columns = Vec::new();
        for (group, cells) in self.grid.cells.iter().enumerate() {
            let unknown = cells.iter().filter(|cell| cell.is_none()).count();
            if unknown > 0 {
                columns.push(format!("{} ({unknown} cells)", self.column_name(group)));
            }
        }
        if !columns.is_empty() {
            self.notes.push(format!(
                "\"{}\": not analysed, since they are more than comparisons with constants: {}",
                self.name,
                columns.join(", ")
            ));
        }
    }

    /// Values of the wrong type. Returns the cells (rule, column) so that they are not called empty as well.
    fn types(&mut self) -> HashSet<(usize, usize)> {
        let table = self.table;
        let mut mistyped = HashSet::new();
        for (index, column) in table.inputs.iter().enumerate() {
            let mut expected = column.kind;
            if expected == Kind::Any {
                // Undeclared and mixed: the type most cells have.
                let mut counts: HashMap<Kind, usize> = HashMap::new();
                for rule in &table.rules {
                    grid::constants(&rule.tests[index], &mut |value| {
                        if !value.is_null() {
                            *counts.entry(value.kind()).or_default() += 1;
                        }
                    });
                }
                if counts.len() < 2 || column.collection {
                    continue;
                }
                expected = counts
                    .into_iter()
                    .max_by_key(|(kind, count)| (*count, std::cmp::Reverse(kind.name())))
                    .map_or(Kind::Any, |(kind, _)| kind);
            }
            if column.collection || matches!(expected, Kind::List | Kind::Context | Kind::Range) {
                continue;
            }
            for (row, rule) in table.rules.iter().enumerate() {
                let mut found: Option<(Kind, String)> = None;
                grid::constants(&rule.tests[index], &mut |value| {
                    if !value.is_null() && value.kind() != expected {
                        found = Some((value.kind(), value.literal()));
                    }
                });
                for test in &rule.tests[index] {
                    if let Test::Value(expr) | Test::Compare(_, expr) = test
                        && expr.constant().is_none()
                        && !matches!(expr.kind(), Kind::Any | Kind::List | Kind::Range)
                        && expr.kind() != expected
                    {
                        found = Some((expr.kind(), rule.texts[index].to_string()));
                    }
                }
                let Some((kind, text)) = found else {
                    continue;
                };
                mistyped.insert((row, index));
                let remedy = match (expected, kind) {
                    (Kind::Date, Kind::Text) => "write a date: date(\"2026-01-31\")",
                    (Kind::DateTime, _) => {
                        "write a date and time: date and time(\"2026-01-31T00:00:00Z\")"
                    }
                    (Kind::Text, _) => "write text in double quotes",
                    (_, Kind::Text) => "write it without quotes, or correct the column's typeRef",
                    _ => "correct the cell, or the column's typeRef",
                };
                let message = format!(
                    "{}: `{text}` is a {} in the column `{}`, which holds a {}: it can never match",
                    self.rule_name(row),
                    kind.name(),
                    column.name,
                    expected.name()
                );
                let example = self.example_beside(row, self.group_of(index));
                self.find(
                    Check::Type,
                    Severity::Error,
                    &[row],
                    Some(example),
                    message,
                    remedy,
                );
            }
        }
        for (index, output) in table.outputs.iter().enumerate() {
            if output.kind == Kind::Any {
                continue;
            }
            for (row, rule) in table.rules.iter().enumerate() {
                let kind = rule.outputs[index].kind();
                if kind != Kind::Any && kind != output.kind {
                    let message = format!(
                        "{}: the output `{}` is a {}, where its column holds a {}",
                        self.rule_name(row),
                        output.name.as_deref().unwrap_or("result"),
                        kind.name(),
                        output.kind.name()
                    );
                    let example = self.example_in(&[row]);
                    self.find(
                        Check::Type,
                        Severity::Error,
                        &[row],
                        example,
                        message,
                        "correct the output entry, or the column's typeRef",
                    );
                }
            }
        }
        mistyped
    }

    /// Cells, or alternatives of a cell, that no value satisfies.
    fn empty(&mut self, mistyped: &HashSet<(usize, usize)>) {
        let table = self.table;
        for group in 0..self.groups.len() {
            for row in 0..table.rules.len() {
                let rule = &table.rules[row];
                let columns = self.groups[group].clone();
                if columns
                    .iter()
                    .any(|column| mistyped.contains(&(row, *column)))
                {
                    continue;
                }
                let Some(axis) = &self.grid.axes[group] else {
                    continue;
                };
                let whole = self.grid.cells[group][row]
                    .as_ref()
                    .is_some_and(|set| set.and(&axis.live).is_empty());
                let mut dead: Option<(String, bool)> = None;
                for column in &columns {
                    for test in &rule.tests[*column] {
                        let Some(set) = axis.set_of(std::slice::from_ref(test)) else {
                            continue;
                        };
                        if set.and(&axis.live).is_empty() {
                            // A value that exists, and that the allowed values leave out.
                            let exists = set.iter().any(|segment| axis.sample(segment).is_some());
                            let text = if rule.tests[*column].len() == 1 {
                                rule.texts[*column].to_string()
                            } else {
                                axis_text(test, axis, &set)
                            };
                            dead = Some((text, exists));
                        }
                    }
                }
                let name = self.column_name(group).to_owned();
                let (message, remedy) = match dead {
                    Some((text, true)) => (
                        format!(
                            "{}: `{text}` in `{name}` is none of the column's allowed values ({}){}",
                            self.rule_name(row),
                            columns
                                .iter()
                                .find_map(|column| table.inputs[*column].allowed_text.as_deref())
                                .unwrap_or_default(),
                            if whole {
                                ": the rule can never match"
                            } else {
                                ""
                            }
                        ),
                        "correct the value, or add it to the allowed values",
                    ),
                    Some((text, false)) => (
                        format!(
                            "{}: no value of `{name}` satisfies `{text}`{}",
                            self.rule_name(row),
                            if whole {
                                ": the rule can never match"
                            } else {
                                ""
                            }
                        ),
                        "correct the ends of the interval",
                    ),
                    None if whole => (
                        format!(
                            "{}: its cells for `{name}` exclude each other: the rule can never match",
                            self.rule_name(row)
                        ),
                        "correct one of the cells, or remove the rule",
                    ),
                    None => continue,
                };
                let example = self.example_beside(row, group);
                self.find(
                    Check::Empty,
                    Severity::Warning,
                    &[row],
                    Some(example),
                    message,
                    remedy,
                );
            }
        }
    }

    /// Outputs that are none of the listed ones.
    fn outputs(&mut self) {
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
                let example = self.example_in(&[row]);
                self.find(
                    Check::UnknownOutput,
                    Severity::Error,
                    &[row],
                    example,
                    message,
                    "write one of the listed values, or add this one to them",
                );
            }
        }
    }

    /// Sums of what cannot be added up, and priorities that are not given.
    fn aggregation(&mut self) {
        let table = self.table;
        match table.hit {
            HitPolicy::Collect(Some(
                aggregation @ (Aggregation::Sum | Aggregation::Min | Aggregation::Max),
            )) => {
                for row in 0..table.rules.len() {
                    let kind = table.rules[row].outputs[0].kind();
                    let fits = match aggregation {
                        Aggregation::Sum => {
                            matches!(
                                kind,
                                Kind::Any | Kind::Number | Kind::Duration | Kind::Months
                            )
                        }
                        _ => kind == Kind::Any || kind.is_ordered(),
                    };
                    if !fits {
                        let message = format!(
                            "{}: a {} cannot be aggregated by this table's hit policy",
                            self.rule_name(row),
                            kind.name()
                        );
                        let example = self.example_in(&[row]);
                        self.find(
                            Check::Aggregation,
                            Severity::Warning,
                            &[row],
                            example,
                            message,
                            "yield a number, or use COLLECT without an aggregation",
                        );
                    }
                }
            }
            HitPolicy::Priority | HitPolicy::OutputOrder
                if table.outputs.iter().all(|output| output.values.is_empty()) =>
            {
                let message = format!(
                    "the hit policy {} orders by the listed output values, and no output lists any: rows decide",
                    table.hit.name()
                );
                let example = (0..table.rules.len()).find_map(|row| self.example_in(&[row]));
                self.find(
                    Check::Aggregation,
                    Severity::Warning,
                    &[],
                    example,
                    message,
                    "list the output values, the most important first",
                );
            }
            _ => {}
        }
    }

    /// The conditions of a rule, column by column, in a form that can be compared; `-` in all forms is the same.
    fn conditions(&self, row: usize, without: Option<usize>) -> Conditions {
        (0..self.groups.len())
            .filter(|group| Some(*group) != without)
            .map(
                |group| match (&self.grid.cells[group][row], &self.grid.axes[group]) {
                    (Some(set), Some(axis)) => (Some(set.and(&axis.live)), String::new()),
                    (Some(set), None) => (Some(set.clone()), String::new()),
                    (None, _) => (
                        None,
                        self.groups[group]
                            .iter()
                            .map(|column| &*self.table.rules[row].texts[*column])
                            .collect::<Vec<_>>()
                            .join("\u{0}"),
                    ),
                },
            )
            .collect()
    }

    fn output_text(&self, row: usize) -> String {
        self.table.rules[row]
            .outputs
            .iter()
            .map(|output| match output {
                Expr::Const(value) => value.literal(),
                computed => format!("{computed:?}"),
            })
            .collect::<Vec<_>>()
            .join("\u{0}")
    }

    fn duplicates(&mut self) {
        let mut seen: HashMap<(Conditions, String), usize> = HashMap::new();
        for row in 0..self.table.rules.len() {
            let key = (self.conditions(row, None), self.output_text(row));
            if let Some(first) = seen.get(&key).copied() {
                let example = self.example_in(&[first, row]);
                let message = format!(
                    "{} and {} have the same conditions and the same outputs",
                    self.rule_name(first),
                    self.rule_name(row)
                );
                self.find(
                    Check::Duplicate,
                    Severity::Warning,
                    &[first, row],
                    example,
                    message,
                    "remove one of them",
                );
            } else {
                seen.insert(key, row);
            }
        }
    }

    /// Where all these rules accept: by group, the segments; none where that cannot be told or there is none.
    fn common(&self, rules: &[usize]) -> Option<Vec<Bits>> {
        (0..self.groups.len())
            .map(|group| {
                let cells = &self.grid.cells[group];
                let Some(axis) = &self.grid.axes[group] else {
                    // Only `-` is understood there.
                    return rules
                        .iter()
                        .all(|rule| cells[*rule].is_some())
                        .then(|| Bits::all(2));
                };
                let mut set = axis.live.clone();
                for rule in rules {
                    set = set.and(cells[*rule].as_ref()?);
                }
                (!set.is_empty()).then_some(set)
            })
            .collect()
    }

    fn example_in(&self, rules: &[usize]) -> Option<serde_json::Map<String, serde_json::Value>> {
        let sets = self.common(rules)?;
        let values = self.sample(&sets);
        Some(self.example_of(&values))
    }

    /// A record that the rule would match, if it were not for its cells in one group.
    fn example_beside(
        &self,
        row: usize,
        group: usize,
    ) -> serde_json::Map<String, serde_json::Value> {
        let sets: Vec<Bits> = self
            .grid
            .axes
            .iter()
            .zip(&self.grid.cells)
            .enumerate()
            .map(|(other, (axis, cells))| {
                let Some(axis) = axis else {
                    return Bits::all(2);
                };
                cells[row]
                    .as_ref()
                    .filter(|_| other != group)
                    .map(|set| set.and(&axis.live))
                    .filter(|set| !set.is_empty())
                    .unwrap_or_else(|| axis.live.clone())
            })
            .collect();
        self.example_of(&self.sample(&sets))
    }

    /// The group a column belongs to.
    fn group_of(&self, column: usize) -> usize {
        self.groups
            .iter()
            .position(|group| group.contains(&column))
            .unwrap_or_default()
    }

    /// A value for every group, from its set; not null where there is another.
    fn sample(&self, sets: &[Bits]) -> Vec<Value> {
        sets.iter()
            .zip(&self.grid.axes)
            .map(|(set, axis)| {
                axis.as_ref()
                    .and_then(|axis| {
                        // A value that a cell mentions is easier to read than one between two of them.
                        set.iter()
                            .filter(|segment| *segment != axis.null())
                            .min_by_key(|segment| (segment + 1) % 2)
                            .or_else(|| set.contains(axis.null()).then(|| axis.null()))
                            .and_then(|segment| axis.sample(segment))
                    })
                    .unwrap_or_default()
            })
            .collect()
    }

    fn example_of(&self, values: &[Value]) -> serde_json::Map<String, serde_json::Value> {
        values
            .iter()
            .enumerate()
            .filter(|(group, _)| {
                self.grid.axes[*group]
                    .as_ref()
                    .is_some_and(|axis| axis.kind != Kind::Any)
            })
            .map(|(group, value)| {
                (
                    self.column_name(group).to_owned(),
                    serde_json::to_value(value).unwrap_or_default(),
                )
            })
            .collect()
    }

    /// Do the rules match these values for real?
    fn matches_all(&self, rules: &[usize], values: &[Value]) -> bool {
        let mut inputs = vec![Value::Null; self.table.inputs.len()];
        for (group, value) in self.groups.iter().zip(values) {
            for column in group {
                inputs[*column] = value.clone();
            }
        }
        let mut frame = Frame::default();
        rules.iter().all(|rule| {
            self.table.rules[*rule]
                .tests
                .iter()
                .zip(&inputs)
                .all(|(tests, input)| eval::holds_any(tests, input, &mut frame) == Some(true))
        })
    }

    /// Are all inputs names of their own, so that any combination of values can occur?
    fn is_free(&self) -> bool {
        let mut seen = HashSet::new();
        self.groups
            .iter()
            .all(|group| match &self.table.inputs[group[0]].expr {
                Expr::Slot(slot) => seen.insert(*slot),
                _ => false,
            })
    }

    /// Can they both accept, column by column? Unknown cells cannot.
    fn meet(&self, first: usize, second: usize, work: &mut u64) -> bool {
        *work += 1;
        self.grid
            .cells
            .iter()
            .zip(&self.grid.axes)
            .all(
                |(cells, axis)| match (&cells[first], &cells[second], axis) {
                    (Some(a), Some(b), Some(_)) => {
                        *work += a.words().len() as u64;
                        a.meets(b)
                    }
                    (Some(_), Some(_), None) => true,
                    _ => false,
                },
            )
    }

    fn overlaps(&mut self) {
        let table = self.table;
        if !matches!(table.hit, HitPolicy::Unique | HitPolicy::Any) {
            return;
        }
        let free = self.is_free();
        let outputs: Vec<String> = (0..table.rules.len())
            .map(|row| self.output_text(row))
            .collect();
        let mut work = 0_u64;
        let mut more = 0_usize;
        'all: for first in 0..table.rules.len() {
            for second in first + 1..table.rules.len() {
                if table.hit == HitPolicy::Any && outputs[first] == outputs[second] {
                    continue;
                }
                let meets = self.meet(first, second, &mut work);
                if work > 8 * MAX_WORK {
                    self.notes.push(format!(
                        "\"{}\": the search for overlaps stopped at {}",
                        self.name,
                        self.rule_name(first)
                    ));
                    break 'all;
                }
                if !meets {
                    continue;
                }
                let Some(sets) = self.common(&[first, second]) else {
                    continue;
                };
                let values = self.sample(&sets);
                if !self.matches_all(&[first, second], &values) {
                    continue;
                }
                if self.count(Check::Overlap) >= MAX_FINDINGS {
                    more += 1;
                    continue;
                }
                let region = self.region_text(&sets);
                let (verb, severity) = if free {
                    ("both match", Severity::Error)
                } else {
                    ("may both match", Severity::Warning)
                };
                let (consequence, remedy) = if table.hit == HitPolicy::Unique {
                    (
                        "UNIQUE allows one, so such a record is refused",
                        "narrow one of them, or choose a hit policy that says which wins (FIRST, PRIORITY)",
                    )
                } else {
                    (
                        "ANY wants the same outputs, so such a record is refused",
                        "give both the same outputs, narrow one of them, or choose FIRST or PRIORITY",
                    )
                };
                let message = format!(
                    "{} and {} {verb} {region}: {consequence}",
                    self.rule_name(first),
                    self.rule_name(second)
                );
                let example = Some(self.example_of(&values));
                self.find(
                    Check::Overlap,
                    severity,
                    &[first, second],
                    example,
                    message,
                    remedy,
                );
            }
        }
        if more > 0 {
            self.notes.push(format!(
                "\"{}\": {more} further overlaps are not told one by one",
                self.name
            ));
        }
    }

    fn region_text(&self, sets: &[Bits]) -> String {
        let parts: Vec<String> = sets
            .iter()
            .enumerate()
            .filter_map(|(group, set)| {
                let axis = self.grid.axes[group].as_ref()?;
                let text = axis.text_of(set);
                (text != "-").then(|| format!("{} {text}", self.column_name(group)))
            })
            .collect();
        if parts.is_empty() {
            "every record".to_owned()
        } else {
            format!("records with {}", parts.join(" and "))
        }
    }

    /// Rules whose records are all taken by others that come before them.
    fn shadows(&mut self) {
        let table = self.table;
        let count = table.rules.len();
        let order: Vec<usize> = match table.hit {
            HitPolicy::First => (0..count).collect(),
            HitPolicy::Priority => {
                table.by_priority(&(0..count).collect::<Vec<_>>(), &mut Frame::default())
            }
            _ => return,
        };
        if table.hit == HitPolicy::Priority
            && !table.rules.iter().all(|rule| {
                rule.outputs
                    .iter()
                    .all(|output| output.constant().is_some())
            })
        {
            return;
        }
        let mut cover = Cover::of(&self.grid, count);
        let mut before = Bits::none(count);
        for rule in order {
            let within: Option<Vec<Bits>> = (0..self.groups.len())
                .map(|group| {
                    let cell = self.grid.cells[group][rule].as_ref()?;
                    Some(match &self.grid.axes[group] {
                        Some(axis) => cell.and(&axis.live),
                        None => Bits::all(2),
                    })
                })
                .collect();
            if let Some(within) = within
                && within.iter().all(|set| !set.is_empty())
                && !before.is_empty()
                && !cover.spent()
            {
                let mut rivals = before.clone();
                for other in before.iter() {
                    if !self.meet(other, rule, &mut cover.work) {
                        rivals.remove(other);
                    }
                }
                if let Some(true) = cover.covers(&within, &rivals) {
                    let rivals: Vec<usize> = rivals.iter().collect();
                    let names: Vec<String> = rivals
                        .iter()
                        .take(5)
                        .map(|rival| self.rule_name(*rival))
                        .collect();
                    let values = self.sample(&within);
                    let example = Some(self.example_of(&values));
                    let message = format!(
                        "{} can never fire: all its records are taken by {}{}",
                        self.rule_name(rule),
                        names.join(", "),
                        if rivals.len() > 5 { ", …" } else { "" }
                    );
                    let mut rules = vec![rule];
                    rules.extend(rivals.iter().take(5));
                    self.find(
                        Check::Shadowed,
                        Severity::Warning,
                        &rules,
                        example,
                        message,
                        if table.hit == HitPolicy::First {
                            "move it up, narrow the rules above it, or remove it"
                        } else {
                            "raise its output's priority, narrow the others, or remove it"
                        },
                    );
                }
            }
            before.insert(rule);
        }
        if cover.spent() {
            self.notes.push(format!(
                "\"{}\": the search for shadowed rules stopped before its end",
                self.name
            ));
        }
    }

    /// Records that no rule covers.
    fn gaps(&mut self) {
        let table = self.table;
        let has_default = table.outputs.iter().any(|output| output.default.is_some());
        if has_default || matches!(table.hit, HitPolicy::Collect(_)) {
            return;
        }
        if self.groups.len() > MAX_COLUMNS {
            self.notes.push(format!(
                "\"{}\": gaps are searched in tables of up to {MAX_COLUMNS} inputs",
                self.name
            ));
            return;
        }
        let within: Vec<Bits> = self
            .grid
            .axes
            .iter()
            .map(|axis| match axis {
                Some(axis) => {
                    let mut set = axis.live.clone();
                    // A null that no cell speaks of has an outcome of its own.
                    if !axis.null_matters {
                        set.remove(axis.null());
                    }
                    set
                }
                None => Bits::all(2),
            })
            .collect();
        let mut cover = Cover::of(&self.grid, table.rules.len());
        let mut regions = cover.uncovered(&within, &Bits::all(table.rules.len()), MAX_GAPS * 10);
        if cover.spent() {
            self.notes.push(format!(
                "\"{}\": the search for gaps stopped before its end: there may be more",
                self.name
            ));
        }
        join(&mut regions);
        let more = regions.len().saturating_sub(MAX_GAPS);
        for region in regions.into_iter().take(MAX_GAPS) {
            let values = self.sample(&region);
            let message = format!(
                "no rule covers {}",
                self.region_text_within(&region, &within)
            );
            let example = Some(self.example_of(&values));
            self.find(
                Check::Gap,
                Severity::Warning,
                &[],
                example,
                message,
                "add a rule for it, widen one beside it, or give the outputs defaults; until then such records are rejected",
            );
        }
        if more > 0 {
            self.notes.push(format!(
                "\"{}\": {more} further gaps are not told one by one",
                self.name
            ));
        }
    }

    /// Like [`Self::region_text`], where everything within the searched values counts as any.
    fn region_text_within(&self, sets: &[Bits], within: &[Bits]) -> String {
        let widened: Vec<Bits> = sets
            .iter()
            .zip(within)
            .enumerate()
            .map(|(group, (set, within))| match &self.grid.axes[group] {
                Some(axis) if set == within => axis.live.clone(),
                _ => set.clone(),
            })
            .collect();
        self.region_text(&widened)
    }

    /// Rules that differ in one column only and could be one rule.
    fn mergeable(&mut self) {
        let table = self.table;
        if !matches!(
            table.hit,
            HitPolicy::Unique | HitPolicy::Any | HitPolicy::First
        ) {
            return;
        }
        let mut told: HashSet<usize> = HashSet::new();
        for group in 0..self.groups.len() {
            if self.grid.axes[group].is_none() {
                continue;
            }
            let mut alike: HashMap<(Conditions, String, Option<&str>), Vec<usize>> = HashMap::new();
            for (row, rule) in table.rules.iter().enumerate() {
                if self.grid.cells[group][row].is_some() {
                    let key = (
                        self.conditions(row, Some(group)),
                        self.output_text(row),
                        rule.note.as_deref(),
                    );
                    alike.entry(key).or_default().push(row);
                }
            }
            let mut found: Vec<Vec<usize>> =
                alike.into_values().filter(|rows| rows.len() > 1).collect();
            found.sort();
            for rows in found {
                let neighbours = rows.windows(2).all(|pair| pair[1] == pair[0] + 1);
                if rows.iter().any(|row| told.contains(row))
                    || (table.hit == HitPolicy::First && !neighbours)
                    || self.count(Check::Mergeable) >= MAX_FINDINGS
                {
                    continue;
                }
                let Some(axis) = &self.grid.axes[group] else {
                    continue;
                };
                let mut union = Bits::none(axis.segments());
                let mut distinct = HashSet::new();
                for row in &rows {
                    if let Some(set) = &self.grid.cells[group][*row] {
                        union.add(set);
                        distinct.insert(set.clone());
                    }
                }
                if distinct.len() < 2 {
                    continue;
                }
                let text = axis.text_of(&union);
                told.extend(&rows);
                let names: Vec<String> = rows.iter().map(|row| self.rule_name(*row)).collect();
                let message = format!(
                    "{} differ only in `{}` and give the same: they could be one rule",
                    names.join(", "),
                    self.column_name(group)
                );
                let remedy = format!(
                    "keep one of them, with `{text}` in `{}`",
                    self.column_name(group)
                );
                let example = self.example_in(&rows[..1]);
                self.find(
                    Check::Mergeable,
                    Severity::Warning,
                    &rows,
                    example,
                    message,
                    &remedy,
                );
            }
        }
    }
}

fn axis_text(test: &Test, axis: &Axis, set: &Bits) -> String {
    match test {
        Test::Value(Expr::Const(value)) => value.literal(),
        Test::Compare(comparison, Expr::Const(value)) => {
            format!("{} {}", comparison.symbol(), value.literal())
        }
        _ => axis.text_of(set),
    }
}

/// Joins regions that differ in one column only.
fn join(regions: &mut Vec<Vec<Bits>>) {
    let mut changed = true;
    while changed {
        changed = false;
        'pairs: for first in 0..regions.len() {
            for second in first + 1..regions.len() {
                let differing: Vec<usize> = (0..regions[first].len())
                    .filter(|column| regions[first][*column] != regions[second][*column])
                    .collect();
                if differing.len() <= 1 {
                    let other = regions.remove(second);
                    if let Some(column) = differing.first() {
                        regions[first][*column].add(&other[*column]);
                    }
                    changed = true;
                    break 'pairs;
                }
            }
        }
    }
}

/// Does a set of rules cover a region? Column by column; segments that the same rules accept are looked at once.
struct Cover {
    /// By group, then segment: the rules that accept it. Unknown cells count as accepting.
    rules: Vec<Vec<Bits>>,
    /// From this group on, the rules that accept everything.
    tails: Vec<Bits>,
    work: u64,
}

impl Cover {
    fn of(grid: &Grid, count: usize) -> Self {
        let mut rules = Vec::new();
        for (axis, cells) in grid.axes.iter().zip(&grid.cells) {
            let segments = axis.as_ref().map_or(2, Axis::segments);
            let mut by_segment = vec![Bits::none(count); segments];
            for (rule, cell) in cells.iter().enumerate() {
                match cell {
                    Some(set) => set.iter().filter(|s| *s < segments).for_each(|segment| {
                        by_segment[segment].insert(rule);
                    }),
                    None => by_segment.iter_mut().for_each(|set| set.insert(rule)),
                }
            }
            rules.push(by_segment);
        }
        let mut tails = vec![Bits::all(count); rules.len() + 1];
        for group in (0..rules.len()).rev() {
            let mut tail = tails[group + 1].clone();
            for set in &rules[group] {
                tail = tail.and(set);
            }
            tails[group] = tail;
        }
        Self {
            rules,
            tails,
            work: 0,
        }
    }

    /// Had it to stop?
    fn spent(&self) -> bool {
        self.work > MAX_WORK
    }

    /// Is every part of the region covered? None when that took too long to find out.
    fn covers(&mut self, within: &[Bits], rules: &Bits) -> Option<bool> {
        let found = self.uncovered(within, rules, 1);
        if !found.is_empty() {
            return Some(false);
        }
        (!self.spent()).then_some(true)
    }

    /// Parts of the region that none of the rules covers.
    fn uncovered(&mut self, within: &[Bits], rules: &Bits, most: usize) -> Vec<Vec<Bits>> {
        let mut found = Vec::new();
        if within.iter().any(Bits::is_empty) {
            return found;
        }
        let mut covered = HashSet::new();
        self.search(
            0,
            rules.clone(),
            within,
            &mut Vec::new(),
            &mut covered,
            &mut found,
            most,
        );
        found
    }

    #[allow(clippy::too_many_arguments)]
    fn search(
        &mut self,
        group: usize,
        active: Bits,
        within: &[Bits],
        path: &mut Vec<Bits>,
        covered: &mut HashSet<(usize, Bits)>,
        found: &mut Vec<Vec<Bits>>,
        most: usize,
    ) -> bool {
        if active.is_empty() {
            let mut region = path.clone();
            region.extend_from_slice(&within[group..]);
            found.push(region);
            return false;
        }
        if group == within.len() || active.meets(&self.tails[group]) {
            return true;
        }
        if covered.contains(&(group, active.clone())) {
            return true;
        }
        let mut parts: HashMap<Bits, Bits> = HashMap::new();
        for segment in within[group].iter() {
            self.work += active.words().len() as u64;
            let accepting = active.and(&self.rules[group][segment]);
            parts
                .entry(accepting)
                .or_insert_with(|| Bits::none(self.rules[group].len()))
                .insert(segment);
        }
        let mut parts: Vec<(Bits, Bits)> = parts.into_iter().collect();
        parts.sort_by_key(|(_, segments)| segments.iter().next());
        let mut whole = true;
        for (accepting, segments) in parts {
            if found.len() >= most || self.spent() {
                return false;
            }
            path.push(segments);
            whole &= self.search(group + 1, accepting, within, path, covered, found, most);
            path.pop();
        }
        if whole {
            covered.insert((group, active));
        }
        whole
    }
}

/// The rules of a table by id, for callers that hold a finding.
impl Rule {
    /// Row and id as messages have them.
    pub fn name(&self) -> String {
        Problem::rule_name(self.row, self.has_id.then_some(&*self.id))
    }
}
