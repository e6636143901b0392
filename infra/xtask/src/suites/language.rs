//! The suite and command `language`: tests/language/check.py, which finds banned phrases and test names that are too long.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::tools::process::run_well;
use crate::tools::python;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Files or directories to check; all tracked texts by default
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Prints every hit with its line and what to write instead; fails when there is one.
pub(crate) fn language(root: &Path, options: &Options) -> Result<()> {
    let mut command = python::plain()?;
    command.arg(root.join("tests/language/check.py")).args(&options.paths);
    run_well(&mut command).context("tests/language/banned.txt lists what to write instead")
}

/// The suite: tests of the checker, and then all texts.
pub(crate) fn check(root: &Path) -> Result<()> {
    let tests = ["-m", "unittest", "--quiet", "test_check"];
    run_well(python::plain()?.args(tests).current_dir(root.join("tests/language")))?;
    language(root, &Options { paths: vec![root.to_owned()] })
}
