//! Explains a verdict: the values of the record, which cell of which rule did not match, and the nearest change that passes.
//!
//! Made on request and for rejections only. It holds values, so it goes to standard output or into the stored rejection, and
//! never into a log.

use std::fmt;

use serde::Serialize;

use super::compiled::{Decision, Scratch};
use super::feel::eval::{self, Frame};
use super::feel::value::Value;
use super::nearest::{AsGiven, Changeable, Nearest, Seen};
use super::program::NodeLogic;
use super::table::Table;
use super::verdict;
use crate::model::record::{Action, Cell};
use crate::support::digest::Digest;

/// Most rules that are listed: those that came nearest to matching.
const MAX_RULES: usize = 25;

/// Why a record got its verdict.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The decision that decided.
    pub decision: String,
    /// VALID, WARNING or INVALID.
    #[serde(rename = "validationResult")]
    pub validation: &'static str,
    /// PROCESS, REVIEW or REJECT.
    pub action: &'static str,
    /// The class of the verdict.
    pub class: &'static str,
    /// The reason of the verdict.
    pub reason: String,
    /// Ids of the rules that gave the verdict, or kept the table from giving one.
    pub fired: Vec<String>,
    /// The input variables that the decision reads.
    #[serde(rename = "facts")]
    pub variables: Vec<Named>,
    /// The results of the decisions it requires.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<Named>,
    /// The rules considered, in row order.
    pub rules: Vec<RuleTrace>,
    /// How many further rules, farther from matching, are left out.
    pub rules_left_out: usize,
    /// The nearest changes that would pass, the better verdict last.
    pub nearest: Vec<Nearest>,
    /// If no change was found: the input variables that computed inputs and required decisions read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub look_at: Vec<String>,
    /// Is it certain that no record passes, whatever its values?
    #[serde(skip)]
    pub hopeless: bool,
}

/// A name and its value.
#[derive(Clone, Debug, Serialize)]
pub struct Named {
    /// Of an input variable or a decision.
    pub name: String,
    /// Its value.
    pub value: Value,
}

