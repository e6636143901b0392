//! `cargo xtask tenant delete`: deletes all data of one tenant with `infra/aws/tenant.py`.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};

use super::up;

#[derive(Subcommand, Debug)]
pub(crate) enum Tenant {
    /// Delete a tenant's webhooks, history, recoveries and match records, on AWS or at `AWS_ENDPOINT_URL`
    Delete(Options),
}

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// The tenant's id, as in tokens
    tenant: String,
    /// Only count the items
    #[arg(long)]
    dry_run: bool,
    /// Delete without confirmation
    #[arg(long)]
    yes: bool,
    /// Name of the CloudFormation stack
    #[arg(long, default_value = "anzol")]
    stack_name: String,
    /// AWS region [default: `AWS_REGION`]
    #[arg(long)]
    region: Option<String>,
}

pub(crate) fn tenant(root: &Path, Tenant::Delete(options): &Tenant) -> Result<()> {
    let python = up::prepare_python(root)?; // it has the AWS SDK
    let mut command = python.command();
    command.arg(root.join("infra/aws/tenant.py"));
    command.args(["--stack-name", &options.stack_name]);
    command.args(options.region.iter().flat_map(|region| ["--region", region]));
    for (flag, given) in [("--dry-run", options.dry_run), ("--yes", options.yes)] {
        command.args(given.then_some(flag));
    }
    command.arg("--").arg(&options.tenant);
    // Runs in the process group of xtask, because it asks questions at the terminal.
    let status = command.status().context("cannot start Python")?;
    ensure!(status.success(), "the deletion failed or is incomplete; see above");
    Ok(())
}
