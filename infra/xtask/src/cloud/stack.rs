//! A running stack: receiver, local cloud and log follower. All of them are stopped with it, unless it is left running on purpose.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::endpoint::{RUNNER, Resources};
use super::local::{Client, LocalCloud, REGION, STACK, Seed};
use crate::tools::cargo::{Binaries, FUNCTIONS};
use crate::tools::interrupt;
use crate::tools::process::{Process, Record};
use crate::tools::progress::{say, step};
use crate::tools::python::Python;

const START_TIMEOUT: Duration = Duration::from_secs(10);

/// The directory of a stack and the files in it.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// Returns the directory of `up`.
    pub(crate) fn local(root: &Path) -> Self {
        Self(root.join("target/local"))
    }

    /// Returns the directory of `test`, which may run at the same time as `up`.
    pub(crate) fn test(root: &Path) -> Self {
        Self(root.join("target/test-stack"))
    }

    /// Returns the directory of `bench`.
    pub(crate) fn bench(root: &Path) -> Self {
        Self(root.join("target/bench-stack"))
    }

    /// Returns the path of stack.json, which describes the stack to clients and exists only while it is ready.
    pub(crate) fn description(&self) -> PathBuf {
        self.0.join("stack.json")
    }

    /// Returns the path of the functions' environment (lines `NAME='value'`), for running one by hand; it exists while the stack does.
    pub(crate) fn environment(&self) -> PathBuf {
        self.0.join("functions.env")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// Returns the path of the list of processes, which `down` and the next `up` read.
    fn processes(&self) -> PathBuf {
        self.0.join("processes.json")
    }

    fn scratch(&self) -> PathBuf {
        self.0.join("tmp")
    }

    pub(crate) fn recorded(&self) -> Option<Recorded> {
        serde_json::from_slice(&fs::read(self.processes()).ok()?).ok()
    }

    /// Fails if a stack is in use; leftovers of a killed one do not count.
    pub(crate) fn refuse_if_in_use(&self) -> Result<()> {
        let Some(recorded) = self.recorded() else {
            return Ok(());
        };
        let owned = recorded.owner.as_ref().is_some_and(Record::is_alive);
        let left_running = recorded.owner.is_none() && recorded.started.iter().all(Record::is_alive);
        ensure!(!owned && !left_running, "a stack is running already; stop it with: cargo xtask down");
        Ok(())
    }

    /// Stops the processes of a stack, the last one first, and removes its files.
    pub(crate) fn clean(&self, recorded: &Recorded) {
        for record in recorded.started.iter().rev() {
            record.stop();
        }
        self.remove_files();
    }

    fn remove_files(&self) {
        let _ = fs::remove_file(self.description());
        let _ = fs::remove_file(self.environment());
        let _ = fs::remove_file(self.processes());
        let _ = fs::remove_dir_all(self.scratch());
    }
}

/// The processes of a stack, and the xtask that owns them, unless they were left running.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recorded {
    pub(crate) owner: Option<Record>,
    pub(crate) started: Vec<Record>,
}

/// Content of `stack.json`. Its keys are an interface: tools outside the repository read them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    pub(crate) api_url: String,
    pub(crate) console_url: String,
    stack_name: String,
    aws_endpoint_url: String,
    region: &'static str,
    pub(crate) tokens: BTreeMap<String, String>,
    /// Confidential clients, by the name of the token that each can request.
    clients: BTreeMap<String, Client>,
    tenants: BTreeMap<String, String>,
    queues: BTreeMap<&'static str, String>,
    tables: BTreeMap<&'static str, String>,
    functions: BTreeMap<&'static str, String>,
    pub(crate) receiver: Receiver,
    /// The password of every seeded user; printed, but not written to the file.
    #[serde(skip)]
    pub(crate) password: String,
}

