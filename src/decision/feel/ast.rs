//! What a FEEL text means: expressions and unary tests, with every name already resolved to a slot.
//!
//! Owns the tree only. It is built by `parse`, computed by `eval`, and read by the rule index and the lint.

use std::sync::Arc;

use super::builtins::Function;
use super::value::{Kind, Value};

/// An expression.
#[derive(Clone, Debug)]
pub enum Expr {
    /// A literal, or anything that could be computed at start.
    Const(Value),
    /// A value of the frame: an input variable, the result of a required decision, a local name.
    Slot(usize),
    /// `?`: the input of the unary test.
    Input,
    /// `a.b`
    Member(Box<Expr>, Arc<str>),
    /// `-a`
    Negate(Box<Expr>),
    /// `a + b` and friends.
    Arithmetic(Arithmetic, Box<[Expr; 2]>),
    /// `a < b` and friends.
    Compare(Comparison, Box<[Expr; 2]>),
    /// `a and b and …`
    And(Vec<Expr>),
    /// `a or b or …`
    Or(Vec<Expr>),
    /// `if a then b else c`
    If(Box<[Expr; 3]>),
    /// `a between b and c`
    Between(Box<[Expr; 3]>),
    /// `a in (…)`
    In(Box<Expr>, Vec<Test>),
    /// `a instance of number`
    InstanceOf(Box<Expr>, TypeName),
    /// `[a, b]`
    List(Vec<Expr>),
    /// `{a: 1, b: a + 1}`: name, slot that later entries see, value.
    Context(Vec<(Arc<str>, usize, Expr)>),
    /// `[a..b)`
    Range(Box<RangeExpr>),
    /// `list[condition]`: slot of `item`.
    Filter(usize, Box<[Expr; 2]>),
    /// `for a in b, … return c`
    For(Vec<Iteration>, usize, Box<Expr>),
    /// `some`/`every a in b satisfies c`; true for `every`.
    Quantified(bool, Vec<Iteration>, Box<Expr>),
    /// A built-in function.
    Call(&'static Function, Vec<Expr>),
}

/// A type as `instance of` names it.
#[derive(Clone, Debug)]
pub enum TypeName {
    /// `number`; also `list`, whatever its items are.
    Kind(Kind),
    /// `list<number>`
    List(Box<TypeName>),
    /// `range<number>`
    Range(Box<TypeName>),
    /// `context<name: string, age: number>`: other entries may be there, too.
    Context(Vec<(Arc<str>, TypeName)>),
}

impl TypeName {
    /// Is the value of this type? Null is of none, but may be an item, an entry or an end.
    pub fn has(&self, value: &Value) -> bool {
        let inside = |name: &Self, value: &Value| value.is_null() || name.has(value);
        match (self, value) {
            (_, Value::Null) => false,
            (Self::Kind(kind), value) => *kind == Kind::Any || value.kind() == *kind,
            (Self::List(item), Value::List(items)) => items.iter().all(|value| inside(item, value)),
            (Self::Range(end), Value::Range(range)) => {
                inside(end, &range.low) && inside(end, &range.high)
            }
            (Self::Context(entries), value @ Value::Context(_)) => entries
                .iter()
                .all(|(key, name)| value.entry(key).is_some_and(|entry| inside(name, entry))),
            _ => false,
        }
    }
}

/// One `name in list` of a `for`, `some` or `every`.
#[derive(Clone, Debug)]
pub struct Iteration {
    /// Slot of the name.
    pub slot: usize,
    /// What it runs over.
    pub over: Expr,
    /// Upper end, when it runs over `a..b`.
    pub to: Option<Expr>,
}

/// `[low..high]` with ends to be computed.
#[derive(Clone, Debug)]
pub struct RangeExpr {
    /// Lower end; `(< 5)` has none.
    pub low: Option<Expr>,
    /// Does it belong?
    pub low_included: bool,
    /// Upper end; `(> 5)` has none.
    pub high: Option<Expr>,
    /// Does it belong?
    pub high_included: bool,
}

/// Arithmetic operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `**`
    Power,
}

/// Comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// One unary test of an input entry. An entry is a list of them, and holds when one of them does.
#[derive(Clone, Debug)]
pub enum Test {
    /// `-` or an empty cell.
    Any,
    /// `< 5`
    Compare(Comparison, Expr),
    /// `5`, `"a"`, `[1..5]`, a name: equal to it, or in it.
    Value(Expr),
    /// A condition: with `?`, or one whose result is a boolean by its form.
    Truth(Expr),
    /// `not(…)`
    Not(Vec<Test>),
}

