//! One table under the lint: what all its checks look at, and where they put what they find.

use super::finding::{Example, Finding, Lint};
use crate::decision::bits::Bits;
use crate::decision::computed_values;
use crate::decision::input_variable::InputVariable;
use crate::decision::problem::{Check, Severity};
use crate::decision::program::Program;
use crate::decision::rule_space::RuleSpace;
use crate::decision::table::Table;

/// Most findings of one check and severity in one table.
const MAX_FINDINGS: usize = 100;

/// A region without a limit, in words.
pub(super) const EVERY_RECORD: &str = "every record";

/// Work that one search may do, in words of a bitset.
pub(super) const MAX_WORK: u64 = 40_000_000;

pub(super) struct Linter<'t> {
    pub(super) name: &'t str,
    pub(super) table: &'t Table,
    pub(super) program: &'t Program,
    /// Which of the program's nodes it is.
    pub(super) node: usize,
    pub(super) variables: &'t [InputVariable<'t>],
    /// Is it the table that decides on records?
    pub(super) deciding: bool,
    /// Columns that test the same expression, as one.
    pub(super) groups: Vec<Vec<usize>>,
    pub(super) rule_space: RuleSpace,
    pub(super) findings: Vec<Finding>,
    /// By check: how many findings are not listed.
    pub(super) left_out: Vec<(Check, usize)>,
    pub(super) notes: Vec<String>,
}

impl<'t> Linter<'t> {
    pub(super) fn new(
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

    /// What was found. Says how much of it is not listed.
    pub(super) fn finish(mut self) -> Lint {
        for (check, count) in std::mem::take(&mut self.left_out) {
            self.note(&format!(
                "{count} further findings of the check {} are not listed",
                check.name()
            ));
        }
        Lint {
            findings: self.findings,
            notes: self.notes,
        }
    }

    /// Notes something about the table.
    pub(super) fn note(&mut self, text: &str) {
        self.notes.push(format!("\"{}\": {text}", self.name));
    }

    pub(super) fn rule_name(&self, rule: usize) -> String {
        self.table.rules[rule].name()
    }

    pub(super) fn column_name(&self, group: usize) -> &str {
        &self.table.inputs[self.groups[group][0]].name
    }

    /// Adds a finding, unless there are too many of this check.
    pub(super) fn find(
        &mut self,
        check: Check,
        severity: Severity,
        rules: &[usize],
        example: Option<Example>,
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
    pub(super) fn is_enough(&self, check: Check, severity: Severity) -> bool {
        let alike = |finding: &&Finding| finding.check == check && finding.severity == severity;
        self.findings.iter().filter(alike).count() >= MAX_FINDINGS
    }

    pub(super) fn note_unknown(&mut self) {
        let oversized = &self.rule_space.oversized;
        let mut notes: Vec<String> = oversized
            .iter()
            .map(|group| {
                format!(
                    "not analysed, since {} rules and their values are too large for it: {}",
                    self.table.rules.len(),
                    self.column_name(*group)
                )
            })
            .collect();
        let cells = self.rule_space.cells.iter().enumerate();
        let columns: Vec<String> = cells
            .filter(|(group, _)| !oversized.contains(group))
            .map(|(group, cells)| (group, cells.iter().filter(|cell| cell.is_none()).count()))
            .filter(|(_, unknown)| *unknown > 0)
            .map(|(group, unknown)| format!("{} ({unknown} cells)", self.column_name(group)))
            .collect();
        if !columns.is_empty() {
            notes.push(format!(
                "not analysed, since they are more than comparisons with constants: {}",
                columns.join(", ")
            ));
        }
        for note in notes {
            self.note(&note);
        }
    }

    pub(super) fn region_text(&self, sets: &[Bits]) -> String {
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