impl Description {
    /// Returns the API's URL for programs that cannot resolve names under `localhost`: the local cloud also accepts the API's id in the
    /// path.
    pub(crate) fn loopback_url(&self) -> Result<String> {
        let authority = self.api_url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let parts = authority.and_then(|authority| {
            let (name, port) = authority.split_once(':')?;
            Some((name.split_once('.')?.0, port))
        });
        let (id, port) =
            parts.with_context(|| format!("the API's URL has an unknown form: {}", self.api_url))?;
        Ok(format!("http://localhost:{port}/_aws/execute-api/{id}"))
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Receiver {
    pub(crate) url: &'static str,
    address: String,
    ca_file: PathBuf,
    pub(crate) control_url: String,
}

/// The file that the receiver writes once it listens.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReceiverState {
    address: String,
    control_url: String,
    ca_file: PathBuf,
}

impl ReceiverState {
    /// Returns the variables by which functions with the feature `local` find the receiver.
    fn environment(&self) -> [(&'static str, OsString); 2] {
        [
            ("ANZOL_RECEIVER_ADDRESS", OsString::from(&self.address)),
            ("ANZOL_RECEIVER_CA_FILE", self.ca_file.clone().into_os_string()),
        ]
    }
}

/// The file that the runner writes once it listens.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunnerState {
    aws_endpoint_url: String,
    tokens: BTreeMap<String, String>,
    clients: BTreeMap<String, Client>,
}

#[derive(Debug)]
pub(crate) struct Stack {
    home: Home,
    processes: Vec<Process>,
    left_running: bool,
    /// Resources at an external endpoint.
    resources: Option<Resources>,
}

/// Ports of the local cloud.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) cloud: u16,
    /// The port of a proxy that the functions use instead; the caller starts it.
    pub(crate) proxy: Option<u16>,
}

impl From<u16> for Ports {
    fn from(cloud: u16) -> Self {
        Self { cloud, proxy: None }
    }
}

impl Stack {
    /// Starts a stack on a local cloud with these template parameters (`Name=value`), and prints each step. If anything fails or is
    /// interrupted, all of it is stopped.
    pub(crate) fn start(
        root: &Path,
        home: &Home,
        ports: impl Into<Ports>,
        python: &Python,
        binaries: &Binaries,
        parameters: &[&str],
    ) -> Result<(Self, Description)> {
        let (mut stack, receiver) = Self::start_receiver(home, binaries)?;
        let Ports { cloud: port, proxy } = ports.into();
        let cloud = LocalCloud { python, root, directory: &home.0, port };
        step(&format!("the local cloud on {}", cloud.endpoint()), || {
            let mut environment = Vec::from(receiver.environment());
            environment
                .extend(proxy.map(|port| ("AWS_ENDPOINT_URL", format!("http://localhost:{port}").into())));
            stack.add(cloud.start(&home.logs(), &environment)?)
        })?;
        let outputs = step("infra/template.yaml deployed", || cloud.deploy(&binaries.functions, parameters))?;
        stack.add(cloud.follow_logs(&home.logs())?)?;
        write_environment(home, cloud.environment(&outputs)?, &receiver)?;
        let seed = step("tenants acme and globex with their users", || cloud.seed(&outputs))?;
        let description = describe(cloud.endpoint(), STACK, &outputs, seed, receiver)?;
        Ok((stack, description))
    }

    /// Starts a stack at an external endpoint, for tests: tables, queues and keys are created there under a unique name and deleted on
    /// drop; a runner on this machine provides the functions and their gateway.
    pub(crate) fn start_at(
        root: &Path,
        home: &Home,
        endpoint: &str,
        port: u16,
        python: &Python,
        binaries: &Binaries,
        parameters: &[&str],
    ) -> Result<(Self, Description)> {
        let (mut stack, receiver) = Self::start_receiver(home, binaries)?;
        let resources = Resources::new(root, python, &home.0);
        resources.remove_leftovers()?;
        let resources = stack.resources.insert(resources);
        let mut plan = step(&format!("tables, queues and keys on {endpoint}"), || {
            resources.create(endpoint, &format!("http://localhost:{port}"), parameters)
        })?;
        let runner = binaries.programs.get(RUNNER).context("no runner was built")?;
        let RunnerState { aws_endpoint_url, tokens, clients } =
            step("the functions on this machine", || {
                plan.complete(&binaries.functions, &receiver.environment(), port, &home.logs())?;
                let file = home.scratch().join("plan.json");
                write_privately(&file, &serde_json::to_vec_pretty(&plan)?)?;
                stack.start_program(RUNNER, runner, &[&file], &home.scratch().join("runner.json"))
            })?;
        let seed = Seed { tokens, clients, tenants: plan.tenants, password: String::new() };
        let description = describe(aws_endpoint_url, &plan.stack, &plan.outputs, seed, receiver)?;
        Ok((stack, description))
    }