impl Expr {
    /// The constant, if it is one.
    pub const fn constant(&self) -> Option<&Value> {
        match self {
            Self::Const(value) => Some(value),
            _ => None,
        }
    }

    /// The type by its form alone; [`Kind::Any`] when that does not say.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Const(value) => value.kind(),
            Self::Compare(..)
            | Self::And(_)
            | Self::Or(_)
            | Self::Between(_)
            | Self::In(..)
            | Self::InstanceOf(..)
            | Self::Quantified(..) => Kind::Boolean,
            Self::List(_) | Self::For(..) => Kind::List,
            Self::Context(_) => Kind::Context,
            Self::Range(_) => Kind::Range,
            Self::Call(function, _) => function.result,
            Self::Arithmetic(
                Arithmetic::Multiply | Arithmetic::Divide | Arithmetic::Power,
                pair,
            ) if pair.iter().all(|side| side.kind() == Kind::Number) => Kind::Number,
            // Each side is asked once: asking twice at every level takes forever in a long chain.
            Self::Arithmetic(Arithmetic::Add | Arithmetic::Subtract, pair) => {
                match (pair[0].kind(), pair[1].kind()) {
                    (left @ (Kind::Number | Kind::Text), right) if left == right => left,
                    _ => Kind::Any,
                }
            }
            Self::If(parts) => {
                let (then, otherwise) = (parts[1].kind(), parts[2].kind());
                if then == otherwise { then } else { Kind::Any }
            }
            Self::Negate(inner) => inner.kind(),
            _ => Kind::Any,
        }
    }

    /// Calls `see` for every slot that is read.
    pub fn slots(&self, see: &mut dyn FnMut(usize)) {
        self.children(&mut |child| child.slots(see));
        match self {
            Self::Slot(slot) => see(*slot),
            Self::In(_, tests) => {
                for test in tests {
                    test.slots(see);
                }
            }
            _ => {}
        }
    }

    /// Calls `see` for every call of a function.
    pub fn calls(&self, see: &mut dyn FnMut(&Function, &[Self])) {
        self.children(&mut |child| child.calls(see));
        match self {
            Self::Call(function, arguments) => see(function, arguments),
            Self::In(_, tests) => tests.iter().for_each(|test| test.calls(see)),
            _ => {}
        }
    }

    /// Does it read `?`?
    pub fn reads_input(&self) -> bool {
        let mut found = matches!(self, Self::Input);
        self.children(&mut |child| found |= child.reads_input());
        found
    }

    fn children(&self, visit: &mut dyn FnMut(&Self)) {
        match self {
            Self::Const(_) | Self::Slot(_) | Self::Input => {}
            Self::Member(inner, _) | Self::Negate(inner) | Self::InstanceOf(inner, _) => {
                visit(inner);
            }
            Self::Arithmetic(_, pair) | Self::Compare(_, pair) | Self::Filter(_, pair) => {
                pair.iter().for_each(visit);
            }
            Self::And(items) | Self::Or(items) | Self::List(items) | Self::Call(_, items) => {
                items.iter().for_each(visit);
            }
            Self::If(parts) | Self::Between(parts) => parts.iter().for_each(visit),
            Self::In(value, _) => visit(value),
            Self::Context(entries) => entries.iter().for_each(|(_, _, value)| visit(value)),
            Self::Range(range) => {
                range.low.iter().for_each(&mut *visit);
                range.high.iter().for_each(visit);
            }
            Self::For(iterations, _, body) | Self::Quantified(_, iterations, body) => {
                for iteration in iterations {
                    visit(&iteration.over);
                    if let Some(to) = &iteration.to {
                        visit(to);
                    }
                }
                visit(body);
            }
        }
    }
}

impl Test {
    /// Calls `see` for every slot that is read.
    pub fn slots(&self, see: &mut dyn FnMut(usize)) {
        match self {
            Self::Any => {}
            Self::Compare(_, expr) | Self::Value(expr) | Self::Truth(expr) => expr.slots(see),
            Self::Not(tests) => tests.iter().for_each(|test| test.slots(see)),
        }
    }
}

impl Test {
    /// Calls `see` for every call of a function.
    pub fn calls(&self, see: &mut dyn FnMut(&Function, &[Expr])) {
        match self {
            Self::Any => {}
            Self::Compare(_, expr) | Self::Value(expr) | Self::Truth(expr) => expr.calls(see),
            Self::Not(tests) => tests.iter().for_each(|test| test.calls(see)),
        }
    }
}

impl Comparison {
    /// The operator as written.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}
