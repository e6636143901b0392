//! `cargo xtask test`: every suite in order, and at the end which of them failed. What is lacking is said, never skipped.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::bench::Driver;
use crate::build::{Binaries, FUNCTIONS, LOCAL, build, build_deployable, cargo};
use crate::endpoint::{self, Moto, Resources};
use crate::instructions::{instructions, valgrind};
use crate::local_cloud::{Python, choose_port};
use crate::node::Node;
use crate::process::run_well;
use crate::progress::{say, seconds};
use crate::stack::{Description, Home, Ports, Stack};
use crate::{browser, deploy, interrupt, package, up, walls};

/// Away from the port of `up`, which may be running.
const FIRST_PORT: u16 = 4600;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// Formatting
    Fmt,
    /// Lints, as errors
    Clippy,
    /// Who may depend on whom, and licences, from .deny.toml
    Walls,
    /// Documentation, warnings as errors
    Doc,
    /// Unit and in-process tests
    Unit,
    /// What may not grow unnoticed: instructions of the hot paths, billable calls for 1,000 deliveries
    Budgets,
    /// What is deployed knows nothing of local stacks
    Deployable,
    /// Zips of the release build: the same each time, within the budget, with bills of materials that are valid
    Package,
    /// infra/template.yaml under cfn-lint, SAM's validation and checkov, and dry runs of its deployment
    Template,
    /// End to end, on a fresh stack; or at the endpoint that `AWS_ENDPOINT_URL` names, with the functions beside it
    E2e,
    /// End to end at an endpoint of another make, which runs no functions
    Endpoint,
    /// Functions run by hand, producers, a tenant's deletion and a restore, on the same stack
    Operations,
    /// What the documents say to do, done as they say it: on the stack of `up`, and a deployment of SAM's beside it
    Docs,
    /// Qlik's own JavaScript client, the verifier of Standard Webhooks and two SDKs of CloudEvents, on the same stack
    Clients,
    /// The console in a browser, on the same stack
    Console,
    /// The delivery engine end to end, on a stack whose waits are seconds
    Engine,
    /// What is secret stays out of tables and logs, on the same stack, which logs all there is
    Secrets,
    /// Faults injected into a stack of its own, every event counted
    Faults,
    /// The API against infra/openapi.json, on a stack where tenants may have many webhooks
    Contract,
}

impl Suite {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn run(self, root: &Path, ground: &mut Ground<'_>) -> Result<()> {
        match self {
            Self::Fmt => run_well(cargo(root).args(["fmt", "--all", "--check"])),
            Self::Clippy => clippy(root),
            Self::Walls => walls::check(root),
            Self::Doc => run_well(
                cargo(root)
                    .args(["doc", "--workspace", "--no-deps", "--locked"])
                    .env("RUSTDOCFLAGS", "--deny=warnings"),
            ),
            Self::Unit => run_well(cargo(root).args([
                "test",
                "--workspace",
                "--lib",
                "--bins",
                "--test=it",
                "--locked",
            ])),
            Self::Budgets => budgets(root, ground),
            Self::Deployable => deployable(root, ground),
            Self::Package => package::check(root),
            Self::Template => deploy::check(root),
            Self::E2e => e2e(root, ground),
            Self::Endpoint => at_moto(root, ground),
            Self::Operations => operations(root, ground),
            Self::Docs => docs(root, ground),
            Self::Clients => clients(root, ground),
            Self::Console => console(root, ground),
            Self::Engine => engine(root, ground, ENGINE),
            Self::Secrets => engine(root, ground, SECRETS),
            Self::Faults => faults(root, ground),
            Self::Contract => contract(root, ground),
        }
    }
}

