//! A decision file, compiled for the input variables of a mapping: decides one record at a time.
//!
//! The index decides if exactly one rule gives the verdict; else the table decides, which has a message for every outcome.
//! Knows nothing of explanations or lint, which read what is compiled here.

use std::sync::OnceLock;

use super::feel::eval::Frame;
use super::feel::value::Value;
use super::index::Index;
use super::input_variable::InputVariable;
use super::model::Model;
use super::problem::Problems;
use super::program::{Failure, Node, NodeLogic, Program};
use super::rule_space::RuleSpace;
use super::verdict::{self, Verdict};
use crate::model::record::Cell;

/// A decision that is ready to decide. Shared by all threads; each brings a [`Scratch`] of its own.
#[derive(Debug)]
pub struct Decision {
    pub(super) program: Program,
    index: Option<Index>,
    /// The deciding table's conditions as sets, made when an explanation first needs them.
    pub(super) rule_space: OnceLock<RuleSpace>,
    pub(super) variables: Vec<InputVariable<'static>>,
    pub(super) name: String,
}

/// Working memory of one thread, kept from record to record so that nothing is allocated for each.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) frame: Frame,
    failures: Vec<Failure>,
}

impl Decision {
    /// Reads and compiles a decision file. `decision` names the one that decides, by name or id; without it, it is the
    /// one with an output `validationResult`. `variables` are those of every record, in the order of their slots, by name
    /// alone or with what is known of their values; suggestions keep to these.
    ///
    /// # Errors
    /// Every mistake of the file that was found, each with its place.
    pub fn compile<'n, V: Clone + Into<InputVariable<'n>>>(
        xml: &str,
        file: &str,
        decision: Option<&str>,
        variables: &[V],
    ) -> Result<Self, Problems> {
        let variables: Vec<InputVariable<'n>> = variables
            .iter()
            .map(|variable| variable.clone().into())
            .collect();
        let names: Vec<&str> = variables.iter().map(|variable| &*variable.name).collect();
        let model = Model::read(xml, file)?;
        let root = verdict::choose(&model, decision)?;
        verdict::check(&model, root)?;
        let program = Program::compile(&model, root, &names, true)?;
        verdict::check_literals(&model, root, &program)?;
        let index = match program.nodes.as_slice() {
            [
                Node {
                    logic: NodeLogic::Table(table),
                    ..
                },
            ] => Index::of(table, variables.len()),
            _ => None,
        };
        Ok(Self {
            program,
            index,
            rule_space: OnceLock::new(),
            variables: variables
                .into_iter()
                .map(InputVariable::into_owned)
                .collect(),
            name: model.decisions[root].name.clone(),
        })
    }

    /// The name of the decision that decides.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the input variables, in the order of their slots.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|variable| &*variable.name)
    }

    /// Decides one record.
    pub fn decide<'d>(&'d self, variables: &[Cell<'_>], scratch: &mut Scratch) -> Verdict<'d> {
        if let Some(verdict) = self
            .index
            .as_ref()
            .and_then(|index| index.decide(variables))
        {
            return verdict;
        }
        self.decide_by_table(variables, scratch)
    }

    /// Decides without the index: slower, and with a message for every outcome.
    pub(super) fn decide_by_table<'d>(
        &'d self,
        variables: &[Cell<'_>],
        scratch: &mut Scratch,
    ) -> Verdict<'d> {
        scratch.failures.clear();
        let frame = &mut scratch.frame;
        frame.values.clear();
        frame.values.resize(self.program.slots, Value::Null);
        // The bound on work counts for each record, and the frame is kept from record to record.
        frame.work = 0;
        for slot in &self.program.used {
            if let Some(cell) = variables.get(*slot) {
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
        let verdict = verdict::of_last(&self.program, last, frame, &mut scratch.failures);
        if scratch.frame.is_exhausted() {
            return Verdict::too_much_work();
        }
        verdict
    }
}
