//! What begins with a word: names, calls, conditions, loops.

use std::sync::Arc;

use super::{Parsed, Parser, normal};
use crate::decision::feel::ast::{Expr, Iteration};
use crate::decision::feel::builtins::{self, Function};
use crate::decision::feel::value::Value;

const KEYWORDS: &[&str] = &[
    "true",
    "false",
    "null",
    "if",
    "then",
    "else",
    "for",
    "return",
    "some",
    "every",
    "satisfies",
    "in",
    "between",
    "and",
    "or",
    "instance",
    "of",
    "function",
];

impl Parser<'_, '_> {
    pub(super) fn named(&mut self) -> Parsed<Expr> {
        self.refuse_foreign()?;
        // A function is a known name followed by `(`.
        if let Some((length, function)) = builtins::longest_match(self.rest(), name_length) {
            let start = self.at;
            self.at += length;
            if self.take("(") {
                return self.call(function);
            }
            self.at = start;
        }
        if let Some((length, slot)) = self.known_name() {
            self.at += length;
            if self.peek("(") {
                return self.fail(
                    "calls of functions that the file defines are not supported: write the rule as a table",
                );
            }
            return Ok(Expr::Slot(slot));
        }
        let length = identifier_length(self.rest());
        let word = &self.rest()[..length];
        match word {
            "" => return self.expected("a value"),
            "true" => {
                self.at += length;
                return Ok(Expr::Const(Value::Boolean(true)));
            }
            "false" => {
                self.at += length;
                return Ok(Expr::Const(Value::Boolean(false)));
            }
            "null" => {
                self.at += length;
                return Ok(Expr::Const(Value::Null));
            }
            "if" => return self.conditional(),
            "for" => return self.iteration_expr(),
            "some" | "every" => return self.quantified(),
            "function" => {
                return self
                    .fail("functions as values are not supported: write the rule as a table");
            }
            word if KEYWORDS.contains(&word) => return self.expected("a value"),
            _ => {}
        }
        let after = self.rest()[length..].trim_start();
        if after.starts_with('(') {
            let hint = builtins::nearest(word)
                .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return self.fail(format!("there is no function `{word}`{hint}"));
        }
        if let Some(item) = self.items.last() {
            // Inside a filter an unknown name is a part of the item.
            let item = *item;
            let name = self.member_name()?;
            self.grow(1)?;
            return Ok(Expr::Member(Box::new(Expr::Slot(item)), Arc::from(name)));
        }
        if self.lenient {
            self.at += length;
            return Ok(Expr::Const(Value::Null));
        }
        let hint = self.scope.nearest(word).map_or_else(String::new, |near| {
            format!("; the nearest known name is `{near}`")
        });
        self.fail(format!(
            "there is no input or decision named `{word}`{hint}"
        ))
    }

    /// Refuses the call of a function that the file defines, and whatever an import brings.
    fn refuse_foreign(&mut self) -> Parsed<()> {
        let rest = self.rest();
        let is_used = |name: &str, kind: &str| {
            let length = name_length(rest, name)?;
            let follows = if kind == "import" { '.' } else { '(' };
            rest[length..]
                .trim_start()
                .starts_with(follows)
                .then_some(length)
        };
        let used = self
            .scope
            .foreign
            .iter()
            .filter_map(|(name, kind)| Some((is_used(name, kind)?, name, *kind)))
            .max_by_key(|(length, ..)| *length);
        match used {
            None => Ok(()),
            Some((_, name, "import")) => self.fail(format!(
                "`{name}` is another file: imports are not supported; copy it into this file"
            )),
            Some((_, name, kind)) => self.fail(format!(
                "`{name}` is a {kind}: these are not supported; write it as a decision"
            )),
        }
    }

    fn known_name(&self) -> Option<(usize, usize)> {
        let rest = self.rest();
        // Later locals hide earlier ones: the last of the longest wins.
        self.scope
            .names
            .iter()
            .chain(&self.locals)
            .filter_map(|(name, slot)| name_length(rest, name).map(|length| (length, *slot)))
            .max_by_key(|(length, _)| *length)
            .filter(|(length, _)| !KEYWORDS.contains(&&rest[..*length]))
    }

