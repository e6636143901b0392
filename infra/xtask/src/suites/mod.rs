//! `cargo xtask test`: runs the suites in order and lists the failed ones at the end. A missing tool is an error, never a skipped suite.

mod dependencies;
mod env;
pub(crate) mod language;
mod lint;
mod modules;

use std::path::Path;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::cloud::endpoint::{self, Moto, Resources};
use crate::cloud::stack::Home;
use crate::commands::bench::Driver;
use crate::commands::bench::instructions::{instructions, valgrind};
use crate::commands::{deploy, package, up};
use crate::tools::cargo::{LOCAL, build_deployable, cargo};
use crate::tools::node::Node;
use crate::tools::ports::choose_port;
use crate::tools::process::run_well;
use crate::tools::progress::{say, seconds};
use crate::tools::python::Environment;
use crate::tools::{browser, interrupt, name_of};
use env::{StackTarget, TestEnv};

/// First port to try; `up` may be running on its own.
const FIRST_PORT: u16 = 4600;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// Formatting of Rust
    Fmt,
    /// Banned phrases and long test names, by tests/language
    Language,
    /// Linters of Python and JavaScript, and types of the console's JavaScript
    Lint,
    /// Clippy, warnings as errors
    Clippy,
    /// Dependency rules: between our crates, no cycles of modules, and bans, licenses and sources of .deny.toml
    Dependencies,
    /// Documentation, warnings as errors
    Doc,
    /// Unit tests, and tests/it in process
    Unit,
    /// Budgets: instructions of the hot paths, and billable calls for 1,000 deliveries
    Budgets,
    /// Tests that the release build does not support local stacks
    Deployable,
    /// Zips of the release build: reproducible, within the size budget, with valid SBOMs
    Package,
    /// The template and the examples under cfn-lint, SAM's validation and checkov, and dry runs of `deploy`
    Template,
    /// tests/e2e on a fresh stack, or at the endpoint that `AWS_ENDPOINT_URL` names
    E2e,
    /// tests/e2e at moto, which has no functions: the runner starts them
    Endpoint,
    /// Functions run by hand, producers, the deletion of a tenant and a restore, on the same stack
    Operations,
    /// The commands in the documents, on the stack of `up` and on a SAM deployment
    Docs,
    /// @qlik/api, standardwebhooks and two CloudEvents SDKs, on the same stack
    Clients,
    /// The console in a browser, on the same stack
    Console,
    /// The delivery engine, on a stack whose retries wait seconds
    Engine,
    /// Tests that tables and logs contain no secrets, on the same stack, which logs everything
    Secrets,
    /// Fault injection on a dedicated stack; every event is counted
    Faults,
    /// The API against infra/openapi.json, on a stack with a high webhook limit
    Contract,
}

impl Suite {
    fn run(self, root: &Path, env: &mut TestEnv<'_>) -> Result<()> {
        match self {
            Self::Fmt => run_well(cargo(root).args(["fmt", "--all", "--check"])),
            Self::Language => language::check(root),
            Self::Lint => lint::check(root),
            Self::Clippy => clippy(root),
            Self::Dependencies => dependencies::check(root),
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
            Self::Budgets => budgets(root, env),
            Self::Deployable => deployable(root, env),
            Self::Package => package::check(root),
            Self::Template => deploy::check(root),
            Self::E2e => e2e(root, env),
            Self::Endpoint => at_moto(root, env),
            Self::Operations => operations(root, env),
            Self::Docs => docs(root, env),
            Self::Clients => clients(root, env),
            Self::Console => console(root, env),
            Self::Engine => engine(root, env, ENGINE),
            Self::Secrets => engine(root, env, SECRETS),
            Self::Faults => faults(root, env),
            Self::Contract => contract(root, env),
        }
    }
}

