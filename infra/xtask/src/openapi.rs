//! `cargo xtask openapi`: writes the API's description, as its code makes it, to `infra/openapi.json`, which the API serves.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::build::cargo;
use crate::process;
use crate::progress::say;

pub(crate) fn openapi(root: &Path) -> Result<()> {
    let file = root.join("infra/openapi.json");
    let mut command = cargo(root);
    command.args(["run", "--quiet", "--locked", "-p", "anzol-api", "--example", "openapi"]);
    let output = process::run(command.stdout(Stdio::piped()))?;
    ensure!(output.status.success(), "the document could not be made");
    let old = fs::read(&file).unwrap_or_default();
    if old == output.stdout {
        say(format!("{} is as it should be", file.display()));
        return Ok(());
    }
    fs::write(&file, output.stdout).with_context(|| format!("cannot write {}", file.display()))?;
    say(format!("{} is written anew", file.display()));
    Ok(())
}
