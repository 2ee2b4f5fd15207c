//! Model → program: the decisions that are needed, in the order they are computed, with every expression compiled.
//!
//! All mistakes of all needed decisions are collected. A decision that no other needs may hold logic that is not supported.

mod compiler;
mod tables;

use std::sync::Arc;

use super::feel::ast::Expr;
use super::feel::eval::{self, Frame};
use super::feel::value::Value;
use super::table::{Outcome, Table};

/// Compiled decisions.
#[derive(Debug)]
pub struct Program {
    /// Required decisions before those that require them; the last one decides.
    pub nodes: Vec<Node>,
    /// Slots a frame has.
    pub slots: usize,
    /// Slots of input variables that are read.
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

/// A table without a result: which node, and the outcome of its table.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Index of the node.
    pub node: usize,
    /// The outcome of its table.
    pub outcome: Outcome,
}

impl Program {
    /// Computes all decisions. The result is that of the last; tables without one are noted as failures.
    pub fn run(&self, frame: &mut Frame, failures: &mut Vec<Failure>) -> Value {
        let mut result = Value::Null;
        frame.work = 0;
        for (index, node) in self.nodes.iter().enumerate() {
            let made = node.logic.run(frame, index, failures);
            result = frame.keep(made);
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
    /// Computes it; tables below that yielded none are noted as failures of this node.
    pub(super) fn run(&self, frame: &mut Frame, node: usize, failures: &mut Vec<Failure>) -> Value {
        match self {
            Self::Table(table) => match table.decide(frame) {
                Outcome::Value(value, _) => value,
                outcome => {
                    failures.push(Failure { node, outcome });
                    Value::Null
                }
            },
            Self::Expr(expr) => eval::evaluate(expr, frame),
            Self::Context(entries) => {
                let mut values = Vec::new();
                for (name, slot, entry) in entries {
                    let value = entry.run(frame, node, failures);
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
            Self::List(items) => Value::list(
                items
                    .iter()
                    .map(|item| item.run(frame, node, failures))
                    .collect(),
            ),
        }
    }
}
