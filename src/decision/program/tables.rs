//! Compiles decision tables: columns, rules, types, allowed values.

use std::sync::Arc;

use super::compiler::{Compiler, Place};
use crate::decision::feel::ast::{Expr, Test};
use crate::decision::feel::parse::Scope;
use crate::decision::feel::value::{Kind, Value};
use crate::decision::model::{InputClause, OutputClause, Text};
use crate::decision::problem::Check;
use crate::decision::table::{Column, HitPolicy, Output, Rule, Table};
use crate::support::spelling::nearest;

impl Compiler<'_> {
    pub(super) fn table(
        &mut self,
        model: &crate::decision::model::TableModel,
        scope: &mut Scope,
        place: Place<'_>,
    ) -> Option<Table> {
        let known = self.problems.len();
        let hit = match HitPolicy::parse(&model.hit_policy, model.aggregation.as_deref()) {
            Ok(hit) => hit,
            Err(message) if message.contains("aggregation") => {
                self.finding(place, model.line, Check::Aggregation, message);
                HitPolicy::Unique
            }
            Err(message) => {
                self.problem(place, model.line, message);
                HitPolicy::Unique
            }
        };
        if model.outputs.is_empty() {
            self.problem(place, model.line, "the table has no output".to_owned());
        }
        if matches!(hit, HitPolicy::Collect(Some(_))) && model.outputs.len() > 1 {
            self.finding(
                place,
                model.line,
                Check::Aggregation,
                "an aggregation needs exactly one output: use COLLECT without it, or one table an output".to_owned(),
            );
        }
        let mut inputs: Vec<Column> = Vec::new();
        for (index, clause) in model.inputs.iter().enumerate() {
            inputs.extend(self.column(clause, index, scope, place));
        }
        let mut outputs = Vec::new();
        for (index, clause) in model.outputs.iter().enumerate() {
            outputs.extend(self.output(clause, index, model.outputs.len(), scope, place));
        }
        let mut rules = Vec::new();
        for (index, rule) in model.rules.iter().enumerate() {
            let place = Place {
                row: Some(index + 1),
                rule: rule.id.as_deref(),
                ..place
            };
            for (what, found, wanted) in [
                ("input", rule.inputs.len(), model.inputs.len()),
                ("output", rule.outputs.len(), model.outputs.len()),
            ] {
                if found != wanted {
                    self.finding(
                        place,
                        rule.line,
                        Check::Ragged,
                        format!(
                            "it has {found} {what} entries where the table has {wanted} {what} columns: give it one entry a column (`-` for any value)"
                        ),
                    );
                }
            }
            let mut tests = Vec::new();
            for (text, clause) in rule.inputs.iter().zip(&model.inputs) {
                let column = format!("input \"{}\"", clause.expression.text);
                tests.extend(self.tests(
                    text,
                    scope,
                    Place {
                        column: Some(&column),
                        ..place
                    },
                ));
            }
            let mut values = Vec::new();
            for (position, (text, clause)) in rule.outputs.iter().zip(&model.outputs).enumerate() {
                let column = output_name(clause, position);
                let place = Place {
                    column: Some(&column),
                    ..place
                };
                if matches!(text.text.as_str(), "" | "-") {
                    values.push(Expr::Const(Value::Null));
                } else {
                    values.extend(self.expression(text, scope, place));
                }
            }
            rules.push(Rule {
                row: index + 1,
                has_id: rule.id.is_some(),
                id: rule
                    .id
                    .clone()
                    .unwrap_or_else(|| format!("row {}", index + 1))
                    .into_boxed_str(),
                note: rule
                    .description
                    .clone()
                    .or_else(|| (!rule.annotations.is_empty()).then(|| rule.annotations.join("; ")))
                    .map(String::into_boxed_str),
                tests,
                texts: rule
                    .inputs
                    .iter()
                    .map(|text| text.text.clone().into_boxed_str())
                    .collect(),
                outputs: values,
                line: rule.line,
            });
        }
        if self.strict {
            // A column whose cells are all of one type expects it, declared or not.
            for (index, column) in inputs.iter_mut().enumerate() {
                if column.kind == Kind::Any && !column.collection {
                    let entries = rules.iter().map(|rule: &Rule| {
                        rule.tests.get(index).map_or(&[] as &[Test], Vec::as_slice)
                    });
                    column.kind = crate::decision::rule_space::inferred_kind(entries)
                        .filter(|kind| *kind == Kind::Boolean || kind.is_ordered())
                        .unwrap_or(Kind::Any);
                }
            }
        }
        let stray_aggregation = model
            .aggregation
            .as_deref()
            .map(str::trim)
            .filter(|name| {
                !matches!(hit, HitPolicy::Collect(_)) && !matches!(*name, "" | "NONE" | "LIST")
            })
            .map(Box::from);
        (self.problems.len() == known).then_some(Table {
            hit,
            stray_aggregation,
            inputs,
            outputs,
            rules,
            line: model.line,
        })
    }

    pub(super) fn column(
        &mut self,
        clause: &InputClause,
        index: usize,
        scope: &mut Scope,
        place: Place<'_>,
    ) -> Option<Column> {
        let name = if clause.expression.text.is_empty() {
            clause
                .label
                .clone()
                .unwrap_or_else(|| (index + 1).to_string())
        } else {
            clause.expression.text.clone()
        };
        let heading = format!("input \"{name}\"");
        let place = Place {
            column: Some(&heading),
            ..place
        };
        if clause.expression.text.is_empty() {
            self.problem(
                place,
                clause.line,
                "it has no expression: write the name of the field it tests".to_owned(),
            );
            return None;
        }
        let expr = self.expression(&clause.expression, scope, place)?;
        let mut values = clause.values.clone();
        let mut kind = Kind::Any;
        let mut collection = false;
        if let Some(type_ref) = &clause.type_ref {
            (kind, collection) = self.resolve(type_ref, &mut values, place, clause.line);
        } else if let Expr::Slot(slot) = &expr
            && let Some(variable) = self.variables.get(*slot)
            && let Some(type_ref) = self
                .model
                .inputs
                .iter()
                .find(|input| input.name == **variable)
                .and_then(|input| input.type_ref.as_deref())
        {
            (kind, collection) = self.resolve(type_ref, &mut values, place, clause.line);
        }
        let allowed = match &values {
            Some(text) if !text.text.is_empty() => Some(self.tests(text, scope, place)?),
            _ => None,
        };
        Some(Column {
            name,
            expr,
            kind,
            collection,
            allowed_text: allowed.as_ref().and(values.map(|values| values.text)),
            allowed,
            line: clause.line,
        })
    }

    pub(super) fn output(
        &mut self,
        clause: &OutputClause,
        index: usize,
        count: usize,
        scope: &mut Scope,
        place: Place<'_>,
    ) -> Option<Output> {
        let heading = output_name(clause, index);
        let place = Place {
            column: Some(&heading),
            ..place
        };
        if clause.name.is_none() && count > 1 {
            self.problem(
                place,
                clause.line,
                "it has no name: with several outputs each needs one".to_owned(),
            );
            return None;
        }
        let mut values = clause.values.clone();
        let kind = clause.type_ref.as_deref().map_or(Kind::Any, |type_ref| {
            self.resolve(type_ref, &mut values, place, clause.line).0
        });
        let listed = match &values {
            Some(text) if !text.text.is_empty() => self
                .tests(text, scope, place)?
                .into_iter()
                .filter_map(|test| match test {
                    Test::Value(Expr::Const(value)) => Some(value),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        };
        let default = match &clause.default {
            Some(text) if !text.text.is_empty() => Some(self.expression(text, scope, place)?),
            _ => None,
        };
        Some(Output {
            name: clause.name.as_deref().map(Arc::from),
            kind,
            values: listed,
            default,
            line: clause.line,
        })
    }

    /// What a `typeRef` means, and the values it allows unless the clause has its own.
    fn resolve(
        &mut self,
        type_ref: &str,
        values: &mut Option<Text>,
        place: Place<'_>,
        line: usize,
    ) -> (Kind, bool) {
        let mut name = type_ref.to_owned();
        let mut collection = false;
        for _ in 0..20 {
            if let Some(definition) = self.model.types.get(&name) {
                collection |= definition.collection;
                if values.is_none() {
                    values.clone_from(&definition.allowed);
                }
                match &definition.type_ref {
                    Some(base) => name.clone_from(base),
                    None => return (Kind::Context, collection),
                }
            } else if let Some(kind) = Kind::of_type_ref(&name) {
                return (kind, collection);
            } else {
                let known = ["number", "string", "boolean", "date", "time", "dateTime"];
                let hint = nearest(&name, known)
                    .unwrap_or("number, string, boolean, date, time or dateTime");
                if self.strict {
                    self.problem(
                        place,
                        line,
                        format!("there is no type `{name}`: expected {hint}"),
                    );
                }
                return (Kind::Any, collection);
            }
        }
        self.problem(
            place,
            line,
            format!("the type `{type_ref}` is defined by itself"),
        );
        (Kind::Any, collection)
    }
}

fn output_name(clause: &OutputClause, index: usize) -> String {
    match &clause.name {
        Some(name) => format!("output \"{name}\""),
        None => format!("output {}", index + 1),
    }
}
