//! `cargo xtask bench`: measures the functions and compares them with baselines of the same run; fails when a threshold is missed.
//!
//! `tests/bench` measures and compares; this module builds its programs and the functions.

pub(crate) mod instructions;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;

use super::up;
use crate::cloud::stack::{Home, Stack};
use crate::tools::cargo::{build, build_deployable, build_measuring, build_release, cargo, executables};
use crate::tools::ports::choose_port;
use crate::tools::process::run_well;
use crate::tools::progress::say;
use crate::tools::{interrupt, name_of};
use instructions::instructions;

/// First port to try; `up` and `test` may be running on their own.
const FIRST_PORT: u16 = 4700;

/// The functions that send to the receiver, or that others need for that.
const TO_RECEIVER: [&str; 3] = ["api", "ingest", "sender"];
const BASELINES: [&str; 4] = ["hello", "hello-http", "hello-aws", "post"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bench {
    /// Package sizes
    Size,
    /// Cold starts
    ColdStart,
    /// Resident memory
    Memory,
    /// CPU of a delivery, and a batch to a slow receiver
    Sender,
    /// CPU of an event, and latency of a warm call
    Ingest,
    /// CPU and latency of API calls
    Api,
    /// Billable calls for 1,000 deliveries
    Calls,
    /// Dollars for 1,000,000 deliveries
    Cost,
    /// Growth with the number of webhooks and tenants
    Scale,
    /// Instructions of the hot paths, against the stored baseline
    Instructions,
    /// Deliveries of a quiet tenant while another tenant queues 12,000 for a receiver that takes five seconds
    #[value(alias = "neighbour")]
    Neighbor,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The only part to measure; all by default
    which: Option<Bench>,
    /// A template parameter for the stack of `neighbor`; repeatable
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// Store the counts of `instructions` as the baseline of this compiler
    #[arg(long)]
    save: bool,
}

pub(crate) fn bench(root: &Path, options: &Options) -> Result<()> {
    ensure!(!options.save || options.which == Some(Bench::Instructions), "--save needs `bench instructions`");
    let parts = options.which.map_or_else(|| Bench::value_variants().to_vec(), |which| vec![which]);
    let mut driver = None;
    let mut missed = Vec::new();
    for part in parts {
        let name = name_of(&part);
        say(format!("\n── {name} ──"));
        let outcome = match part {
            Bench::Neighbor => neighbor(root, &options.parameters),
            Bench::Instructions => instructions(root, options.save),
            _ => {
                if driver.is_none() {
                    driver = Some(Driver::build(root)?);
                }
                driver.as_ref().context("nothing was built")?.run(Some(&name))
            }
        };
        if let Err(error) = outcome {
            interrupt::check()?;
            say(format!("{name}: {error:#}"));
            missed.push(name);
        }
    }
    if let Some(driver) = &driver {
        driver.run(None)?;
        say(format!("\nFigures are in {0}/report.json, charts in {0}/report.html", home(root).display()));
    }
    if !missed.is_empty() {
        bail!("thresholds missed, or nothing measured: {}", missed.join(", "));
    }
    Ok(())
}

fn home(root: &Path) -> PathBuf {
    root.join("target/bench")
}

/// The program of `tests/bench` and the binaries that it measures.
pub(crate) struct Driver {
    program: PathBuf,
    functions: PathBuf,
    local: PathBuf,
    baselines: PathBuf,
    out: PathBuf,
}

impl Driver {
    /// Builds all functions as deployed, and again with the feature `local` those that send to the local receiver.
    fn build(root: &Path) -> Result<Self> {
        let out = home(root);
        let functions = build_deployable(root)?;
        let packages = TO_RECEIVER.map(|name| format!("anzol-{name}"));
        let features = ["--features", "anzol-api/local,anzol-sender/local"];
        let local = build_release(root, &features, &packages, &TO_RECEIVER, "bench/local")?;
        let baselines =
            build_release(root, &[], &["anzol-baselines".to_owned()], &BASELINES, "bench/baselines")?;
        let mut command = cargo(root);
        command.args(["build", "--locked", "--profile=driver", "-p", "anzol-bench"]);
        let program = executables(&mut command)?.remove("bench").context("cargo did not build the bench")?;
        Ok(Self { program, functions, local, baselines, out })
    }

    /// Uses development builds, for measurements that count and do not time; `functions` is their directory.
    pub(crate) fn debug(root: &Path, functions: &Path) -> Result<Self> {
        let program = build_measuring(root)?.remove("bench").context("cargo did not build the bench")?;
        let directory = functions.to_owned();
        let out = root.join("target/budgets");
        Ok(Self {
            program,
            functions: directory.clone(),
            local: directory.clone(),
            baselines: directory,
            out,
        })
    }

    /// Measures a part, or none, and writes the report; fails when a threshold is missed.
    pub(crate) fn run(&self, part: Option<&str>) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.arg("--functions").arg(&self.functions).arg("--local").arg(&self.local);
        command.arg("--baselines").arg(&self.baselines).arg("--out").arg(&self.out).args(part);
        run_well(&mut command).context("a threshold was missed, or the measurement failed")
    }
}

/// Measures on a fresh, dedicated stack.
fn neighbor(root: &Path, parameters: &[String]) -> Result<()> {
    let name = name_of(&Bench::Neighbor);
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
        .with_context(|| format!("{name}: a threshold was missed, or the measurement failed"))?;
    say(format!("\nFigures are in {}", figures.display()));
    Ok(())
}
