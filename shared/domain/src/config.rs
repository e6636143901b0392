//! Reads deployment settings and collects every problem, so that one error lists all of them.
//!
//! Each type with settings has a function `from_env`, which names the variables, their defaults and their bounds. The caller passes the
//! function that looks up variables: the Lambda functions pass the process environment (`anzol_runtime::config::env`), tests pass their
//! own.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Missing and invalid settings.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {}", .0.join("; "))]
pub struct ConfigError(Vec<String>);

type Lookup = dyn Fn(&str) -> Option<String>;

/// A source of settings that collects missing and invalid ones; see [`Env::finish`].
pub struct Env {
    lookup: Box<Lookup>,
    problems: Vec<String>,
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").field("problems", &self.problems).finish_non_exhaustive()
    }
}

impl Env {
    /// Reads variables through `lookup`. An empty value counts as missing.
    #[must_use]
    pub fn new(lookup: impl Fn(&str) -> Option<String> + 'static) -> Self {
        Self { lookup: Box::new(lookup), problems: Vec::new() }
    }

    fn get(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|text| !text.is_empty())
    }

    /// Returns a required variable. If the variable is missing, returns an empty string, and [`Env::finish`] fails.
    pub fn required(&mut self, name: &str) -> String {
        self.get(name).unwrap_or_else(|| {
            self.problems.push(format!("the environment variable {name} is not set"));
            String::new()
        })
    }

    /// Returns an optional variable, or `None` if the variable is missing or invalid. An invalid one makes [`Env::finish`] fail.
    pub fn optional<T: FromStr>(&mut self, name: &str) -> Option<T> {
        let value = self.get(name)?.parse().ok();
        if value.is_none() {
            self.problems.push(format!("the environment variable {name} is not valid"));
        }
        value
    }

    /// Returns a variable, or `default` if the variable is missing or invalid. An invalid one makes [`Env::finish`] fail.
    pub fn or<T: FromStr>(&mut self, name: &str, default: T) -> T {
        self.optional(name).unwrap_or(default)
    }

    /// Returns a number within `bounds`, or `default` if the variable is missing or invalid.
    ///
    /// The bounds are those of the template's parameter; they also apply to a variable that is set by hand.
    pub fn within<T>(&mut self, name: &str, default: T, bounds: &RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Copy + fmt::Display,
    {
        let value = self.or(name, default);
        if bounds.contains(&value) {
            return value;
        }
        let (min, max) = (bounds.start(), bounds.end());
        self.problems.push(format!("the environment variable {name} must be from {min} to {max}"));
        default
    }

    /// Checks that all settings were valid.
    ///
    /// # Errors
    /// An error that lists every missing and invalid variable.
    pub fn finish(self) -> Result<(), ConfigError> {
        if self.problems.is_empty() { Ok(()) } else { Err(ConfigError(self.problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Env {
        Env::new(|name| match name {
            "TEXT" => Some("seven".to_owned()),
            "SMALL" => Some("0".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn missing_optional_settings_have_their_defaults() {
        let mut env = env();
        assert_eq!((env.or("MISSING", 7), env.or("EMPTY", 7)), (7, 7));
        assert_eq!(env.within("MISSING", 7, &(1..=9)), 7);
        assert_eq!(env.optional::<u32>("EMPTY"), None);
        assert_eq!(env.required("TEXT"), "seven");
        env.finish().unwrap();
    }

    #[test]
    fn every_problem_is_reported_in_one_error() {
        let mut env = env();
        env.required("MISSING");
        env.required("EMPTY");
        assert_eq!(env.or("TEXT", 7), 7);
        assert_eq!(env.within("SMALL", 7, &(1..=9)), 7, "0 is out of bounds");
        let error = env.finish().unwrap_err().to_string();
        for problem in
            ["MISSING is not set", "EMPTY is not set", "TEXT is not valid", "SMALL must be from 1 to 9"]
        {
            assert!(error.contains(problem), "{error}");
        }
    }
}
