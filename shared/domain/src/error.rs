//! What is wrong with an input: one problem per field and rule, collected so that a client sees all of them at once.

use std::fmt;

/// One broken rule of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// The field as the client wrote it, e.g. `url`, `headers.X-Key` or `eventTypes[1]`.
    pub field: String,
    /// The rule it breaks, as the rest of a sentence that starts with the field: `must use https`.
    pub rule: String,
}

impl FieldProblem {
    /// A problem of `field`; `rule` continues the sentence.
    pub fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into() }
    }
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field, self.rule)
    }
}

/// An input that breaks at least one rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Invalid(pub Vec<FieldProblem>);

impl Invalid {
    /// A single problem.
    pub fn one(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self(vec![FieldProblem::new(field, rule)])
    }

    /// The same problems with `prefix` put before each field name, for inputs that are part of a larger one.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        for problem in &mut self.0 {
            problem.field = format!("{prefix}{}", problem.field);
        }
        self
    }
}

/// Collects problems while an input is read field by field.
#[derive(Debug, Default)]
pub struct Problems(Vec<FieldProblem>);

impl Problems {
    /// Keeps the value, or notes its problems and goes on.
    pub fn take<T>(&mut self, result: Result<T, Invalid>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(Invalid(mut problems)) => {
                self.0.append(&mut problems);
                None
            }
        }
    }

    /// Notes a problem.
    pub fn add(&mut self, field: impl Into<String>, rule: impl Into<String>) {
        self.0.push(FieldProblem::new(field, rule));
    }

    /// The built value, when nothing was wrong on the way.
    ///
    /// # Errors
    /// All problems noted so far. A missing value without a problem noted is itself a problem of the whole input.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Invalid> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ if self.0.is_empty() => Err(Invalid::one("body", "is not complete")),
            _ => Err(Invalid(self.0)),
        }
    }
}
