//! `cargo xtask bench`: what the functions take, beside floors measured in the same run, with bars that fail the command when missed.
//!
//! `tests/bench` measures, prints and judges; here its programs and the functions are built as it needs them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;

use crate::build::{build, build_deployable, build_release, cargo, executables};
use crate::instructions::instructions;
use crate::interrupt;
use crate::local_cloud::choose_port;
use crate::process::run_well;
use crate::progress::say;
use crate::stack::{Home, Stack};
use crate::up;

/// Away from the ports of `up` and `test`, which may be running.
const FIRST_PORT: u16 = 4700;

/// The functions that reach the receiver, or lead there.
const TO_RECEIVER: [&str; 3] = ["api", "ingest", "sender"];
const FLOORS: [&str; 4] = ["hello", "hello-http", "hello-aws", "post"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bench {
    /// Package sizes
    Size,
    /// Cold starts
    ColdStart,
    /// Resident memory
    Memory,
    /// CPU of a delivery, and a batch for a slow receiver
    Sender,
    /// CPU of an event, and a warm call
    Ingest,
    /// CPU of the API's calls, and warm calls
    Api,
    /// Billable calls for a thousand deliveries
    Calls,
    /// Dollars for a million deliveries
    Cost,
    /// More webhooks, more tenants
    Scale,
    /// Instructions of the pure hot paths, beside the kept ones
    Instructions,
    /// A quiet tenant's deliveries while another tenant queues 12,000 for a receiver that takes five seconds
    Neighbour,
}

impl Bench {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// What is wanted.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The only thing to measure
    which: Option<Bench>,
    /// A template parameter of the stack of `neighbour`, as `Name=value`; may be given several times
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// Keep the counts of `instructions` as this compiler's baseline
    #[arg(long)]
    save: bool,
}

pub(crate) fn bench(root: &Path, options: &Options) -> Result<()> {
    ensure!(
        !options.save || options.which == Some(Bench::Instructions),
        "--save is for `bench instructions`"
    );
    let parts = options.which.map_or_else(|| Bench::value_variants().to_vec(), |which| vec![which]);
    let mut driver = None;
    let mut missed = Vec::new();
    for part in parts {
        say(format!("\n── {} ──", part.name()));
        let outcome = match part {
            Bench::Neighbour => neighbour(root, &options.parameters),
            Bench::Instructions => instructions(root, options.save),
            _ => {
                if driver.is_none() {
                    driver = Some(Driver::build(root)?);
                }
                driver.as_ref().context("nothing was built")?.run(Some(&part.name()))
            }
        };
        if let Err(error) = outcome {
            interrupt::check()?;
            say(format!("{}: {error:#}", part.name()));
            missed.push(part.name());
        }
    }
    if let Some(driver) = &driver {
        driver.run(None)?;
        say(format!("\nFigures in {0}/report.json, pictures in {0}/report.html", home(root).display()));
    }
    if !missed.is_empty() {
        bail!("bars missed, or nothing measured: {}", missed.join(", "));
    }
    Ok(())
}

fn home(root: &Path) -> PathBuf {
    root.join("target/bench")
}

/// The program of `tests/bench`, and the binaries it measures.
pub(crate) struct Driver {
    program: PathBuf,
    functions: PathBuf,
    local: PathBuf,
    floors: PathBuf,
    out: PathBuf,
}

impl Driver {
    /// Builds everything as it is deployed, and once more what has to reach the local receiver.
    fn build(root: &Path) -> Result<Self> {
        let out = home(root);
        let functions = build_deployable(root)?;
        let packages = TO_RECEIVER.map(|name| format!("anzol-{name}"));
        let features = ["--features", "anzol-api/local,anzol-sender/local"];
        let local = build_release(root, &features, &packages, &TO_RECEIVER, "bench/local")?;
        let floors = build_release(root, &[], &["anzol-floors".to_owned()], &FLOORS, "bench/floors")?;
        let mut command = cargo(root);
        command.args(["build", "--locked", "--profile=driver", "-p", "anzol-bench"]);
        let program = executables(&mut command)?.remove("bench").context("cargo did not build the bench")?;
        Ok(Self { program, functions, local, floors, out })
    }

    /// The same with builds for development, for what is counted and not timed; `functions` is where they are.
    pub(crate) fn debug(root: &Path, functions: &Path) -> Result<Self> {
        let mut command = cargo(root);
        command.args(["build", "--locked", "-p", "anzol-bench"]);
        let program = executables(&mut command)?.remove("bench").context("cargo did not build the bench")?;
        let directory = functions.to_owned();
        let out = root.join("target/budgets");
        Ok(Self { program, functions: directory.clone(), local: directory.clone(), floors: directory, out })
    }

    /// Measures a part and writes the report anew, or only that; fails when a bar is missed.
    pub(crate) fn run(&self, part: Option<&str>) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.arg("--functions").arg(&self.functions).arg("--local").arg(&self.local);
        command.arg("--floors").arg(&self.floors).arg("--out").arg(&self.out).args(part);
        run_well(&mut command).context("bars were missed, or nothing could be measured")
    }
}

/// On a fresh stack of its own.
fn neighbour(root: &Path, parameters: &[String]) -> Result<()> {
    let name = Bench::Neighbour.name();
    let stack_home = Home::bench(root);
    stack_home.refuse_if_in_use()?;
    let python = up::prepare_python(root)?;
    let binaries = build(root, &[&name])?;
    let program = binaries.programs.get(&name).context("the load program was not built")?;
    let port = choose_port(None, FIRST_PORT)?;
    let parameters: Vec<&str> = parameters.iter().map(String::as_str).collect();
    let (stack, description) = Stack::start(root, &stack_home, port, &python, &binaries, &parameters)?;
    stack.publish(&description)?;
    let figures = home(root).join(format!("{name}.json"));
    say("");
    run_well(Command::new(program).arg(&figures).env("ANZOL_STACK", stack_home.description()))
        .with_context(|| format!("{name}: the bars were missed, or nothing could be measured"))?;
    say(format!("\nFigures in {}", figures.display()));
    Ok(())
}
