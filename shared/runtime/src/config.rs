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

#[cfg(test)]
mod tests {
    use super::*;

    /// A variable that cargo and CI set.
    const SET: &str = "PATH";
    const ABSENT: &str = "ANZOL_NO_SUCH_VARIABLE";

    #[test]
    fn settings_come_from_the_process_environment() {
        let path = optional(SET).unwrap();
        assert!(std::env::split_paths(&path).count() > 0 && path.contains('/'), "{path}");
        assert_eq!(optional(ABSENT), None);
        let mut env = env();
        assert_eq!(env.required(SET), path);
        assert_eq!(env.optional::<String>(ABSENT), None);
        assert!(env.finish().is_ok());
        let mut env = super::env();
        assert_eq!(env.required(ABSENT), "");
        assert!(env.finish().unwrap_err().to_string().contains(ABSENT));
    }
}
