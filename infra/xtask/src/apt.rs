//! Programs that are not Rust: found on this machine, or installed where that can be done without asking.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::process::run_well;
use crate::progress::say;

/// The first of these programs that is there. Where none is, apt installs `packages` if this is Debian or its like, and we are root;
/// else `missing` says what to do.
pub(crate) fn program(names: &[&str], packages: &[&str], missing: &'static str) -> Result<PathBuf> {
    let find = || names.iter().find_map(|name| on_path(name));
    if let Some(found) = find() {
        return Ok(found);
    }
    if on_path("apt-get").is_none() || !nix::unistd::geteuid().is_root() {
        bail!(missing);
    }
    say(format!("installing {}", packages.join(", ")));
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(words).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
        run_well(&mut command)
    };
    let install = [&["install", "-q", "-y", "--no-install-recommends"], packages].concat();
    apt(&["update", "-q"]).and_then(|()| apt(&install)).context(missing)?;
    find().context(missing)
}

fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|place| place.join(name)).find(|program| program.is_file())
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
