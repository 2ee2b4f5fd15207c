//! Finds what is wrong with a table before the first record does: overlaps, gaps, rules that cannot match, and more.
//!
//! Works on the table's conditions as sets of segments (`rule_space`). Every overlap is proven by an example that was matched
//! for real. What cannot be expressed as sets (functions of the input, names in cells) is left out, and the notes say so.

mod cells;
mod coverage;
mod example;
mod pairs;
mod record_search;
mod repair;

use std::fmt;

use serde::Serialize;

use super::bits::Bits;
use super::computed_values;
use super::input_variable::InputVariable;
use super::model::Model;
use super::problem::{Check, Problem, Problems, Severity};
use super::program::{NodeLogic, Program};
use super::rule_space::RuleSpace;
use super::table::{Rule, Table};
use super::verdict;
use crate::support::text::clean;

pub use self::repair::Repair;

/// Most findings of one check and severity in one table.
const MAX_FINDINGS: usize = 100;

/// A region without a limit, in words.
const EVERY_RECORD: &str = "every record";

/// Work that one search may do, in words of a bitset.
const MAX_WORK: u64 = 40_000_000;

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
    /// A record that shows it: input → value. None where every record does, and the message says so.
    pub example: Option<serde_json::Map<String, serde_json::Value>>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// Cells that would end an overlap, the smallest change first; each is enough.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repairs: Vec<Repair>,
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
            clean(&self.message)
        )?;
        if let Some(example) = &self.example {
            write!(
                f,
                "\n    example: {}",
                serde_json::Value::Object(example.clone())
            )?;
        }
        write!(f, "\n    remedy:  {}", clean(&self.remedy))
    }
}

/// Looks at the deciding decision of a file and at all it requires. The input variables of a record are given with their types, or
/// by name alone.
///
/// # Errors
/// What keeps the file from being read or compiled and is not one of the checks.
pub fn lint<'f, F: Clone + Into<InputVariable<'f>>>(
    xml: &str,
    file: &str,
    decision: Option<&str>,
    variables: &[F],
) -> Result<Lint, Problems> {
    let variables: Vec<InputVariable<'f>> = variables
        .iter()
        .map(|variable| variable.clone().into())
        .collect();
    lint_for(xml, file, decision, &variables)
}

