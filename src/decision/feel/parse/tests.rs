//! Unary tests: the entries of input columns, allowed values, and what follows `in`.

use super::{MAX_STEPS, Parsed, Parser};
use crate::decision::feel::ast::{Comparison, Expr, Test};
use crate::decision::feel::value::{Kind, Value};

impl Parser<'_, '_> {
    /// A whole input entry.
    pub(super) fn entry(&mut self) -> Parsed<Vec<Test>> {
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
        if self.scope.strict
            && tests.len() > 1
            && tests.iter().any(|test| matches!(test, Test::Not(_)))
        {
            self.at = start;
            return self.fail(
                "`not(…)` stands alone in a cell: put all values into it, or write two rules",
            );
        }
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

    pub(super) fn in_tests(&mut self) -> Parsed<Vec<Test>> {
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
}
