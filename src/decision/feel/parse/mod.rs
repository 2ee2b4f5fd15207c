//! FEEL text → tree. Names are resolved while reading, since only the known names tell where a name with spaces ends.
//!
//! Nesting, tree height and work are bounded, so that no text can overflow the stack or take forever.

mod literals;
mod names;
mod operators;
mod tests;

use std::sync::Arc;

use self::names::is_name_part;
use super::ast::{Expr, Test};

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
    /// Functions that the file defines, and imports: using one is refused by its name.
    foreign: Arc<[(String, &'static str)]>,
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

    /// Makes functions known that the file defines, and imports, each with what it is (`business knowledge model`, `import`).
    pub fn set_foreign(&mut self, foreign: Arc<[(String, &'static str)]>) {
        self.foreign = foreign;
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
        crate::support::spelling::nearest(name, self.names.iter().map(|(known, _)| known.as_str()))
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
}
