//! The input variables of a decision by name, with their types and the values that the mapping accepts. What is not known
//! counts as possible.
//!
//! Knows nothing of mappings: the caller fills this in.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use rust_decimal::Decimal;

use super::feel::temporal::{self, DateTime};
use super::feel::value::{Kind, Value, equal};
use crate::model::record::Cell;

/// A value that every record has, under a name of its own.
#[derive(Clone, Debug)]
pub struct InputVariable<'n> {
    /// What expressions call it.
    pub name: Cow<'n, str>,
    /// Its type; [`Kind::Any`] when that is not known.
    pub kind: Kind,
    /// How it depends on others.
    pub role: Role,
    /// The values that records can bring.
    pub values: Values,
    /// On one variable: tells whether one record can bring several values, each by the slot of its variable.
    pub together: Option<CombinationCheck>,
}

/// Tells whether one record can bring these values of input variables.
#[derive(Clone)]
pub struct CombinationCheck(pub Arc<CheckOfSeveral>);

type CheckOfSeveral = dyn Fn(&[(usize, Cell<'_>)]) -> bool + Send + Sync;

impl fmt::Debug for CombinationCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CombinationCheck")
    }
}

/// How an input variable depends on others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It does not.
    #[default]
    Free,
    /// A complete record has it: neither null nor blank.
    Required,
    /// Says whether all that are required are there.
    Complete,
}

/// Tells whether the mapping lets a value through.
type Check = dyn Fn(&Cell<'_>) -> bool + Send + Sync;

/// The values that a variable, or a computed input, can have. By default nothing is known and so all are possible.
#[derive(Clone, Default)]
pub struct Values {
    /// Numbers are whole.
    pub whole: bool,
    /// Least number.
    pub min: Option<Decimal>,
    /// Greatest number.
    pub max: Option<Decimal>,
    /// The only values, null aside.
    pub one_of: Option<Vec<Value>>,
    /// Possible values that the other limits would exclude.
    pub also: Vec<Value>,
    /// Some values that are known to be possible, where few texts are.
    pub examples: Vec<Value>,
    /// Can it be null? None when that is not known.
    pub nullable: Option<bool>,
    /// A last check of a value.
    pub check: Option<Arc<Check>>,
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values")
            .field("whole", &self.whole)
            .field("min", &self.min)
            .field("max", &self.max)
            .field("one_of", &self.one_of)
            .field("nullable", &self.nullable)
            .finish_non_exhaustive()
    }
}

impl Values {
    /// Whole numbers from 0 up to a bound, never null: a count.
    pub fn count(most: Option<usize>) -> Self {
        Self {
            whole: true,
            min: Some(Decimal::ZERO),
            max: most.map(Decimal::from),
            nullable: Some(false),
            ..Self::default()
        }
    }

    /// Can it be this value?
    pub fn allow(&self, value: &Value) -> bool {
        if value.is_null() {
            return self.nullable != Some(false);
        }
        let among = |values: &[Value]| values.iter().any(|known| equal(known, value) == Some(true));
        if among(&self.also) {
            return true;
        }
        if let Value::Number(number) = value
            && ((self.whole && !number.is_integer())
                || self.min.is_some_and(|min| *number < min)
                || self.max.is_some_and(|max| *number > max))
        {
            return false;
        }
        if self.one_of.as_deref().is_some_and(|values| !among(values)) {
            return false;
        }
        match (&self.check, value.to_cell()) {
            (Some(check), Some(cell)) => check(&cell),
            (Some(_), None) => false,
            (None, _) => true,
        }
    }

    /// Values worth trying: the listed ones, examples and the ends of ranges.
    pub fn candidates(&self) -> impl Iterator<Item = Value> {
        let ends = [self.min, self.max].into_iter().flatten();
        let ends = ends.flat_map(|end| [end, end.ceil(), end.floor()]);
        let listed = self.one_of.iter().flatten();
        listed
            .chain(&self.examples)
            .chain(&self.also)
            .cloned()
            .chain(ends.map(Value::Number))
    }
}

impl InputVariable<'_> {
    /// The variable with a name of its own.
    pub fn into_owned(self) -> InputVariable<'static> {
        InputVariable {
            name: Cow::Owned(self.name.into_owned()),
            ..self
        }
    }

    /// Some value that is neither null nor blank; none where no such value is known.
    pub fn any_value(&self) -> Option<Value> {
        let plain = match self.kind {
            Kind::Text | Kind::Any => Value::text("anything"),
            Kind::Number => Value::integer(1),
            Kind::Boolean => Value::Boolean(true),
            Kind::Date => temporal::date_of_days(20_454).map(Value::Date)?,
            Kind::DateTime => DateTime::of_micros(1_767_225_600_000_000).map(Value::DateTime)?,
            _ => return None,
        };
        let mut values = self.values.candidates().chain([plain, Value::integer(0)]);
        values.find(|value| !value.is_blank() && self.values.allow(value))
    }
}

impl<'n> From<&'n str> for InputVariable<'n> {
    fn from(name: &'n str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            kind: Kind::Any,
            role: Role::Free,
            values: Values::default(),
            together: None,
        }
    }
}
