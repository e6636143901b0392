//! `cargo xtask package`: the five functions as AWS Lambda takes them, each with its bill of materials (`sbom` says what is in that).
//!
//! The same sources are to give the same bytes, wherever they are built: `cargo-lambda` and its linker are pinned, `Cargo.lock` is
//! binding, no path of this machine gets into the binaries, and zips hold no time of day.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::build::{FUNCTIONS, build_deployable, cargo};
use crate::local_cloud::Python;
use crate::process::{self, run_well};
use crate::progress::{say, step, talkative_step};
use crate::sbom::{self, Bill};

/// Most bytes a zip may have. Cold starts grow with it, and a jump says that something came in with a dependency.
const BUDGET: u64 = 4_000_000;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Processor of the functions; the template's Architecture has to be the same
    #[arg(long, value_enum, default_value_t = Architecture::Arm64)]
    arch: Architecture,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Architecture {
    /// Graviton: a fifth cheaper
    Arm64,
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    /// This machine's.
    fn own() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::X86_64 }
    }

    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::X86_64 => "x86_64-unknown-linux-gnu",
        }
    }

    /// As the template's parameter `Architecture` has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        }
    }
}

/// Where packages go, beside the `target/lambda/<function>/bootstrap` that the template names.
pub(crate) fn directory(root: &Path) -> PathBuf {
    root.join("target/package")
}

/// `cargo-lambda` with its linker, and the writer of zips and bills.
pub(crate) fn prepare_python(root: &Path) -> Result<Python> {
    step("Python packages: cargo-lambda, CycloneDX", || {
        let requirements = root.join("infra/aws/requirements-package.txt");
        Python::prepare(&requirements, &root.join("target/local/venv-package"))
    })
}

pub(crate) fn package(root: &Path, options: &Options) -> Result<()> {
    let target = options.arch.target();
    ensure_target(root, target)?;
    let python = prepare_python(root)?;
    let binaries = talkative_step(&format!("five functions built for {}", options.arch.name()), || {
        build(root, &python, target)
    })?;
    let bills = step("bills of materials", || sbom::bills(root, target))?;
    let directory = directory(root);
    if directory.exists() {
        fs::remove_dir_all(&directory)?; // nothing of another build
    }
    step("packages", || pack(root, &python, &binaries, &bills, &directory))?;
    report(&directory)
}

/// The part of Rust that rustup brings and no package registry has.
fn ensure_target(root: &Path, target: &str) -> Result<()> {
    let asked = Command::new("rustc")
        .current_dir(root)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .context("cannot run rustc")?;
    let library = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    let there = asked.status.success()
        && fs::read_dir(&library).is_ok_and(|mut entries| {
            entries.any(|entry| {
                entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
            })
        });
    ensure!(
        there,
        "Rust's standard library for {target} is not installed; get it with: rustup target add {target}\n\
         (without rustup: your distribution's package of it; or build for this machine's kind with --arch)"
    );
    Ok(())
}

/// Into `target/lambda/<function>/bootstrap`, without the feature `local`. Answers the binaries by function.
fn build(root: &Path, python: &Python, target: &str) -> Result<BTreeMap<&'static str, PathBuf>> {
    run_well(&mut builder(root, python, target)?)?;
    FUNCTIONS
        .into_iter()
        .map(|function| {
            let binary = root.join("target/lambda").join(function).join("bootstrap");
            ensure!(binary.is_file(), "cargo-lambda made no {}", binary.display());
            Ok((function, binary))
        })
        .collect()
}

/// What builds all five.
fn builder(root: &Path, python: &Python, target: &str) -> Result<Command> {
    let clean = cargo(root);
    let mut command = Command::new(python.program("cargo-lambda"));
    command.current_dir(root);
    for (name, value) in clean.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    // It looks for its linker, zig, on the path.
    command
        .env("PATH", python.on_path())
        .env("CARGO_ENCODED_RUSTFLAGS", remapped(root)?)
        // By variable: the option --target-dir it hands on to `cargo metadata` too, which knows none.
        .env("CARGO_TARGET_DIR", root.join("target"))
        .env_remove("RUSTFLAGS");
    // The profile is the workspace's own: cargo-lambda's would abort on panic.
    command.args([
        "lambda",
        "build",
        "--release",
        "--locked",
        "--disable-optimizations",
        "--skip-target-check",
    ]);
    command.args(["--target", target]);
    command.arg("--lambda-dir").arg(root.join("target/lambda"));
    for function in FUNCTIONS {
        command.args(["-p", &format!("anzol-{function}"), "--bin", function]);
    }
    Ok(command)
}

/// cargo-lambda takes the command line, asks cargo about the workspace, and comes as far as the choice of what to build.
fn check_builder(root: &Path, python: &Python) -> Result<()> {
    let nothing = "no-such-function";
    let mut command = builder(root, python, Architecture::Arm64.target())?;
    let output = process::run(command.args(["--bin", nothing]).stdout(Stdio::null()).stderr(Stdio::piped()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && said.contains(&format!("missing from this project: {nothing}")),
        "cargo-lambda does not come as far as to the choice of what to build: {said}"
    );
    Ok(())
}

/// Flags that put fixed names in place of this machine's directories, which panics would otherwise tell.
fn remapped(root: &Path) -> Result<OsString> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .context("no home directory, and no CARGO_HOME")?;
    let mut flags = OsString::new();
    for (directory, name) in [(root, "/anzol"), (home.as_path(), "/cargo")] {
        if !flags.is_empty() {
            flags.push("\u{1f}");
        }
        flags.push("--remap-path-prefix=");
        flags.push(directory);
        flags.push("=");
        flags.push(name);
    }
    Ok(flags)
}

