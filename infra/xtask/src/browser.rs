//! The browser of the console's tests: the system's Chromium, never a download of our own.

use std::path::PathBuf;

use anyhow::Result;

use crate::apt;

/// Programs that will do, the best first.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// What to do where it is not there and cannot be installed from here.
const MISSING: &str = "Chromium is needed: install it (on Debian and Ubuntu: apt install chromium)";

/// The program, installed if need be and possible.
pub(crate) fn chromium() -> Result<PathBuf> {
    apt::program(&NAMES, &["chromium", "fonts-dejavu-core"], MISSING)
}
