//! Programs of the operating system: found on the path, or installed with apt-get.
//!
//! At a terminal, the user is asked first. Elsewhere the packages are installed and named in the output. `ANZOL_APT=no` prevents
//! installation, and `ANZOL_APT=yes` allows it without a question.

use std::collections::BTreeMap;
use std::env;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};

use super::interrupt;
use super::process::run_well;
use super::progress::say;

const VARIABLE: &str = "ANZOL_APT";

/// The user's answers by packages, so that each question is asked only once.
static ANSWERS: Mutex<BTreeMap<String, bool>> = Mutex::new(BTreeMap::new());

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Consent {
    Given,
    Refused,
    /// The user at the terminal decides.
    Ask,
}

/// Returns the consent that the variable gives. If it is not set, the user is asked at a terminal; elsewhere consent is given.
fn consent(variable: Option<&str>, terminal: bool) -> Result<Consent> {
    Ok(match variable.unwrap_or_default() {
        "no" => Consent::Refused,
        "" if terminal => Consent::Ask,
        "yes" | "" => Consent::Given,
        other => bail!("{VARIABLE} is yes or no, not {other:?}"),
    })
}

/// Returns whether an answer is a yes; an empty one is a no.
fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// Returns whether these packages may be installed, and asks the user if necessary.
fn may_install(packages: &str) -> Result<bool> {
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let variable = env::var_os(VARIABLE).map(|value| value.to_string_lossy().into_owned());
    match consent(variable.as_deref(), terminal)? {
        Consent::Given => return Ok(true),
        Consent::Refused => return Ok(false),
        Consent::Ask => {}
    }
    let mut answers = ANSWERS.lock().ok().context("an earlier question panicked")?;
    if let Some(answer) = answers.get(packages) {
        return Ok(*answer);
    }
    say(format!("{packages} is not installed. Install it with apt-get, as root? [y/N]"));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    interrupt::check()?;
    answers.insert(packages.to_owned(), is_yes(&answer));
    Ok(is_yes(&answer))
}

/// Returns the first of these programs that exists. If none does, installs `packages` on Debian-like systems, as root and with consent;
/// otherwise fails with `missing`, which says what to do.
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
            "{missing}. Not installed: allow it with {VARIABLE}=yes, or run: apt-get install --no-install-recommends {names}"
        );
    }
    say(format!("installing {names} with apt-get ({VARIABLE}=no prevents this)"));
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
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_apt_asks_only_at_a_terminal() {
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
        let error = consent(Some("1"), false).unwrap_err().to_string();
        assert_eq!(error, "ANZOL_APT is yes or no, not \"1\"");
    }

    #[test]
    fn info_only_y_or_yes_is_consent() {
        for yes in ["y\n", "Y\n", "yes\n", " YES \r\n"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "no\n", "yeah\n", "install\n"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(on_path("sh").is_some_and(|program| program.is_absolute()));
        assert_eq!(on_path("no-such-program-anywhere"), None);
    }
}
