//! The values that an expression in a table can have: those of an input variable, of a required decision, or of a function
//! with a limited result. What is not known counts as possible.

use super::feel::ast::Expr;
use super::feel::value::Value;
use super::input_variable::{InputVariable, Values};
use super::program::{NodeLogic, Program};
use super::table::{Aggregation, HitPolicy, Table};

/// The values of an expression.
pub fn of_expression(program: &Program, variables: &[InputVariable<'_>], expr: &Expr) -> Values {
    match expr {
        Expr::Slot(slot) => match variables.get(*slot) {
            Some(variable) => variable.values.clone(),
            None => of_decision(program, *slot, None),
        },
        Expr::Member(inner, name) => match **inner {
            Expr::Slot(slot) if slot >= variables.len() => of_decision(program, slot, Some(name)),
            _ => Values::default(),
        },
        Expr::Call(function, _) if function.name == "count" || function.name == "string length" => {
            Values {
                nullable: None,
                ..Values::count(None)
            }
        }
        _ => Values::default(),
    }
}

/// The values of a required decision's result, or of one of its outputs.
fn of_decision(program: &Program, slot: usize, output: Option<&str>) -> Values {
    let node = program.nodes.iter().find(|node| node.slot == slot);
    match node.map(|node| &node.logic) {
        Some(NodeLogic::Table(table)) => of_table(table, output),
        _ => Values::default(),
    }
}

fn of_table(table: &Table, output: Option<&str>) -> Values {
    let has_default = table.outputs.iter().all(|output| output.default.is_some());
    match table.hit {
        HitPolicy::Collect(Some(Aggregation::Count)) => Values::count(Some(table.rules.len())),
        HitPolicy::Collect(Some(_)) => Values {
            nullable: (!has_default).then_some(true),
            ..Values::default()
        },
        hit if hit.is_single() => {
            let column = match output {
                None => (table.outputs.len() == 1).then_some(0),
                Some(name) => {
                    let named =
                        |output: &super::table::Output| output.name.as_deref() == Some(name);
                    table.outputs.iter().position(named)
                }
            };
            column.map_or_else(Values::default, |column| of_output(table, column))
        }
        _ => Values::default(),
    }
}

/// The constants of one output column.
fn of_output(table: &Table, column: usize) -> Values {
    let default = table.outputs[column].default.as_ref();
    let results = table.rules.iter().map(|rule| &rule.outputs[column]);
    let constants: Option<Vec<Value>> = results
        .chain(default)
        .map(|expr| expr.constant().cloned())
        .collect();
    let Some(mut constants) = constants else {
        return Values::default();
    };
    let null = default.is_none() || constants.iter().any(Value::is_null);
    constants.retain(|value| !value.is_null());
    Values {
        one_of: Some(constants),
        nullable: Some(null),
        ..Values::default()
    }
}
