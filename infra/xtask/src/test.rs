//! `cargo xtask test`: every suite in order, and at the end which of them failed. What is lacking is said, never skipped.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::build::{FUNCTIONS, build, cargo};
use crate::local_cloud::{Python, choose_port};
use crate::process::run_well;
use crate::progress::{say, seconds};
use crate::stack::{Home, Stack};
use crate::{interrupt, up, walls};

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
    /// infra/template.yaml under cfn-lint
    Template,
    /// End to end, on a fresh stack of its own
    E2e,
}

impl Suite {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn run(self, root: &Path) -> Result<()> {
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
            Self::Template => template(root),
            Self::E2e => e2e(root),
        }
    }
}

pub(crate) fn test(root: &Path, only: Option<Suite>) -> Result<()> {
    let suites = only.map_or_else(|| Suite::value_variants().to_vec(), |suite| vec![suite]);
    let mut outcomes: Vec<(Suite, Duration, bool)> = Vec::new();
    for suite in suites {
        say(format!("\n── {} ──", suite.name()));
        let began = Instant::now();
        let outcome = suite.run(root);
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

fn template(root: &Path) -> Result<()> {
    let requirements = root.join("infra/local/requirements-test.txt");
    let python = Python::prepare(&requirements, &root.join("target/local/venv-test"))?;
    run_well(Command::new(python.program("cfn-lint")).arg(root.join("infra/template.yaml")))
}

fn e2e(root: &Path) -> Result<()> {
    let home = Home::test(root);
    home.refuse_if_in_use()?;
    let python = up::prepare_python(root)?;
    let binaries = build(root)?;
    let tests = ["test", "--locked", "-p", "anzol-tests", "--test", "e2e"];
    run_well(cargo(root).args(tests).arg("--no-run"))?; // before the stack, whose start is not to wait for a compiler
    let port = choose_port(None, FIRST_PORT)?;
    let (stack, description) = Stack::start(root, home.clone(), port, &python, &binaries)?;
    stack.publish(&description)?;
    // Two hundred calls at once are two hundred processes here: on a small machine that starves every other test.
    let crowd = "two_hundred_parallel_creates";
    let run = |words: &[&str]| {
        run_well(cargo(root).args(tests).arg("--").args(words).env("ANZOL_STACK", home.description()))
    };
    run(&["--skip", crowd])?;
    run(&[crowd])
}
