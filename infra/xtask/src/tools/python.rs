//! Python environments with exactly the packages of a lock file, each file checked by its hash.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

use super::process;

/// Returns pip's options for lock files: hashes are required, and on Linux source distributions are refused, because build requirements
/// have no hashes.
///
/// Source distributions are accepted on other systems than Linux, because not every package has a wheel there: cryptography has none for
/// Macs with Intel processors. The lock is complete, so pip resolves nothing: it would reject a lock that names `package` where another
/// package requires `package[extra]`.
fn hashed() -> impl Iterator<Item = &'static str> {
    let wheels_only = cfg!(all(target_os = "linux", target_env = "gnu")).then_some("--only-binary=:all:");
    ["--require-hashes", "--no-deps"].into_iter().chain(wheels_only)
}

/// One environment is created at a time; suites and the preparation in the background may need the same one.
static CREATING: Mutex<()> = Mutex::new(());

/// A lock file and the environment with its packages, relative to the repository.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Environment {
    requirements: &'static str,
    venv: &'static str,
}

impl Environment {
    /// The local cloud and the AWS SDK.
    pub(crate) const LOCAL: Self = Self::new("infra/local/requirements.txt", "target/local/venv");
    /// moto.
    pub(crate) const ENDPOINT: Self =
        Self::new("infra/local/requirements-endpoint.txt", "target/local/venv-endpoint");
    /// cargo-lambda and CycloneDX.
    pub(crate) const PACKAGE: Self =
        Self::new("infra/aws/requirements-package.txt", "target/local/venv-package");
    /// SAM and cfn-lint.
    pub(crate) const DEPLOY: Self =
        Self::new("infra/aws/requirements-deploy.txt", "target/local/venv-deploy");
    /// checkov.
    pub(crate) const CHECKOV: Self =
        Self::new("infra/aws/requirements-checkov.txt", "target/local/venv-checkov");
    /// The AWS command line.
    pub(crate) const DOCS: Self = Self::new("infra/local/requirements-docs.txt", "target/local/venv-docs");
    /// The CloudEvents SDK.
    pub(crate) const CLIENTS: Self =
        Self::new("infra/local/requirements-clients.txt", "target/local/venv-clients");
    /// schemathesis.
    pub(crate) const CONTRACT: Self =
        Self::new("infra/local/requirements-contract.txt", "target/local/venv-contract");
    /// ruff.
    pub(crate) const LINT: Self = Self::new("infra/local/requirements-lint.txt", "target/local/venv-lint");
    /// uv.
    pub(crate) const LOCK: Self = Self::new("infra/local/requirements-lock.txt", "target/local/venv-lock");

    const fn new(requirements: &'static str, venv: &'static str) -> Self {
        Self { requirements, venv }
    }

    /// Creates the environment unless it already matches the lock file. Only the creation needs the network.
    pub(crate) fn prepare(self, root: &Path) -> Result<Python> {
        let _creating = CREATING.lock().unwrap_or_else(PoisonError::into_inner);
        Python::prepare(&root.join(self.requirements), &root.join(self.venv))
    }
}

/// A Python environment with exactly the packages of one lock file.
#[derive(Debug)]
pub(crate) struct Python(PathBuf);

impl Python {
    fn prepare(requirements: &Path, venv: &Path) -> Result<Self> {
        let (python, version) = system_python()?;
        let wanted =
            fs::read(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
        // The path counts too: an environment's programs contain it, so a moved environment does not work.
        let path = venv.as_os_str().as_encoded_bytes();
        let parts = Sha256::new().chain_update(&wanted).chain_update(&version).chain_update(path);
        let fingerprint = hex::encode(parts.finalize());
        let stamp = venv.join("anzol-stamp");
        let this = Self(venv.join("bin/python"));
        if fs::read_to_string(&stamp).is_ok_and(|found| found == fingerprint) {
            return Ok(this);
        }
        if venv.exists() {
            fs::remove_dir_all(venv)?;
        }
        fs::create_dir_all(venv)?;
        process::run_well(Command::new(python).args(["-m", "venv"]).arg(venv).stdout(Stdio::null()))
            .context("cannot create a Python environment (on Debian and Ubuntu: apt install python3-venv)")?;
        process::run_well(
            Command::new(&this.0)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .args(hashed())
                .arg("--requirement")
                .arg(requirements),
        )
        .context("cannot install the Python packages; the first time needs the network")?;
        fs::write(stamp, fingerprint)?;
        Ok(this)
    }

    /// Returns the path of one of the environment's programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.0.with_file_name(name)
    }

    /// Returns a command that runs the environment's Python without writing bytecode files.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.0);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// Returns `PATH` with the environment's programs first.
    pub(crate) fn on_path(&self) -> OsString {
        let mut path = self.0.parent().unwrap_or(&self.0).as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        path
    }
}

/// Returns the first Python on the path that is new enough and has the modules for environments, with its version.
fn system_python() -> Result<(&'static str, String)> {
    const VERSION: &str = "import sys; print('%d.%d.%d' % sys.version_info[:3]); \
                           sys.exit(0 if sys.version_info >= (3, 10) else 3); ";
    let mut found = None;
    for name in ["python3", "python"] {
        let Ok(answer) = Command::new(name).args(["-c", VERSION]).stderr(Stdio::null()).output() else {
            continue;
        };
        let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        if answer.status.success() {
            let complete = Command::new(name)
                .args(["-c", "import venv, ensurepip"])
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success());
            ensure!(
                complete,
                "Python's venv module is missing (on Debian and Ubuntu: apt install python3-venv)"
            );
            return Ok((name, version));
        }
        found = found.or(Some(version));
    }
    match found {
        Some(version) => bail!("Python 3.10 or newer is needed, found {version}"),
        None => {
            bail!("Python 3.10 or newer is needed (on Debian and Ubuntu: apt install python3 python3-venv)")
        }
    }
}

/// Returns a command for a Python script that needs only the standard library.
pub(crate) fn plain() -> Result<Command> {
    let mut command = Command::new(system_python()?.0);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}
