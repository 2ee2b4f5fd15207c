//! From a table's outcome to a verdict on a record: the outputs that the deciding decision must have, and the message for
//! every way in which a table can fail to decide.

use std::borrow::Cow;

use super::feel::ast::Expr;
use super::feel::eval::Frame;
use super::feel::value::Value;
use super::model::{Logic, Model};
use super::problem::{Check, Problem, Problems};
use super::program::{Failure, Node, NodeLogic, Program};
use super::table::{Outcome, Table};
use crate::model::record::{Action, Validation};

/// The output that says whether a record is fit.
pub const VALIDATION: &str = "validationResult";
/// The output that says what becomes of it.
pub const ACTION: &str = "action";
/// The output that says why.
pub const REASON: &str = "reason";

/// The class of a verdict that rules gave.
pub const DECIDED: &str = "decided";

/// What a decision says of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict<'d> {
    /// Is it fit?
    pub validation: Validation,
    /// What becomes of it.
    pub action: Action,
    /// A short machine-readable class: `decided` when rules (or defaults) gave this verdict, else why they did not:
    /// `no_rule`, `null_input`, `several_rules`, `conflicting_rules`, `type_error`, `value_not_allowed`, `work_limit`, `bad_output`.
    pub class: &'static str,
    /// One sentence, without values of the record.
    pub reason: Cow<'d, str>,
    /// The rules that gave the verdict, or that kept the table from giving one.
    pub rules: Rules<'d>,
}

