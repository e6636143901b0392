//! `cargo xtask fuzz`: the fuzz targets of tests/fuzz for as long as one likes; with cargo-fuzz and nightly where both are there, else
//! their checks on stable Rust, unguided.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::build::cargo;
use crate::process::run_well;
use crate::progress::say;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Events, as producers write them
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
    /// The only target; all of them, one after another, when left out
    target: Option<Target>,
    /// How long for each
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

pub(crate) fn fuzz(root: &Path, options: &Options) -> Result<()> {
    let targets = options.target.map_or_else(|| Target::value_variants().to_vec(), |target| vec![target]);
    let guided = has_cargo_fuzz(root);
    say(if guided {
        "with cargo-fuzz on nightly: what is found is kept in tests/fuzz/artifacts"
    } else {
        "cargo-fuzz or nightly is not installed: on stable, with mutants that no coverage guides"
    });
    let mut failed = Vec::new();
    for target in targets {
        let Some(name) = target.to_possible_value().map(|value| value.get_name().to_owned()) else {
            continue;
        };
        say(format!("\n── {name}, {} s ──", options.seconds));
        let run = if guided {
            with_cargo_fuzz(root, &name, options.seconds)
        } else {
            on_stable(root, &name, options.seconds)
        };
        if run.is_err() {
            crate::interrupt::check()?;
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("found something in: {}", failed.join(", "));
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

/// Rustup's cargo, which knows `+nightly`. The seeds are read, and what it learns goes to tests/fuzz/corpus.
fn with_cargo_fuzz(root: &Path, target: &str, seconds: u32) -> Result<()> {
    let corpus = format!("tests/fuzz/corpus/{target}");
    std::fs::create_dir_all(root.join(&corpus))?;
    run_well(
        Command::new("cargo")
            .current_dir(root)
            .env_remove("RUSTUP_TOOLCHAIN") // that of the cargo we run under
            .args(["+nightly", "fuzz", "run", "--fuzz-dir", "tests/fuzz", target, &corpus])
            .arg(format!("tests/fuzz/seeds/{target}"))
            .args(["--", &format!("-max_total_time={seconds}"), "-max_len=65536", "-print_final_stats=1"]),
    )
}

fn on_stable(root: &Path, target: &str, seconds: u32) -> Result<()> {
    // Any seed will do, so long as it is told: the test prints it.
    let seed = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
    run_well(
        cargo(root)
            .args(["test", "--locked", "-p", "anzol-tests", "--test", "it", "--", "--exact"])
            .args([&format!("fuzz::{target}"), "--nocapture"])
            .env("ANZOL_FUZZ_SEED", seed.to_string())
            .env("ANZOL_FUZZ_SECONDS", seconds.to_string()),
    )
}
