//! Configuration from environment variables, with every missing one named in one error.

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
