//! Settings from the process environment. Each type with settings has a `from_env`, which names its variables; see [`Env`].

pub use anzol_domain::config::{ConfigError, Env};

/// Returns a reader of the process environment.
#[must_use]
pub fn env() -> Env {
    Env::new(optional)
}

/// Returns a variable of the process environment, or `None` if it is missing or empty.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the only place that reads the environment")]
pub fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}
