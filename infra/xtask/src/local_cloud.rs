//! The local cloud: MiniStack in a Python environment of its own, and `infra/local/cloud.py`, which deploys to it and seeds it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::process::{self, Process};
use crate::{build, interrupt, stack};

pub(crate) const REGION: &str = "us-east-1";
/// Name of the stack in the local cloud.
pub(crate) const STACK: &str = "anzol";
const START_PATIENCE: Duration = Duration::from_secs(30);

/// What `cloud.py seed` answers.
#[derive(Debug, Deserialize)]
pub(crate) struct Seed {
    pub(crate) tokens: BTreeMap<String, String>,
    pub(crate) clients: BTreeMap<String, Client>,
    pub(crate) tenants: BTreeMap<String, String>,
    pub(crate) password: String,
}

/// A confidential client of the user pool.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Client {
    id: String,
    secret: String,
}

/// How packages are installed: only files whose hashes the lock has. What a build needs has no hashes, so nothing is built; but where
/// a package has no wheel for the system, which none lacks on Linux (cryptography has none for Macs with Intel's processors). The lock has all
/// that belongs to a package, so pip need not look for it: it would want a version of its own for `name[extra]`, though it has one of `name`.
fn hashed() -> impl Iterator<Item = &'static str> {
    let wheels_only = cfg!(all(target_os = "linux", target_env = "gnu")).then_some("--only-binary=:all:");
    ["--require-hashes", "--no-deps"].into_iter().chain(wheels_only)
}

/// A Python environment that holds what a lock file names, to the byte.
#[derive(Debug)]
pub(crate) struct Python(PathBuf);