pub(crate) fn test(root: &Path, only: Option<Suite>) -> Result<()> {
    let suites = only.map_or_else(|| Suite::value_variants().to_vec(), |suite| vec![suite]);
    let mut ground = Ground { root, built: None, stack: None };
    // What is lacking is asked for now, not when whoever could answer has gone; the suite itself says so again.
    if suites.contains(&Suite::Budgets) {
        let _ = valgrind();
    }
    if suites.contains(&Suite::Console) {
        let _ = browser::chromium();
    }
    interrupt::check()?;
    let mut outcomes: Vec<(Suite, Duration, bool)> = Vec::new();
    for suite in suites {
        say(format!("\n── {} ──", suite.name()));
        let began = Instant::now();
        let outcome = suite.run(root, &mut ground);
        if let Err(error) = &outcome {
            interrupt::check()?;
            say(format!("{}: {error:#}", suite.name()));
        }
        outcomes.push((suite, began.elapsed(), outcome.is_ok()));
    }
    say("\n── summary ──");
    for (suite, took, passed) in &outcomes {
        say(format!("  {} {:<9} {:>8}", if *passed { '✓' } else { '✗' }, suite.name(), seconds(*took)));
    }
    let failed: Vec<_> =
        outcomes.iter().filter(|(.., passed)| !passed).map(|(suite, ..)| suite.name()).collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// Everything at once, where tests turn the feature `local` on, and then the functions as they are deployed, without it.
fn clippy(root: &Path) -> Result<()> {
    let deny = ["--", "--deny=warnings"];
    run_well(cargo(root).args(["clippy", "--workspace", "--all-targets", "--locked"]).args(deny))?;
    let deployed = FUNCTIONS.iter().flat_map(|name| ["-p".to_owned(), format!("anzol-{name}")]);
    run_well(cargo(root).args(["clippy", "--locked"]).args(deployed).args(deny))
}

/// On builds for development, which the other suites need anyway.
fn budgets(root: &Path, ground: &mut Ground<'_>) -> Result<()> {
    let functions = ground.build()?.1.directory()?.to_owned();
    let calls = Driver::debug(root, &functions)?.run(Some("calls"));
    let counts = instructions(root, false);
    calls.and(counts)
}

/// What suites need under their feet: one build, and one stack at a time, started by the first suite that asks for it and ended at
/// the end of all, or when a suite asks for another.
struct Ground<'a> {
    root: &'a Path,
    built: Option<(Python, Binaries)>,
    stack: Option<Running>,
}

struct Running {
    parameters: &'static [&'static str],
    place: Place,
    description: Description,
    /// Ended when dropped.
    _stack: Stack,
}

/// Where a stack is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A local cloud of its own.
    Own,
    /// The same, but for a port that the functions reach it by; somebody has to listen there before they are called.
    Detour(u16),
    /// Somebody else's endpoint, with the functions beside it.
    Beside(String),
}

impl Ground<'_> {
    /// A running stack with these parameters of the template (`Name=value`), published in [`Home::description`].
    fn stack(&mut self, parameters: &'static [&'static str]) -> Result<&Description> {
        self.stack_at(Place::Own, parameters)
    }

    /// The same at the endpoint that `AWS_ENDPOINT_URL` names, where it names one.
    fn stack_where_asked(&mut self, parameters: &'static [&'static str]) -> Result<&Description> {
        self.stack_at(endpoint::named().map_or(Place::Own, Place::Beside), parameters)
    }

    fn stack_at(&mut self, place: Place, parameters: &'static [&'static str]) -> Result<&Description> {
        let fits = |running: &Running| running.parameters == parameters && running.place == place;
        let running = match self.stack.take().filter(fits) {
            Some(running) => running,
            None => self.start(parameters, place)?,
        };
        Ok(&self.stack.insert(running).description)
    }

    fn build(&mut self) -> Result<&(Python, Binaries)> {
        if self.built.is_none() {
            self.built = Some((up::prepare_python(self.root)?, build(self.root, &[endpoint::RUNNER])?));
        }
        self.built.as_ref().context("nothing was built")
    }

    fn start(&mut self, parameters: &'static [&'static str], place: Place) -> Result<Running> {
        let home = Home::test(self.root);
        home.refuse_if_in_use()?;
        self.build()?;
        let (python, binaries) = self.built.as_ref().context("nothing was built")?;
        let port = choose_port(None, FIRST_PORT)?;
        let (stack, description) = match &place {
            Place::Beside(endpoint) => {
                Stack::start_beside(self.root, &home, endpoint, port, python, binaries, parameters)?
            }
            Place::Own => Stack::start(self.root, &home, port, python, binaries, parameters)?,
            Place::Detour(detour) => {
                let ports = Ports { cloud: port, detour: Some(*detour) };
                Stack::start(self.root, &home, ports, python, binaries, parameters)?
            }
        };
        stack.publish(&description)?;
        Ok(Running { parameters, place, description, _stack: stack })
    }
}

/// The tests of `tests/it/deployable.rs`, with the release build, and with the local one of what has the feature `local`.
fn deployable(root: &Path, ground: &mut Ground<'_>) -> Result<()> {
    let deployable = build_deployable(root)?;
    let (_, local) = ground.build()?;
    let mut tests = cargo(root);
    tests.args(["test", "--locked", "-p", "anzol-tests", "--test", "it", "--", "--ignored", "deployable::"]);
    for name in LOCAL {
        let upper = name.to_uppercase();
        tests.env(format!("ANZOL_DEPLOYABLE_{upper}"), deployable.join(name));
        tests.env(format!("ANZOL_LOCAL_{upper}"), local.functions.get(name).context("not built")?);
    }
    run_well(&mut tests)
}

const E2E: [&str; 6] = ["test", "--locked", "-p", "anzol-tests", "--test", "e2e"];

