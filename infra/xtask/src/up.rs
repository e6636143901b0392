//! `cargo xtask up`: from a fresh clone to a verified signed delivery on the screen.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;

use crate::local_cloud::{Python, choose_port};
use crate::progress::{say, seconds, step, talkative_step};
use crate::stack::{Description, Home, Stack};
use crate::{build, demo, interrupt};

const FIRST_PORT: u16 = 4566;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Leave everything running; `cargo xtask down` stops it
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
    let binaries = talkative_step("functions and receiver built", || build::build(root, &[]))?;

    let began = Instant::now();
    let (mut stack, description) = Stack::start(root, &home, port, &python, &binaries, &[])?;
    demo::run(root, &description)?;
    stack.publish(&description)?;
    say(format!("\nReady, {} after the build.\n", seconds(began.elapsed())));
    invite(&home, &description);

    if options.detach {
        say("\nRunning in the background. Stop it with: cargo xtask down");
        return stack.leave_running();
    }
    say("\nRunning. Ctrl-C stops it.");
    let ended = loop {
        if interrupt::pause().is_err() {
            break None;
        }
        if let Some(name) = stack.ended() {
            break Some(name);
        }
    };
    say("\nStopping …");
    drop(stack);
    match ended {
        None => say("Nothing is left running."),
        Some(name) => bail!("the {name} ended by itself, see {}", home.logs().display()),
    }
    Ok(())
}

/// The environment the local cloud runs in, shared by every stack of this workspace.
pub(crate) fn prepare_python(root: &Path) -> Result<Python> {
    step("Python packages of the local cloud", || {
        Python::prepare(&root.join("infra/local/requirements.txt"), &root.join("target/local/venv"))
    })
}

fn invite(home: &Home, description: &Description) {
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
