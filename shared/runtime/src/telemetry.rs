//! Logging: JSON lines on standard output when Lambda asks for them, one level for all (`AWS_LAMBDA_LOG_LEVEL` or `RUST_LOG`).

/// Sets up logging for the process. Bodies, headers and secrets are never logged, at any level.
pub fn init() {
    lambda_runtime::tracing::init_default_subscriber();
}
