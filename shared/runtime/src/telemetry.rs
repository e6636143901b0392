//! Logging: lines on standard output, JSON when Lambda asks for it; the level from `RUST_LOG`, or else `AWS_LAMBDA_LOG_LEVEL`.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::optional;

/// Start of the targets of our own crates.
const OURS: &str = "anzol";

/// Sets up logging for the process. Bodies, headers and secrets are never logged, at any level.
pub fn init() {
    // RUST_LOG first: it is what the template's LogLevel sets, and Lambda sets the other by itself.
    let level = optional("RUST_LOG").or_else(|| optional("AWS_LAMBDA_LOG_LEVEL"));
    let level = level.and_then(|name| name.parse().ok()).unwrap_or(LevelFilter::INFO);
    let registry = tracing_subscriber::registry().with(filter(level));
    let lines = fmt::layer().with_target(false).without_time();
    if optional("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json")) {
        registry.with(lines.json()).init();
    } else {
        registry.with(lines).init();
    }
}

/// Our own crates as told; all others `info` at most, whatever we are told. Below that the AWS SDK prints requests and answers, the
/// Lambda runtime the events it gets, hyper what it reads and writes: tokens, secrets and customers' data, each of them.
fn filter(level: LevelFilter) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::INFO)).with_target(OURS, level)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn only_our_own_lines_are_ever_more_than_info() {
        let all = filter(LevelFilter::TRACE);
        assert!(all.would_enable("anzol_sender::burst", &Level::TRACE));
        for other in ["aws_smithy_runtime::client::http", "lambda_runtime::layers", "hyper::proto", "reqwest"]
        {
            assert!(all.would_enable(other, &Level::INFO), "{other}");
            assert!(!all.would_enable(other, &Level::DEBUG), "{other}");
        }
        let few = filter(LevelFilter::ERROR);
        assert!(few.would_enable("hyper", &Level::ERROR) && !few.would_enable("hyper", &Level::WARN));
        assert!(few.would_enable("anzol_api", &Level::ERROR) && !few.would_enable("anzol_api", &Level::WARN));
    }
}
