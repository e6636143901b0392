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
    /// A problem of `field`; `rule` continues the sentence. Both may repeat what a client sent, so both are cut.
    pub fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: cut(field.into(), MAX_FIELD), rule: cut(rule.into(), MAX_RULE) }
    }
}

/// Longest field name shown, in bytes.
const MAX_FIELD: usize = 256;
/// Longest rule shown, in bytes. Some list all names that there are.
const MAX_RULE: usize = 2048;
/// Most problems shown. Whoever has more has not read the first ones.
pub const MAX_PROBLEMS: usize = 100;
/// Longest text that [`Invalid`] comes to, in bytes.
pub const MAX_INVALID: usize = MAX_PROBLEMS * (MAX_FIELD + MAX_RULE + 16);

fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - '…'.len_utf8()));
        text.push('…');
    }
    text
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
            problem.field = cut(format!("{prefix}{}", problem.field), MAX_FIELD);
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
            Err(Invalid(problems)) => {
                self.note(problems);
                None
            }
        }
    }

    /// Notes a problem.
    pub fn add(&mut self, field: impl Into<String>, rule: impl Into<String>) {
        self.note([FieldProblem::new(field, rule)]);
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

    fn note(&mut self, problems: impl IntoIterator<Item = FieldProblem>) {
        let room = MAX_PROBLEMS.saturating_sub(self.0.len());
        self.0.extend(problems.into_iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_an_input_is_bounded_however_large_that_is() {
        let mut problems = Problems::default();
        for _ in 0..MAX_PROBLEMS {
            problems.add("ü".repeat(5_000), "is wrong: ".repeat(5_000));
        }
        problems.take::<()>(Err(Invalid::one("one", "too many")));
        let Err(invalid) = problems.finish(Some(())) else { panic!("accepted") };
        assert_eq!(invalid.0.len(), MAX_PROBLEMS);
        assert!(invalid.0[0].field.ends_with('…') && invalid.to_string().len() <= MAX_INVALID);
        assert!(invalid.within(&"x".repeat(5_000)).to_string().len() <= MAX_INVALID);
    }
}
