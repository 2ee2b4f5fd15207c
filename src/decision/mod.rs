//! The decision stage: reads a DMN file once, before the run begins, and then decides which records are fit.
//!
//! Must not know of HTTP, mappings, SQL or threads: a record's values come in as cells, a verdict goes out. What a table
//! does not decide (no rule, several rules, a value of the wrong type) is an outcome of its own and a rejection that says so.

mod bits; // sets of rules and of segments
mod compiled; // a decision that is ready to decide
mod computed_values; // what required decisions can come to
mod explain; // why a record got its verdict
pub mod feel; // the expression language of DMN
mod filling; // suggestions that fill in what is missing
mod impact; // what a changed file would change
mod index; // finds the rule without trying each
mod input_variable; // what records can bring
pub mod lint; // mistakes in tables
pub mod model; // the DMN file as it stands
mod nearest; // the smallest change that would pass
pub mod problem; // mistakes and how they are shown
pub mod program; // the decisions in the order they are computed
mod reached; // which rules a record reaches
mod rule_space; // conditions as sets of segments
pub mod table; // rules and hit policies
mod verdict; // from a table's outcome to a verdict
pub mod xml; // XML → elements

pub use self::compiled::{Decision, Scratch};
pub use self::explain::Explanation;
pub use self::impact::{Impact, RuleChange, VerdictChange};
pub use self::input_variable::{CombinationCheck, InputVariable, Role, Values};
pub use self::lint::{Finding, Lint, Repair, lint};
pub use self::nearest::{AsGiven, Change, Changeable, Nearest};
pub use self::problem::{Check, Problem, Problems, Severity};
pub use self::reached::TableRule;
pub use self::verdict::{Rules, Verdict};
