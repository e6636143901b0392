//! `cargo xtask deploy`: `infra/aws/deploy.py`, which checks and runs SAM's `deploy`; and the `template` suite, which checks the template.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::local_cloud::{Python, REGION};
use crate::process::run_well;
use crate::progress::step;

/// The names of the options are those of `sam deploy`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Only check and show what would be made
    #[arg(long)]
    dry_run: bool,
    /// Name of the `CloudFormation` stack
    #[arg(long, default_value = "anzol")]
    stack_name: String,
    /// AWS region [default: `AWS_REGION`]
    #[arg(long)]
    region: Option<String>,
    /// The template; what its `CodeUri` name lies beside it [default: infra/template.yaml]
    #[arg(long)]
    template: Option<PathBuf>,
    /// A template parameter, as `Name=value`; may be given several times
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// Ask for every parameter that is not given, not only for those without a default
    #[arg(long)]
    guided: bool,
    /// Deploy without asking whether the change set is right
    #[arg(long)]
    yes: bool,
}

pub(crate) fn deploy(root: &Path, options: &Options) -> Result<()> {
    let python = prepare_python(root)?;
    let mut command = Command::new(python.program("python"));
    command.arg(root.join("infra/aws/deploy.py")).env("PYTHONDONTWRITEBYTECODE", "1");
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
    // In our own process group: it talks with the person at the terminal.
    let status = command.status().context("cannot start Python")?;
    ensure!(status.success(), "nothing was deployed, or not all of it; see above");
    Ok(())
}

fn prepare_python(root: &Path) -> Result<Python> {
    step("Python packages: SAM, cfn-lint", || {
        let requirements = root.join("infra/aws/requirements-deploy.txt");
        Python::prepare(&requirements, &root.join("target/local/venv-deploy"))
    })
}

/// The suite `template`. All of it works without AWS.
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
    step("deployments tried dry", || {
        let mut tests = Command::new(python.program("python"));
        tests.args(["-m", "unittest", "--quiet", "test_deploy"]).current_dir(root.join("infra/aws"));
        run_well(tests.envs(settings))
    })?;
    let python = step("Python packages: checkov", || {
        let requirements = root.join("infra/aws/requirements-checkov.txt");
        Python::prepare(&requirements, &root.join("target/local/venv-checkov"))
    })?;
    step("checkov", || {
        let mut checkov = Command::new(python.program("checkov"));
        checkov.arg("--config-file").arg(root.join("infra/aws/checkov.yaml"));
        checkov.arg("--file").arg(&template).args(examples_of(root)?).envs(settings);
        run_well(&mut checkov)
    })
}

/// The templates among the examples; checkov knows no patterns.
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