/// The tests of `tests/e2e` that need other waits than the template's.
const ENGINE: &str = "engine::";

/// The test of `tests/e2e` that needs all logs there are.
const SECRETS: &str = "secrets::";

/// Waits in the queue and in the scheduler, and an end, all within seconds: `tests/e2e/engine.rs` knows these numbers. And every line
/// of log.
const SHORT_WAITS: [&str; 6] = [
    "RetrySchedule=2,2,4,4",
    "LongestQueueDelay=3",
    "DisableAfterFailures=6",
    "DisableAfterHours=0",
    "LogLevel=trace",
    "UserAgent=Anzol engine",
];

fn engine(root: &Path, ground: &mut Ground<'_>, tests: &str) -> Result<()> {
    run_well(cargo(root).args(E2E).arg("--no-run"))?;
    ground.stack_where_asked(&SHORT_WAITS)?;
    let stack = Home::test(root).description();
    run_well(cargo(root).args(E2E).args(["--", tests]).env("ANZOL_STACK", stack))
}

/// Left to the suite's own local cloud, or this one would take more than two minutes: a wait of a minute and more, and a crowd.
const LONG: [&str; 3] = ["with_the_seal_of_another_webhook", "two_hundred_parallel_creates", REMOVAL];

/// The test of how soon expired rows are gone, which is only known of the suite's own local cloud: moto never removes them, DynamoDB
/// within days.
const REMOVAL: &str = "ttl_expired_rows_are_removed_by_the_store";

/// The end-to-end suite where only tables, queues and keys are the endpoint's.
fn at_moto(root: &Path, ground: &mut Ground<'_>) -> Result<()> {
    run_well(cargo(root).args(E2E).arg("--no-run"))?;
    let moto = Moto::start(root, choose_port(None, FIRST_PORT + 80)?)?;
    let url = moto.url().to_owned();
    ground.stack_at(Place::Beside(url.clone()), &[])?;
    let mut tests = cargo(root);
    // Most of them wait most of the time, and there are only so many processes.
    tests.args(E2E).args(["--", "--test-threads=8", "--skip", ENGINE, "--skip", SECRETS]);
    tests.args(LONG.iter().flat_map(|name| ["--skip", name]));
    let outcome = run_well(tests.env("ANZOL_STACK", Home::test(root).description()));
    drop(ground.stack.take());
    let left = moto.left();
    drop(moto);
    outcome?;
    let left = left?;
    ensure!(left.is_empty(), "left on the endpoint: {}", left.join(", "));
    let resources = Resources::new(root, &ground.build()?.0, &root.join("target/test-stack"));
    let nobody = resources.make(&url, &url, &[]).err().context("tables at an endpoint that is gone")?;
    ensure!(format!("{nobody:#}").contains("nobody answers at"), "of an endpoint that is gone: {nobody:#}");
    Ok(())
}

fn e2e(root: &Path, ground: &mut Ground<'_>) -> Result<()> {
    run_well(cargo(root).args(E2E).arg("--no-run"))?; // before the stack, whose start is not to wait for a compiler
    ground.stack_where_asked(&[])?;
    let stack = Home::test(root).description();
    // Two hundred calls at once are two hundred processes here: on a small machine that starves every other test.
    let crowd = "two_hundred_parallel_creates";
    let run =
        |words: &[&str]| run_well(cargo(root).args(E2E).arg("--").args(words).env("ANZOL_STACK", &stack));
    let mut words = vec!["--skip", crowd, "--skip", ENGINE, "--skip", SECRETS];
    if endpoint::named().is_some() {
        say(format!("{REMOVAL} is left out: only of the local cloud is it known how soon that is"));
        words.extend(["--skip", REMOVAL]);
    }
    run(&words)?;
    run(&[crowd])
}

