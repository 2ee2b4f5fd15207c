//! Model → program: the decisions that are needed, in the order they are computed, with every expression compiled.
//!
//! All mistakes of all needed decisions are collected. A decision that nothing needs may hold what is not supported.

use std::collections::HashMap;
use std::sync::Arc;

use super::feel::ast::{Expr, Test};
use super::feel::eval::{self, Frame};
use super::feel::parse::{FeelError, Scope, nearest};
use super::feel::value::{Kind, Value};
use super::lint::Check;
use super::model::{DecisionModel, InputClause, ItemDefinition, Logic, Model, OutputClause, Text};
use super::problem::{Problem, Problems};
use super::table::{Column, HitPolicy, Outcome, Output, Rule, Table};

/// Most names of parts with spaces or signs in them that are known.
const MAX_MEMBERS: usize = 2000;

/// Compiled decisions.
#[derive(Debug)]
pub struct Program {
    /// Required decisions before those that require them; the last one decides.
    pub nodes: Vec<Node>,
    /// Slots a frame has.
    pub slots: usize,
    /// Slots of facts that are read.
    pub used: Vec<usize>,
}

/// One decision.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Where its result goes.
    pub slot: usize,
    /// How it decides.
    pub logic: NodeLogic,
}

/// How a decision decides.
#[derive(Debug)]
pub enum NodeLogic {
    /// By a table.
    Table(Box<Table>),
    /// By an expression.
    Expr(Expr),
    /// By entries, each seen by the later ones, and a result expression or else all of them.
    Context(Vec<(Option<Arc<str>>, usize, NodeLogic)>),
    /// A list of such.
    List(Vec<NodeLogic>),
}

/// Why there is no result: which node, and what its table said.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Index of the node.
    pub node: usize,
    /// What happened.
    pub outcome: Outcome,
}

impl Program {
    /// Compiles a decision and all it requires. `facts` are the names of the first slots.
    pub fn compile(
        model: &Model,
        root: usize,
        facts: &[&str],
        strict: bool,
    ) -> Result<Self, Problems> {
        Compiler::new(model, facts, strict).program(root)
    }

    /// Computes all decisions. The result is that of the last; tables that yielded none are told.
    pub fn run(&self, frame: &mut Frame, failures: &mut Vec<Failure>) -> Value {
        let mut result = Value::Null;
        frame.work = 0;
        for (index, node) in self.nodes.iter().enumerate() {
            result = node.logic.run(frame, &mut |outcome| {
                failures.push(Failure {
                    node: index,
                    outcome,
                });
            });
            if frame.values.len() <= node.slot {
                frame
                    .values
                    .resize(self.slots.max(node.slot + 1), Value::Null);
            }
            frame.values[node.slot] = result.clone();
        }
        result
    }
}

impl NodeLogic {
    pub(super) fn run(&self, frame: &mut Frame, failed: &mut dyn FnMut(Outcome)) -> Value {
        match self {
            Self::Table(table) => match table.decide(frame) {
                Outcome::Value(value, _) => value,
                other => {
                    failed(other);
                    Value::Null
                }
            },
            Self::Expr(expr) => eval::evaluate(expr, frame),
            Self::Context(entries) => {
                let mut values = Vec::new();
                for (name, slot, entry) in entries {
                    let value = entry.run(frame, failed);
                    let Some(name) = name else {
                        return value;
                    };
                    if frame.values.len() <= *slot {
                        frame.values.resize(slot + 1, Value::Null);
                    }
                    frame.values[*slot] = value.clone();
                    values.push((Arc::clone(name), value));
                }
                Value::Context(Arc::from(values))
            }
            Self::List(items) => {
                Value::list(items.iter().map(|item| item.run(frame, failed)).collect())
            }
        }
    }
}

struct Compiler<'m> {
    model: &'m Model,
    facts: &'m [&'m str],
    strict: bool,
    next_slot: usize,
    problems: Vec<Problem>,
    used: Vec<usize>,
    decisions_by_id: HashMap<&'m str, usize>,
    inputs_by_id: HashMap<&'m str, usize>,
    /// Names of parts that are more than one plain word, of the whole file.
    members: Arc<[String]>,
}

/// Where in the file something stands, for messages.
#[derive(Clone, Copy)]
struct Place<'p> {
    decision: &'p str,
    row: Option<usize>,
    rule: Option<&'p str>,
    column: Option<&'p str>,
}

impl<'m> Compiler<'m> {
    fn new(model: &'m Model, facts: &'m [&'m str], strict: bool) -> Self {
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
            facts,
            strict,
            next_slot: facts.len() + model.decisions.len(),
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
        }
    }

