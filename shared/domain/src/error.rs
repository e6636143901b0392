//! Validation errors: one problem per field and rule, collected so that a client sees all of them at once.

use std::fmt;

use crate::rule::{Rule, cut};

/// One broken rule of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// The field as the client wrote it, e.g. `url`, `headers.X-Key` or `eventTypes[1]`.
    pub field: String,
    /// The rule it breaks.
    pub rule: Rule,
}

impl FieldProblem {
    /// Returns a problem of `field`. Cuts a long name, because a client may have written it.
    pub fn new(field: impl Into<String>, rule: Rule) -> Self {
        Self { field: cut(field.into(), MAX_FIELD), rule }
    }
}

/// Longest field name shown, in bytes.
const MAX_FIELD: usize = 256;
/// Longest sentence of a rule, in bytes. Some list many names.
pub(crate) const MAX_RULE: usize = 2048;
/// Maximum number of problems returned.
pub const MAX_PROBLEMS: usize = 100;
/// Longest text of [`Invalid`], in bytes.
pub const MAX_INVALID: usize = MAX_PROBLEMS * (MAX_FIELD + MAX_RULE + 16);

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
    /// Returns an error with a single problem.
    pub fn one(field: impl Into<String>, rule: Rule) -> Self {
        Self(vec![FieldProblem::new(field, rule)])
    }

    /// Returns the same problems with `prefix` before each field name, for an input that is part of a larger one.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        for problem in &mut self.0 {
            problem.field = cut(format!("{prefix}{}", problem.field), MAX_FIELD);
        }
        self
    }
}

/// Collects problems while an input is read field by field.
#[derive(Debug, Default)]
pub struct Problems(Vec<FieldProblem>);

impl Problems {
    /// Returns the value, or adds the problems and returns `None`.
    pub fn take<T>(&mut self, result: Result<T, Invalid>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(Invalid(problems)) => {
                self.extend(problems);
                None
            }
        }
    }

    /// Adds a problem.
    pub fn add(&mut self, field: impl Into<String>, rule: Rule) {
        self.extend([FieldProblem::new(field, rule)]);
    }

    /// Returns the value if there are no problems.
    ///
    /// # Errors
    /// All problems added so far. If the value is missing without a problem, the whole input is reported as incomplete.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Invalid> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ if self.0.is_empty() => Err(Invalid::one("body", Rule::Incomplete)),
            _ => Err(Invalid(self.0)),
        }
    }

    fn extend(&mut self, problems: impl IntoIterator<Item = FieldProblem>) {
        let room = MAX_PROBLEMS.saturating_sub(self.0.len());
        self.0.extend(problems.into_iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_huge_input_are_bounded() {
        let mut problems = Problems::default();
        for _ in 0..MAX_PROBLEMS {
            problems.add("ü".repeat(5_000), Rule::UnknownEventType { name: "é".repeat(5_000).into() });
        }
        problems.take::<()>(Err(Invalid::one("one", Rule::Required)));
        let Err(invalid) = problems.finish(Some(())) else { panic!("accepted") };
        assert_eq!(invalid.0.len(), MAX_PROBLEMS);
        assert!(invalid.0[0].field.ends_with('…') && invalid.to_string().len() <= MAX_INVALID);
        assert!(invalid.within(&"x".repeat(5_000)).to_string().len() <= MAX_INVALID);
    }
}
