//! Walks the decisions in the order they are needed, and compiles their expressions.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Node, NodeLogic, Program};
use crate::decision::feel::ast::{Expr, Test};
use crate::decision::feel::builtins::{Function, wrong_pattern};
use crate::decision::feel::parse::{FeelError, Scope};
use crate::decision::feel::value::Value;
use crate::decision::model::{DecisionModel, ItemDefinition, Logic, Model, Text};
use crate::decision::problem::{Check, Problem, Problems};
use crate::support::spelling::nearest;

/// Most names of parts with spaces or signs in them that are known.
const MAX_MEMBERS: usize = 2000;

pub(super) struct Compiler<'m> {
    pub(super) model: &'m Model,
    pub(super) variables: &'m [&'m str],
    pub(super) strict: bool,
    pub(super) next_slot: usize,
    pub(super) problems: Vec<Problem>,
    pub(super) used: Vec<usize>,
    pub(super) decisions_by_id: HashMap<&'m str, usize>,
    pub(super) inputs_by_id: HashMap<&'m str, usize>,
    /// Names of parts that are more than one plain word, of the whole file.
    pub(super) members: Arc<[String]>,
    /// What a text may name and this program does not know: functions of the file, and imports.
    foreign: Arc<[(String, &'static str)]>,
}

/// Calls a visitor for every call of a function.
type EachCall<'c> = dyn FnMut(&mut dyn FnMut(&Function, &[Expr])) + 'c;

/// Where in the file something stands, for messages.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) decision: &'p str,
    pub(super) row: Option<usize>,
    pub(super) rule: Option<&'p str>,
    pub(super) column: Option<&'p str>,
}

impl<'p> Place<'p> {
    /// Somewhere in a decision.
    const fn of(decision: &'p str) -> Self {
        Self {
            decision,
            row: None,
            rule: None,
            column: None,
        }
    }
}

impl Program {
    /// Compiles a decision and all it requires. `variables` are the names of the first slots.
    ///
    /// # Errors
    /// Every mistake in the decisions that are needed.
    pub fn compile(
        model: &Model,
        root: usize,
        variables: &[&str],
        strict: bool,
    ) -> Result<Self, Problems> {
        Compiler::new(model, variables, strict).program(root)
    }
}

