//! Builds the five functions as the local cloud runs them, with the receiver that plays the customer, and as they are deployed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process;

pub(crate) const FUNCTIONS: [&str; 5] = ["api", "ingest", "fanout", "sender", "console"];
const RECEIVER: &str = "receiver";

/// Where cargo put the binaries.
#[derive(Debug)]
pub(crate) struct Binaries {
    /// By function.
    pub(crate) functions: BTreeMap<&'static str, PathBuf>,
    pub(crate) receiver: PathBuf,
    /// Further programs that were asked for.
    pub(crate) programs: BTreeMap<String, PathBuf>,
}

impl Binaries {
    /// Where the functions lie, each under its own name.
    pub(crate) fn directory(&self) -> Result<&Path> {
        let sender = self.functions.get("sender").context("no sender was built")?;
        sender.parent().context("a binary in no directory")
    }
}

/// What one line of cargo's JSON says that matters here.
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

/// One cargo invocation for all, further `programs` of the tests included, so that shared crates are built once; cargo's own progress
/// stays on the screen.
pub(crate) fn build(root: &Path, programs: &[&str]) -> Result<Binaries> {
    // Only with this feature does *.receiver.test lead to the receiver, and can clocks be set wrong; what is deployed to AWS is built
    // without it.
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

/// The five functions as they are deployed to a machine of this kind. Answers where they lie, each under its own name.
pub(crate) fn build_deployable(root: &Path) -> Result<PathBuf> {
    build_release(root, &[], &FUNCTIONS.map(|name| format!("anzol-{name}")), &FUNCTIONS, "deployable")
}

/// Programs of these packages, built for release and copied to a directory of `target`, as another build may put others in the places
/// where cargo leaves these. Built by themselves, so that no other program's features find their way in.
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

/// Runs a `cargo build`; answers the executables it made, by name.
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

/// The cargo that runs us, in the workspace. What it told us of ourselves is taken out of its environment, or build scripts
/// that watch those variables (ring's does) would run anew whenever people change between `cargo xtask` and plain cargo.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        let of_ourselves = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "OUT_DIR"
        });
        if of_ourselves {
            command.env_remove(name);
        }
    }
    command
}