/// Rules by id (`row 3` for a rule without one).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rules<'d> {
    /// None.
    #[default]
    None,
    /// One.
    One(&'d str),
    /// Several.
    Many(Vec<&'d str>),
}

impl<'d> Rules<'d> {
    /// The ids.
    pub fn as_slice(&self) -> &[&'d str] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}

impl<'d> Verdict<'d> {
    /// Is the record written?
    pub fn passes(&self) -> bool {
        self.validation != Validation::Invalid && self.action != Action::Reject
    }

    /// Is it written and flagged?
    pub fn needs_review(&self) -> bool {
        self.passes() && (self.validation == Validation::Warning || self.action == Action::Review)
    }

    fn refused(class: &'static str, reason: impl Into<Cow<'d, str>>, rules: Rules<'d>) -> Self {
        Self {
            validation: Validation::Invalid,
            action: Action::Reject,
            class,
            reason: reason.into(),
            rules,
        }
    }

    /// The verdict on a record that costs more than the work limit: what was computed of it cannot be trusted.
    pub(super) fn too_much_work() -> Self {
        Self::refused(
            "work_limit",
            "deciding this record takes more work than is allowed: a loop or a list of the table is too long",
            Rules::None,
        )
    }

    pub(super) fn broken(reason: &'static str) -> Self {
        Self::refused("bad_output", reason, Rules::None)
    }
}

/// Finds the decision that decides on records: the named one, else the only one with an output `validationResult`.
///
/// # Errors
/// There is none, or several.
pub fn choose(model: &Model, wanted: Option<&str>) -> Result<usize, Problems> {
    let names = || {
        let mut names: Vec<String> = model
            .decisions
            .iter()
            .take(10)
            .map(|decision| format!("\"{}\"", decision.name))
            .collect();
        if model.decisions.len() > 10 {
            names.push("…".to_owned());
        }
        names.join(", ")
    };
    if let Some(wanted) = wanted {
        return model.decision(wanted).ok_or_else(|| {
            Problems::one(
                &model.file,
                0,
                format!(
                    "there is no decision \"{wanted}\": the file has {}",
                    names()
                ),
            )
        });
    }
    let mut deciding = model
        .decisions
        .iter()
        .enumerate()
        .filter(|(_, decision)| output_names(&decision.logic).contains(&VALIDATION));
    match (deciding.next(), deciding.next()) {
        (Some((index, _)), None) => Ok(index),
        (None, _) => Err(Problems::one(
            &model.file,
            0,
            format!(
                "no decision has an output `{VALIDATION}`: the file has {}; name its output, or say which decision decides",
                names()
            ),
        )),
        (Some((_, first)), Some((_, second))) => Err(Problems::one(
            &model.file,
            second.line,
            format!(
                "\"{}\" and \"{}\" both have an output `{VALIDATION}`: say which one decides (`validation.decision` in mappings.yaml)",
                first.name, second.name
            ),
        )),
    }
}

fn output_names(logic: &Logic) -> Vec<&str> {
    match logic {
        Logic::Table(table) => table
            .outputs
            .iter()
            .filter_map(|o| o.name.as_deref())
            .collect(),
        Logic::Context(entries) => entries
            .iter()
            .filter_map(|(name, _)| name.as_deref())
            .collect(),
        _ => Vec::new(),
    }
}

/// Checks that the deciding decision has the outputs it needs.
///
/// # Errors
/// The outputs that are missing, and a hit policy that yields a list.
pub fn check(model: &Model, root: usize) -> Result<(), Problems> {
    let decision = &model.decisions[root];
    let problem = |line: usize, message: &str| Problem {
        file: model.file.clone(),
        line,
        decision: Some(decision.name.clone()),
        message: message.to_owned(),
        ..Problem::default()
    };
    let mut problems = Vec::new();
    let names = output_names(&decision.logic);
    let known = match &decision.logic {
        Logic::Table(_) => true,
        Logic::Context(entries) => entries.iter().all(|(name, _)| name.is_some()),
        _ => false,
    };
    if known {
        for (needed, values) in [
            (VALIDATION, "VALID, WARNING or INVALID"),
            (ACTION, "PROCESS, REVIEW or REJECT"),
        ] {
            if !names.contains(&needed) {
                let near = crate::support::spelling::nearest(needed, names.iter().copied())
                    .map_or_else(String::new, |near| format!(" (it has `{near}`)"));
                problems.push(problem(
                    decision.line,
                    &format!("it decides on records and has no output `{needed}`{near}: expected one that yields {values}"),
                ));
            }
        }
    }
    if let Logic::Table(table) = &decision.logic
        && let Ok(hit) =
            super::table::HitPolicy::parse(&table.hit_policy, table.aggregation.as_deref())
        && !hit.is_single()
    {
        problems.push(problem(
            table.line,
            &format!(
                "the hit policy {} yields a list, and a record needs one verdict: use UNIQUE, ANY, FIRST or PRIORITY",
                hit.name()
            ),
        ));
    }
    Problems::none(problems)
}

/// Checks that constants in the deciding outputs are known values.
///
/// # Errors
/// Each cell with another value.
pub fn check_literals(model: &Model, root: usize, program: &Program) -> Result<(), Problems> {
    let Some(NodeLogic::Table(table)) = program.nodes.last().map(|node| &node.logic) else {
        return Ok(());
    };
    let mut problems = Vec::new();
    let mut look =
        |output: &super::table::Output, expr: &Expr, row: Option<&super::table::Rule>| {
            let (Some(name), Expr::Const(value)) = (output.name.as_deref(), expr) else {
                return;
            };
            let (known, expected) = match name {
                VALIDATION => (
                    validation(value).is_some(),
                    "\"VALID\", \"WARNING\" or \"INVALID\"",
                ),
                ACTION => (
                    action(value).is_some(),
                    "\"PROCESS\", \"REVIEW\" or \"REJECT\"",
                ),
                _ => return,
            };
            if !known {
                problems.push(
                    Problem {
                        file: model.file.clone(),
                        line: row.map_or(output.line, |rule| rule.line),
                        decision: Some(model.decisions[root].name.clone()),
                        row: row.map(|rule| rule.row),
                        rule: row
                            .filter(|rule| rule.has_id)
                            .map(|rule| rule.id.to_string()),
                        column: Some(format!("output \"{name}\"")),
                        message: format!("expected {expected}"),
                        check: Some(Check::UnknownOutput),
                        ..Problem::default()
                    }
                    .in_cell(&value.literal()),
                );
            }
        };
    for rule in &table.rules {
        for (output, expr) in table.outputs.iter().zip(&rule.outputs) {
            look(output, expr, Some(rule));
        }
    }
    for output in &table.outputs {
        if let Some(default) = &output.default {
            look(output, default, None);
        }
    }
    Problems::none(problems)
}

/// Reads a `validationResult`.
pub fn validation(value: &Value) -> Option<Validation> {
    let Value::Text(text) = value else {
        return None;
    };
    [Validation::Valid, Validation::Warning, Validation::Invalid]
        .into_iter()
        .find(|known| known.as_str() == &**text)
}

/// Reads an `action`.
pub fn action(value: &Value) -> Option<Action> {
    let Value::Text(text) = value else {
        return None;
    };
    [Action::Process, Action::Review, Action::Reject]
        .into_iter()
        .find(|known| known.as_str() == &**text)
}

/// Runs the deciding node and reads its result.
pub fn of_last<'d>(
    program: &'d Program,
    last: &'d Node,
    frame: &mut Frame,
    failures: &mut Vec<Failure>,
) -> Verdict<'d> {
    // A required decision that fails rejects the record. "No rule" is no failure there: its result is null, which this table
    // may test.
    let nodes = &program.nodes;
    if let Some(verdict) = failures
        .iter()
        .find_map(|failure| failed_requirement(nodes, failure))
    {
        return verdict;
    }
    let NodeLogic::Table(table) = &last.logic else {
        let value = last.logic.run(frame, nodes.len() - 1, failures);
        return read(&value, None, Rules::None);
    };
    match table.decide(frame) {
        Outcome::Value(value, matched) => {
            let rules = ids(table, &matched);
            let note = matched
                .first()
                .and_then(|rule| table.rules[*rule].note.as_deref());
            read(&value, note, rules)
        }
        outcome => undecided(table, &last.name, &outcome),
    }
}

fn failed_requirement<'d>(nodes: &'d [Node], failure: &Failure) -> Option<Verdict<'d>> {
    let node = nodes.get(failure.node)?;
    let NodeLogic::Table(table) = &node.logic else {
        return None;
    };
    (!matches!(failure.outcome, Outcome::NoRule(_) | Outcome::Value(..)))
        .then(|| undecided(table, &node.name, &failure.outcome))
}

