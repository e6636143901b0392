//! The suite `lint`: ruff for Python; Biome and TypeScript's checker for the console's JavaScript.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::tools::node::Node;
use crate::tools::process::run_well;
use crate::tools::progress::step;
use crate::tools::python::Environment;

/// Runs all linters, so that one run reports all errors. Fails if one of them failed.
pub(crate) fn check(root: &Path) -> Result<()> {
    let python = python(root);
    let javascript = javascript(root);
    python.and(javascript)
}

fn python(root: &Path) -> Result<()> {
    let python = step("Python packages: ruff", || Environment::LINT.prepare(root))?;
    let ruff = |words: &[&str]| {
        let mut command = Command::new(python.program("ruff"));
        command.args(words).arg("--no-cache").args(["infra", "tests"]);
        run_well(command.current_dir(root))
    };
    let check = step("ruff check", || ruff(&["check", "--quiet"]));
    let format = step("ruff format --check", || ruff(&["format", "--quiet", "--check"]));
    check.and(format)
}

/// The scripts of tests/console/package.json cover the console's own files and its tests.
fn javascript(root: &Path) -> Result<()> {
    let project = step("Node packages: Biome, TypeScript", || Node::prepare(&root.join("tests/console")))?;
    let lint = step("npm run lint", || run_well(&mut project.script("lint")));
    let types = step("npm run typecheck", || run_well(&mut project.script("typecheck")));
    lint.and(types)
}
