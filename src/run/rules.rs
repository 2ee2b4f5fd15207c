//! The decision table of a run: compiled for the input variables that the mapping gives.
//!
//! It connects `transform` (the input variables and their types) and `decision` (the table). Moves no record.

use anyhow::Result;

use crate::config::plan::{self, Plan};
use crate::decision::feel::value::Kind;
use crate::decision::{self, Decision, InputVariable, Role, Severity};
use crate::exit::Misconfigured;
use crate::transform::Transform;

/// The input variables that the mapping gives, with their types as a table knows them.
pub fn input_variables(transform: &Transform) -> Vec<InputVariable<'_>> {
    let names = transform.variable_names();
    let last = names.len() - 1;
    let typed = names
        .into_iter()
        .zip(transform.variable_kinds())
        .enumerate();
    typed
        .map(|(slot, (name, kind))| InputVariable {
            name,
            kind: kind.map_or(Kind::Any, kind_of),
            role: match slot {
                slot if slot == last => Role::Complete,
                slot if transform.is_required(slot) => Role::Required,
                _ => Role::Free,
            },
        })
        .collect()
}

/// The type that a table sees of a field. JSON may be anything.
const fn kind_of(kind: plan::Kind) -> Kind {
    match kind {
        plan::Kind::String | plan::Kind::Email | plan::Kind::Uuid => Kind::Text,
        plan::Kind::Integer | plan::Kind::Decimal => Kind::Number,
        plan::Kind::Boolean => Kind::Boolean,
        plan::Kind::Date => Kind::Date,
        plan::Kind::DateTime => Kind::DateTime,
        plan::Kind::Json => Kind::Any,
    }
}

/// Reads and compiles the decision table for the input variables that the mapping gives. A table that would misjudge or refuse
/// records is refused itself.
///
/// # Errors
/// [`Misconfigured`]: the file cannot be read, is no table that can decide, or lint finds an error in it.
pub fn compile(plan: &Plan, transform: &Transform) -> Result<Decision> {
    let name = plan.decisions_file.name();
    let text = plan.decisions_file.text().map_err(Misconfigured)?;
    let variables = transform.variable_names();
    let refused = |problems: decision::Problems| Misconfigured(problems.to_string());
    let typed = input_variables(transform);
    let lint = decision::lint(text, &name, plan.decision.as_deref(), &typed).map_err(refused)?;
    let errors: Vec<String> = lint
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| format!("{name}: {finding}"))
        .collect();
    if !errors.is_empty() {
        return Err(Misconfigured(errors.join("\n")).into());
    }
    for finding in &lint.findings {
        log::info!("{name}: {finding}");
    }
    Ok(Decision::compile(text, &name, plan.decision.as_deref(), &variables).map_err(refused)?)
}
