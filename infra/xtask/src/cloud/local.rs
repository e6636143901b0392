//! The local cloud: MiniStack, and `infra/local/cloud.py`, which deploys the template to it and seeds it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::stack;
use crate::tools::process::{self, Process};
use crate::tools::python::Python;
use crate::tools::{cargo, interrupt};

pub(crate) const REGION: &str = "us-east-1";
/// Name of the CloudFormation stack in the local cloud.
pub(crate) const STACK: &str = "anzol";
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Output of `cloud.py seed`.
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

/// A local cloud on a port of this machine.
#[derive(Debug)]
pub(crate) struct LocalCloud<'a> {
    pub(crate) python: &'a Python,
    pub(crate) root: &'a Path,
    /// The directory for everything that it writes, including unpacked functions.
    pub(crate) directory: &'a Path,
    pub(crate) port: u16,
}

impl LocalCloud<'_> {
    pub(crate) fn endpoint(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// Starts MiniStack and waits until it answers. The functions inherit its environment, including `function_environment`.
    pub(crate) fn start(&self, logs: &Path, function_environment: &[(&str, OsString)]) -> Result<Process> {
        let log = logs.join("cloud.log");
        let mut command = self.command(&self.python.program("python"));
        command
            .args(["-m", "ministack"])
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", self.port.to_string())
            .env("AUTH", "true") // IAM is enforced
            // For the keys of its user pools, which are in /tmp by default. tests/e2e/tokens.rs signs with them.
            .env("STATE_DIR", self.directory.join("tmp/state"))
            .env("AWS_ENDPOINT_URL", self.endpoint())
            // Disables listeners that nothing uses, and access to a Docker daemon.
            .env("SFTP_ENABLED", "0")
            .env("IOT_MTLS_ENABLED", "0")
            .env("DOCKER_HOST", "unix:///nonexistent")
            .envs(function_environment.iter().map(|(name, value)| (name, value)));
        let mut process = Process::start("cloud", &mut command, &log)?;
        match self.wait_until_healthy(&mut process) {
            Ok(()) => Ok(process),
            Err(error) => {
                process.stop();
                Err(error.context(format!("the local cloud did not start, see {}", log.display())))
            }
        }
    }

    fn wait_until_healthy(&self, process: &mut Process) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/_ministack/health", self.port);
        let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
        let started = Instant::now();
        while agent.get(&url).call().is_err() {
            ensure!(!process.has_exited(), "it exited");
            ensure!(started.elapsed() < START_TIMEOUT, "it does not answer");
            interrupt::pause()?;
        }
        Ok(())
    }

    /// Creates the stack from the unmodified template and returns its outputs. `parameters` (`Name=value`) override the defaults for this
    /// machine.
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

    /// Creates the users of two tenants and signs them in.
    pub(crate) fn seed(&self, outputs: &BTreeMap<String, String>) -> Result<Seed> {
        let file = self.directory.join("outputs.json");
        stack::write_privately(&file, &serde_json::to_vec_pretty(outputs)?)?;
        json_of(self.cloud_py("seed").arg("--outputs").arg(file))
    }

    /// Returns the environment variables of a function that runs by hand: its configuration, and the cloud's address and credentials.
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

    /// Starts a process that copies the log of each function to a file.
    pub(crate) fn follow_logs(&self, logs: &Path) -> Result<Process> {
        let mut command = self.cloud_py("logs");
        command.args(["--stack", STACK, "--directory"]).arg(logs);
        for function in cargo::FUNCTIONS {
            command.args(["--function", function]);
        }
        Process::start("logs", &mut command, &logs.join("logs.log"))
    }

    fn cloud_py(&self, subcommand: &str) -> Command {
        let mut command = self.command(&self.python.program("python"));
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

/// Returns a command whose environment has none of the user's AWS settings, proxies or home directory.
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

/// Returns arguments for the template parameters that this machine needs and for the given ones, which take precedence.
pub(crate) fn with_own_parameters(given: &[&str]) -> Vec<String> {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let own = [&format!("Architecture={architecture}"), "Throughput=small", "TokenHours=24"];
    let name = |parameter: &str| parameter.split('=').next().map(str::to_owned);
    let own = own.into_iter().filter(|own| !given.iter().any(|given| name(given) == name(own)));
    own.chain(given.iter().copied())
        .flat_map(|parameter| ["--parameter".to_owned(), parameter.to_owned()])
        .collect()
}

/// Runs a subcommand of cloud.py or resources.py and parses its output.
pub(crate) fn json_of<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    let output = process::run(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{}", errors.trim().lines().last().unwrap_or("cloud.py failed without a message"));
    }
    serde_json::from_slice(&output.stdout).context("cloud.py did not print JSON")
}
