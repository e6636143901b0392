//! `cargo xtask redrive`: moves messages from the dead-letter queues to their source queues, on AWS or on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::up;
use crate::cloud::local::{STACK, json_of};
use crate::cloud::stack::Home;
use crate::tools::name_of;
use crate::tools::progress::say;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// A source queue; repeatable [default: all]
    #[arg(long)]
    queue: Vec<Source>,
    /// Only count the messages
    #[arg(long)]
    dry_run: bool,
    /// A CloudFormation stack on AWS [default: the local stack that `ANZOL_STACK` names, or that of `up`]
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// Region of that stack [default: from your AWS settings]
    #[arg(long, requires = "stack")]
    region: Option<String>,
}

/// A queue with a dead-letter queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    /// The fast lane, and malformed messages
    Deliveries,
    /// The slow lane and retries
    SlowLane,
    /// Events that producers sent to the queue
    Events,
}

/// Output of `cloud.py redrive` for one queue.
#[derive(Debug, Deserialize)]
struct Redriven {
    waiting: u64,
    moved: u64,
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
    let mut command = python.command();
    command.arg(root.join("infra/local/cloud.py")).arg("redrive");
    command.args(["--stack", options.stack.as_deref().unwrap_or(STACK)]);
    if options.stack.is_none() {
        command.args(["--endpoint", &local_endpoint(root)?]);
    }
    command.args(options.region.iter().flat_map(|region| ["--region", region]));
    for queue in &options.queue {
        command.args(["--queue", &name_of(queue)]);
    }
    command.args(options.dry_run.then_some("--dry-run"));
    let queues: BTreeMap<String, Redriven> = json_of(command.stdin(Stdio::null()))?;
    for (name, Redriven { waiting, moved, unreadable }) in &queues {
        say(match (waiting, options.dry_run) {
            (0, _) => format!("  {name:<11} no messages"),
            (_, true) => format!("  {name:<11} {waiting} messages"),
            (_, false) => {
                format!(
                    "  {name:<11} {moved} of {waiting} moved, {unreadable} malformed ones left in the DLQ"
                )
            }
        });
    }
    let all = |of: fn(&Redriven) -> u64| queues.values().map(of).sum::<u64>();
    let (waiting, moved) = (all(|queue| queue.waiting), all(|queue| queue.moved));
    say(if options.dry_run {
        format!("\n{waiting} messages in total; nothing was moved.")
    } else {
        format!("\n{moved} messages moved.")
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
    // Requests go to this endpoint, so a description must not point them at another machine.
    let endpoint = description.aws_endpoint_url;
    ensure!(endpoint.starts_with("http://localhost:"), "{endpoint} is not on this machine");
    Ok(endpoint)
}