impl Python {
    /// Makes `venv` unless it already holds exactly what `requirements` names; so only the first time needs the network.
    pub(crate) fn prepare(requirements: &Path, venv: &Path) -> Result<Self> {
        let (python, version) = system_python()?;
        let wanted =
            fs::read(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
        // The place too: the programs of an environment name it, so one that was moved is made anew.
        let place = venv.as_os_str().as_encoded_bytes();
        let parts = Sha256::new().chain_update(&wanted).chain_update(&version).chain_update(place);
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

    /// A program of the environment.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.0.with_file_name(name)
    }

    /// `PATH` with the environment's programs before all others.
    pub(crate) fn on_path(&self) -> OsString {
        let mut path = self.0.parent().unwrap_or(&self.0).as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        path
    }
}

/// The first Python that is new enough, and its version.
fn system_python() -> Result<(&'static str, String)> {
    const ASK: &str = "import sys; print('%d.%d.%d' % sys.version_info[:3]); \
                       sys.exit(0 if sys.version_info >= (3, 10) else 3); ";
    let mut found = None;
    for name in ["python3", "python"] {
        let Ok(answer) = Command::new(name).args(["-c", ASK]).stderr(Stdio::null()).output() else {
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

/// The port asked for, or the first free one from `first` on.
pub(crate) fn choose_port(asked: Option<u16>, first: u16) -> Result<u16> {
    if let Some(port) = asked {
        ensure!(
            is_free(port),
            "port {port} is taken; choose another with --port, or none for the next free one"
        );
        return Ok(port);
    }
    (first..first.saturating_add(100))
        .find(|port| is_free(*port))
        .with_context(|| format!("no free port from {first} on"))
}

/// Nobody answers on it under either meaning of `localhost`, and we may listen there.
fn is_free(port: u16) -> bool {
    let answers =
        |address: SocketAddr| TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok();
    !answers((Ipv4Addr::LOCALHOST, port).into())
        && !answers((Ipv6Addr::LOCALHOST, port).into())
        && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Where the local cloud is and what it may use.
#[derive(Debug)]
pub(crate) struct LocalCloud<'a> {
    pub(crate) python: &'a Python,
    pub(crate) root: &'a Path,
    /// Everything it writes, unpacked functions included, goes below this directory.
    pub(crate) directory: &'a Path,
    pub(crate) port: u16,
}

impl LocalCloud<'_> {
    pub(crate) fn endpoint(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// Starts MiniStack and waits until it answers. The functions inherit its environment, `function_environment` included.
    pub(crate) fn start(&self, logs: &Path, function_environment: &[(&str, OsString)]) -> Result<Process> {
        let log = logs.join("cloud.log");
        let mut command = self.command(&self.python.0);
        command
            .args(["-m", "ministack"])
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", self.port.to_string())
            .env("AUTH", "true") // IAM is enforced
            // Its user pools' keys, which would else lie in /tmp for all. tests/e2e/tokens.rs signs with them.
            .env("STATE_DIR", self.directory.join("tmp/state"))
            .env("AWS_ENDPOINT_URL", self.endpoint())
            // Listeners we have no use for, and a Docker daemon whose containers are none of its business.
            .env("SFTP_ENABLED", "0")
            .env("IOT_MTLS_ENABLED", "0")
            .env("DOCKER_HOST", "unix:///nonexistent")
            .envs(function_environment.iter().map(|(name, value)| (name, value)));
        let mut process = Process::start("cloud", &mut command, &log)?;
        match self.wait_until_healthy(&mut process) {
            Ok(()) => Ok(process),
            Err(error) => {
                process.end();
                Err(error.context(format!("the local cloud did not start, see {}", log.display())))
            }
        }
    }

    fn wait_until_healthy(&self, process: &mut Process) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/_ministack/health", self.port);
        let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
        let began = Instant::now();
        while agent.get(&url).call().is_err() {
            ensure!(!process.has_ended(), "it ended at once");
            ensure!(began.elapsed() < START_PATIENCE, "it does not answer");
            interrupt::pause()?;
        }
        Ok(())
    }

    /// Creates the stack from the template as it is and gives its outputs. `parameters` are of the form `Name=value`; they go before
    /// those that fit this machine.
    pub(crate) fn deploy(
        &self,
        functions: &BTreeMap<&str, PathBuf>,
        parameters: &[&str],
    ) -> Result<BTreeMap<String, String>> {
        let mut command = self.cloud_py("deploy");
        command.args(["--stack", STACK, "--template"]).arg(self.root.join("infra/template.yaml"));
        for (name, binary) in functions {
            let mut pair = OsString::from(format!("{name}="));
            pair.push(binary);
            command.arg("--function").arg(pair);
        }
        json_of(command.args(with_own_parameters(parameters)))
    }

    /// Creates two tenants' users and signs them in.
    pub(crate) fn seed(&self, outputs: &BTreeMap<String, String>) -> Result<Seed> {
        let file = self.directory.join("outputs.json");
        stack::write_privately(&file, &serde_json::to_vec_pretty(outputs)?)?;
        json_of(self.cloud_py("seed").arg("--outputs").arg(file))
    }

    /// The functions' environment variables, with where the local cloud is and who may call it: all that one needs that is run by hand.
    pub(crate) fn environment(&self, outputs: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
        let file = self.directory.join("outputs.json");
        stack::write_privately(&file, &serde_json::to_vec_pretty(outputs)?)?;
        let mut variables: BTreeMap<String, String> =
            json_of(self.cloud_py("environment").arg("--outputs").arg(file))?;
        let own = [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ];
        variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
        Ok(variables)
    }

    /// Copies what the functions log into a file for each, as long as it runs.
    pub(crate) fn follow_logs(&self, logs: &Path) -> Result<Process> {
        let mut command = self.cloud_py("logs");
        command.args(["--stack", STACK, "--directory"]).arg(logs);
        for function in build::FUNCTIONS {
            command.args(["--function", function]);
        }
        Process::start("logs", &mut command, &logs.join("logs.log"))
    }

    fn cloud_py(&self, subcommand: &str) -> Command {
        let mut command = self.command(&self.python.0);
        command
            .arg(self.root.join("infra/local/cloud.py"))
            .arg(subcommand)
            .args(["--endpoint", &self.endpoint()]);
        command
    }

    fn command(&self, program: &Path) -> Command {
        clean_command(program, self.directory)
    }
}

/// Nothing of the person's own AWS settings, proxies or home directory reaches the local cloud.
pub(crate) fn clean_command(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("HOME", directory.join("tmp"))
        .env("TMPDIR", directory.join("tmp"));
    command
}

/// The template's parameters that fit this machine, and then those given, which go first where both name one.
pub(crate) fn with_own_parameters(given: &[&str]) -> Vec<String> {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let own = [&format!("Architecture={architecture}"), "Throughput=small", "TokenHours=24"];
    let name = |parameter: &str| parameter.split('=').next().map(str::to_owned);
    let own = own.into_iter().filter(|own| !given.iter().any(|given| name(given) == name(own)));
    own.chain(given.iter().copied())
        .flat_map(|parameter| ["--parameter".to_owned(), parameter.to_owned()])
        .collect()
}

/// Runs a subcommand of cloud.py; what it answers.
pub(crate) fn json_of<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    let output = process::run(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.trim().lines().last().unwrap_or("cloud.py failed without a word"));
    }
    serde_json::from_slice(&output.stdout).context("cloud.py answered no JSON")
}