    /// Removes leftovers of an earlier stack and starts the receiver.
    fn start_receiver(home: &Home, binaries: &Binaries) -> Result<(Self, ReceiverState)> {
        if let Some(recorded) = home.recorded() {
            home.clean(&recorded);
        }
        home.remove_files();
        fs::create_dir_all(home.logs())?;
        fs::create_dir_all(home.scratch())?;
        let mut stack =
            Self { home: home.clone(), processes: Vec::new(), left_running: false, resources: None };
        let receiver = step("the receiver, in place of a customer's HTTPS endpoint", || {
            let (state, ca) = (home.scratch().join("receiver.json"), home.0.join("receiver-ca.pem"));
            let words = [Path::new("--ca-file"), &ca, Path::new("--state-file")];
            stack.start_program("receiver", &binaries.receiver, &words, &state)
        })?;
        Ok((stack, receiver))
    }

    /// Starts a program of the tests, which writes its state to the file named by its last argument once it listens. Returns that state.
    fn start_program<T: DeserializeOwned>(
        &mut self,
        name: &str,
        binary: &Path,
        words: &[&Path],
        state: &Path,
    ) -> Result<T> {
        let log = self.home.logs().join(format!("{name}.log"));
        self.add(Process::start(name, Command::new(binary).args(words).arg(state), &log)?)?;
        let started = Instant::now();
        while !state.exists() {
            if let Some(name) = self.exited() {
                bail!("{name} exited, see {}", log.display());
            }
            ensure!(started.elapsed() < START_TIMEOUT, "{name} does not listen, see {}", log.display());
            interrupt::pause()?;
        }
        serde_json::from_slice(&fs::read(state)?)
            .with_context(|| format!("the state file of {name} cannot be parsed"))
    }

    /// Adds a process and records it at once, so that `down` finds it even if this xtask is killed.
    fn add(&mut self, process: Process) -> Result<()> {
        self.processes.push(process);
        self.record(Some(Record::of_this_process()?))
    }

    fn record(&self, owner: Option<Record>) -> Result<()> {
        let started = self.processes.iter().map(|process| process.record().clone()).collect();
        write_atomically(&self.home.processes(), &Recorded { owner, started })
    }

    /// Writes stack.json, which marks the stack as ready.
    pub(crate) fn publish(&self, description: &Description) -> Result<()> {
        write_atomically(&self.home.description(), description)
    }

    /// Returns the name of a process that has exited unexpectedly.
    pub(crate) fn exited(&mut self) -> Option<String> {
        self.processes.iter_mut().find_map(|process| {
            let exited = process.has_exited();
            exited.then(|| process.record().name.clone())
        })
    }

    /// Leaves everything running, for `down` to stop.
    pub(crate) fn leave_running(mut self) -> Result<()> {
        self.record(None)?;
        self.left_running = true;
        Ok(())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.left_running {
            return;
        }
        for process in self.processes.iter_mut().rev() {
            process.stop();
        }
        if let Some(Err(error)) = self.resources.as_ref().map(Resources::remove) {
            say(format!("{error:#}"));
        }
        self.home.remove_files();
    }
}

