//! Which rules a record reaches, in the deciding table and in the tables that it requires. `validate` uses this to name
//! rules that no test reaches.

use super::compiled::{Decision, Scratch};
use super::problem::Problem;
use super::program::NodeLogic;
use super::table::{Outcome, Table};
use crate::model::record::Cell;

/// A rule of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRule {
    /// The decision whose table it is in.
    pub decision: String,
    /// Row, from 1.
    pub row: usize,
    /// Its id, or `row 3`.
    pub id: String,
    /// Line in the file.
    pub line: usize,
    has_id: bool,
}

impl TableRule {
    /// Row and id, as messages name a rule.
    pub fn name(&self) -> String {
        Problem::rule_name(self.row, self.has_id.then_some(&self.id))
    }
}

impl Decision {
    /// The rules of all tables, those of the deciding table last.
    pub fn table_rules(&self) -> Vec<TableRule> {
        let mut rules = Vec::new();
        for node in &self.program.nodes {
            each_table(&node.logic, &mut |table: &Table| {
                rules.extend(table.rules.iter().map(|rule| TableRule {
                    decision: node.name.clone(),
                    row: rule.row,
                    id: rule.id.to_string(),
                    line: rule.line,
                    has_id: rule.has_id,
                }));
            });
        }
        rules
    }

    /// The rules that give a result for this record, as indexes of [`Decision::table_rules`].
    pub fn rules_reached(&self, variables: &[Cell<'_>], scratch: &mut Scratch) -> Vec<usize> {
        // Deciding fills the frame; then each table is evaluated again with the same inputs.
        self.decide_by_table(variables, scratch);
        let frame = &mut scratch.frame;
        let mut reached = Vec::new();
        let mut first = 0;
        for node in &self.program.nodes {
            each_table(&node.logic, &mut |table: &Table| {
                frame.work = 0;
                if let Outcome::Value(_, rules) = table.decide(frame) {
                    reached.extend(rules.iter().map(|rule| first + rule));
                }
                first += table.rules.len();
            });
        }
        reached
    }
}

fn each_table(logic: &NodeLogic, see: &mut dyn FnMut(&Table)) {
    match logic {
        NodeLogic::Table(table) => see(table),
        NodeLogic::Expr(_) => {}
        NodeLogic::Context(entries) => {
            for (_, _, entry) in entries {
                each_table(entry, see);
            }
        }
        NodeLogic::List(items) => {
            for item in items {
                each_table(item, see);
            }
        }
    }
}
