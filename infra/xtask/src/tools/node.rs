//! Node projects: a supported version of Node, and exactly the packages of the lock file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

use super::process;

const OLDEST: u32 = 20;

/// A Node project whose packages are installed.
#[derive(Debug)]
pub(crate) struct Node(PathBuf);

impl Node {
    /// Installs the packages of the project's lock file unless they are installed. Only the installation needs the network.
    pub(crate) fn prepare(project: &Path) -> Result<Self> {
        let version = version_of("node")?;
        ensure_new_enough(&version)?;
        let lock = project.join("package-lock.json");
        let wanted = fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
        let fingerprint = hex::encode(Sha256::new().chain_update(&wanted).chain_update(&version).finalize());
        let stamp = project.join("node_modules/anzol-stamp");
        if !fs::read_to_string(&stamp).is_ok_and(|found| found == fingerprint) {
            version_of("npm")?;
            // No package needs its install scripts, and no package may run code when it is installed.
            let quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
            process::run_well(Command::new("npm").arg("ci").args(quiet).current_dir(project))
                .context("cannot install the Node packages; the first time needs the network")?;
            fs::write(stamp, fingerprint)?;
        }
        Ok(Self(project.to_owned()))
    }

    /// Returns a command that runs `node` in the project.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("node");
        command.current_dir(&self.0);
        command
    }

    /// Returns a command that runs a script of the project's package.json.
    pub(crate) fn script(&self, name: &str) -> Command {
        let mut command = Command::new("npm");
        command.args(["run", "--silent", name]).current_dir(&self.0);
        command
    }
}

fn version_of(program: &str) -> Result<String> {
    let answer = Command::new(program).arg("--version").stderr(Stdio::null()).output();
    match answer {
        Ok(answer) if answer.status.success() => {
            Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
        }
        _ => bail!(
            "{program} is needed: install Node {OLDEST} or newer with npm (on Debian and Ubuntu: apt install nodejs npm)"
        ),
    }
}

fn ensure_new_enough(version: &str) -> Result<()> {
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST) {
        bail!("Node {OLDEST} or newer is needed, found {version}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_node_is_refused_with_both_versions() {
        for good in ["v20.0.0", "v20.20.2", "v24.1.0"] {
            assert!(ensure_new_enough(good).is_ok(), "{good}");
        }
        for bad in ["v18.19.1", "v9.0.0", "nonsense"] {
            let error = ensure_new_enough(bad).unwrap_err().to_string();
            assert_eq!(error, format!("Node 20 or newer is needed, found {bad}"));
        }
    }

    #[test]
    fn missing_program_is_named_with_remedy() {
        let error = version_of("no-such-program-anywhere").unwrap_err().to_string();
        assert!(error.contains("no-such-program-anywhere is needed: install Node 20"), "{error}");
    }
}
