//! `cargo xtask advisories`: checks all dependencies against the RustSec database. Run it weekly; it needs the network.
//!
//! `cargo xtask test` does not: a new advisory must not fail an unrelated change.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::tools::deny;

pub(crate) fn advisories(root: &Path) -> Result<()> {
    if !deny::is_installed() {
        bail!("cargo-deny is not installed; install it with: cargo install --locked cargo-deny");
    }
    deny::check(root, &["advisories"])
        .context("advisories apply to dependencies, or the database is unreachable; see above")
}
