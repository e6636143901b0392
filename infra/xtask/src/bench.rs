//! `cargo xtask bench`: measurements on a fresh stack of their own, with bars that fail the command when they are missed.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::build::build;
use crate::local_cloud::choose_port;
use crate::process::run_well;
use crate::progress::say;
use crate::stack::{Home, Stack};
use crate::up;

/// Away from the ports of `up` and `test`, which may be running.
const FIRST_PORT: u16 = 4700;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bench {
    /// A quiet tenant's deliveries while another tenant queues 12,000 for a receiver that takes five seconds
    Neighbour,
}

impl Bench {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Runs one of them, on a stack with these template parameters (`Name=value`). `tests/bench` has the load programs; each measures,
/// prints, writes its figures and judges them.
pub(crate) fn bench(root: &Path, which: Bench, parameters: &[String]) -> Result<()> {
    let name = which.name();
    let home = Home::bench(root);
    home.refuse_if_in_use()?;
    let python = up::prepare_python(root)?;
    let binaries = build(root, &[&name])?;
    let program = binaries.programs.get(&name).context("the load program was not built")?;
    let port = choose_port(None, FIRST_PORT)?;
    let parameters: Vec<&str> = parameters.iter().map(String::as_str).collect();
    let (stack, description) = Stack::start(root, home.clone(), port, &python, &binaries, &parameters)?;
    stack.publish(&description)?;
    let figures = root.join("target/bench").join(format!("{name}.json"));
    say("");
    run_well(Command::new(program).arg(&figures).env("ANZOL_STACK", home.description()))
        .with_context(|| format!("{name}: the bars were missed, or nothing could be measured"))?;
    say(format!("\nFigures in {}", figures.display()));
    Ok(())
}
