//! FEEL text → tree. Names are resolved while reading, since only the known names tell where a name with spaces ends.
//!
//! Nesting, tree height and work are bounded, so that no text can overflow the stack or take forever.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::ast::{Arithmetic, Comparison, Expr, Iteration, RangeExpr, Test};
use super::builtins::{self, Function};
use super::eval;
use super::value::{Kind, Value};

/// Deepest nesting of brackets and operators that is accepted.
const MAX_DEPTH: u32 = 60;
/// Tallest tree that is accepted: a chain of operators grows it without nesting.
const MAX_HEIGHT: u32 = 250;
/// Longest text of one cell, bytes.
pub const MAX_TEXT: usize = 64 * 1024;
/// Most steps of one text: what a text with many alternatives to try may cost.
const MAX_STEPS: u32 = 200_000;

/// Why a text was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeelError {
    /// Byte offset in the text.
    pub at: usize,
    /// What is wrong and what was expected.
    pub message: String,
}

/// The names a text may use.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    names: Vec<(String, usize)>,
    members: Arc<[String]>,
    /// Slots from here on are free for local names.
    pub next_slot: usize,
    /// Refuse literals that cannot be computed (`date("2026-02-30")`) instead of taking them as null.
    pub strict: bool,
}

impl Scope {
    /// No names yet. Strict: literals that cannot be computed are refused.
    pub fn new(strict: bool) -> Self {
        Self {
            strict,
            ..Self::default()
        }
    }

    /// Makes a name known.
    pub fn add(&mut self, name: &str, slot: usize) {
        self.names.push((normal(name), slot));
        self.next_slot = self.next_slot.max(slot + 1);
    }

    /// Makes the names of parts known, so that they may hold spaces.
    pub fn set_members(&mut self, members: Arc<[String]>) {
        self.members = members;
    }

    /// The slot of a name.
    pub fn slot(&self, name: &str) -> Option<usize> {
        let name = normal(name);
        self.names
            .iter()
            .rev()
            .find(|(known, _)| *known == name)
            .map(|(_, slot)| *slot)
    }

    /// The known name that looks most like this one.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.names.iter().map(|(known, _)| known.as_str()))
    }

    /// Reads an expression.
    pub fn expression(&mut self, text: &str) -> Result<Expr, FeelError> {
        let mut parser = Parser::new(text, self)?;
        // Some modelers mark an expression by a leading `=`.
        if !parser.peek("==") {
            parser.take("=");
        }
        let expr = parser.expr(0)?;
        parser.end("an operator or the end")?;
        let used = parser.next_slot;
        self.next_slot = self.next_slot.max(used);
        Ok(expr)
    }

    /// Reads the unary tests of an input entry or of allowed values.
    pub fn tests(&mut self, text: &str) -> Result<Vec<Test>, FeelError> {
        if matches!(text.trim(), "" | "-") {
            return Ok(vec![Test::Any]);
        }
        let mut parser = Parser::new(text, self)?;
        let tests = parser.entry()?;
        let used = parser.next_slot;
        self.next_slot = self.next_slot.max(used);
        Ok(tests)
    }
}

