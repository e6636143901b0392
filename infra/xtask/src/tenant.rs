//! `cargo xtask tenant delete`: everything that is kept of one tenant, deleted by `infra/aws/tenant.py`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};

use crate::up;

#[derive(Subcommand, Debug)]
pub(crate) enum Tenant {
    /// Delete a tenant's webhooks, history, recoveries and markers, on AWS or at `AWS_ENDPOINT_URL`
    Delete(Options),
}

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// The tenant's id, as tokens name it
    tenant: String,
    /// Only count what there is
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Name of the `CloudFormation` stack
    #[arg(long, default_value = "anzol")]
    stack_name: String,
    /// AWS region [default: `AWS_REGION`]
    #[arg(long)]
    region: Option<String>,
}

pub(crate) fn tenant(root: &Path, Tenant::Delete(options): &Tenant) -> Result<()> {
    let python = up::prepare_python(root)?; // all that is needed of it is the AWS SDK
    let mut command = Command::new(python.program("python"));
    command.arg(root.join("infra/aws/tenant.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    command.args(["--stack-name", &options.stack_name]);
    command.args(options.region.iter().flat_map(|region| ["--region", region]));
    for (flag, given) in [("--dry-run", options.dry_run), ("--yes", options.yes)] {
        command.args(given.then_some(flag));
    }
    command.arg("--").arg(&options.tenant);
    // In our own process group: it talks with the person at the terminal.
    let status = command.status().context("cannot start Python")?;
    ensure!(status.success(), "not everything was deleted; see above");
    Ok(())
}
