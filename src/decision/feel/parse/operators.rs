//! Operators by how tightly they bind, and what follows a value: paths and filters.

use std::sync::Arc;

use super::names::{identifier_length, name_length};
use super::{MAX_DEPTH, Parsed, Parser};
use crate::decision::feel::ast::{Arithmetic, Comparison, Expr, TypeName};
use crate::decision::feel::eval;
use crate::decision::feel::value::Kind;

/// Arithmetic: the operator, how tightly it binds, and what it computes. A longer one goes before its own beginning.
const BINARY: [(&str, u8, Arithmetic); 5] = [
    ("**", 6, Arithmetic::Power),
    ("*", 5, Arithmetic::Multiply),
    ("/", 5, Arithmetic::Divide),
    ("+", 4, Arithmetic::Add),
    ("-", 4, Arithmetic::Subtract),
];

impl<'t> Parser<'t, '_> {
    /// Reads an expression of operators that bind at least as tightly as `level`:
    /// 1 or, 2 and, 3 comparison, 4 addition, 5 multiplication, 6 power.
    pub(super) fn expr(&mut self, level: u8) -> Parsed<Expr> {
        self.enter()?;
        let expr = self.expr_inner(level);
        self.depth -= 1;
        expr
    }

    fn expr_inner(&mut self, level: u8) -> Parsed<Expr> {
        let mut left = self.unary()?;
        loop {
            let below = self.height;
            self.skip_space();
            let binary = BINARY
                .iter()
                .find(|(symbol, weakest, ..)| level <= *weakest && self.take(symbol));
            if let Some((_, weakest, operator)) = binary {
                let right = self.expr(weakest + 1)?;
                left = self.binary(*operator, left, right, below)?;
            } else if level <= 3 && self.comparison_ahead() {
                left = self.comparison(left, below)?;
            } else if level <= 2 && self.peek_word("and") {
                left = self.chain("and", left, below, 3)?;
            } else if level <= 1 && self.peek_word("or") {
                left = self.chain("or", left, below, 2)?;
            } else {
                return Ok(left);
            }
        }
    }

    fn binary(&mut self, op: Arithmetic, left: Expr, right: Expr, below: u32) -> Parsed<Expr> {
        self.grow(below.max(self.height))?;
        self.fold(Expr::Arithmetic(op, Box::new([left, right])))
    }

    pub(super) fn chain(&mut self, word: &str, first: Expr, below: u32, level: u8) -> Parsed<Expr> {
        let mut items = vec![first];
        let mut tallest = below;
        while self.word(word) {
            items.push(self.expr(level)?);
            tallest = tallest.max(self.height);
        }
        self.grow(tallest)?;
        self.fold(if word == "and" {
            Expr::And(items)
        } else {
            Expr::Or(items)
        })
    }

    fn comparison_ahead(&mut self) -> bool {
        let rest = self.rest();
        if rest.starts_with("==") {
            return false;
        }
        rest.starts_with(['<', '>', '='])
            || rest.starts_with("!=")
            || self.peek_word("between")
            || self.peek_word("in")
            || self.peek_word("instance")
    }

    pub(super) fn comparison(&mut self, left: Expr, below: u32) -> Parsed<Expr> {
        if self.word("between") {
            let low = self.expr(4)?;
            let tallest = below.max(self.height);
            self.need_word("and")?;
            let high = self.expr(4)?;
            self.grow(tallest.max(self.height))?;
            return self.fold(Expr::Between(Box::new([left, low, high])));
        }
        if self.word("instance") {
            self.need_word("of")?;
            let name = self.type_name()?;
            self.grow(below)?;
            return self.fold(Expr::InstanceOf(Box::new(left), name));
        }
        if self.word("in") {
            let tests = self.in_tests()?;
            self.grow(below.max(self.height))?;
            return Ok(Expr::In(Box::new(left), tests));
        }
        for (symbol, comparison) in [
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("!=", Comparison::Unequal),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
            ("=", Comparison::Equal),
        ] {
            if self.take(symbol) {
                let right = self.expr(4)?;
                self.grow(below.max(self.height))?;
                return self.fold(Expr::Compare(comparison, Box::new([left, right])));
            }
        }
        self.expected("a comparison")
    }

    fn type_name(&mut self) -> Parsed<TypeName> {
        self.enter()?;
        let name = self.type_name_inner();
        self.depth -= 1;
        name
    }

    fn type_name_inner(&mut self) -> Parsed<TypeName> {
        for name in [
            "date and time",
            "days and time duration",
            "years and months duration",
            "Any",
            "boolean",
            "number",
            "string",
            "date",
            "time",
            "list",
            "context",
            "range",
        ] {
            let Some(length) = name_length(self.rest_after_space(), name) else {
                continue;
            };
            self.at += length;
            if matches!(name, "list" | "range" | "context") && self.take("<") {
                let inside = match name {
                    "list" => TypeName::List(Box::new(self.type_name()?)),
                    "range" => TypeName::Range(Box::new(self.type_name()?)),
                    _ => TypeName::Context(self.entry_types()?),
                };
                self.need(">")?;
                return Ok(inside);
            }
            return Ok(TypeName::Kind(if name == "range" {
                Kind::Range
            } else {
                Kind::of_type_ref(name).unwrap_or(Kind::Any)
            }));
        }
        if self.peek_word("function") {
            return self.fail("functions as values are not supported: write the rule as a table");
        }
        self.expected("a type: number, string, boolean, date, time, date and time, list<number>, …")
    }

    /// `name: string, age: number`
    fn entry_types(&mut self) -> Parsed<Vec<(Arc<str>, TypeName)>> {
        let mut entries = Vec::new();
        self.skip_space();
        if self.peek(">") {
            return Ok(entries);
        }
        loop {
            self.skip_space();
            let key = self.member_name()?;
            self.need(":")?;
            entries.push((Arc::from(key), self.type_name()?));
            if !self.take(",") {
                return Ok(entries);
            }
        }
    }

    fn rest_after_space(&mut self) -> &'t str {
        self.skip_space();
        self.rest()
    }

    pub(super) fn unary(&mut self) -> Parsed<Expr> {
        self.skip_space();
        let mut negations = 0;
        while self.peek("-") {
            self.at += 1;
            negations += 1;
            if negations > MAX_DEPTH {
                return self.fail("too many signs");
            }
            self.skip_space();
        }
        let mut expr = self.postfix()?;
        for _ in 0..negations {
            self.grow(self.height)?;
            expr = self.fold(Expr::Negate(Box::new(expr)))?;
        }
        Ok(expr)
    }

    fn postfix(&mut self) -> Parsed<Expr> {
        let mut expr = self.primary()?;
        loop {
            self.skip_space();
            let rest = self.rest();
            if rest.starts_with('.') && !rest.starts_with("..") {
                self.at += 1;
                let name = self.member_name()?;
                self.grow(self.height)?;
                expr = self.fold(Expr::Member(Box::new(expr), Arc::from(name)))?;
            } else if rest.starts_with('[') && !self.in_range {
                self.at += 1;
                let below = self.height;
                let item = self.new_slot();
                self.items.push(item);
                self.locals.push(("item".to_owned(), item));
                let condition = self.expr(0);
                self.locals.pop();
                self.items.pop();
                let condition = condition?;
                self.need("]")?;
                self.grow(below.max(self.height))?;
                expr = Expr::Filter(item, Box::new([expr, condition]));
            } else {
                return Ok(expr);
            }
        }
    }

    pub(super) fn member_name(&mut self) -> Parsed<String> {
        self.skip_space();
        let known = self
            .members
            .iter()
            .chain(self.scope.members.iter())
            .map(String::as_str)
            .chain(["time offset", "start included", "end included"])
            .filter_map(|name| name_length(self.rest(), name).map(|length| (length, name)))
            .max_by_key(|(length, _)| *length);
        if let Some((length, name)) = known {
            let name = name.to_owned();
            self.at += length;
            return Ok(name);
        }
        let length = identifier_length(self.rest());
        if length == 0 {
            return self.expected("the name of a part after `.`");
        }
        let name = self.rest()[..length].to_owned();
        self.at += length;
        Ok(name)
    }

    /// Computes at once what depends on nothing.
    pub(super) fn fold(&self, expr: Expr) -> Parsed<Expr> {
        let constant = match &expr {
            Expr::Call(function, arguments) => {
                function.is_pure() && arguments.iter().all(|a| a.constant().is_some())
            }
            Expr::List(items) | Expr::And(items) | Expr::Or(items) => {
                items.iter().all(|item| item.constant().is_some())
            }
            Expr::Arithmetic(_, pair) | Expr::Compare(_, pair) => {
                pair.iter().all(|side| side.constant().is_some())
            }
            Expr::Negate(inner) | Expr::Member(inner, _) | Expr::InstanceOf(inner, _) => {
                inner.constant().is_some()
            }
            Expr::Range(range) => [&range.low, &range.high]
                .into_iter()
                .flatten()
                .all(|end| end.constant().is_some()),
            _ => false,
        };
        if !constant {
            return Ok(expr);
        }
        let value = eval::constant(&expr);
        if value.is_null() && !self.scope.strict && matches!(expr, Expr::Range(_)) {
            // Whether a value is in it cannot be said, which is not the same as being no null.
            return Ok(expr);
        }
        if self.scope.strict && value.is_null() {
            let problem = match &expr {
                Expr::Range(_) => "the ends of this interval are not of one ordered type",
                Expr::Arithmetic(..) | Expr::Negate(_) => "this cannot be computed",
                _ => return Ok(Expr::Const(value)),
            };
            return self.fail(problem);
        }
        Ok(Expr::Const(value))
    }
}