fn describe(
    endpoint: String,
    stack: &str,
    outputs: &BTreeMap<String, String>,
    seed: Seed,
    receiver: ReceiverState,
) -> Result<Description> {
    let output =
        |key: &str| outputs.get(key).cloned().with_context(|| format!("the template has no output {key}"));
    let all = |pairs: &[(&'static str, &str)]| {
        pairs.iter().map(|(name, key)| Ok((*name, output(key)?))).collect::<Result<_>>()
    };
    let functions = FUNCTIONS.into_iter().map(|name| {
        let (first, rest) = name.split_at(1);
        Ok((name, output(&format!("{}{rest}Function", first.to_uppercase()))?))
    });
    Ok(Description {
        api_url: output("ApiUrl")?,
        console_url: output("ConsoleUrl")?,
        stack_name: stack.to_owned(),
        aws_endpoint_url: endpoint,
        region: REGION,
        tokens: seed.tokens,
        clients: seed.clients,
        tenants: seed.tenants,
        queues: all(&[
            ("events", "EventsQueueUrl"),
            ("deliveries", "DeliveriesQueueUrl"),
            ("slowLane", "SlowLaneQueueUrl"),
            ("deliveriesDlq", "DeliveriesDlqUrl"),
            ("slowLaneDlq", "SlowLaneDlqUrl"),
            ("eventsDlq", "EventsDlqUrl"),
        ])?,
        tables: all(&[("webhooks", "WebhooksTable"), ("deliveries", "DeliveriesTable")])?,
        functions: functions.collect::<Result<_>>()?,
        receiver: Receiver {
            url: "https://hooks.receiver.test",
            address: receiver.address,
            ca_file: receiver.ca_file,
            control_url: receiver.control_url,
        },
        password: seed.password,
    })
}

fn write_environment(
    home: &Home,
    mut variables: BTreeMap<String, String>,
    receiver: &ReceiverState,
) -> Result<()> {
    for (name, value) in receiver.environment() {
        variables.insert(name.to_owned(), value.to_string_lossy().into_owned());
    }
    if let Some((name, _)) = variables.iter().find(|(_, value)| value.contains('\'')) {
        bail!("the value of {name} contains a quotation mark, which this file cannot represent");
    }
    let lines: Vec<_> = variables.iter().map(|(name, value)| format!("{name}='{value}'")).collect();
    write_privately(&home.environment(), (lines.join("\n") + "\n").as_bytes())
}

fn write_atomically(path: &Path, content: &impl Serialize) -> Result<()> {
    write_privately(path, &serde_json::to_vec_pretty(content)?)
}

/// Writes a file that may contain tokens: no other user can ever read it, and readers see the whole file or none.
pub(crate) fn write_privately(path: &Path, content: &[u8]) -> Result<()> {
    let draft = path.with_extension("draft");
    let write = || {
        let _ = fs::remove_file(&draft); // left by a killed run, possibly readable by others
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(content)?;
        fs::rename(&draft, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn info_files_with_tokens_are_private() {
        let directory = std::env::temp_dir().join(format!("anzol-private-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("stack.json");
        // Readable files of earlier releases, and a draft of a killed run.
        for left in [&file, &file.with_extension("draft")] {
            fs::write(left, "old").unwrap();
            fs::set_permissions(left, fs::Permissions::from_mode(0o666)).unwrap();
        }
        write_atomically(&file, &["token"]).unwrap();
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        let (text, names) = (fs::read_to_string(&file).unwrap(), fs::read_dir(&directory).unwrap().count());
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!((mode & 0o777, names), (0o600, 1));
        assert!(text.contains("token"));
    }

    #[test]
    fn info_environment_file_is_private() {
        let root = std::env::temp_dir().join(format!("anzol-environment-{}", std::process::id()));
        let home = Home::local(&root);
        fs::create_dir_all(root.join("target/local")).unwrap();
        let receiver =
            ReceiverState { address: "127.0.0.1:1".into(), control_url: String::new(), ca_file: "ca".into() };
        write_environment(&home, BTreeMap::from([("A".to_owned(), "b".to_owned())]), &receiver).unwrap();
        let mode = fs::metadata(home.environment()).unwrap().permissions().mode();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(mode & 0o777, 0o600);
    }
}
