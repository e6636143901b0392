//! `cargo xtask up`: starts the whole system on this machine and shows a signed delivery.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;

use super::demo;
use crate::cloud::stack::{Description, Home, Stack};
use crate::tools::ports::choose_port;
use crate::tools::progress::{say, seconds, step, talkative_step};
use crate::tools::python::{Environment, Python};
use crate::tools::{cargo, interrupt};

const FIRST_PORT: u16 = 4566;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Leave the stack running in the background, for `cargo xtask down` to stop
    #[arg(long)]
    detach: bool,
    /// Port of the local cloud [default: 4566 or the next free one]
    #[arg(long)]
    port: Option<u16>,
}

pub(crate) fn up(root: &Path, options: &Options) -> Result<()> {
    let home = Home::local(root);
    home.refuse_if_in_use()?;
    let port = choose_port(options.port, FIRST_PORT)?;
    say("Anzol on this machine\n");
    let python = prepare_python(root)?;
    let binaries = talkative_step("functions and receiver built", || cargo::build(root, &[]))?;

    let started = Instant::now();
    let (mut stack, description) = Stack::start(root, &home, port, &python, &binaries, &[])?;
    demo::run(root, &description)?;
    stack.publish(&description)?;
    say(format!("\nReady, {} after the build.\n", seconds(started.elapsed())));
    print_summary(&home, &description);

    if options.detach {
        say("\nRunning in the background. Stop it with: cargo xtask down");
        return stack.leave_running();
    }
    say("\nRunning. Ctrl-C stops it.");
    let exited = loop {
        if interrupt::pause().is_err() {
            break None;
        }
        if let Some(name) = stack.exited() {
            break Some(name);
        }
    };
    say("\nStopping …");
    drop(stack);
    match exited {
        None => say("Nothing is left running."),
        Some(name) => bail!("{name} exited unexpectedly, see {}", home.logs().display()),
    }
    Ok(())
}

/// Prepares the local cloud's Python environment, which all stacks of this workspace share.
pub(crate) fn prepare_python(root: &Path) -> Result<Python> {
    step("Python packages of the local cloud", || Environment::LOCAL.prepare(root))
}

fn print_summary(home: &Home, description: &Description) {
    let token = description.tokens.get("acme.admin").map_or("", String::as_str);
    say(format!("  Console    {}", description.console_url));
    say(format!(
        "             user acme.admin (or acme.user, globex.admin), password {}",
        description.password
    ));
    say(format!("  API        {}", description.api_url));
    say(format!("  All of it  {}", home.description().display()));
    say(format!("  Logs       {}", home.logs().display()));
    say(format!(
        "  Try        curl -H 'Authorization: Bearer {token}' {}/api/v1/webhooks",
        description.api_url
    ));
}
