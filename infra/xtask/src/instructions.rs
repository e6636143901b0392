//! Instructions of the pure hot paths, counted by valgrind, beside those kept in `tests/bench/instructions.json`.
//!
//! Counts are the same from run to run, whatever else the machine does, but differ by processor family and compiler: each has a
//! baseline of its own, and a compiler without one fails nothing. Builds for development are counted, as those are there anyway.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::apt;
use crate::build::{cargo, executables};
use crate::process::run;
use crate::progress::say;

/// The paths that `tests/bench/instructions.rs` knows.
const NAMES: [(&str, &str); 3] = [
    ("match", "match an event with 100 webhooks"),
    ("sign", "convert and sign an event"),
    ("row", "encode a history row"),
];
/// More than this above the baseline fails.
const TOLERANCE: f64 = 0.05;
/// Each path is run so many times, and then so many; the difference leaves out what is done once.
const FEW: u64 = 2;
const MANY: u64 = 12;

const MISSING: &str = "valgrind is needed: install it (on Debian and Ubuntu: apt install valgrind)";

/// Instructions by path, by processor family and compiler.
type Baselines = BTreeMap<String, BTreeMap<String, u64>>;

/// The program that counts, installed if need be and possible.
pub(crate) fn valgrind() -> Result<PathBuf> {
    apt::program(&["valgrind"], &["valgrind"], MISSING)
}

/// Counts and compares; with `save`, the counts become this compiler's baseline instead.
pub(crate) fn instructions(root: &Path, save: bool) -> Result<()> {
    let valgrind = valgrind()?;
    let mut build = cargo(root);
    build.args(["build", "--locked", "-p", "anzol-tests", "--example", "instructions"]);
    let program = executables(&mut build)?.remove("instructions").context("cargo did not build it")?;
    let mut counts = BTreeMap::new();
    for (name, _) in NAMES {
        let (few, many) = (count(&valgrind, &program, name, FEW)?, count(&valgrind, &program, name, MANY)?);
        ensure!(many > few, "{name}: {many} instructions for {MANY} times, {few} for {FEW}");
        counts.insert(name.to_owned(), (many - few) / (MANY - FEW));
    }
    let file = root.join("tests/bench/instructions.json");
    let mut baselines: Baselines = serde_json::from_slice(&std::fs::read(&file)?)
        .with_context(|| format!("{} is not as expected", file.display()))?;
    let compiler = compiler()?;
    let over = compare(&counts, baselines.get(&compiler));
    let figures = NAMES.map(|(name, what)| {
        let baseline = baselines.get(&compiler).and_then(|baseline| baseline.get(name));
        json!({ "name": what, "count": counts.get(name), "baseline": baseline })
    });
    let directory = root.join("target/bench");
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("instructions.json"), serde_json::to_vec_pretty(&figures)?)?;
    if save {
        baselines.insert(compiler.clone(), counts);
        std::fs::write(&file, serde_json::to_string_pretty(&baselines)? + "\n")?;
        say(format!("saved as the baseline of {compiler}"));
        return Ok(());
    }
    if !baselines.contains_key(&compiler) {
        say(format!(
            "no baseline for {compiler}, so nothing to compare with; to keep these: cargo xtask bench instructions --save"
        ));
    }
    ensure!(
        over.is_empty(),
        "{} more than {:.0} % above the baseline; if that is as it should be: cargo xtask bench instructions --save",
        over.join(", "),
        TOLERANCE * 100.0
    );
    Ok(())
}

/// Prints each count and answers which are too far above the baseline.
fn compare(counts: &BTreeMap<String, u64>, baseline: Option<&BTreeMap<String, u64>>) -> Vec<String> {
    let mut over = Vec::new();
    for (name, what) in NAMES {
        let Some(count) = counts.get(name) else { continue };
        let change =
            baseline.and_then(|baseline| baseline.get(name)).map(|before| ratio(*count, *before) - 1.0);
        let change_text = change.map(|change| format!("{:+.1} %", change * 100.0)).unwrap_or_default();
        say(format!("  {what:<34} {count:>10} instructions {change_text}"));
        // Five in a hundred, to the instruction; the tiny rest is what dividing adds.
        if change.is_some_and(|change| change > TOLERANCE + 1e-9) {
            over.push(what.to_owned());
        }
    }
    over
}

#[expect(clippy::cast_precision_loss, reason = "no count comes near 2^53")]
fn ratio(count: u64, before: u64) -> f64 {
    count as f64 / before.max(1) as f64
}

fn count(valgrind: &Path, program: &Path, name: &str, times: u64) -> Result<u64> {
    let mut command = Command::new(valgrind);
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([name, &times.to_string()]);
    let output = run(command.stdout(Stdio::null()).stderr(Stdio::piped()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed under valgrind:\n{said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    collected.with_context(|| format!("valgrind does not say how many instructions {name} took:\n{said}"))
}

/// The processor family and the compiler, which instructions depend on.
fn compiler() -> Result<String> {
    let about = run(Command::new("rustc").arg("--version").stdout(Stdio::piped()))?;
    let version = String::from_utf8_lossy(&about.stdout);
    let words: Vec<_> = version.split_whitespace().take(2).collect();
    Ok(format!("{} {}", std::env::consts::ARCH, words.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_tolerance_is_told_and_a_compiler_without_a_baseline_is_not() {
        let of = |row| BTreeMap::from([("row".to_owned(), row)]);
        assert_eq!(compare(&of(1050), Some(&of(1000))), Vec::<String>::new());
        assert_eq!(compare(&of(1051), Some(&of(1000))), ["encode a history row"]);
        assert_eq!(compare(&of(500), Some(&of(1000))), Vec::<String>::new());
        assert_eq!(compare(&of(1051), None), Vec::<String>::new());
    }
}
