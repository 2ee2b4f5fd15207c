//! Mistakes in the configuration, and how they are shown: place, source line, caret, what to do.
//!
//! A message never holds a value that came from the environment. Source lines are masked before they get here.

use std::fmt;

use serde::Serialize;

/// One mistake or warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file as the user named it; none for the environment.
    pub file: Option<String>,
    /// 1-based.
    pub line: Option<usize>,
    /// 1-based, in characters.
    pub column: Option<usize>,
    /// Dotted path of the key (`mappings.api.base_url`), where there is one.
    pub path: Option<Box<str>>,
    /// What is wrong; may have several lines.
    pub message: String,
    /// What to do about it.
    pub hint: Option<Box<str>>,
    #[serde(skip)]
    excerpt: Option<Box<Excerpt>>,
}

/// The line a problem is on, secrets masked, and the characters to underline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub text: String,
    /// 0-based, in characters.
    pub start: usize,
    /// Number of characters, at least 1.
    pub width: usize,
}

impl Problem {
    /// A problem without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            file: None,
            line: None,
            column: None,
            path: None,
            message: message.into(),
            hint: None,
            excerpt: None,
        }
    }

    /// Adds the file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Adds line and column, both counted from 1.
    #[must_use]
    pub fn at(mut self, line: usize, column: usize) -> Self {
        self.line = Some(line);
        self.column = Some(column);
        self
    }

    /// Adds the path of the key.
    #[must_use]
    pub fn on(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into().into_boxed_str());
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into().into_boxed_str());
        self
    }

    pub(super) fn excerpt(mut self, excerpt: Option<Excerpt>) -> Self {
        self.excerpt = excerpt.map(Box::new);
        self
    }

    /// `file:line:column: ` as far as known.
    fn place(&self) -> String {
        let mut place = String::new();
        if let Some(file) = &self.file {
            place.push_str(file);
            for number in [self.line, self.column].into_iter().flatten() {
                place.push(':');
                place.push_str(&number.to_string());
            }
            place.push_str(": ");
        }
        place
    }

    /// Several lines: message, source line with caret, hint.
    pub fn full(&self) -> String {
        let mut lines = vec![format!("{}{}", self.place(), self.message)];
        if let (Some(line), Some(excerpt)) = (self.line, &self.excerpt) {
            let number = line.to_string();
            let gutter = " ".repeat(number.len().max(5));
            let indent = " ".repeat(excerpt.start);
            let carets = "^".repeat(excerpt.width);
            lines.push(format!("{number:>5} | {}", excerpt.text));
            lines.push(format!("{gutter} | {indent}{carets}"));
        }
        lines.extend(self.hint.iter().map(|hint| format!("   {hint}")));
        lines.join("\n")
    }
}

impl fmt::Display for Problem {
    /// One line: place, message, hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.place(), self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with the configuration; never empty.
///
/// `Display` is the finished message, `Serialize` the list for `--output json` and `github`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ConfigErrors {
    problems: Vec<Problem>,
}

impl ConfigErrors {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// The mistakes, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&problem.full())?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl From<Problem> for ConfigErrors {
    fn from(problem: Problem) -> Self {
        Self::new(vec![problem])
    }
}
