//! `cargo xtask redrive`: moves what is with the dead letters back to the queues it came from, on AWS or on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::local_cloud::{STACK, json_of};
use crate::progress::say;
use crate::stack::Home;
use crate::up;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Whose dead letters; may be given several times [default: all]
    #[arg(long)]
    queue: Vec<Source>,
    /// Only count them
    #[arg(long)]
    dry_run: bool,
    /// A `CloudFormation` stack on AWS, by your own credentials; otherwise the local stack that `ANZOL_STACK` names, or that of `up`
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// Region of that stack [default: as your AWS settings say]
    #[arg(long, requires = "stack")]
    region: Option<String>,
}

/// A queue that has dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    /// The fast lane, and what no sender could read
    Deliveries,
    /// The slow lane and retries
    SlowLane,
    /// Events that producers put on the queue
    Events,
}

/// What `cloud.py redrive` says of a queue.
#[derive(Debug, Deserialize)]
struct Moved {
    waiting: u64,
    #[serde(rename = "moved")]
    back: u64,
    unreadable: u64,
}

/// The part of stack.json that is needed here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    aws_endpoint_url: String,
}

pub(crate) fn redrive(root: &Path, options: &Options) -> Result<()> {
    let python = up::prepare_python(root)?;
    let mut command = Command::new(python.program("python"));
    command.arg(root.join("infra/local/cloud.py")).arg("redrive").env("PYTHONDONTWRITEBYTECODE", "1");
    command.args(["--stack", options.stack.as_deref().unwrap_or(STACK)]);
    if options.stack.is_none() {
        command.args(["--endpoint", &local_endpoint(root)?]);
    }
    command.args(options.region.iter().flat_map(|region| ["--region", region]));
    for queue in &options.queue {
        let name = queue.to_possible_value().context("a queue without a name")?;
        command.args(["--queue", name.get_name()]);
    }
    command.args(options.dry_run.then_some("--dry-run"));
    let queues: BTreeMap<String, Moved> = json_of(command.stdin(Stdio::null()))?;
    for (name, Moved { waiting, back, unreadable }) in &queues {
        say(match (waiting, options.dry_run) {
            (0, _) => format!("  {name:<11} no dead letters"),
            (_, true) => format!("  {name:<11} {waiting} with the dead letters"),
            (_, false) => format!(
                "  {name:<11} {back} of {waiting} moved back, {unreadable} left there that nobody can read"
            ),
        });
    }
    let all = |of: fn(&Moved) -> u64| queues.values().map(of).sum::<u64>();
    let (waiting, moved) = (all(|queue| queue.waiting), all(|queue| queue.back));
    say(if options.dry_run {
        format!("\n{waiting} in all; nothing was moved.")
    } else {
        format!("\n{moved} moved.")
    });
    Ok(())
}

fn local_endpoint(root: &Path) -> Result<String> {
    let file = std::env::var_os("ANZOL_STACK").map_or_else(|| Home::local(root).description(), PathBuf::from);
    let text = std::fs::read(&file).with_context(|| {
        format!(
            "no stack at {}: start one with `cargo xtask up`, or name one on AWS with --stack",
            file.display()
        )
    })?;
    let description: Description =
        serde_json::from_slice(&text).with_context(|| format!("{} is not a stack.json", file.display()))?;
    // Whoever follows a description elsewhere would send it what only this machine is to get.
    let endpoint = description.aws_endpoint_url;
    ensure!(endpoint.starts_with("http://localhost:"), "{endpoint} is not on this machine");
    Ok(endpoint)
}