    fn program(mut self, root: usize) -> Result<Program, Problems> {
        let order = self.order(root);
        let mut nodes = Vec::new();
        for index in order {
            let decision = &self.model.decisions[index];
            let mut scope = self.scope(decision);
            let place = Place {
                decision: &decision.name,
                row: None,
                rule: None,
                column: None,
            };
            let supplied = self
                .facts
                .iter()
                .position(|fact| *fact == decision.variable_name());
            let logic = match (&decision.logic, supplied) {
                // A decision without logic is made elsewhere: records may bring its result.
                (Logic::Missing, Some(slot)) => {
                    self.used.push(slot);
                    Some(NodeLogic::Expr(Expr::Slot(slot)))
                }
                (logic, _) => self.logic(logic, &mut scope, place, decision.line, 0),
            };
            if let Some(logic) = logic {
                nodes.push(Node {
                    name: decision.name.clone(),
                    slot: self.facts.len() + index,
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
                        self.finding(
                            Place {
                                decision: &decision.name,
                                row: None,
                                rule: None,
                                column: None,
                            },
                            *line,
                            Check::Cycle,
                            message,
                        );
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
                self.problem(
                    Place {
                        decision: &decision.name,
                        row: None,
                        rule: None,
                        column: None,
                    },
                    *line,
                    message,
                );
            }
        }
        order
    }

    /// The names a decision may use: facts, and the results of the decisions it requires.
    fn scope(&mut self, decision: &DecisionModel) -> Scope {
        let mut scope = Scope::new(self.strict);
        for (slot, fact) in self.facts.iter().enumerate() {
            scope.add(fact, slot);
        }
        for (id, line) in &decision.requires {
            if let Some(required) = self.decisions_by_id.get(id.as_str()).copied() {
                let slot = self.facts.len() + required;
                scope.add(self.model.decisions[required].variable_name(), slot);
            } else if let Some(index) = self.inputs_by_id.get(id.as_str()).copied() {
                let input = &self.model.inputs[index];
                if scope.slot(&input.name).is_none() {
                    let near = nearest(&input.name, self.facts.iter().copied()).map_or_else(
                        || format!("known are: {}", self.facts.join(", ")),
                        |near| format!("the nearest known name is `{near}`"),
                    );
                    let message = format!(
                        "records have no field `{}` for this input; {near}",
                        input.name
                    );
                    self.problem(
                        Place {
                            decision: &decision.name,
                            row: None,
                            rule: None,
                            column: None,
                        },
                        input.line,
                        message,
                    );
                    // Known from here on, so that it is told but once.
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
                self.problem(
                    Place {
                        decision: &decision.name,
                        row: None,
                        rule: None,
                        column: None,
                    },
                    *line,
                    message,
                );
            }
        }
        scope.set_members(Arc::clone(&self.members));
        scope.next_slot = self.next_slot;
        scope
    }

    fn problem(&mut self, place: Place<'_>, line: usize, message: String) {
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
    fn finding(&mut self, place: Place<'_>, line: usize, check: Check, message: String) {
        self.problem(place, line, message);
        if let Some(problem) = self.problems.last_mut() {
            problem.check = Some(check);
        }
    }

    fn feel_problem(&mut self, place: Place<'_>, text: &Text, error: &FeelError) {
        let before = text.text.get(..error.at).unwrap_or_default();
        let line = text.line + before.matches('\n').count();
        self.problem(place, line, error.message.clone());
        if let Some(problem) = self.problems.pop() {
            self.problems.push(problem.in_cell(&text.text));
        }
    }

    fn is_feel(&mut self, place: Place<'_>, text: &Text) -> bool {
        let Some(language) = &text.language else {
            return true;
        };
        let message = format!(
            "the expression language `{language}` is not supported: write it in FEEL (`=` for `==`, `and` for `&&`, `or` for `||`, `not(…)` for `!`, text in double quotes, names without `${{…}}`), and remove the attribute expressionLanguage"
        );
        self.problem(place, text.line, message);
        if let Some(problem) = self.problems.pop() {
            self.problems.push(problem.in_cell(&text.text));
        }
        false
    }

    fn expression(&mut self, text: &Text, scope: &mut Scope, place: Place<'_>) -> Option<Expr> {
        if !self.is_feel(place, text) {
            return None;
        }
        match scope.expression(&text.text) {
            Ok(expr) => {
                self.note_used(&expr);
                self.next_slot = self.next_slot.max(scope.next_slot);
                Some(expr)
            }
            Err(error) => {
                self.feel_problem(place, text, &error);
                None
            }
        }
    }

    fn tests(&mut self, text: &Text, scope: &mut Scope, place: Place<'_>) -> Option<Vec<Test>> {
        if !self.is_feel(place, text) {
            return None;
        }
        match scope.tests(&text.text) {
            Ok(tests) => {
                for test in &tests {
                    let facts = self.facts.len();
                    test.slots(&mut |slot| {
                        if slot < facts {
                            self.used.push(slot);
                        }
                    });
                }
                self.next_slot = self.next_slot.max(scope.next_slot);
                Some(tests)
            }
            Err(error) => {
                self.feel_problem(place, text, &error);
                None
            }
        }
    }

    fn note_used(&mut self, expr: &Expr) {
        let facts = self.facts.len();
        expr.slots(&mut |slot| {
            if slot < facts {
                self.used.push(slot);
            }
        });
    }

    fn logic(
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
                let message = format!(
                    "<{name}> is not supported: write it as a decision table or a literal expression"
                );
                self.problem(place, *line, message);
                None
            }
            // Other programs take it as null, or fill it from outside.
            Logic::Missing if !self.strict => Some(NodeLogic::Expr(Expr::Const(Value::Null))),
            Logic::Missing => {
                let message =
                    "it has no logic: expected a decision table or a literal expression".to_owned();
                self.problem(place, line, message);
                None
            }
        }
    }

    fn table(
        &mut self,
        model: &super::model::TableModel,
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
                    column.kind = super::grid::inferred_kind(entries)
                        .filter(|kind| *kind == Kind::Boolean || kind.is_ordered())
                        .unwrap_or(Kind::Any);
                }
            }
        }
        (self.problems.len() == known).then_some(Table {
            hit,
            inputs,
            outputs,
            rules,
            line: model.line,
        })
    }

    fn column(
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
            && let Some(fact) = self.facts.get(*slot)
            && let Some(type_ref) = self
                .model
                .inputs
                .iter()
                .find(|input| input.name == **fact)
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

    fn output(
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
                let hint = nearest(&name, known.into_iter())
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
