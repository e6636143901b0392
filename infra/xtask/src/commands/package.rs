//! `cargo xtask package`: builds a zip for AWS Lambda and an SBOM for each of the five functions.
//!
//! Builds are reproducible: `cargo-lambda` and its linker are pinned, `Cargo.lock` is binding, binaries contain no path of this machine,
//! and zips contain no timestamps.
//!
//! infra/aws/package.py writes the zips. The crate zip is not used: the SBOMs need the same Python environment for their validation.

mod sbom;

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

use crate::tools::cargo::{FUNCTIONS, build_deployable, cargo};
use crate::tools::name_of;
use crate::tools::process::{self, run_well};
use crate::tools::progress::{say, step, talkative_step};
use crate::tools::python::{Environment, Python};
use sbom::Sbom;

/// Maximum size of a zip in bytes. Cold starts grow with it, and a jump reveals a heavy dependency.
const BUDGET: u64 = 4_000_000;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Processor of the functions; must match the template parameter Architecture
    #[arg(long, value_enum, default_value_t = Architecture::Arm64)]
    arch: Architecture,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Architecture {
    /// Graviton, which costs 20 % less
    Arm64,
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    /// Returns the processor of this machine.
    fn own() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::X86_64 }
    }

    /// Returns the target triple.
    fn target(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::X86_64 => "x86_64-unknown-linux-gnu",
        }
    }
}

/// Returns the directory of the packages. The template names `target/lambda/<function>/bootstrap` instead.
fn directory(root: &Path) -> PathBuf {
    root.join("target/package")
}

/// Prepares `cargo-lambda` with its linker, and the library that validates SBOMs.
pub(crate) fn prepare_python(root: &Path) -> Result<Python> {
    step("Python packages: cargo-lambda, CycloneDX", || Environment::PACKAGE.prepare(root))
}

pub(crate) fn package(root: &Path, options: &Options) -> Result<()> {
    let target = options.arch.target();
    ensure_target(root, target)?;
    let python = prepare_python(root)?;
    let binaries = talkative_step(&format!("five functions built for {}", name_of(&options.arch)), || {
        build(root, &python, target)
    })?;
    let sboms = step("SBOMs", || sbom::sboms(root, target))?;
    let directory = directory(root);
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    step("packages", || pack(root, &python, &binaries, &sboms, &directory))?;
    report(&directory)
}

/// Fails if Rust's standard library for the target is missing; only rustup can install it.
fn ensure_target(root: &Path, target: &str) -> Result<()> {
    let asked = Command::new("rustc")
        .current_dir(root)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .context("cannot run rustc")?;
    let library = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    let installed = asked.status.success()
        && fs::read_dir(&library).is_ok_and(|mut entries| {
            entries.any(|entry| {
                entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
            })
        });
    ensure!(
        installed,
        "Rust's standard library for {target} is not installed; get it with: rustup target add {target}\n\
         (without rustup, install your distribution's package; or build for this machine's processor with --arch)"
    );
    Ok(())
}

/// Builds `target/lambda/<function>/bootstrap`, without the feature `local`, and returns the binaries by function.
fn build(root: &Path, python: &Python, target: &str) -> Result<BTreeMap<&'static str, PathBuf>> {
    run_well(&mut builder(root, python, target)?)?;
    FUNCTIONS
        .into_iter()
        .map(|function| {
            let binary = root.join("target/lambda").join(function).join("bootstrap");
            ensure!(binary.is_file(), "cargo-lambda did not build {}", binary.display());
            Ok((function, binary))
        })
        .collect()
}

/// Returns the command that builds all five functions.
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
    // cargo-lambda finds its linker, zig, on the path.
    command
        .env("PATH", python.on_path())
        .env("CARGO_ENCODED_RUSTFLAGS", remapped(root)?)
        // The option --target-dir is not used: cargo-lambda would also pass it to `cargo metadata`, which does not support it.
        .env("CARGO_TARGET_DIR", root.join("target"))
        .env_remove("RUSTFLAGS");
    // Keep the workspace's profile: cargo-lambda's optimizations would abort on panic.
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

