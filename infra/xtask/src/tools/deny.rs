//! cargo-deny, where it is installed. Its policy is `.deny.toml`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use super::cargo::cargo;
use super::process::run_well;

/// Returns whether cargo finds cargo-deny on the path.
pub(crate) fn is_installed() -> bool {
    let version =
        Command::new("cargo-deny").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// Runs `cargo deny check` with these checks.
pub(crate) fn check(root: &Path, checks: &[&str]) -> Result<()> {
    // cargo-deny also resolves the graph of other platforms, so it needs the network for crates that were never built here.
    run_well(
        cargo(root)
            .args(["deny", "--locked", "--log-level=error", "check", "--hide-inclusion-graph"])
            .args(checks),
    )
}
