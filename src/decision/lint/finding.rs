//! What a lint finds: its findings, how they are told, and the repairs they propose.

use std::fmt;

use serde::Serialize;

use crate::decision::problem::{Check, Problem, Problems, Severity};
use crate::support::text::clean;

/// A record as findings show it.
pub(super) type Example = serde_json::Map<String, serde_json::Value>;

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
    pub example: Option<Example>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// Cells that would end an overlap, the smallest change first; each is enough.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repairs: Vec<Repair>,
}

/// A cell that ends an overlap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repair {
    /// Id of the rule to change (`row 3` for one without).
    pub rule: String,
    /// Its row, from 1.
    pub row: usize,
    /// The column.
    pub input: String,
    /// What to write there.
    pub entry: String,
    /// Id of the rule that then decides the records which both match now.
    pub decides: String,
    /// How many segments of the column are taken away: the fewer, the smaller the change.
    #[serde(skip)]
    pub(super) taken: usize,
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

    /// Mistakes that keep a table from being compiled and have a check's name are findings. Where one has none, all of them
    /// are given back.
    pub(super) fn add_problems(&mut self, problems: Problems) -> Result<(), Problems> {
        if problems.0.iter().any(|problem| problem.check.is_none()) {
            return Err(problems);
        }
        let checked = problems.0.into_iter();
        self.findings
            .extend(checked.filter_map(|problem| Some(of_problem(problem.check?, problem))));
        Ok(())
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

fn of_problem(check: Check, problem: Problem) -> Finding {
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
        message += &format!("{column}: ");
    }
    if let Some(cell) = &problem.cell {
        message += &format!("`{cell}`: ");
    }
    message += &problem.message;
    if matches!(check, Check::Ragged | Check::Cycle | Check::Aggregation) {
        message += ": nothing is decided, every record shows it";
    }
    let rule = problem
        .row
        .map(|row| problem.rule.unwrap_or_else(|| format!("row {row}")));
    Finding {
        check,
        severity: Severity::Error,
        decision: problem.decision.unwrap_or_default(),
        rules: rule.into_iter().collect(),
        rows: problem.row.into_iter().collect(),
        line: problem.line,
        example: None,
        message,
        remedy: remedy.to_owned(),
        repairs: Vec::new(),
    }
}