    fn call(&mut self, function: &'static Function) -> Parsed<Expr> {
        let start = self.at;
        let outer = (
            std::mem::take(&mut self.in_range),
            std::mem::replace(&mut self.lenient, function.name == "is defined"),
        );
        let mut positional = Vec::new();
        let mut named: Vec<(String, Expr)> = Vec::new();
        let mut tallest = 0;
        if !self.take(")") {
            loop {
                self.skip_space();
                let parameter = function
                    .parameters
                    .iter()
                    .flat_map(|parameter| builtins::names_of(parameter))
                    .filter_map(|parameter| {
                        let length = name_length(self.rest(), parameter)?;
                        let after = self.rest()[length..].trim_start();
                        after
                            .starts_with(':')
                            .then(|| (self.rest().len() - after.len() + 1, parameter))
                    })
                    .max();
                if let Some((length, parameter)) = parameter {
                    self.at += length;
                    named.push((parameter.to_owned(), self.expr(0)?));
                } else {
                    positional.push(self.expr(0)?);
                }
                tallest = tallest.max(self.height);
                if self.take(")") {
                    break;
                }
                if !self.take(",") {
                    return self.expected("`,` or `)`");
                }
            }
        }
        (self.in_range, self.lenient) = outer;
        let arguments = match function.arrange(positional, named) {
            Ok(arguments) => arguments,
            Err(message) => {
                self.at = start;
                return self.fail(message);
            }
        };
        self.grow(tallest)?;
        let constant = arguments
            .iter()
            .all(|argument| argument.constant().is_some());
        let expr = self.fold(Expr::Call(function, arguments))?;
        if self.scope.strict
            && constant
            && function.is_literal()
            && matches!(expr, Expr::Const(Value::Null))
        {
            self.at = start;
            return self.fail(format!("this is no {}", function.name));
        }
        Ok(expr)
    }

    fn conditional(&mut self) -> Parsed<Expr> {
        self.at += 2;
        let condition = self.expr(0)?;
        let mut tallest = self.height;
        self.need_word("then")?;
        let then = self.expr(0)?;
        tallest = tallest.max(self.height);
        self.need_word("else")?;
        let otherwise = self.expr(0)?;
        self.grow(tallest.max(self.height))?;
        self.fold(Expr::If(Box::new([condition, then, otherwise])))
    }

    fn iterations(&mut self) -> Parsed<(Vec<Iteration>, u32)> {
        let mut iterations = Vec::new();
        let mut tallest = 0;
        loop {
            self.skip_space();
            let Some(end) = self
                .rest()
                .find(" in ")
                .or_else(|| self.rest().find("\nin "))
            else {
                return self.expected("`name in list`");
            };
            let name = normal(&self.rest()[..end]);
            if name.is_empty() || identifier_length(&name) == 0 {
                return self.expected("`name in list`");
            }
            self.at += end;
            self.need_word("in")?;
            let outer = std::mem::replace(&mut self.in_range, false);
            let over = self.expr(4)?;
            tallest = tallest.max(self.height);
            let to = if self.take("..") {
                let to = self.expr(4)?;
                tallest = tallest.max(self.height);
                Some(to)
            } else {
                None
            };
            self.in_range = outer;
            let slot = self.new_slot();
            self.locals.push((name, slot));
            iterations.push(Iteration { slot, over, to });
            if !self.take(",") {
                return Ok((iterations, tallest));
            }
        }
    }

    fn iteration_expr(&mut self) -> Parsed<Expr> {
        self.at += 3;
        let known = self.locals.len();
        let (iterations, tallest) = self.iterations()?;
        self.need_word("return")?;
        let partial = self.new_slot();
        self.locals.push(("partial".to_owned(), partial));
        let body = self.expr(0)?;
        self.locals.truncate(known);
        self.grow(tallest.max(self.height))?;
        Ok(Expr::For(iterations, partial, Box::new(body)))
    }

    fn quantified(&mut self) -> Parsed<Expr> {
        let every = self.word("every");
        if !every {
            self.need_word("some")?;
        }
        let known = self.locals.len();
        let (iterations, tallest) = self.iterations()?;
        self.need_word("satisfies")?;
        let body = self.expr(0)?;
        self.locals.truncate(known);
        self.grow(tallest.max(self.height))?;
        Ok(Expr::Quantified(every, iterations, Box::new(body)))
    }
}

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_' || (c as u32) >= 0x1F000
}

pub(super) fn is_name_part(c: char) -> bool {
    c.is_alphanumeric()
        || c == '_'
        || (c as u32) >= 0x1F000
        || matches!(c, '\u{B7}' | '\u{300}'..='\u{36F}')
}

pub(super) fn identifier_length(text: &str) -> usize {
    if !text.starts_with(is_name_start) {
        return 0;
    }
    text.find(|c| !is_name_part(c)).unwrap_or(text.len())
}

/// How many bytes of the text's head are this name, written with any white space between its words.
pub(super) fn name_length(text: &str, name: &str) -> Option<usize> {
    let mut rest = text;
    for (i, word) in name.split(' ').enumerate() {
        if i > 0 {
            let trimmed = rest.trim_start();
            if trimmed.len() == rest.len() {
                return None;
            }
            rest = trimmed;
        }
        rest = rest.strip_prefix(word)?;
    }
    let ends_in_part = name.chars().next_back().is_some_and(is_name_part);
    if name.is_empty() || (ends_in_part && rest.starts_with(is_name_part)) {
        return None;
    }
    Some(text.len() - rest.len())
}
