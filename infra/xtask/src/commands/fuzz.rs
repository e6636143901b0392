//! `cargo xtask fuzz`: runs the targets of tests/fuzz with cargo-fuzz if it and a nightly toolchain are installed, otherwise on stable Rust
//! with random mutations.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::tools::cargo::cargo;
use crate::tools::process::run_well;
use crate::tools::progress::say;
use crate::tools::{interrupt, name_of};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Events, as producers publish them
    Event,
    /// Filters of webhooks
    Filter,
    /// JSON Patch on a webhook
    Patch,
    /// Page cursors
    Cursor,
    /// URLs of webhooks
    Url,
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The only target to run; all by default
    target: Option<Target>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

pub(crate) fn fuzz(root: &Path, options: &Options) -> Result<()> {
    let targets = options.target.map_or_else(|| Target::value_variants().to_vec(), |target| vec![target]);
    let guided = has_cargo_fuzz(root);
    say(if guided {
        "with cargo-fuzz on nightly; failing inputs are stored in tests/fuzz/artifacts"
    } else {
        "cargo-fuzz or nightly is not installed: on stable, with mutations that coverage does not guide"
    });
    let mut failed = Vec::new();
    for target in targets {
        let name = name_of(&target);
        say(format!("\n── {name}, {} s ──", options.seconds));
        let run = if guided {
            with_cargo_fuzz(root, &name, options.seconds)
        } else {
            on_stable(root, &name, options.seconds)
        };
        if run.is_err() {
            interrupt::check()?;
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("failing inputs found in: {}", failed.join(", "));
    }
    Ok(())
}

fn has_cargo_fuzz(root: &Path) -> bool {
    let answers = |words: &[&str]| {
        let asked = Command::new("cargo")
            .args(words)
            .current_dir(root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
    };
    answers(&["fuzz", "--version"]) && answers(&["+nightly", "--version"])
}

/// Runs rustup's cargo, which understands `+nightly`. New inputs are stored in tests/fuzz/corpus; seeds are only read.
fn with_cargo_fuzz(root: &Path, target: &str, seconds: u32) -> Result<()> {
    let corpus = format!("tests/fuzz/corpus/{target}");
    std::fs::create_dir_all(root.join(&corpus))?;
    run_well(
        Command::new("cargo")
            .current_dir(root)
            .env_remove("RUSTUP_TOOLCHAIN") // set by the cargo that runs xtask
            .args(["+nightly", "fuzz", "run", "--fuzz-dir", "tests/fuzz", target, &corpus])
            .arg(format!("tests/fuzz/seeds/{target}"))
            .args(["--", &format!("-max_total_time={seconds}"), "-max_len=65536", "-print_final_stats=1"]),
    )
}

fn on_stable(root: &Path, target: &str, seconds: u32) -> Result<()> {
    // The test prints the seed, which reproduces the run.
    let seed = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
    run_well(
        cargo(root)
            .args(["test", "--locked", "--workspace", "--test", "it", "--", "--exact"])
            .args([&format!("fuzz::{target}"), "--nocapture"])
            .env("ANZOL_FUZZ_SEED", seed.to_string())
            .env("ANZOL_FUZZ_SECONDS", seconds.to_string()),
    )
}