fn ids<'d>(table: &'d Table, matched: &[usize]) -> Rules<'d> {
    match matched {
        [] => Rules::None,
        [one] => Rules::One(&table.rules[*one].id),
        many => Rules::Many(many.iter().map(|rule| &*table.rules[*rule].id).collect()),
    }
}

/// The verdict when a table did not decide.
pub fn undecided<'d>(table: &'d Table, name: &str, outcome: &Outcome) -> Verdict<'d> {
    let listed = |rules: &[usize]| {
        rules
            .iter()
            .map(|rule| table.rules[*rule].name())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match outcome {
        Outcome::Value(..) => Verdict::broken("the decision gave a result that was not read"),
        Outcome::NoRule(Some(column)) => Verdict::refused(
            "null_input",
            format!(
                "no rule of \"{name}\" matches, and the input `{}` is null",
                table.inputs[*column].name
            ),
            Rules::None,
        ),
        Outcome::NoRule(None) => Verdict::refused(
            "no_rule",
            format!("no rule of \"{name}\" matches"),
            Rules::None,
        ),
        Outcome::Several(rules) => Verdict::refused(
            "several_rules",
            format!(
                "{} of \"{name}\" match, where its hit policy UNIQUE allows one",
                listed(rules)
            ),
            ids(table, rules),
        ),
        Outcome::Conflict(rules) => Verdict::refused(
            "conflicting_rules",
            format!(
                "{} of \"{name}\" match with different outputs, where its hit policy ANY wants the same",
                listed(rules)
            ),
            ids(table, rules),
        ),
        Outcome::WrongType(column, found) => Verdict::refused(
            "type_error",
            format!(
                "the input `{}` of \"{name}\" is a {found}, where a {} is expected",
                table.inputs[*column].name,
                table.inputs[*column].kind.name()
            ),
            Rules::None,
        ),
        Outcome::NotAllowed(column) => Verdict::refused(
            "value_not_allowed",
            format!(
                "the input `{}` of \"{name}\" is none of its allowed values ({})",
                table.inputs[*column].name,
                table.inputs[*column]
                    .allowed_text
                    .as_deref()
                    .unwrap_or_default()
            ),
            Rules::None,
        ),
    }
}

/// The verdict where an output is none of the known values.
fn bad_output<'d>(value: &Value, output: &str, expected: &str, rules: Rules<'d>) -> Verdict<'d> {
    let found = match value.entry(output) {
        None | Some(Value::Null) => "null",
        Some(Value::Text(_)) => "another text",
        Some(other) => other.kind_name(),
    };
    Verdict::refused(
        "bad_output",
        format!("the output `{output}` is {found}, where {expected} is expected"),
        rules,
    )
}

/// Reads the outputs of the deciding decision.
pub fn read<'d>(value: &Value, note: Option<&'d str>, rules: Rules<'d>) -> Verdict<'d> {
    let Some(validation) = value.entry(VALIDATION).and_then(validation) else {
        return bad_output(value, VALIDATION, "VALID, WARNING or INVALID", rules);
    };
    let Some(action) = value.entry(ACTION).and_then(action) else {
        return bad_output(value, ACTION, "PROCESS, REVIEW or REJECT", rules);
    };
    let reason = match (value.entry(REASON), note) {
        (Some(Value::Text(text)), _) if !text.trim().is_empty() => Cow::Owned(text.to_string()),
        (_, Some(note)) => Cow::Borrowed(note),
        _ => Cow::Borrowed(match (validation, rules.as_slice().is_empty()) {
            _ if action == Action::Reject && validation != Validation::Invalid => {
                "its action is REJECT, though its result is not INVALID"
            }
            _ if action != Action::Reject && validation == Validation::Invalid => {
                "its result is INVALID, though its action is not REJECT"
            }
            (_, true) => "no rule matches, and the table's default says so",
            (Validation::Valid, _) => "a rule says it is valid",
            (Validation::Warning, _) => "a rule says it needs a look",
            (Validation::Invalid, _) => "a rule says it is invalid",
        }),
    };
    Verdict {
        validation,
        action,
        class: DECIDED,
        reason,
        rules,
    }
}