/// Writes `<function>.zip`, `<function>.cdx.json` and `SHA256SUMS` into `directory`.
pub(crate) fn pack(
    root: &Path,
    python: &Python,
    binaries: &BTreeMap<&str, PathBuf>,
    bills: &BTreeMap<&str, Bill>,
    directory: &Path,
) -> Result<()> {
    fs::create_dir_all(directory)?;
    let functions = binaries
        .iter()
        .map(|(name, binary)| {
            let bill = bills.get(name).with_context(|| format!("no bill of materials for {name}"))?;
            Ok(json!({
                "binary": binary,
                "zip": directory.join(format!("{name}.zip")),
                "sbom": directory.join(format!("{name}.cdx.json")),
                "bill": bill,
            }))
        })
        .collect::<Result<Vec<_>>>()?;
    let order = directory.join("order.json");
    fs::write(&order, serde_json::to_vec(&functions)?)?;
    let mut command = Command::new(python.program("python"));
    command.arg(root.join("infra/aws/package.py")).arg(&order).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = process::run(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.trim().lines().last().unwrap_or("package.py failed without a word"));
    }
    fs::remove_file(order)?;
    let mut sums = String::new();
    for name in files(directory)? {
        writeln!(sums, "{}  {name}", hex::encode(Sha256::digest(fs::read(directory.join(&name))?)))?;
    }
    fs::write(directory.join("SHA256SUMS"), sums).map_err(Into::into)
}

/// Names of the files in a directory, in order.
fn files(directory: &Path) -> Result<Vec<String>> {
    let mut names: Vec<_> = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

fn report(directory: &Path) -> Result<()> {
    say("");
    let mut over = Vec::new();
    for name in files(directory)?.into_iter().filter(|name| has_extension(name, "zip")) {
        let bytes = fs::read(directory.join(&name))?;
        let size = bytes.len() as u64;
        let megabytes = format!("{}.{:02} MB", size / 1_000_000, size % 1_000_000 / 10_000);
        say(format!("  {name:<12} {megabytes:>8}  {}", hex::encode(Sha256::digest(&bytes))));
        if size > BUDGET {
            over.push(format!("{name} ({megabytes})"));
        }
    }
    say(format!("\nIn {}, with bills of materials (CycloneDX) and SHA256SUMS.", directory.display()));
    ensure!(over.is_empty(), "over the budget of {} MB: {}", BUDGET / 1_000_000, over.join(", "));
    Ok(())
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found == extension)
}

/// Packs the release build for a machine of this kind twice, and compares to the byte; the bills are validated on the way, and the
/// sizes held against the budget.
pub(crate) fn check(root: &Path) -> Result<()> {
    let python = prepare_python(root)?;
    step("the release build's command line", || check_builder(root, &python))?;
    let built = build_deployable(root)?;
    let bills = sbom::bills(root, Architecture::own().target())?;
    let place = root.join("target/package-check");
    let mut packed = Vec::new();
    for (turn, name) in ["first", "second"].into_iter().enumerate() {
        let directory = place.join(name);
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory)?;
        // Neither name nor time of a binary's file may matter.
        let mut binaries = BTreeMap::new();
        for name in FUNCTIONS {
            let binary = place.join(format!("{name}-{turn}"));
            fs::copy(built.join(name), &binary)?;
            fs::File::options().write(true).open(&binary)?.set_modified(
                std::time::SystemTime::UNIX_EPOCH
                    + std::time::Duration::from_secs(1_000_000_000 * (turn as u64 + 1)),
            )?;
            binaries.insert(name, binary);
        }
        pack(root, &python, &binaries, &bills, &directory)?;
        packed.push(directory);
    }
    let [first, second] = packed.as_slice() else { bail!("two packages were to be made") };
    let names = files(first)?;
    ensure!(
        names.len() == 2 * FUNCTIONS.len() + 1,
        "not the files that were to be made: {}",
        names.join(", ")
    );
    for name in &names {
        ensure!(
            fs::read(first.join(name))? == fs::read(second.join(name))?,
            "packing twice gives two different {name}"
        );
    }
    say(format!(
        "  {} files, packed twice, the same to the byte; five valid bills of materials",
        names.len()
    ));
    report(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_is_not_installed_is_named_with_what_to_do() {
        let said = ensure_target(Path::new("."), "riscv64gc-unknown-linux-gnu").unwrap_err().to_string();
        assert!(said.contains("rustup target add riscv64gc-unknown-linux-gnu"), "{said}");
    }

    #[test]
    fn a_zip_over_the_budget_fails() {
        let directory = std::env::temp_dir().join(format!("anzol-budget-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let zip = fs::File::create(directory.join("api.zip")).unwrap();
        zip.set_len(BUDGET).unwrap();
        assert!(report(&directory).is_ok());
        zip.set_len(BUDGET + 1).unwrap();
        let said = report(&directory).unwrap_err().to_string();
        fs::remove_dir_all(&directory).unwrap();
        assert!(said.contains("over the budget of 4 MB: api.zip (4.00 MB)"), "{said}");
    }

    #[test]
    fn binaries_name_no_directory_of_this_machine() {
        let flags = remapped(Path::new("/somewhere/anzol")).unwrap().into_string().unwrap();
        assert!(
            flags.starts_with("--remap-path-prefix=/somewhere/anzol=/anzol\u{1f}--remap-path-prefix="),
            "{flags}"
        );
        assert!(flags.ends_with("=/cargo"), "{flags}");
    }
}
