//! Configuration from environment variables, with every missing one named in one error.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// What is missing or wrong.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {}", .0.join("; "))]
pub struct ConfigError(Vec<String>);

/// Reads variables and collects what is wrong with them.
#[derive(Debug, Default)]
pub struct Env(Vec<String>);

impl Env {
    /// Starts reading.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A variable that has to be there. Answers an empty text when it is not; [`Env::finish`] then fails.
    pub fn required(&mut self, name: &str) -> String {
        let value = optional(name);
        if value.is_none() {
            self.0.push(format!("the environment variable {name} is not set"));
        }
        value.unwrap_or_default()
    }

    /// A variable with a default.
    pub fn or<T: FromStr>(&mut self, name: &str, default: T) -> T {
        match optional(name).map(|text| text.parse()) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(_)) => {
                self.0.push(format!("the environment variable {name} cannot be read"));
                default
            }
        }
    }

    /// A variable that may be missing, but not be wrong.
    pub fn maybe<T: FromStr>(&mut self, name: &str) -> Option<T> {
        let value = optional(name)?.parse().ok();
        if value.is_none() {
            self.0.push(format!("the environment variable {name} cannot be read"));
        }
        value
    }

    /// A number with a default and bounds, as the template's parameters have them; whoever sets the variable by hand is held to them too.
    pub fn within<T>(&mut self, name: &str, default: T, bounds: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Copy + Display,
    {
        let value = self.or(name, default);
        if bounds.contains(&value) {
            return value;
        }
        let (least, most) = bounds.into_inner();
        self.0.push(format!("the environment variable {name} must be from {least} to {most}"));
        default
    }

    /// Ends the reading: fails when anything was missing or wrong.
    pub fn finish(self) -> Result<(), ConfigError> {
        if self.0.is_empty() { Ok(()) } else { Err(ConfigError(self.0)) }
    }
}

/// A variable that may be missing; an empty one counts as missing.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place the rule points to")]
pub fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_said_at_once_and_nothing_else_is_wrong() {
        // Variables that every process has, or none: tests must not change the environment of others.
        let mut env = Env::new();
        assert_eq!(env.or("ANZOL_NO_SUCH_VARIABLE", 7), 7);
        assert_eq!(env.within("ANZOL_NO_SUCH_VARIABLE", 7, 1..=9), 7);
        env.finish().unwrap();
        let mut env = Env::new();
        env.required("ANZOL_NO_SUCH_VARIABLE");
        assert_eq!(env.or("PATH", 7), 7);
        assert_eq!(env.within("CARGO_PKG_VERSION_MAJOR", 7, 1..=9), 7, "0 is out of bounds");
        let error = env.finish().unwrap_err().to_string();
        for said in [
            "ANZOL_NO_SUCH_VARIABLE is not set",
            "PATH cannot be read",
            "CARGO_PKG_VERSION_MAJOR must be from 1 to 9",
        ] {
            assert!(error.contains(said), "{error}");
        }
    }
}