/// The name among `known` that looks most like `name`, if one looks like it at all.
pub fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let lower = name.to_lowercase();
    known
        .map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 2.max(candidate.chars().count() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().take(80).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let cost = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// One space between the words of a name.
fn normal(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

struct Parser<'t, 's> {
    text: &'t str,
    at: usize,
    scope: &'s Scope,
    locals: Vec<(String, usize)>,
    members: Vec<String>,
    /// Slots of `item` of the filters around, innermost last.
    items: Vec<usize>,
    next_slot: usize,
    depth: u32,
    height: u32,
    steps: u32,
    /// Reading the end of an interval: `[` may close it, so it opens no filter.
    in_range: bool,
    /// Inside `is defined(…)`: an unknown name is null.
    lenient: bool,
}

type Parsed<T> = Result<T, FeelError>;

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

impl<'t, 's> Parser<'t, 's> {
    fn new(text: &'t str, scope: &'s Scope) -> Parsed<Self> {
        if text.len() > MAX_TEXT {
            return Err(FeelError {
                at: 0,
                message: format!("longer than {} KiB: split it", MAX_TEXT / 1024),
            });
        }
        Ok(Self {
            text,
            at: 0,
            scope,
            locals: Vec::new(),
            members: Vec::new(),
            items: Vec::new(),
            next_slot: scope.next_slot,
            depth: 0,
            height: 0,
            steps: 0,
            in_range: false,
            lenient: false,
        })
    }

    fn fail<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(FeelError {
            at: self.at,
            message: message.into(),
        })
    }

    fn expected<T>(&self, what: &str) -> Parsed<T> {
        let rest = self.rest();
        for (foreign, advice) in [
            ("==", "`==` is JUEL, not FEEL: write `=`"),
            ("&&", "`&&` is JUEL, not FEEL: write `and`"),
            ("||", "`||` is JUEL, not FEEL: write `or`"),
            ("${", "`${…}` is JUEL, not FEEL: write the name alone"),
            ("#{", "`#{…}` is JUEL, not FEEL: write the name alone"),
            ("'", "text is written in double quotes in FEEL: \"…\""),
            ("%", "`%` is not FEEL: write `modulo(a, b)`"),
        ] {
            if rest.starts_with(foreign) {
                return self.fail(advice);
            }
        }
        if rest.starts_with('!') && !rest.starts_with("!=") {
            return self.fail("`!` is not FEEL: write `not(…)`");
        }
        let found: String = rest
            .chars()
            .take_while(|c| !c.is_whitespace())
            .take(20)
            .collect();
        if found.is_empty() {
            self.fail(format!("expected {what}, found the end"))
        } else {
            self.fail(format!("expected {what}, found `{found}`"))
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if let Some(comment) = trimmed.strip_prefix("//") {
                self.at += 2 + comment.find('\n').unwrap_or(comment.len());
            } else if let Some(comment) = trimmed.strip_prefix("/*") {
                match comment.find("*/") {
                    Some(end) => self.at += 2 + end + 2,
                    None => self.at = self.text.len(),
                }
            } else {
                return;
            }
        }
    }

    /// Takes a punctuation.
    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        if self.rest().starts_with(token) {
            self.at += token.len();
            true
        } else {
            false
        }
    }

    fn peek(&mut self, token: &str) -> bool {
        self.skip_space();
        self.rest().starts_with(token)
    }

    fn need(&mut self, token: &str) -> Parsed<()> {
        if self.take(token) {
            Ok(())
        } else {
            self.expected(&format!("`{token}`"))
        }
    }

    /// Takes a keyword.
    fn word(&mut self, word: &str) -> bool {
        if self.peek_word(word) {
            self.at += word.len();
            true
        } else {
            false
        }
    }

    fn peek_word(&mut self, word: &str) -> bool {
        self.skip_space();
        self.rest()
            .strip_prefix(word)
            .is_some_and(|rest| !rest.starts_with(is_name_part))
    }

    fn need_word(&mut self, word: &str) -> Parsed<()> {
        if self.word(word) {
            Ok(())
        } else {
            self.expected(&format!("`{word}`"))
        }
    }

    fn end(&mut self, expected: &str) -> Parsed<()> {
        self.skip_space();
        if self.at == self.text.len() {
            Ok(())
        } else {
            self.expected(expected)
        }
    }

    /// One more level of the tree above parts of the given height.
    fn grow(&mut self, below: u32) -> Parsed<()> {
        self.height = below + 1;
        if self.height > MAX_HEIGHT {
            return self.fail("too many operators in one expression: split it");
        }
        Ok(())
    }

    fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        self.steps += 1;
        if self.depth > MAX_DEPTH {
            return self.fail(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        if self.steps > MAX_STEPS {
            return self.fail("too complicated to read");
        }
        Ok(())
    }

    fn new_slot(&mut self) -> usize {
        self.next_slot += 1;
        self.next_slot - 1
    }

    // ── unary tests ──────────────────────────────────────────────────────────────────────────────────────────────

    /// A whole input entry.
    fn entry(&mut self) -> Parsed<Vec<Test>> {
        self.skip_space();
        let start = self.at;
        if self.word("not") && self.take("(") {
            let tests = self.test_list()?;
            self.need(")")?;
            self.skip_space();
            if self.at == self.text.len() {
                return Ok(vec![Test::Not(tests)]);
            }
            // `not(a) and b`: an expression after all.
        }
        self.at = start;
        let tests = self.test_list()?;
        self.end("`,` or the end")?;
        Ok(tests)
    }

    fn test_list(&mut self) -> Parsed<Vec<Test>> {
        let mut tests = vec![self.test()?];
        let mut tallest = self.height;
        while self.take(",") {
            tests.push(self.test()?);
            tallest = tallest.max(self.height);
        }
        self.height = tallest;
        Ok(tests)
    }

    fn test(&mut self) -> Parsed<Test> {
        self.enter()?;
        let test = self.test_inner();
        self.depth -= 1;
        test
    }

    fn test_inner(&mut self) -> Parsed<Test> {
        self.skip_space();
        if self.rest().starts_with("==") {
            return self.expected("");
        }
        if self.scope.strict
            && let Some(operand) = self.rest().strip_prefix("!=")
        {
            let operand = operand.trim();
            return self.fail(
                if operand.starts_with('=') || operand.contains([',', '\n', '&', '|']) {
                    "`!=` before a value is JUEL, not FEEL: write `not(…)`".to_owned()
                } else {
                    format!("`!=` before a value is JUEL, not FEEL: write `not({operand})`")
                },
            );
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
                self.skip_space();
                if symbol != "<" && self.rest().starts_with('=') {
                    return self.fail(format!("`{symbol}=` is not FEEL: write `{symbol}`"));
                }
                let operand = self.expr(4)?;
                return Ok(match comparison {
                    Comparison::Equal => match operand {
                        // `= [1, 2]` is equality with the list, not membership.
                        Expr::Const(Value::List(_) | Value::Range(_)) | Expr::List(_) => {
                            Test::Compare(comparison, operand)
                        }
                        operand if operand.constant().is_some() => Test::Value(operand),
                        operand => Test::Compare(comparison, operand),
                    },
                    _ => Test::Compare(comparison, operand),
                });
            }
        }
        if self.peek_word("not") {
            let start = self.at;
            self.at += 3;
            if self.take("(") {
                let tests = self.test_list()?;
                self.need(")")?;
                self.skip_space();
                if matches!(self.rest().chars().next(), None | Some(',' | ')')) {
                    return Ok(Test::Not(tests));
                }
            }
            self.at = start;
        }
        let expr = self.expr(0)?;
        if expr.reads_input() {
            return Ok(Test::Truth(expr));
        }
        Ok(match (&expr, expr.kind()) {
            (Expr::Const(_), _) => Test::Value(expr),
            (_, Kind::Boolean) => Test::Truth(expr),
            _ => Test::Value(expr),
        })
    }

    // ── expressions ──────────────────────────────────────────────────────────────────────────────────────────────

    /// Reads an expression of operators that bind at least as tightly as `level`:
    /// 1 or, 2 and, 3 comparison, 4 addition, 5 multiplication, 6 power.
    fn expr(&mut self, level: u8) -> Parsed<Expr> {
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
            if level <= 6 && self.take("**") {
                let right = self.expr(7)?;
                left = self.binary(Arithmetic::Power, left, right, below)?;
            } else if level <= 5 && (self.peek("*") || self.peek("/")) {
                let operator = if self.take("*") {
                    Arithmetic::Multiply
                } else {
                    self.at += 1;
                    Arithmetic::Divide
                };
                let right = self.expr(6)?;
                left = self.binary(operator, left, right, below)?;
            } else if level <= 4 && (self.peek("+") || self.peek("-")) {
                let operator = if self.take("+") {
                    Arithmetic::Add
                } else {
                    self.at += 1;
                    Arithmetic::Subtract
                };
                let right = self.expr(5)?;
                left = self.binary(operator, left, right, below)?;
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

    fn chain(&mut self, word: &str, first: Expr, below: u32, level: u8) -> Parsed<Expr> {
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

    fn comparison(&mut self, left: Expr, below: u32) -> Parsed<Expr> {
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
            let kind = self.type_name()?;
            self.grow(below)?;
            return self.fold(Expr::InstanceOf(Box::new(left), kind));
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

    fn in_tests(&mut self) -> Parsed<Vec<Test>> {
        self.skip_space();
        let start = self.at;
        if self.take("(") {
            // `(1, 2)` and `(<5)` are tests; `(1..5)` and `(a) + b` are expressions.
            let outer = (std::mem::take(&mut self.in_range), self.lenient);
            let known = (self.locals.len(), self.items.len());
            let tests = self.test_list();
            (self.in_range, self.lenient) = outer;
            self.locals.truncate(known.0);
            self.items.truncate(known.1);
            if let Ok(tests) = tests
                && self.take(")")
            {
                return Ok(tests);
            }
            if self.steps > MAX_STEPS {
                return self.fail("too complicated to read");
            }
            self.at = start;
        }
        if self.rest().starts_with(['<', '>', '=', '!']) {
            return Ok(vec![self.test()?]);
        }
        Ok(vec![Test::Value(self.expr(4)?)])
    }

    fn type_name(&mut self) -> Parsed<Kind> {
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
            if let Some(length) = name_length(self.rest_after_space(), name) {
                self.at += length;
                if self.take("<") {
                    let close = self.rest().find('>');
                    match close {
                        Some(end) => self.at += end + 1,
                        None => return self.expected("`>`"),
                    }
                }
                return Ok(if name == "range" {
                    Kind::Range
                } else {
                    Kind::of_type_ref(name).unwrap_or(Kind::Any)
                });
            }
        }
        self.expected("a type: number, string, boolean, date, time, date and time, …")
    }

    fn rest_after_space(&mut self) -> &'t str {
        self.skip_space();
        self.rest()
    }

    fn unary(&mut self) -> Parsed<Expr> {
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

    fn member_name(&mut self) -> Parsed<String> {
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

    fn primary(&mut self) -> Parsed<Expr> {
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

    fn number(&mut self) -> Parsed<Expr> {
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

    fn string(&mut self) -> Parsed<String> {
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

    fn context(&mut self) -> Parsed<Expr> {
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

    fn named(&mut self) -> Parsed<Expr> {
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

    /// Computes at once what depends on nothing.
    fn fold(&self, expr: Expr) -> Parsed<Expr> {
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

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_' || (c as u32) >= 0x1F000
}

fn is_name_part(c: char) -> bool {
    c.is_alphanumeric()
        || c == '_'
        || (c as u32) >= 0x1F000
        || matches!(c, '\u{B7}' | '\u{300}'..='\u{36F}')
}

fn identifier_length(text: &str) -> usize {
    if !text.starts_with(is_name_start) {
        return 0;
    }
    text.find(|c| !is_name_part(c)).unwrap_or(text.len())
}

/// How many bytes of the text's head are this name, written with any white space between its words.
fn name_length(text: &str, name: &str) -> Option<usize> {
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
