//! `cargo xtask openapi`: generates `infra/openapi.json` from the API's code; the API serves this file.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::tools::cargo::cargo;
use crate::tools::process;
use crate::tools::progress::say;

pub(crate) fn openapi(root: &Path) -> Result<()> {
    let file = root.join("infra/openapi.json");
    let mut command = cargo(root);
    command.args(["run", "--quiet", "--locked", "-p", "anzol-api", "--example", "openapi"]);
    let output = process::run(command.stdout(Stdio::piped()))?;
    ensure!(output.status.success(), "the document could not be generated");
    let old = fs::read(&file).unwrap_or_default();
    if old == output.stdout {
        say(format!("{} is up to date", file.display()));
        return Ok(());
    }
    fs::write(&file, output.stdout).with_context(|| format!("cannot write {}", file.display()))?;
    say(format!("{} was updated", file.display()));
    Ok(())
}
