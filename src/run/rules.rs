//! What a run compiles before it begins: the mapping, and the decision table for the input variables of that mapping.
//!
//! This file connects `transform` (input variables and their types), `decision` (the table) and `store` (the columns).

use std::sync::Arc;

use anyhow::Result;

use crate::config::plan::{self, Api, Mapping, Plan};
use crate::decision::feel::value::{Kind, Value};
use crate::decision::{self, CombinationCheck, Decision, InputVariable, Role, Severity, Values};
use crate::exit::Misconfigured;
use crate::model::clock::Micros;
use crate::model::record::Cell;
use crate::pipeline::Rules;
use crate::store::{Columns, Layout, MessageBuilder};
use crate::transform::{Mask, Outgoing, Transform};

/// The mapping and the decision table of a run, compiled.
#[derive(Debug)]
pub(super) struct Compiled {
    transform: Transform,
    decision: Decision,
    pub(super) columns: Arc<Columns>,
    /// Builds the messages of write-back; none where write-back is off.
    pub(super) message_builder: Option<MessageBuilder>,
    /// Removes the values from rejected records, where they are not to be stored.
    pub(super) mask: Mask,
}

impl Compiled {
    /// Compiles mapping and decision table, before the tables of the database are known.
    ///
    /// # Errors
    /// [`Misconfigured`].
    pub(super) fn new(plan: &Plan, api: &Api) -> Result<Self> {
        let (mut transform, columns, message_builder) = mapped(&plan.mapping, api)?;
        transform.refuse_versions_ahead_of(Micros::local());
        Ok(Self {
            decision: compile(plan, &transform)?,
            transform,
            columns: Arc::new(columns),
            message_builder,
            mask: Mask::new(&plan.mapping),
        })
    }

    /// Adapts it to the tables that exist (key, types and lengths of the columns), and to PostgreSQL's clock.
    ///
    /// # Errors
    /// [`Misconfigured`].
    pub(super) fn fit(
        &mut self,
        mapping: &Mapping,
        api: &Api,
        layout: &Layout,
        now: Micros,
    ) -> Result<()> {
        let (transform, columns, message_builder) = mapped(mapping, api)?;
        self.transform = transform;
        self.transform.refuse_versions_ahead_of(now);
        self.columns = Arc::new(columns.fitted(layout));
        self.message_builder = message_builder;
        for (index, field) in mapping.fields.iter().enumerate() {
            let column = field.column.as_deref();
            if let Some(characters) = column.and_then(|column| layout.max_characters(column)) {
                self.transform.limit_length(index, characters)?;
            }
        }
        Ok(())
    }

    /// The rules by which a record is decided.
    pub(super) const fn rules(&self) -> Rules<'_> {
        Rules {
            transform: &self.transform,
            decision: &self.decision,
        }
    }
}

/// Compiles the mapping: how records are read, which columns are stored, and how messages to the API are built.
fn mapped(mapping: &Mapping, api: &Api) -> Result<(Transform, Columns, Option<MessageBuilder>)> {
    let wrong = |error: anyhow::Error| Misconfigured(format!("{error:#}"));
    let mut transform = Transform::new(mapping).map_err(wrong)?;
    if let Some(incremental) = &api.incremental {
        transform
            .watch(&incremental.field, mapping)
            .map_err(wrong)?;
    }
    let columns = Columns::new(mapping).ok_or_else(|| {
        Misconfigured("the conflict key is mapped with `column: false`".to_owned())
    })?;
    let message_builder = match &api.update {
        Some(update) => {
            let outgoing = Outgoing::new(mapping, update).map_err(wrong)?;
            Some(MessageBuilder::new(move |raw| outgoing.compose(raw)))
        }
        None => None,
    };
    Ok((transform, columns, message_builder))
}

/// The input variables of the mapping, with the types that a decision table sees and the values that can occur.
pub fn input_variables(transform: &Transform) -> Vec<InputVariable<'_>> {
    let names = transform.variable_names();
    let last = names.len() - 1;
    let typed = names
        .into_iter()
        .zip(transform.variable_kinds())
        .enumerate();
    typed
        .map(|(slot, (name, kind))| InputVariable {
            name: name.into(),
            kind: kind.map_or(Kind::Any, kind_of),
            role: match slot {
                slot if slot == last => Role::Complete,
                slot if transform.is_required(slot) => Role::Required,
                _ => Role::Free,
            },
            values: values(transform, slot),
            together: (slot == last).then(|| {
                let check = transform.record_check();
                CombinationCheck(Arc::new(move |wanted| check.can_bring(wanted)))
            }),
        })
        .collect()
}

/// The values that records can have for the variable in `slot`.
fn values(transform: &Transform, slot: usize) -> Values {
    let possible = transform.possible_values(slot);
    let of_cells = |cells: &Vec<Cell<'static>>| cells.iter().map(Value::of_cell).collect();
    Values {
        whole: possible.whole,
        min: possible.min,
        max: possible.max,
        one_of: possible.one_of.as_ref().map(of_cells),
        also: possible.computed.iter().map(Value::of_cell).collect(),
        examples: possible
            .examples
            .iter()
            .map(|text| Value::text(text))
            .chain(possible.default.as_ref().map(Value::of_cell))
            .collect(),
        nullable: Some(possible.null),
        check: transform.checker(slot).map(|check| Arc::new(check) as _),
    }
}

/// The type that a decision table sees for a field. A JSON value may be of any type.
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

/// Reads and compiles the decision table for the mapping's input variables. Refuses a table that could decide wrongly.
///
/// # Errors
/// [`Misconfigured`]: the file cannot be read, holds no decision that can be used, or lint finds an error in it.
pub fn compile(plan: &Plan, transform: &Transform) -> Result<Decision> {
    let name = plan.decisions_file.name();
    let text = plan.decisions_file.text().map_err(Misconfigured)?;
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
    Ok(Decision::compile(text, &name, plan.decision.as_deref(), &typed).map_err(refused)?)
}
