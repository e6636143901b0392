//! The browser for the console's tests: the system's Chromium. Nothing is downloaded.

use std::path::PathBuf;

use anyhow::Result;

use super::apt;

/// Suitable programs, the preferred one first.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const MISSING: &str = "Chromium is needed: install it (on Debian and Ubuntu: apt install chromium)";

/// Returns the program, and installs it if necessary and possible.
pub(crate) fn chromium() -> Result<PathBuf> {
    apt::program(&NAMES, &["chromium", "fonts-dejavu-core"], MISSING)
}