fn lint_for(
    xml: &str,
    file: &str,
    decision: Option<&str>,
    variables: &[InputVariable<'_>],
) -> Result<Lint, Problems> {
    let names: Vec<&str> = variables.iter().map(|variable| &*variable.name).collect();
    let model = Model::read(xml, file)?;
    let root = verdict::choose(&model, decision)?;
    verdict::check(&model, root)?;
    let compiled = Program::compile(&model, root, &names, true);
    let mut lint = Lint::default();
    match compiled {
        Err(problems) => of_problems(problems, &mut lint)?,
        Ok(program) => {
            if let Err(problems) = verdict::check_literals(&model, root, &program) {
                of_problems(problems, &mut lint)?;
            }
            let literals = lint.findings.len();
            let reported: Vec<usize> = lint
                .findings
                .iter()
                .flat_map(|finding| finding.rows.clone())
                .collect();
            for (index, node) in program.nodes.iter().enumerate() {
                if let NodeLogic::Table(table) = &node.logic {
                    let known = lint.findings.len();
                    let linter = Linter::new(&program, index, table, variables);
                    if index + 1 == program.nodes.len() {
                        for finding in &mut lint.findings[..literals] {
                            if let [row] = finding.rows[..] {
                                finding.example = linter.example_in(&[row - 1]);
                            }
                        }
                    }
                    linter.run(&mut lint);
                    if index + 1 == program.nodes.len() {
                        // An unknown verdict has been reported already.
                        let mut position = 0;
                        lint.findings.retain(|finding| {
                            position += 1;
                            position <= known
                                || finding.check != Check::UnknownOutput
                                || !finding.rows.iter().any(|row| reported.contains(row))
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
            Check::Aggregation => "use SUM, COUNT, MIN or MAX over exactly one output",
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
        if matches!(check, Check::Ragged | Check::Cycle | Check::Aggregation) {
            message.push_str(": nothing is decided, every record shows it");
        }
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
            repairs: Vec::new(),
        });
    }
    Ok(())
}

struct Linter<'t> {
    name: &'t str,
    table: &'t Table,
    program: &'t Program,
    /// Which of the program's nodes it is.
    node: usize,
    variables: &'t [InputVariable<'t>],
    /// Is it the table that decides on records?
    deciding: bool,
    /// Columns that test the same expression, as one.
    groups: Vec<Vec<usize>>,
    rule_space: RuleSpace,
    findings: Vec<Finding>,
    /// By check: how many findings are not listed.
    left_out: Vec<(Check, usize)>,
    notes: Vec<String>,
}

impl<'t> Linter<'t> {
    fn new(
        program: &'t Program,
        node: usize,
        table: &'t Table,
        variables: &'t [InputVariable<'t>],
    ) -> Self {
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
        let rule_space = RuleSpace::grouped(table, &groups, |column| {
            computed_values::of_expression(program, variables, &column.expr)
        });
        Self {
            name: &program.nodes[node].name,
            table,
            program,
            node,
            variables,
            deciding: node + 1 == program.nodes.len(),
            groups,
            rule_space,
            findings: Vec::new(),
            left_out: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn run(mut self, lint: &mut Lint) {
        if self.table.rules.is_empty() {
            self.no_rules();
        } else {
            self.note_unknown();
            let mistyped = self.types();
            self.empty(&mistyped);
            self.outputs();
            self.contradictions();
            self.aggregation();
            self.duplicates();
            self.overlaps();
            self.shadows();
            self.gaps();
            self.mergeable();
        }
        for (check, count) in &self.left_out {
            self.notes.push(format!(
                "\"{}\": {count} further findings of the check {} are not listed",
                self.name,
                check.name()
            ));
        }
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

    /// Adds a finding, unless there are too many of this check.
    fn find(
        &mut self,
        check: Check,
        severity: Severity,
        rules: &[usize],
        example: Option<serde_json::Map<String, serde_json::Value>>,
        message: String,
        remedy: &str,
    ) -> Option<&mut Finding> {
        if self.is_enough(check, severity) {
            match self.left_out.iter_mut().find(|(of, _)| *of == check) {
                Some((_, count)) => *count += 1,
                None => self.left_out.push((check, 1)),
            }
            return None;
        }
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
            repairs: Vec::new(),
        });
        self.findings.last_mut()
    }

    /// Is the list of this check full?
    fn is_enough(&self, check: Check, severity: Severity) -> bool {
        let alike = |finding: &&Finding| finding.check == check && finding.severity == severity;
        self.findings.iter().filter(alike).count() >= MAX_FINDINGS
    }

    fn note_unknown(&mut self) {
        let mut columns = Vec::new();
        for group in &self.rule_space.oversized {
            self.notes.push(format!(
                "\"{}\": not analysed, since {} rules and their values are too large for it: {}",
                self.name,
                self.table.rules.len(),
                self.column_name(*group)
            ));
        }
        for (group, cells) in self.rule_space.cells.iter().enumerate() {
            if self.rule_space.oversized.contains(&group) {
                continue;
            }
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

    fn region_text(&self, sets: &[Bits]) -> String {
        let parts: Vec<String> = sets
            .iter()
            .enumerate()
            .filter_map(|(group, set)| {
                let dimension = self.rule_space.dimensions[group].as_ref()?;
                let text = dimension.text_of(set);
                (text != "-").then(|| format!("{} {text}", self.column_name(group)))
            })
            .collect();
        if parts.is_empty() {
            EVERY_RECORD.to_owned()
        } else {
            format!("records with {}", parts.join(" and "))
        }
    }
}

/// How messages name a rule.
impl Rule {
    /// Row and id as messages have them.
    pub fn name(&self) -> String {
        Problem::rule_name(self.row, self.has_id.then_some(&*self.id))
    }
}
