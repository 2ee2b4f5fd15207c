//! Mistakes in a decision file, with place and remedy. They never hold a record's value.

use std::fmt;

use serde::Serialize;

use crate::support::text::clean;

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Two rules match the same record where only one may, or where they must agree and do not.
    Overlap,
    /// Records that no rule covers.
    Gap,
    /// A rule that never decides, since other rules match all its records first.
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
    /// Outputs of one rule that say opposite things.
    Contradiction,
    /// An aggregation that cannot work, or that has nothing to work on.
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

impl Check {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Overlap,
        Self::Gap,
        Self::Shadowed,
        Self::Empty,
        Self::Type,
        Self::Ragged,
        Self::Duplicate,
        Self::Mergeable,
        Self::UnknownOutput,
        Self::Contradiction,
        Self::Aggregation,
        Self::Cycle,
    ];

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
            Self::Contradiction => "contradiction",
            Self::Aggregation => "aggregation",
            Self::Cycle => "cycle",
        }
    }
}

/// One mistake in a decision file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Line in the file, from 1; 0 when it concerns the whole file.
    pub line: usize,
    /// The decision's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The rule's row in its table, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// The rule's id, when it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The column, `input "…"` or `output "…"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The cell as written, shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
    /// What is wrong, what was expected, what to do.
    pub message: String,
    /// The lint check it belongs to, when it is one that the lint knows.
    #[serde(skip)]
    pub check: Option<Check>,
}

/// Every mistake that was found, in file order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problem {
    /// Names the cell, shortened to one line.
    #[must_use]
    pub fn in_cell(mut self, text: &str) -> Self {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.cell = Some(if line.chars().count() > 60 {
            line.chars().take(57).chain("…".chars()).collect()
        } else {
            line
        });
        self
    }

    /// How a rule is named in messages: row and id.
    pub fn rule_name(row: usize, id: Option<&str>) -> String {
        match id {
            Some(id) => format!("rule {row} ({id})"),
            None => format!("rule {row}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&clean(&self.file))?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        f.write_str(": ")?;
        if let Some(decision) = &self.decision {
            write!(f, "decision \"{}\", ", clean(decision))?;
        }
        if let Some(row) = self.row {
            write!(
                f,
                "{}, ",
                clean(&Self::rule_name(row, self.rule.as_deref()))
            )?;
        }
        if let Some(column) = &self.column {
            write!(f, "{}, ", clean(column))?;
        }
        if let Some(cell) = &self.cell {
            write!(f, "`{}`: ", clean(cell))?;
        }
        f.write_str(&clean(&self.message))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl Problems {
    /// An error unless there are none.
    pub fn none(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Self(problems))
        }
    }

    /// One mistake about the file as a whole, or at a line of it.
    pub fn one(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self(vec![Problem {
            file: file.to_owned(),
            line,
            message: message.into(),
            ..Problem::default()
        }])
    }
}