impl<'m> Compiler<'m> {
    fn new(model: &'m Model, variables: &'m [&'m str], strict: bool) -> Self {
        let mut members = Vec::new();
        for definition in model.types.values() {
            add_members(&mut members, definition);
        }
        for other in &model.decisions {
            add_logic_members(&mut members, &other.logic);
        }
        members.sort();
        members.dedup();
        members.truncate(MAX_MEMBERS);
        Self {
            model,
            variables,
            strict,
            next_slot: variables.len() + model.decisions.len(),
            problems: Vec::new(),
            used: Vec::new(),
            decisions_by_id: model
                .decisions
                .iter()
                .enumerate()
                .filter_map(|(index, decision)| Some((decision.id.as_deref()?, index)))
                .collect(),
            inputs_by_id: model
                .inputs
                .iter()
                .enumerate()
                .filter_map(|(index, input)| Some((input.id.as_deref()?, index)))
                .collect(),
            members: Arc::from(members),
            foreign: model
                .foreign
                .iter()
                .map(|(_, name, kind)| (name.clone(), *kind))
                .collect(),
        }
    }

    fn program(mut self, root: usize) -> Result<Program, Problems> {
        let order = self.order(root);
        let mut nodes = Vec::new();
        for index in order {
            let decision = &self.model.decisions[index];
            let mut scope = self.scope(decision);
            let place = Place::of(&decision.name);
            let supplied = self
                .variables
                .iter()
                .position(|variable| *variable == decision.variable_name());
            let logic = match (&decision.logic, supplied) {
                // A decision without logic is computed elsewhere; the records may hold its result.
                (Logic::Missing, Some(slot)) => {
                    self.used.push(slot);
                    Some(NodeLogic::Expr(Expr::Slot(slot)))
                }
                (logic, _) => self.logic(logic, &mut scope, place, decision.line, 0),
            };
            if let Some(logic) = logic {
                nodes.push(Node {
                    name: decision.name.clone(),
                    slot: self.variables.len() + index,
                    logic,
                });
            }
        }
        if !self.problems.is_empty() {
            self.problems.sort_by_key(|problem| problem.line);
            self.problems.dedup();
            return Err(Problems(self.problems));
        }
        self.used.sort_unstable();
        self.used.dedup();
        Ok(Program {
            nodes,
            slots: self.next_slot,
            used: self.used,
        })
    }

    /// Required decisions first. Walks with a stack of its own: a chain may be as long as the file allows.
    fn order(&mut self, root: usize) -> Vec<usize> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.model.decisions.len()];
        let mut order = Vec::new();
        let mut stack = vec![(root, 0_usize)];
        marks[root] = Mark::Open;
        while let Some((index, position)) = stack.pop() {
            let decision = &self.model.decisions[index];
            let Some((id, line)) = decision.requires.get(position) else {
                marks[index] = Mark::Done;
                order.push(index);
                continue;
            };
            stack.push((index, position + 1));
            if let Some(required) = self.decisions_by_id.get(id.as_str()).copied() {
                match marks[required] {
                    Mark::Done => {}
                    Mark::New => {
                        marks[required] = Mark::Open;
                        stack.push((required, 0));
                    }
                    Mark::Open => {
                        let start = stack.iter().position(|(open, _)| *open == required);
                        let path: Vec<&str> = stack[start.unwrap_or(0)..]
                            .iter()
                            .map(|(open, _)| self.model.decisions[*open].name.as_str())
                            .take(6)
                            .collect();
                        let message = format!(
                            "it requires itself: {} → {}; remove one of these requirements",
                            path.join(" → "),
                            self.model.decisions[required].name
                        );
                        self.finding(Place::of(&decision.name), *line, Check::Cycle, message);
                    }
                }
                continue;
            }
            if let Some((_, name, kind)) = self
                .model
                .foreign
                .iter()
                .find(|(foreign, _, _)| foreign == id)
            {
                let message = format!(
                    "it requires `{name}`, a {kind}: these are not supported; write it as a decision"
                );
                self.problem(Place::of(&decision.name), *line, message);
            }
        }
        order
    }

    /// The names a decision may use: input variables, and the results of the decisions it requires.
    pub(super) fn scope(&mut self, decision: &DecisionModel) -> Scope {
        let mut scope = Scope::new(self.strict);
        for (slot, variable) in self.variables.iter().enumerate() {
            scope.add(variable, slot);
        }
        for (id, line) in &decision.requires {
            if let Some(required) = self.decisions_by_id.get(id.as_str()).copied() {
                let slot = self.variables.len() + required;
                scope.add(self.model.decisions[required].variable_name(), slot);
            } else if let Some(index) = self.inputs_by_id.get(id.as_str()).copied() {
                let input = &self.model.inputs[index];
                if scope.slot(&input.name).is_none() {
                    let near = nearest(&input.name, self.variables.iter().copied()).map_or_else(
                        || format!("known are: {}", self.variables.join(", ")),
                        |near| format!("the nearest known name is `{near}`"),
                    );
                    let message = format!(
                        "records have no field `{}` for this input; {near}",
                        input.name
                    );
                    self.problem(Place::of(&decision.name), input.line, message);
                    // Makes the name known, so that the mistake is reported once.
                    scope.add(&input.name, 0);
                }
            } else if !self
                .model
                .foreign
                .iter()
                .any(|(foreign, _, _)| foreign == id)
            {
                let message = if self
                    .model
                    .foreign
                    .iter()
                    .any(|(_, _, kind)| *kind == "import")
                {
                    format!(
                        "it requires `{id}` of another file: imports are not supported; copy it into this file"
                    )
                } else {
                    format!("it requires `#{id}`, which the file does not hold")
                };
                self.problem(Place::of(&decision.name), *line, message);
            }
        }
        scope.set_members(Arc::clone(&self.members));
        scope.set_foreign(Arc::clone(&self.foreign));
        scope.next_slot = self.next_slot;
        scope
    }

    pub(super) fn problem(&mut self, place: Place<'_>, line: usize, message: String) {
        self.problems.push(Problem {
            file: self.model.file.clone(),
            line,
            decision: Some(place.decision.to_owned()),
            row: place.row,
            rule: place.rule.map(str::to_owned),
            column: place.column.map(str::to_owned),
            cell: None,
            message,
            check: None,
        });
    }

    /// A mistake that the lint has a name for.
    pub(super) fn finding(&mut self, place: Place<'_>, line: usize, check: Check, message: String) {
        self.problem(place, line, message);
        if let Some(problem) = self.problems.last_mut() {
            problem.check = Some(check);
        }
    }

    fn feel_problem(&mut self, place: Place<'_>, text: &Text, error: &FeelError) {
        let before = text.text.get(..error.at).unwrap_or_default();
        let line = text.line + before.matches('\n').count();
        self.problem_in(text, place, line, error.message.clone());
    }

    /// A mistake in a cell.
    fn problem_in(&mut self, cell: &Text, place: Place<'_>, line: usize, message: String) {
        self.problem(place, line, message);
        if let Some(problem) = self.problems.pop() {
            self.problems.push(problem.in_cell(&cell.text));
        }
    }

    fn is_feel(&mut self, place: Place<'_>, text: &Text) -> bool {
        let Some(language) = &text.language else {
            return true;
        };
        let message = format!(
            "the expression language `{language}` is not supported: write it in FEEL (`=` for `==`, `and` for `&&`, `or` for `||`, `not(…)` for `!`, text in double quotes, names without `${{…}}`), and remove the attribute expressionLanguage"
        );
        self.problem_in(text, place, text.line, message);
        false
    }

    pub(super) fn expression(
        &mut self,
        text: &Text,
        scope: &mut Scope,
        place: Place<'_>,
    ) -> Option<Expr> {
        if !self.is_feel(place, text) {
            return None;
        }
        let read = scope.expression(&text.text);
        let expr = read
            .map_err(|error| self.feel_problem(place, text, &error))
            .ok()?;
        self.note_used(&expr);
        self.patterns(place, text, &mut |see| expr.calls(see));
        self.next_slot = self.next_slot.max(scope.next_slot);
        Some(expr)
    }

    pub(super) fn tests(
        &mut self,
        text: &Text,
        scope: &mut Scope,
        place: Place<'_>,
    ) -> Option<Vec<Test>> {
        if !self.is_feel(place, text) {
            return None;
        }
        let read = scope.tests(&text.text);
        let tests = read
            .map_err(|error| self.feel_problem(place, text, &error))
            .ok()?;
        for test in &tests {
            let variables = self.variables.len();
            test.slots(&mut |slot| {
                if slot < variables {
                    self.used.push(slot);
                }
            });
            self.patterns(place, text, &mut |see| test.calls(see));
        }
        self.next_slot = self.next_slot.max(scope.next_slot);
        Some(tests)
    }

    /// Reports constant patterns that are no regular expressions: they would give null for every record. Strict reading only,
    /// since the standard allows them.
    fn patterns(&mut self, place: Place<'_>, text: &Text, calls: &mut EachCall<'_>) {
        if !self.strict {
            return;
        }
        let mut wrong = Vec::new();
        calls(&mut |function, arguments| wrong.extend(wrong_pattern(function.name, arguments)));
        for message in wrong {
            self.problem_in(text, place, text.line, message);
        }
    }

    fn note_used(&mut self, expr: &Expr) {
        let variables = self.variables.len();
        expr.slots(&mut |slot| {
            if slot < variables {
                self.used.push(slot);
            }
        });
    }

    pub(super) fn logic(
        &mut self,
        logic: &Logic,
        scope: &mut Scope,
        place: Place<'_>,
        line: usize,
        depth: u32,
    ) -> Option<NodeLogic> {
        if depth > 20 {
            self.problem(
                place,
                line,
                "boxed expressions are nested too deeply".to_owned(),
            );
            return None;
        }
        match logic {
            Logic::Table(table) => self
                .table(table, scope, place)
                .map(|table| NodeLogic::Table(Box::new(table))),
            Logic::Literal(text) => self.expression(text, scope, place).map(NodeLogic::Expr),
            Logic::Context(entries) => {
                let mut inner = scope.clone();
                let mut compiled = Vec::new();
                for (name, entry) in entries {
                    let logic = self.logic(entry, &mut inner, place, line, depth + 1)?;
                    let slot = self.next_slot;
                    self.next_slot += 1;
                    inner.next_slot = inner.next_slot.max(self.next_slot);
                    if let Some(name) = name {
                        inner.add(name, slot);
                    }
                    compiled.push((name.as_deref().map(Arc::from), slot, logic));
                }
                scope.next_slot = self.next_slot;
                Some(NodeLogic::Context(compiled))
            }
            Logic::List(items) => {
                let mut compiled = Vec::new();
                for item in items {
                    compiled.push(self.logic(item, scope, place, line, depth + 1)?);
                }
                Some(NodeLogic::List(compiled))
            }
            Logic::Unsupported(name, line) => {
                let (element, called) = match name.split_once(" of ") {
                    Some((element, called)) => (element, format!(" (here of `{called}`)")),
                    None => (name.as_str(), String::new()),
                };
                let message = format!(
                    "<{element}> is not supported{called}: write it as a decision table or a literal expression"
                );
                self.problem(place, *line, message);
                None
            }
            // Other engines take it as null, or supply it from outside.
            Logic::Missing if !self.strict => Some(NodeLogic::Expr(Expr::Const(Value::Null))),
            Logic::Missing => {
                let message =
                    "it has no logic: expected a decision table or a literal expression".to_owned();
                self.problem(place, line, message);
                None
            }
        }
    }
}

/// Only names of several words, or with signs in them, must be known to be read.
fn add_member(members: &mut Vec<String>, name: &str) {
    if !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        members.push(name.split_whitespace().collect::<Vec<_>>().join(" "));
    }
}

fn add_members(members: &mut Vec<String>, definition: &ItemDefinition) {
    for (name, component) in &definition.components {
        add_member(members, name);
        add_members(members, component);
    }
}

fn add_logic_members(members: &mut Vec<String>, logic: &Logic) {
    match logic {
        Logic::Table(table) => {
            for name in table
                .outputs
                .iter()
                .filter_map(|output| output.name.as_deref())
            {
                add_member(members, name);
            }
        }
        Logic::Context(entries) => {
            for (name, entry) in entries {
                if let Some(name) = name {
                    add_member(members, name);
                }
                add_logic_members(members, entry);
            }
        }
        Logic::List(items) => {
            for item in items {
                add_logic_members(members, item);
            }
        }
        _ => {}
    }
}
