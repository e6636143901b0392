//! Programs that are not Rust: found on this machine, or installed by apt where that is possible and wanted.
//!
//! Whoever sits at a terminal is asked. Elsewhere nobody can be: there it is said what is installed, and the variable `ANZOL_APT` keeps
//! it from being done (`no`), or says at a terminal too that it is wanted (`yes`).

use std::collections::BTreeMap;
use std::env;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};

use crate::interrupt;
use crate::process::run_well;
use crate::progress::say;

const VARIABLE: &str = "ANZOL_APT";

/// What was said of packages at the terminal, so that nobody is asked twice.
static ANSWERS: Mutex<BTreeMap<String, bool>> = Mutex::new(BTreeMap::new());

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Consent {
    Given,
    Refused,
    /// Somebody sits at the terminal.
    Ask,
}

/// By the variable, or else by whether somebody can be asked.
fn consent(variable: Option<&str>, terminal: bool) -> Result<Consent> {
    Ok(match variable.unwrap_or_default() {
        "no" => Consent::Refused,
        "" if terminal => Consent::Ask,
        "yes" | "" => Consent::Given,
        other => bail!("{VARIABLE} is yes or no, not {other:?}"),
    })
}

/// What counts as a yes; nothing does not.
fn is_yes(said: &str) -> bool {
    matches!(said.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// Whether these packages may be installed.
fn may_install(packages: &str) -> Result<bool> {
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let variable = env::var_os(VARIABLE).map(|value| value.to_string_lossy().into_owned());
    match consent(variable.as_deref(), terminal)? {
        Consent::Given => return Ok(true),
        Consent::Refused => return Ok(false),
        Consent::Ask => {}
    }
    let mut answers = ANSWERS.lock().ok().context("nobody can be asked any more")?;
    if let Some(answer) = answers.get(packages) {
        return Ok(*answer);
    }
    say(format!("{packages} is not installed. Install it with apt-get, as root? [y/N]"));
    let mut said = String::new();
    std::io::stdin().read_line(&mut said)?;
    interrupt::check()?;
    answers.insert(packages.to_owned(), is_yes(&said));
    Ok(is_yes(&said))
}

/// The first of these programs that is there. Where none is, apt installs `packages` if this is Debian or its like, we are root, and
/// nobody objects; else `missing` says what to do.
pub(crate) fn program(names: &[&str], packages: &[&str], missing: &'static str) -> Result<PathBuf> {
    let find = || names.iter().find_map(|name| on_path(name));
    if let Some(found) = find() {
        return Ok(found);
    }
    if on_path("apt-get").is_none() || !nix::unistd::geteuid().is_root() {
        bail!(missing);
    }
    let names = packages.join(" ");
    if !may_install(&names)? {
        bail!(
            "{missing}. Not asked of apt-get: {VARIABLE}=yes lets this command do it, or: apt-get install --no-install-recommends {names}"
        );
    }
    say(format!("installing {names} with apt-get ({VARIABLE}=no keeps this from being done)"));
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
    fn info_apt_is_asked_for_where_somebody_can_be() {
        for (variable, terminal, expected) in [
            (None, true, Consent::Ask),
            (Some(""), true, Consent::Ask),
            (None, false, Consent::Given),
            (Some("yes"), true, Consent::Given),
            (Some("yes"), false, Consent::Given),
            (Some("no"), true, Consent::Refused),
            (Some("no"), false, Consent::Refused),
        ] {
            assert_eq!(consent(variable, terminal).unwrap(), expected, "{variable:?}, terminal: {terminal}");
        }
        let said = consent(Some("1"), false).unwrap_err().to_string();
        assert_eq!(said, "ANZOL_APT is yes or no, not \"1\"");
    }

    #[test]
    fn info_only_a_yes_is_a_yes() {
        for yes in ["y\n", "Y\n", "yes\n", " YES \r\n"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "no\n", "yeah\n", "install\n"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }

    #[test]
    fn a_program_is_found_where_it_is_and_nowhere_else() {
        assert!(on_path("sh").is_some_and(|program| program.is_absolute()));
        assert_eq!(on_path("no-such-program-anywhere"), None);
    }
}
