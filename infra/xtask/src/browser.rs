//! The browser for the suite `console`: the system's Chromium, installed where that can be done without asking anybody.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::process::run_well;
use crate::progress::say;

/// Programs that will do, the best first.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// What to do where it is not there and cannot be installed from here.
const MISSING: &str = "Chromium is needed: install it (on Debian and Ubuntu: apt install chromium)";

/// The program. Where it is not there, apt installs it if this is Debian or its like, and we are root.
pub(crate) fn chromium() -> Result<PathBuf> {
    if let Some(found) = find() {
        return Ok(found);
    }
    if on_path("apt-get").is_none() || !is_root() {
        bail!(MISSING);
    }
    say("installing Chromium");
    let apt = |words: &[&str]| {
        run_well(
            Command::new("apt-get")
                .args(words)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .stdout(Stdio::null()),
        )
    };
    apt(&["update", "-q"])
        .and_then(|()| {
            apt(&["install", "-q", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core"])
        })
        .context(MISSING)?;
    find().context(MISSING)
}

fn find() -> Option<PathBuf> {
    NAMES.into_iter().find_map(on_path)
}

fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|place| place.join(name)).find(|program| program.is_file())
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_where_it_is_and_nowhere_else() {
        assert!(on_path("sh").is_some_and(|program| program.is_absolute()));
        assert_eq!(on_path("no-such-program-anywhere"), None);
    }
}
