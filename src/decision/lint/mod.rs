//! Finds mistakes in a table before any record is decided: overlaps, gaps, rules that cannot match, and more.
//!
//! Works on the table's conditions as sets of segments (`rule_space`). Every overlap is proven by an example that both rules
//! really match. Cells that are not such sets (functions of the input, names) are left out, and the notes say so.

mod cells;
mod coverage;
mod example;
mod finding;
mod linter;
mod pairs;
mod record_search;
mod repair;

use super::input_variable::InputVariable;
use super::model::Model;
use super::problem::{Check, Problems, Severity};
use super::program::{NodeLogic, Program};
use super::verdict;
use linter::Linter;

pub use finding::{Finding, Lint, Repair};

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
    let mut lint = Lint::default();
    match Program::compile(&model, root, &names, true) {
        Err(problems) => lint.add_problems(problems)?,
        Ok(program) => {
            if let Err(problems) = verdict::check_literals(&model, root, &program) {
                lint.add_problems(problems)?;
            }
            check_tables(&program, variables, &mut lint);
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

/// Checks each table. What has been found before is about literals of the last one, which decides: those findings get an
/// example, and are not reported once more.
fn check_tables(program: &Program, variables: &[InputVariable<'_>], lint: &mut Lint) {
    let literals = lint.findings.len();
    let reported: Vec<usize> = lint
        .findings
        .iter()
        .flat_map(|finding| finding.rows.clone())
        .collect();
    for (index, node) in program.nodes.iter().enumerate() {
        let NodeLogic::Table(table) = &node.logic else {
            continue;
        };
        let linter = Linter::new(program, index, table, variables);
        let deciding = linter.deciding;
        if deciding {
            for finding in &mut lint.findings[..literals] {
                if let [row] = finding.rows[..] {
                    finding.example = linter.example_in(&[row - 1]);
                }
            }
        }
        let mut found = check_table(linter);
        if deciding {
            found.findings.retain(|finding| {
                finding.check != Check::UnknownOutput
                    || !finding.rows.iter().any(|row| reported.contains(row))
            });
        }
        lint.findings.append(&mut found.findings);
        lint.notes.append(&mut found.notes);
    }
}

fn check_table(mut linter: Linter<'_>) -> Lint {
    if linter.table.rules.is_empty() {
        linter.no_rules();
    } else {
        linter.note_unknown();
        let mistyped = linter.types();
        linter.empty(&mistyped);
        linter.outputs();
        linter.contradictions();
        linter.aggregation();
        linter.duplicates();
        linter.overlaps();
        linter.shadows();
        linter.gaps();
        linter.mergeable();
    }
    linter.finish()
}
