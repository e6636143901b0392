//! cargo: builds of the functions for local stacks and for deployment, and of test programs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::process;

pub(crate) const FUNCTIONS: [&str; 5] = ["api", "ingest", "fanout", "sender", "console"];
const RECEIVER: &str = "receiver";

/// Paths of a development build.
#[derive(Debug)]
pub(crate) struct Binaries {
    /// Binaries by function.
    pub(crate) functions: BTreeMap<&'static str, PathBuf>,
    pub(crate) receiver: PathBuf,
    /// Binaries of the requested additional programs, by name.
    pub(crate) programs: BTreeMap<String, PathBuf>,
}

impl Binaries {
    /// Returns the directory that contains the functions, each under its name.
    pub(crate) fn directory(&self) -> Result<&Path> {
        let sender = self.functions.get("sender").context("no sender was built")?;
        sender.parent().context("a binary without a directory")
    }
}

/// The part of a line of cargo's JSON output that is needed here.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// The functions that have the feature `local`.
pub(crate) const LOCAL: [&str; 3] = ["api", "ingest", "sender"];

/// Builds the functions with the feature `local`, the receiver and further `programs` of the tests, in one invocation of cargo, so that
/// shared crates are compiled once.
pub(crate) fn build(root: &Path, programs: &[&str]) -> Result<Binaries> {
    // The feature resolves *.receiver.test to the receiver and allows a wrong clock. Deployed functions are built without it.
    let local = LOCAL.map(|name| format!("anzol-{name}/local")).join(",");
    let mut command = cargo(root);
    command.args(["build", "--locked"]);
    for function in FUNCTIONS {
        command.args(["-p", &format!("anzol-{function}"), "--bin", function]);
    }
    command.args(["-p", "anzol-tests", "--bin", RECEIVER]);
    command.args(programs.iter().flat_map(|name| ["--bin", name]));
    command.args(["--features", &local]);
    let mut built = executables(&mut command)?;
    let mut take = |name: &str| built.remove(name).with_context(|| format!("cargo did not build {name}"));
    let functions = FUNCTIONS.into_iter().map(|name| Ok((name, take(name)?))).collect::<Result<_>>()?;
    let receiver = take(RECEIVER)?;
    let programs =
        programs.iter().map(|name| Ok(((*name).to_owned(), take(name)?))).collect::<Result<_>>()?;
    Ok(Binaries { functions, receiver, programs })
}

/// Builds the five functions as they are deployed, for this machine's processor; returns the directory that contains them.
pub(crate) fn build_deployable(root: &Path) -> Result<PathBuf> {
    build_release(root, &[], &FUNCTIONS.map(|name| format!("anzol-{name}")), &FUNCTIONS, "deployable")
}

/// Builds programs of these packages for release and copies them to a directory of `target`, because later builds may overwrite cargo's
/// copies. Only these packages are selected, so that no other package adds features.
pub(crate) fn build_release(
    root: &Path,
    features: &[&str],
    packages: &[String],
    names: &[&str],
    to: &str,
) -> Result<PathBuf> {
    let mut command = cargo(root);
    command.args(["build", "--locked", "--release"]).args(features);
    command.args(packages.iter().flat_map(|package| ["-p", package]));
    command.args(names.iter().flat_map(|name| ["--bin", name]));
    let built = executables(&mut command)?;
    let directory = root.join("target").join(to);
    fs::create_dir_all(&directory)?;
    for name in names {
        let binary = built.get(*name).with_context(|| format!("cargo did not build {name}"))?;
        fs::copy(binary, directory.join(name)).with_context(|| format!("cannot copy {name}"))?;
    }
    Ok(directory)
}

/// Builds the driver of the benchmarks and the program whose instructions are counted, for development.
///
/// The selection of an example, out of the whole workspace, makes cargo resolve the same features as `cargo test --workspace` does; any
/// narrower one would compile the dependencies a second time.
pub(crate) fn build_measuring(root: &Path) -> Result<BTreeMap<String, PathBuf>> {
    executables(cargo(root).args([
        "build",
        "--locked",
        "--workspace",
        "--bin=bench",
        "--example=instructions",
    ]))
}

/// Runs a `cargo build` and returns the executables that it built, by name.
pub(crate) fn executables(command: &mut Command) -> Result<BTreeMap<String, PathBuf>> {
    command.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let output = process::run(command)?;
    if !output.status.success() {
        bail!("the build failed");
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter_map(|message| Some((message.target?.name, message.executable?)))
        .collect())
}

/// Returns a command that runs this cargo in the workspace.
///
/// The variables that cargo sets for xtask itself are removed. Otherwise build scripts that watch them (ring's does) would run again after
/// every switch between `cargo xtask` and plain cargo.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        let describes_xtask = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "OUT_DIR"
        });
        if describes_xtask {
            command.env_remove(name);
        }
    }
    command
}
