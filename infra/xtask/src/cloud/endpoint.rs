//! An external endpoint, which `AWS_ENDPOINT_URL` names: the resources that `infra/local/resources.py` creates there, the plan for the
//! runner, and moto as such an endpoint, for the suite `endpoint`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::local::{clean_command, json_of, with_own_parameters};
use crate::tools::interrupt;
use crate::tools::process::Process;
use crate::tools::progress::say;
use crate::tools::python::{Environment, Python};

/// The program that emulates Lambda, API Gateway and Cognito: tests/runner.
pub(crate) const RUNNER: &str = "runner";
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns the endpoint that `AWS_ENDPOINT_URL` names.
pub(crate) fn named() -> Option<String> {
    std::env::var_os("AWS_ENDPOINT_URL")?.into_string().ok().filter(|url| !url.is_empty())
}

/// The resources of one run at an endpoint.
#[derive(Debug)]
pub(crate) struct Resources {
    root: PathBuf,
    python: PathBuf,
    directory: PathBuf,
}

/// The runner's instructions: functions and their event sources, and the outputs for clients.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Plan {
    #[serde(default)]
    pub(crate) stack: String,
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) tenants: BTreeMap<String, String>,
    functions: BTreeMap<String, Map<String, Value>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Plan {
    /// Adds the binaries, variables, ports and paths of this machine.
    pub(crate) fn complete(
        &mut self,
        binaries: &BTreeMap<&str, PathBuf>,
        environment: &[(&str, OsString)],
        port: u16,
        logs: &Path,
    ) -> Result<()> {
        for (name, function) in &mut self.functions {
            let binary = binaries.get(name.as_str()).with_context(|| format!("no {name} was built"))?;
            function.insert("binary".to_owned(), json!(binary));
            let variables = function.get_mut("environment").and_then(Value::as_object_mut);
            let more =
                environment.iter().map(|(name, value)| ((*name).to_owned(), json!(value.to_string_lossy())));
            variables.context("the plan has a function without variables")?.extend(more);
            let _ = fs::remove_file(logs.join(format!("{name}.log"))); // the runner appends
        }
        self.rest.extend([("port".to_owned(), json!(port)), ("logs".to_owned(), json!(logs))]);
        Ok(())
    }
}

impl Resources {
    pub(crate) fn new(root: &Path, python: &Python, directory: &Path) -> Self {
        Self { root: root.to_owned(), python: python.program("python"), directory: directory.to_owned() }
    }

    /// Creates the template's tables, queues and keys under a unique name.
    pub(crate) fn create(&self, endpoint: &str, api_url: &str, parameters: &[&str]) -> Result<Plan> {
        // This also excludes AWS itself.
        ensure!(
            endpoint.starts_with("http://"),
            "AWS_ENDPOINT_URL must start with http://, but is {endpoint}"
        );
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let stack = format!("anzol-{now:x}");
        let keys = self.directory.join("tmp/state/cognito-pool-keys"); // tests/e2e/tokens.rs reads them there
        let mut command = self.command("create");
        command
            .args(["--endpoint", endpoint, "--stack", &stack, "--api-url", api_url, "--template"])
            .arg(self.root.join("infra/template.yaml"))
            .arg("--keys")
            .arg(&keys)
            .args(with_own_parameters(parameters));
        let mut plan: Plan = json_of(&mut command)?;
        plan.stack = stack;
        plan.rest.extend([("endpoint".to_owned(), json!(endpoint)), ("keys".to_owned(), json!(keys))]);
        Ok(plan)
    }

    /// Deletes the resources, even after an interrupt.
    pub(crate) fn remove(&self) -> Result<()> {
        if !self.list().exists() {
            return Ok(());
        }
        let output = self.command("remove").stdin(Stdio::null()).stdout(Stdio::null()).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    /// Deletes the resources of a killed run.
    pub(crate) fn remove_leftovers(&self) -> Result<()> {
        fs::create_dir_all(&self.directory)?;
        if let Err(error) = self.remove() {
            say(format!("resources of an earlier run: {error:#}"));
        }
        Ok(())
    }

    /// Returns the path of the list of resources, which has to survive until all of them are deleted.
    fn list(&self) -> PathBuf {
        self.directory.join("resources.json")
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = clean_command(&self.python, &self.directory);
        command
            .arg(self.root.join("infra/local/resources.py"))
            .arg(subcommand)
            .arg("--list")
            .arg(self.list());
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command
    }
}

/// moto: an independent implementation of tables, queues and keys, without functions. Stopped when dropped.
pub(crate) struct Moto {
    process: Process,
    agent: ureq::Agent,
    url: String,
}

impl Moto {
    pub(crate) fn start(root: &Path, port: u16) -> Result<Self> {
        let directory = root.join("target/test-stack");
        let python = Environment::ENDPOINT.prepare(root)?;
        fs::create_dir_all(directory.join("logs"))?;
        let mut command = clean_command(&python.program("python"), &directory);
        command.arg(root.join("infra/local/bare_endpoint.py")).arg(port.to_string());
        let log = directory.join("logs/endpoint.log");
        let process = Process::start("moto", &mut command, &log)?;
        let agent = ureq::Agent::config_builder().proxy(None).build().into();
        let mut moto = Self { process, agent, url: format!("http://127.0.0.1:{port}") };
        let started = Instant::now();
        while moto.left().is_err() {
            ensure!(!moto.process.has_exited(), "moto exited, see {}", log.display());
            ensure!(started.elapsed() < START_TIMEOUT, "moto does not answer, see {}", log.display());
            interrupt::pause()?;
        }
        Ok(moto)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the tables and queues that still exist.
    pub(crate) fn left(&self) -> Result<Vec<String>> {
        let mut left = Vec::new();
        for (service, target, list) in [
            ("dynamodb", "DynamoDB_20120810.ListTables", "TableNames"),
            ("sqs", "AmazonSQS.ListQueues", "QueueUrls"),
        ] {
            // moto does not verify signatures; it only reads the service from the scope.
            let credential =
                format!("AWS4-HMAC-SHA256 Credential=test/20261124/us-east-1/{service}/aws4_request");
            let request =
                self.agent.post(&self.url).header("x-amz-target", target).header("authorization", credential);
            let answer: Value = request.send_json(json!({}))?.body_mut().read_json()?;
            let names = answer.get(list).and_then(Value::as_array).into_iter().flatten();
            left.extend(names.map(Value::to_string));
        }
        Ok(left)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.process.stop();
    }
}