pub(crate) fn test(root: &Path, only: Option<Suite>) -> Result<()> {
    let suites = only.map_or_else(|| Suite::value_variants().to_vec(), |suite| vec![suite]);
    let mut env = TestEnv::new(root);
    // An installation may ask a question, so it comes first, while the user is at the terminal. The suite reports a failure again.
    if suites.contains(&Suite::Budgets) {
        let _ = valgrind();
    }
    if suites.contains(&Suite::Console) {
        let _ = browser::chromium();
    }
    interrupt::check()?;
    let preparation = only.is_none().then(|| Preparation::start(root));
    let mut outcomes: Vec<(String, Duration, bool)> = Vec::new();
    for suite in suites {
        let name = name_of(&suite);
        say(format!("\n── {name} ──"));
        let started = Instant::now();
        let outcome = suite.run(root, &mut env);
        if let Err(error) = &outcome {
            interrupt::check()?;
            say(format!("{name}: {error:#}"));
        }
        outcomes.push((name, started.elapsed(), outcome.is_ok()));
    }
    drop(preparation);
    say("\n── summary ──");
    for (name, took, passed) in &outcomes {
        say(format!("  {} {name:<12} {:>8}", if *passed { '✓' } else { '✗' }, seconds(*took)));
    }
    let failed: Vec<_> =
        outcomes.iter().filter(|(.., passed)| !passed).map(|(name, ..)| name.as_str()).collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// Creates the Python environments that the suites need while cargo compiles: they wait for the network, cargo for the processor.
struct Preparation(Option<JoinHandle<()>>);

impl Preparation {
    fn start(root: &Path) -> Self {
        let root = root.to_owned();
        Self(Some(std::thread::spawn(move || {
            for environment in [
                Environment::LOCAL,
                Environment::PACKAGE,
                Environment::DEPLOY,
                Environment::CHECKOV,
                Environment::ENDPOINT,
                Environment::DOCS,
                Environment::CLIENTS,
                Environment::CONTRACT,
            ] {
                // The suite that needs it reports the error; after one failure, such as a missing network, the others would fail too.
                if environment.prepare(&root).is_err() || interrupt::check().is_err() {
                    return;
                }
            }
        })))
    }
}

impl Drop for Preparation {
    /// Waits, so that no process is left behind.
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

/// Runs clippy twice: with the feature `local`, which dev-dependencies turn on, and without it, as the functions are deployed.
///
/// The second run selects the whole workspace, as `doc` does, so that both share one build of the dependencies.
fn clippy(root: &Path) -> Result<()> {
    for targets in [Some("--all-targets"), None] {
        let mut clippy = cargo(root);
        clippy.args(["clippy", "--workspace", "--locked"]).args(targets).args(["--", "--deny=warnings"]);
        run_well(&mut clippy)?;
    }
    Ok(())
}

/// Measures development builds, which other suites need anyway.
fn budgets(root: &Path, env: &mut TestEnv<'_>) -> Result<()> {
    let functions = env.build()?.1.directory()?.to_owned();
    let calls = Driver::debug(root, &functions)?.run(Some("calls"));
    let counts = instructions(root, false);
    calls.and(counts)
}

/// Runs tests/it/deployable.rs against the release build and, as a control, against the development build with the feature `local`.
fn deployable(root: &Path, env: &mut TestEnv<'_>) -> Result<()> {
    let deployable = build_deployable(root)?;
    let (_, local) = env.build()?;
    let mut tests = cargo(root);
    tests.args(["test", "--locked", "--workspace", "--test", "it", "--", "--ignored", "deployable::"]);
    for name in LOCAL {
        let upper = name.to_uppercase();
        tests.env(format!("ANZOL_DEPLOYABLE_{upper}"), deployable.join(name));
        tests.env(format!("ANZOL_LOCAL_{upper}"), local.functions.get(name).context("not built")?);
    }
    run_well(&mut tests)
}

/// The whole workspace is selected, as in the suite `unit`: with `-p anzol-tests` cargo would resolve other features and compile most
/// dependencies a second time.
const E2E: [&str; 5] = ["test", "--locked", "--workspace", "--test", "e2e"];

/// The tests of tests/e2e that need shorter waits than the template's defaults.
const ENGINE: &str = "engine::";

/// The test of tests/e2e that needs all logs.
const SECRETS: &str = "secrets::";

/// Retries, scheduled deliveries and disabling within seconds, and every log line. `tests/e2e/engine.rs` depends on these values.
const SHORT_WAITS: [&str; 6] = [
    "RetrySchedule=2,2,4,4",
    "LongestQueueDelay=3",
    "DisableAfterFailures=6",
    "DisableAfterHours=0",
    "LogLevel=trace",
    "UserAgent=Anzol engine",
];

fn engine(root: &Path, env: &mut TestEnv<'_>, tests: &str) -> Result<()> {
    run_well(cargo(root).args(E2E).arg("--no-run"))?;
    env.stack_or_endpoint(&SHORT_WAITS)?;
    let stack = Home::test(root).description();
    run_well(cargo(root).args(E2E).args(["--", tests]).env("ANZOL_STACK", stack))
}

/// Tests that the suite `endpoint` skips to save more than two minutes: a wait of over a minute, and 200 parallel calls. They run in the
/// local cloud.
const LONG: [&str; 3] = ["seal_of_another_webhook_defers", "two_hundred_parallel_creates", REMOVAL];

/// The test that expired rows are removed. Only the local cloud does that within a minute: moto never does, DynamoDB within days.
const REMOVAL: &str = "ttl_expired_rows_are_removed_by_the_store";

/// Runs the end-to-end tests at moto, which provides tables, queues and keys, but no functions.
fn at_moto(root: &Path, env: &mut TestEnv<'_>) -> Result<()> {
    run_well(cargo(root).args(E2E).arg("--no-run"))?;
    let moto = Moto::start(root, choose_port(None, FIRST_PORT + 80)?)?;
    let url = moto.url().to_owned();
    env.stack_at(StackTarget::External(url.clone()), &[])?;
    let mut tests = cargo(root);
    // Tests wait most of the time, so many can run at once; the number of processes limits them.
    tests.args(E2E).args(["--", "--test-threads=8", "--skip", ENGINE, "--skip", SECRETS]);
    tests.args(LONG.iter().flat_map(|name| ["--skip", name]));
    let outcome = run_well(tests.env("ANZOL_STACK", Home::test(root).description()));
    env.stop();
    let left = moto.left();
    drop(moto);
    outcome?;
    let left = left?;
    ensure!(left.is_empty(), "left on the endpoint: {}", left.join(", "));
    let resources = Resources::new(root, &env.build()?.0, &root.join("target/test-stack"));
    let error =
        resources.create(&url, &url, &[]).err().context("resources at an endpoint that has stopped")?;
    let error = format!("{error:#}");
    ensure!(error.contains("no answer from"), "the error at an endpoint that has stopped was: {error}");
    Ok(())
}

fn e2e(root: &Path, env: &mut TestEnv<'_>) -> Result<()> {
    run_well(cargo(root).args(E2E).arg("--no-run"))?; // compile before the stack starts
    env.stack_or_endpoint(&[])?;
    let stack = Home::test(root).description();
    // 200 parallel calls are 200 processes here, which starve all other tests on a small machine.
    let crowd = "two_hundred_parallel_creates";
    let run =
        |words: &[&str]| run_well(cargo(root).args(E2E).arg("--").args(words).env("ANZOL_STACK", &stack));
    let mut words = vec!["--skip", crowd, "--skip", ENGINE, "--skip", SECRETS];
    if endpoint::named().is_some() {
        say(format!("skipped: {REMOVAL}, as only the local cloud removes expired rows within a minute"));
        words.extend(["--skip", REMOVAL]);
    }
    run(&words)?;
    run(&[crowd])
}

/// Runs tests/operations in the local cloud's Python, with cargo-lambda on the path.
fn operations(root: &Path, env: &mut TestEnv<'_>) -> Result<()> {
    let cargo_lambda = package::prepare_python(root)?;
    env.stack(&[])?;
    let mut command = up::prepare_python(root)?.command();
    command.args(["-m", "unittest", "--verbose"]).current_dir(root.join("tests/operations"));
    command.env("ANZOL_STACK", Home::test(root).description());
    run_well(command.env("PATH", cargo_lambda.on_path()))
}

/// Runs tests/docs/run.py with `aws` and `cargo lambda` on the path; it starts stacks with the documents' own commands.
fn docs(root: &Path, env: &mut TestEnv<'_>) -> Result<()> {
    let cargo_lambda = package::prepare_python(root)?;
    let python = Environment::DOCS.prepare(root)?;
    Node::prepare(&root.join("tests/clients"))?;
    Home::local(root).refuse_if_in_use()?;
    let functions = env.build()?.1.directory()?.to_owned();
    let mut command = python.command();
    command.arg(root.join("tests/docs/run.py")).env("ANZOL_FUNCTIONS", functions);
    let mut path = python.on_path();
    path.push(":");
    path.push(cargo_lambda.on_path());
    run_well(command.env("PATH", path))
}

/// Runs tests/clients, first in Node and then in Python.
fn clients(root: &Path, env: &mut TestEnv<'_>) -> Result<()> {
    let suite = root.join("tests/clients");
    let node = Node::prepare(&suite)?;
    let python = Environment::CLIENTS.prepare(root)?;
    env.stack(&[])?;
    let stack = Home::test(root).description();
    let tests = ["--import", "./localhost.js", "--test", "--test-reporter=spec"];
    let in_node = run_well(node.command().args(tests).env("ANZOL_STACK", &stack));
    let mut command = python.command();
    command.args(["-m", "unittest", "--verbose", "cloudevents_peer"]).current_dir(suite);
    let in_python = run_well(command.env("ANZOL_STACK", stack));
    in_node.and(in_python)
}

/// Runs tests/console in the system's Chromium. Failing tests leave screenshots and traces in target/console.
fn console(root: &Path, env: &mut TestEnv<'_>) -> Result<()> {
    let node = Node::prepare(&root.join("tests/console"))?;
    let chromium = browser::chromium()?;
    env.stack(&[])?;
    // One file at a time: each starts a browser, and the machine may be small.
    let tests =
        ["--import", "../clients/localhost.js", "--test", "--test-reporter=spec", "--test-concurrency=1"];
    run_well(
        node.command()
            .args(tests)
            .env("ANZOL_STACK", Home::test(root).description())
            .env("ANZOL_CHROMIUM", chromium),
    )
}

const FAULTS: [&str; 5] = ["test", "--locked", "--workspace", "--test", "faults"];

/// Webhooks that are never disabled, retries and scheduled deliveries within seconds, and a low webhook limit. `tests/faults` depends on
/// these values.
const FAULTY: [&str; 5] = [
    "RetrySchedule=2,2,4,4,4,6,6,8,8,8",
    "LongestQueueDelay=3",
    "DisableAfterFailures=1000000",
    "WebhookCap=20",
    "Throughput=standard",
];

/// Runs tests/faults on a stack whose functions call the cloud through the suite's proxy.
fn faults(root: &Path, env: &mut TestEnv<'_>) -> Result<()> {
    run_well(cargo(root).args(FAULTS).arg("--no-run"))?;
    env.stop();
    let proxy = choose_port(None, FIRST_PORT + 50)?;
    env.stack_at(StackTarget::Proxied(proxy), &FAULTY)?;
    run_well(
        cargo(root)
            .args(FAULTS)
            .env("ANZOL_STACK", Home::test(root).description())
            .env("ANZOL_FAULT_PORT", proxy.to_string())
            .env("ANZOL_XTASK", std::env::current_exe()?),
    )
}

/// Runs schemathesis with tests/contract/schemathesis.toml and hooks.py. Both may read `ANZOL_API_URL`, `ANZOL_TOKEN` (an admin of acme)
/// and `ANZOL_STACK`.
fn contract(root: &Path, env: &mut TestEnv<'_>) -> Result<()> {
    let python = Environment::CONTRACT.prepare(root)?;
    // schemathesis creates thousands of webhooks and deletes only some of them.
    let description = env.stack(&["WebhookCap=10000"])?;
    let url = description.loopback_url()?;
    let token = description.tokens.get("acme.admin").context("no token for acme.admin")?;
    let suite = root.join("tests/contract");
    let notes = root.join("target/contract"); // schemathesis keeps its examples here between runs
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
