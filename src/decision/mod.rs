//! The decision stage: is a record fit, and what becomes of it? Reads a DMN file once, at start, and then decides.
//!
//! Must not know of HTTP, mappings, SQL or threads: facts come in as cells, a verdict goes out. What a table does not
//! decide (no rule, several rules, a value of the wrong type) is an outcome of its own and a rejection that says so.

mod bits;
mod explain;
pub mod feel;
mod impact;
mod index;
mod input_variable;
pub mod lint;
pub mod model;
pub mod problem;
pub mod program;
mod rule_space;
pub mod table;
mod verdict;
pub mod xml;

use std::sync::OnceLock;

pub use self::explain::{Change, Explanation, Nearest};
use self::feel::eval::Frame;
use self::feel::value::Value;
pub use self::impact::{Impact, VerdictChange};
use self::index::Index;
pub use self::input_variable::{InputVariable, Role};
pub use self::lint::{Check, Finding, Lint, Severity, lint};
use self::model::Model;
pub use self::problem::{Problem, Problems};
use self::program::{Failure, Node, NodeLogic, Program};
use self::rule_space::RuleSpace;
pub use self::verdict::{Rules, Verdict};
use crate::model::record::Cell;

/// A decision that is ready to decide. Shared by all threads; each brings a [`Scratch`] of its own.
#[derive(Debug)]
pub struct Decision {
    program: Program,
    index: Option<Index>,
    /// The deciding table's conditions as sets, made when an explanation first needs them.
    rule_space: OnceLock<RuleSpace>,
    facts: Vec<String>,
    name: String,
}

/// Working memory, kept from record to record.
#[derive(Debug, Default)]
pub struct Scratch {
    frame: Frame,
    failures: Vec<Failure>,
}

impl Decision {
    /// Reads and compiles a decision file. `decision` names the one that decides, by name or id; without it, it is the
    /// one with an output `validationResult`. `facts` are the names of the fact slots, in order.
    ///
    /// # Errors
    /// Every mistake of the file that was found, each with its place.
    pub fn compile(
        xml: &str,
        file: &str,
        decision: Option<&str>,
        facts: &[&str],
    ) -> Result<Self, Problems> {
        let model = Model::read(xml, file)?;
        let root = verdict::choose(&model, decision)?;
        verdict::check(&model, root)?;
        let program = Program::compile(&model, root, facts, true)?;
        verdict::check_literals(&model, root, &program)?;
        let index = match program.nodes.as_slice() {
            [
                Node {
                    logic: NodeLogic::Table(table),
                    ..
                },
            ] => Index::of(table, facts.len()),
            _ => None,
        };
        Ok(Self {
            program,
            index,
            rule_space: OnceLock::new(),
            facts: facts.iter().map(|fact| (*fact).to_owned()).collect(),
            name: model.decisions[root].name.clone(),
        })
    }

    /// The name of the decision that decides.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the fact slots, in order.
    pub fn facts(&self) -> &[String] {
        &self.facts
    }

    /// Decides one record.
    pub fn decide<'d>(&'d self, facts: &[Cell<'_>], scratch: &mut Scratch) -> Verdict<'d> {
        if let Some(verdict) = self.index.as_ref().and_then(|index| index.decide(facts)) {
            return verdict;
        }
        self.decide_by_table(facts, scratch)
    }

    /// Decides without the index: slower, and with words for every outcome.
    fn decide_by_table<'d>(&'d self, facts: &[Cell<'_>], scratch: &mut Scratch) -> Verdict<'d> {
        scratch.failures.clear();
        let frame = &mut scratch.frame;
        frame.values.clear();
        frame.values.resize(self.program.slots, Value::Null);
        // What one record may cost; the scratch is kept from record to record.
        frame.work = 0;
        for slot in &self.program.used {
            if let Some(cell) = facts.get(*slot) {
                frame.values[*slot] = Value::of_cell(cell);
            }
        }
        let Some((last, required)) = self.program.nodes.split_last() else {
            return Verdict::broken("the file holds no decision");
        };
        for (index, node) in required.iter().enumerate() {
            let value = node.logic.run(frame, index, &mut scratch.failures);
            frame.values[node.slot] = frame.keep(value);
        }
        verdict::of_last(self, last, frame, &mut scratch.failures)
    }
}