/// `tests/operations`, in the local cloud's Python, with `cargo lambda` on the path.
fn operations(root: &Path, ground: &mut Ground<'_>) -> Result<()> {
    let cargo_lambda = package::prepare_python(root)?;
    ground.stack(&[])?;
    let python = up::prepare_python(root)?;
    let mut command = Command::new(python.program("python"));
    command.args(["-m", "unittest", "--verbose"]).current_dir(root.join("tests/operations"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("ANZOL_STACK", Home::test(root).description());
    run_well(command.env("PATH", cargo_lambda.on_path()))
}

/// `tests/docs/run.py`, with `aws` and `cargo lambda` on the path. It starts what it needs by the documents' own commands.
fn docs(root: &Path, ground: &mut Ground<'_>) -> Result<()> {
    let cargo_lambda = package::prepare_python(root)?;
    let requirements = root.join("infra/local/requirements-docs.txt");
    let python = Python::prepare(&requirements, &root.join("target/local/venv-docs"))?;
    Node::prepare(&root.join("tests/clients"))?;
    Home::local(root).refuse_if_in_use()?;
    let functions = ground.build()?.1.directory()?.to_owned();
    let mut command = Command::new(python.program("python"));
    command.arg(root.join("tests/docs/run.py")).env("ANZOL_FUNCTIONS", functions);
    let mut path = python.on_path();
    path.push(":");
    path.push(cargo_lambda.on_path());
    run_well(command.env("PYTHONDONTWRITEBYTECODE", "1").env("PATH", path))
}

/// `tests/clients`, in Node and then in a Python of its own.
fn clients(root: &Path, ground: &mut Ground<'_>) -> Result<()> {
    let suite = root.join("tests/clients");
    let node = Node::prepare(&suite)?;
    let requirements = root.join("infra/local/requirements-clients.txt");
    let python = Python::prepare(&requirements, &root.join("target/local/venv-clients"))?;
    ground.stack(&[])?;
    let stack = Home::test(root).description();
    let tests = ["--import", "./localhost.js", "--test", "--test-reporter=spec"];
    let in_node = run_well(node.command().args(tests).env("ANZOL_STACK", &stack));
    let mut command = Command::new(python.program("python"));
    command.args(["-m", "unittest", "--verbose", "cloudevents_peer"]).current_dir(suite);
    let in_python = run_well(command.env("PYTHONDONTWRITEBYTECODE", "1").env("ANZOL_STACK", stack));
    in_node.and(in_python)
}

/// In Chromium of the system. What a failing test leaves to look at is in target/console.
fn console(root: &Path, ground: &mut Ground<'_>) -> Result<()> {
    let node = Node::prepare(&root.join("tests/console"))?;
    let chromium = browser::chromium()?;
    ground.stack(&[])?;
    // One file after another: each has a browser, and the machine may be small.
    let tests =
        ["--import", "../clients/localhost.js", "--test", "--test-reporter=spec", "--test-concurrency=1"];
    run_well(
        node.command()
            .args(tests)
            .env("ANZOL_STACK", Home::test(root).description())
            .env("ANZOL_CHROMIUM", chromium),
    )
}

const FAULTS: [&str; 6] = ["test", "--locked", "-p", "anzol-tests", "--test", "faults"];

/// Webhooks that may fail as often as they like, waits of seconds in the queue and in the scheduler, and a cap that is soon reached.
/// `tests/faults` knows these numbers.
const FAULTY: [&str; 5] = [
    "RetrySchedule=2,2,4,4,4,6,6,8,8,8",
    "LongestQueueDelay=3",
    "DisableAfterFailures=1000000",
    "WebhookCap=20",
    "Throughput=standard",
];

/// Its functions call the cloud through a proxy that the suite brings along.
fn faults(root: &Path, ground: &mut Ground<'_>) -> Result<()> {
    run_well(cargo(root).args(FAULTS).arg("--no-run"))?;
    drop(ground.stack.take());
    let detour = choose_port(None, FIRST_PORT + 50)?;
    let running = ground.start(&FAULTY, Place::Detour(detour))?;
    ground.stack = Some(running);
    run_well(
        cargo(root)
            .args(FAULTS)
            .env("ANZOL_STACK", Home::test(root).description())
            .env("ANZOL_FAULT_PORT", detour.to_string())
            .env("ANZOL_XTASK", std::env::current_exe()?),
    )
}

/// tests/contract says what is checked: schemathesis.toml, and hooks.py beside it. Both may use the variables `ANZOL_API_URL`,
/// `ANZOL_TOKEN` (an admin of acme) and `ANZOL_STACK` (everything else).
fn contract(root: &Path, ground: &mut Ground<'_>) -> Result<()> {
    let requirements = root.join("infra/local/requirements-contract.txt");
    let python = Python::prepare(&requirements, &root.join("target/local/venv-contract"))?;
    // Thousands of webhooks are created, and not all of them deleted.
    let description = ground.stack(&["WebhookCap=10000"])?;
    let url = description.loopback_url()?;
    let token = description.tokens.get("acme.admin").context("no token for acme.admin")?;
    let suite = root.join("tests/contract");
    let notes = root.join("target/contract"); // what it remembers from run to run
    std::fs::create_dir_all(&notes)?;
    run_well(
        Command::new(python.program("schemathesis"))
            .arg("--config-file")
            .arg(suite.join("schemathesis.toml"))
            .args(["run", "--url", &url])
            .arg(root.join("infra/openapi.json"))
            .current_dir(notes)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("SCHEMATHESIS_HOOKS", suite.join("hooks.py"))
            .env("ANZOL_STACK", Home::test(root).description())
            .env("ANZOL_API_URL", &url)
            .env("ANZOL_TOKEN", token),
    )
}
