//! `cargo xtask deploy`: runs `infra/aws/deploy.py`, which validates and calls `sam deploy`; and the suite `template`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::cloud::local::REGION;
use crate::tools::process::run_well;
use crate::tools::progress::step;
use crate::tools::python::{Environment, Python};

/// The options have the names that `sam deploy` uses.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Only validate, and show the planned changes
    #[arg(long)]
    dry_run: bool,
    /// Name of the CloudFormation stack
    #[arg(long, default_value = "anzol")]
    stack_name: String,
    /// AWS region [default: `AWS_REGION`]
    #[arg(long)]
    region: Option<String>,
    /// Path of the template; its `CodeUri`s are relative to it [default: infra/template.yaml]
    #[arg(long)]
    template: Option<PathBuf>,
    /// A template parameter; repeatable
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// Ask for every parameter that is not given, even if it has a default
    #[arg(long)]
    guided: bool,
    /// Deploy without confirmation of the change set
    #[arg(long)]
    yes: bool,
}

pub(crate) fn deploy(root: &Path, options: &Options) -> Result<()> {
    let python = prepare_python(root)?;
    let mut command = python.command();
    command.arg(root.join("infra/aws/deploy.py"));
    command
        .arg("--template")
        .arg(options.template.clone().unwrap_or_else(|| root.join("infra/template.yaml")));
    command.args(["--stack-name", &options.stack_name]);
    command.args(options.region.iter().flat_map(|region| ["--region", region]));
    command.args(options.parameters.iter().flat_map(|parameter| ["--parameter", parameter]));
    for (flag, given) in
        [("--dry-run", options.dry_run), ("--guided", options.guided), ("--yes", options.yes)]
    {
        command.args(given.then_some(flag));
    }
    // Runs in the process group of xtask, because it asks questions at the terminal.
    let status = command.status().context("cannot start Python")?;
    ensure!(status.success(), "the deployment failed or is incomplete; see above");
    Ok(())
}

fn prepare_python(root: &Path) -> Result<Python> {
    step("Python packages: SAM, cfn-lint", || Environment::DEPLOY.prepare(root))
}

/// The suite `template`. It needs no AWS account.
pub(crate) fn check(root: &Path) -> Result<()> {
    let python = prepare_python(root)?;
    let template = root.join("infra/template.yaml");
    let settings = [("SAM_CLI_TELEMETRY", "0"), ("PYTHONDONTWRITEBYTECODE", "1")];
    let examples = root.join("infra/examples/*.yaml");
    step("cfn-lint", || run_well(Command::new(python.program("cfn-lint")).arg(&template).arg(&examples)))?;
    step("sam validate --lint", || {
        let mut sam = Command::new(python.program("sam"));
        sam.args(["validate", "--lint", "--region", REGION, "--template"]).arg(&template).envs(settings);
        run_well(&mut sam)
    })?;
    step("dry runs of deploy", || {
        let mut tests = Command::new(python.program("python"));
        tests.args(["-m", "unittest", "--quiet", "test_deploy"]).current_dir(root.join("infra/aws"));
        run_well(tests.envs(settings))
    })?;
    let python = step("Python packages: checkov", || Environment::CHECKOV.prepare(root))?;
    step("checkov", || {
        let mut checkov = Command::new(python.program("checkov"));
        checkov.arg("--config-file").arg(root.join("infra/aws/checkov.yaml"));
        checkov.arg("--file").arg(&template).args(examples_of(root)?).envs(settings);
        run_well(&mut checkov)
    })
}

/// Returns the templates among the examples; checkov does not expand patterns.
fn examples_of(root: &Path) -> Result<Vec<PathBuf>> {
    let directory = root.join("infra/examples");
    let mut found = Vec::new();
    for entry in
        std::fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    ensure!(!found.is_empty(), "no template in {}", directory.display());
    Ok(found)
}