/// Whether one rule matched, and why not.
#[derive(Clone, Debug, Serialize)]
pub struct RuleTrace {
    /// Row, from 1.
    pub row: usize,
    /// Its id, or `row 3`.
    pub id: String,
    /// Did all its cells hold?
    pub matched: bool,
    /// The cells that did not.
    pub failed: Vec<FailedCell>,
    /// Its description or annotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A cell that did not hold.
#[derive(Clone, Debug, Serialize)]
pub struct FailedCell {
    /// The column.
    pub input: String,
    /// The cell as written.
    pub entry: String,
    /// The value it was tested with.
    pub value: Value,
}

impl Decision {
    /// Explains one record's verdict, as if each of its values could be changed by itself. The values are those that
    /// [`Decision::decide`] takes.
    pub fn explain(&self, variables: &[Cell<'_>]) -> Explanation {
        self.explain_changeable(variables, &AsGiven(variables))
    }

    /// Explains one record's verdict; suggestions are changes that the record allows.
    pub fn explain_changeable(
        &self,
        variables: &[Cell<'_>],
        record: &dyn Changeable,
    ) -> Explanation {
        let mut scratch = Scratch::default();
        let verdict = self.decide_by_table(variables, &mut scratch);
        let frame = &mut scratch.frame;
        let Some((last, required)) = self.program.nodes.split_last() else {
            return self.bare(&verdict);
        };
        let mut explanation = self.bare(&verdict);
        explanation.variables = self
            .program
            .used
            .iter()
            .filter_map(|slot| {
                Some(Named {
                    name: self.variables.get(*slot)?.name.to_string(),
                    value: variables.get(*slot).map(Value::of_cell).unwrap_or_default(),
                })
            })
            .collect();
        explanation.required = required
            .iter()
            .map(|node| Named {
                name: node.name.clone(),
                value: frame.values.get(node.slot).cloned().unwrap_or_default(),
            })
            .collect();
        if let NodeLogic::Table(table) = &last.logic {
            let inputs: Vec<Value> = table
                .inputs
                .iter()
                .map(|column| eval::evaluate(&column.expr, frame))
                .collect();
            (explanation.rules, explanation.rules_left_out) = traces(table, &inputs, frame);
            let seen = Seen {
                table,
                inputs: &inputs,
                variables,
                record,
            };
            explanation.nearest = self.nearest(&seen, verdict.validation);
            explanation.hopeless = self.is_hopeless(table);
            if explanation.nearest.is_empty() && !explanation.hopeless && !verdict.passes() {
                explanation.look_at = self.variables_behind(table);
            }
        }
        explanation
    }

    /// Names the values of the input variables that the decision reads, and which fields the source has given: all that a
    /// verdict and its explanation depend on.
    pub fn variables_read(&self, variables: &[Cell<'_>], presence: &str) -> [u8; 16] {
        let read = self.program.used.iter();
        let read = read.map(|slot| variables.get(*slot).unwrap_or(&Cell::Null));
        let mut bytes = Vec::with_capacity(128);
        read.for_each(|value| value.add_to(&mut bytes));
        bytes.extend_from_slice(presence.as_bytes());
        Digest::default().with(&bytes).short()
    }

    fn bare(&self, verdict: &verdict::Verdict<'_>) -> Explanation {
        Explanation {
            decision: self.name.clone(),
            validation: verdict.validation.as_str(),
            action: verdict.action.as_str(),
            class: verdict.class,
            reason: verdict.reason.to_string(),
            fired: verdict
                .rules
                .as_slice()
                .iter()
                .map(|id| (*id).to_owned())
                .collect(),
            variables: Vec::new(),
            required: Vec::new(),
            rules: Vec::new(),
            rules_left_out: 0,
            nearest: Vec::new(),
            look_at: Vec::new(),
            hopeless: false,
        }
    }
}

fn traces(table: &Table, inputs: &[Value], frame: &mut Frame) -> (Vec<RuleTrace>, usize) {
    let mut traces: Vec<RuleTrace> = table
        .rules
        .iter()
        .map(|rule| {
            let failed: Vec<FailedCell> = rule
                .tests
                .iter()
                .enumerate()
                .filter(|(column, tests)| {
                    eval::holds_any(tests, &inputs[*column], frame) != Some(true)
                })
                .map(|(column, _)| FailedCell {
                    input: table.inputs[column].name.clone(),
                    entry: rule.texts[column].to_string(),
                    value: inputs[column].clone(),
                })
                .collect();
            RuleTrace {
                row: rule.row,
                id: rule.id.to_string(),
                matched: failed.is_empty(),
                failed,
                note: rule.note.as_deref().map(str::to_owned),
            }
        })
        .collect();
    let left_out = traces.len().saturating_sub(MAX_RULES);
    if left_out > 0 {
        traces.sort_by_key(|trace| (trace.failed.len(), trace.row));
        traces.truncate(MAX_RULES);
        traces.sort_by_key(|trace| trace.row);
    }
    (traces, left_out)
}

/// The number of characters of the longest name.
fn widest<'n>(names: impl Iterator<Item = &'n String>) -> usize {
    names.map(|name| name.chars().count()).max().unwrap_or(0)
}

impl Explanation {
    fn write_rules(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  rules:")?;
        let width = widest(self.rules.iter().map(|rule| &rule.id));
        for rule in &self.rules {
            write!(f, "    {:>3}  {:<width$}  ", rule.row, rule.id)?;
            if rule.matched {
                writeln!(f, "yes")?;
                continue;
            }
            let cells = rule.failed.iter().map(|cell| {
                let (input, value, entry) = (&cell.input, cell.value.literal(), &cell.entry);
                format!("{input} is {value}, not {entry}")
            });
            writeln!(f, "no: {}", cells.collect::<Vec<_>>().join("; "))?;
        }
        if self.rules_left_out > 0 {
            let count = self.rules_left_out;
            writeln!(f, "    and {count} rules farther from matching")?;
        }
        Ok(())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, {}", self.decision, self.validation, self.action)?;
        if !self.fired.is_empty() {
            write!(f, " by {}", self.fired.join(", "))?;
        }
        writeln!(f, "\n  because: {}", self.reason)?;
        for (heading, list) in [
            ("facts", &self.variables),
            ("required decisions", &self.required),
        ] {
            if list.is_empty() {
                continue;
            }
            writeln!(f, "  {heading}:")?;
            let width = widest(list.iter().map(|named| &named.name));
            for named in list {
                writeln!(f, "    {:<width$}  {}", named.name, named.value.literal())?;
            }
        }
        if !self.rules.is_empty() {
            self.write_rules(f)?;
        }
        if !self.nearest.is_empty() {
            writeln!(f, "  nearest change that would pass:")?;
            for nearest in &self.nearest {
                writeln!(f, "    {nearest}")?;
            }
        }
        if self.action == Action::Reject.as_str() && self.nearest.is_empty() {
            f.write_str(if self.hopeless {
                "  no change of the values alone would pass\n"
            } else {
                "  no single change was found that would pass\n"
            })?;
            if !self.look_at.is_empty() {
                let names = self.look_at.join(", ");
                writeln!(f, "  what it computes is made of: {names}")?;
            }
        }
        Ok(())
    }
}
