//! Literals and what brackets hold: numbers, text, intervals, lists, contexts.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::{Parsed, Parser, normal};
use crate::decision::feel::ast::{Expr, RangeExpr};
use crate::decision::feel::builtins;
use crate::decision::feel::value::Value;

impl Parser<'_, '_> {
    pub(super) fn primary(&mut self) -> Parsed<Expr> {
        self.enter()?;
        self.height = 1;
        let expr = self.primary_inner();
        self.depth -= 1;
        expr
    }

    fn primary_inner(&mut self) -> Parsed<Expr> {
        self.skip_space();
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return self.expected("a value");
        };
        match first {
            '0'..='9' => self.number(),
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number(),
            '"' => Ok(Expr::Const(Value::text(&self.string()?))),
            '@' => {
                self.at += 1;
                if !self.peek("\"") {
                    return self.expected("a date, time or duration in quotes after `@`");
                }
                let start = self.at;
                let text = self.string()?;
                match builtins::temporal_literal(&text) {
                    Value::Null if self.scope.strict => {
                        self.at = start;
                        self.fail("not a date, time, date and time or duration")
                    }
                    value => Ok(Expr::Const(value)),
                }
            }
            '?' => {
                self.at += 1;
                Ok(Expr::Input)
            }
            '(' => self.parenthesis(),
            '[' => self.bracket(),
            ']' => {
                self.at += 1;
                let low = self.expr(4)?;
                self.range_tail(low, false)
            }
            '{' => self.context(),
            _ => self.named(),
        }
    }

    pub(super) fn number(&mut self) -> Parsed<Expr> {
        let bytes = self.rest().as_bytes();
        let digits = |from: usize| {
            from + bytes[from..]
                .iter()
                .take_while(|b| b.is_ascii_digit())
                .count()
        };
        let mut end = digits(0);
        if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
            end = digits(end + 1);
        }
        let mut scientific = false;
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent_end = digits((end + 1 + sign).min(bytes.len()));
            if exponent_end > end + 1 + sign {
                end = exponent_end;
                scientific = true;
            }
        }
        let text = &self.rest()[..end];
        let parsed = if scientific {
            Decimal::from_scientific(text).ok()
        } else {
            Decimal::from_str_exact(text)
                .ok()
                .or_else(|| (!self.scope.strict).then(|| text.parse().ok()).flatten())
        };
        match parsed {
            Some(number) => {
                self.at += end;
                Ok(Expr::Const(Value::Number(number)))
            }
            None => self.fail("numbers have at most 28 digits"),
        }
    }

    pub(super) fn string(&mut self) -> Parsed<String> {
        let start = self.at;
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        // A pair of \u escapes may stand for one character beyond the basic plane.
        let mut high: Option<u32> = None;
        while let Some((offset, c)) = chars.next() {
            let mut unit: Option<u32> = None;
            match c {
                '"' => {
                    self.at += offset + 1;
                    return Ok(text);
                }
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => text.push('\n'),
                    Some('r') => text.push('\r'),
                    Some('t') => text.push('\t'),
                    Some(c @ ('"' | '\'' | '\\')) => text.push(c),
                    Some(kind @ ('u' | 'U')) => {
                        let length = if kind == 'u' { 4 } else { 6 };
                        let mut code = Some(0);
                        for _ in 0..length {
                            let digit = chars.next().and_then(|(_, c)| c.to_digit(16));
                            code = code.zip(digit).map(|(code, digit)| code * 16 + digit);
                        }
                        let Some(code) = code else {
                            return self.fail("`\\u` is followed by four hexadecimal digits");
                        };
                        unit = Some(code);
                    }
                    Some(c) => {
                        // As others do: an unknown escape stands for itself.
                        text.push('\\');
                        text.push(c);
                    }
                    None => break,
                },
                c => text.push(c),
            }
            if let Some(code) = unit {
                match (high.take(), code) {
                    (_, 0xD800..=0xDBFF) => high = Some(code),
                    (Some(first), 0xDC00..=0xDFFF) => {
                        let both = 0x10000 + ((first - 0xD800) << 10) + (code - 0xDC00);
                        text.extend(char::from_u32(both));
                    }
                    _ => match char::from_u32(code) {
                        Some(c) => text.push(c),
                        None => return self.fail("not a character of Unicode"),
                    },
                }
            }
        }
        self.at = start;
        self.fail("this text has no closing quote `\"`")
    }

    fn parenthesis(&mut self) -> Parsed<Expr> {
        self.at += 1;
        let outer = std::mem::take(&mut self.in_range);
        // `(< 5)` is an interval with one end.
        for (symbol, upper, included) in [
            ("<=", true, true),
            (">=", false, true),
            ("<", true, false),
            (">", false, false),
            ("=", true, true),
        ] {
            if self.take(symbol) {
                let end = self.expr(4)?;
                self.need(")")?;
                self.in_range = outer;
                let (low, high) = if symbol == "=" {
                    (Some(end.clone()), Some(end))
                } else if upper {
                    (None, Some(end))
                } else {
                    (Some(end), None)
                };
                self.grow(self.height)?;
                return self.fold(Expr::Range(Box::new(RangeExpr {
                    low_included: included && low.is_some(),
                    high_included: included && high.is_some(),
                    low,
                    high,
                })));
            }
        }
        let inner = self.expr(0)?;
        self.in_range = outer;
        if self.peek("..") {
            return self.range_tail(inner, false);
        }
        self.need(")")?;
        Ok(inner)
    }

    fn bracket(&mut self) -> Parsed<Expr> {
        self.at += 1;
        if self.take("]") {
            return Ok(Expr::Const(Value::list(Vec::new())));
        }
        let outer = std::mem::take(&mut self.in_range);
        let mut items = vec![self.expr(0)?];
        if self.peek("..") {
            self.in_range = outer;
            let Some(low) = items.pop() else {
                return self.expected("a value");
            };
            return self.range_tail(low, true);
        }
        let mut tallest = self.height;
        while self.take(",") {
            items.push(self.expr(0)?);
            tallest = tallest.max(self.height);
        }
        self.in_range = outer;
        self.need("]")?;
        self.grow(tallest)?;
        self.fold(Expr::List(items))
    }

    /// `..high]` after the opening bracket and the lower end.
    fn range_tail(&mut self, low: Expr, low_included: bool) -> Parsed<Expr> {
        let tallest = self.height;
        self.need("..")?;
        let outer = std::mem::replace(&mut self.in_range, true);
        let high = self.expr(4)?;
        self.in_range = outer;
        let high_included = if self.take("]") {
            true
        } else if self.take(")") || self.take("[") {
            false
        } else {
            return self.expected("`]` or `)` at the end of the interval");
        };
        self.grow(tallest.max(self.height))?;
        self.fold(Expr::Range(Box::new(RangeExpr {
            low: Some(low),
            low_included,
            high: Some(high),
            high_included,
        })))
    }

    pub(super) fn context(&mut self) -> Parsed<Expr> {
        self.at += 1;
        let outer = std::mem::take(&mut self.in_range);
        let known = self.locals.len();
        let mut entries: Vec<(Arc<str>, usize, Expr)> = Vec::new();
        let mut tallest = 0;
        if !self.take("}") {
            loop {
                self.skip_space();
                let name = if self.rest().starts_with('"') {
                    self.string()?
                } else {
                    let Some(end) = self.rest().find([':', '}', ',', '"', '{']) else {
                        return self.expected("`name: value`");
                    };
                    let name = normal(&self.rest()[..end]);
                    self.at += end;
                    name
                };
                if name.is_empty() || !self.take(":") {
                    return self.expected("`name: value`");
                }
                if entries.iter().any(|(other, _, _)| **other == *name) {
                    return self.fail(format!("`{name}` is given twice"));
                }
                let value = self.expr(0)?;
                tallest = tallest.max(self.height);
                let slot = self.new_slot();
                self.locals.push((normal(&name), slot));
                self.members.push(normal(&name));
                entries.push((Arc::from(name), slot, value));
                if self.take("}") {
                    break;
                }
                if !self.take(",") {
                    return self.expected("`,` or `}`");
                }
            }
        }
        self.locals.truncate(known);
        self.in_range = outer;
        self.grow(tallest)?;
        self.fold(Expr::Context(entries))
    }
}