/// Checks that cargo-lambda accepts the command line and the workspace, by asking for a binary that does not exist.
fn check_builder(root: &Path, python: &Python) -> Result<()> {
    let nothing = "no-such-function";
    let mut command = builder(root, python, Architecture::Arm64.target())?;
    let output = process::run(command.args(["--bin", nothing]).stdout(Stdio::null()).stderr(Stdio::piped()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && errors.contains(&format!("missing from this project: {nothing}")),
        "cargo-lambda failed before it selected the binaries: {errors}"
    );
    Ok(())
}

/// Returns flags that replace this machine's directories in binaries, which contain paths for panic messages, by fixed names.
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
fn pack(
    root: &Path,
    python: &Python,
    binaries: &BTreeMap<&str, PathBuf>,
    sboms: &BTreeMap<&str, Sbom>,
    directory: &Path,
) -> Result<()> {
    fs::create_dir_all(directory)?;
    let functions = binaries
        .iter()
        .map(|(name, binary)| {
            let bill = sboms.get(name).with_context(|| format!("no SBOM for {name}"))?;
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
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{}", errors.trim().lines().last().unwrap_or("package.py failed without a message"));
    }
    fs::remove_file(order)?;
    let mut sums = String::new();
    for name in files(directory)? {
        writeln!(sums, "{}  {name}", hex::encode(Sha256::digest(fs::read(directory.join(&name))?)))?;
    }
    fs::write(directory.join("SHA256SUMS"), sums).map_err(Into::into)
}

/// Returns the names of the files in a directory, sorted.
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
    say(format!("\nIn {}, with SBOMs (CycloneDX) and SHA256SUMS.", directory.display()));
    ensure!(over.is_empty(), "over the budget of {} MB: {}", BUDGET / 1_000_000, over.join(", "));
    Ok(())
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found == extension)
}

/// The suite `package`: packs the release build twice, and checks that both results are byte-identical, that the SBOMs are valid and that
/// the sizes are within the budget.
pub(crate) fn check(root: &Path) -> Result<()> {
    let python = prepare_python(root)?;
    step("the release build's command line", || check_builder(root, &python))?;
    let built = build_deployable(root)?;
    let sboms = sbom::sboms(root, Architecture::own().target())?;
    let parent = root.join("target/package-check");
    let mut packed = Vec::new();
    for (turn, name) in ["first", "second"].into_iter().enumerate() {
        let directory = parent.join(name);
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory)?;
        // Name and modification time of a binary must not matter.
        let mut binaries = BTreeMap::new();
        for name in FUNCTIONS {
            let binary = parent.join(format!("{name}-{turn}"));
            fs::copy(built.join(name), &binary)?;
            fs::File::options().write(true).open(&binary)?.set_modified(
                std::time::SystemTime::UNIX_EPOCH
                    + std::time::Duration::from_secs(1_000_000_000 * (turn as u64 + 1)),
            )?;
            binaries.insert(name, binary);
        }
        pack(root, &python, &binaries, &sboms, &directory)?;
        packed.push(directory);
    }
    let [first, second] = packed.as_slice() else { bail!("not packed twice") };
    let names = files(first)?;
    ensure!(names.len() == 2 * FUNCTIONS.len() + 1, "unexpected files: {}", names.join(", "));
    for name in &names {
        ensure!(
            fs::read(first.join(name))? == fs::read(second.join(name))?,
            "{name} differs when packed twice"
        );
    }
    say(format!("  {} files, byte-identical when packed twice; five valid SBOMs", names.len()));
    report(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_target_is_named_with_remedy() {
        let error = ensure_target(Path::new("."), "riscv64gc-unknown-linux-gnu").unwrap_err().to_string();
        assert!(error.contains("rustup target add riscv64gc-unknown-linux-gnu"), "{error}");
    }

    #[test]
    fn zip_over_budget_fails() {
        let directory = std::env::temp_dir().join(format!("anzol-budget-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let zip = fs::File::create(directory.join("api.zip")).unwrap();
        zip.set_len(BUDGET).unwrap();
        assert!(report(&directory).is_ok());
        zip.set_len(BUDGET + 1).unwrap();
        let error = report(&directory).unwrap_err().to_string();
        fs::remove_dir_all(&directory).unwrap();
        assert!(error.contains("over the budget of 4 MB: api.zip (4.00 MB)"), "{error}");
    }

    #[test]
    fn binaries_contain_no_local_paths() {
        let flags = remapped(Path::new("/somewhere/anzol")).unwrap().into_string().unwrap();
        assert!(
            flags.starts_with("--remap-path-prefix=/somewhere/anzol=/anzol\u{1f}--remap-path-prefix="),
            "{flags}"
        );
        assert!(flags.ends_with("=/cargo"), "{flags}");
    }
}
