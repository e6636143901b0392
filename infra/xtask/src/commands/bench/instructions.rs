//! Instruction budgets: valgrind counts the instructions of the hot paths, and the counts are compared with the baselines in
//! tests/bench/instructions.json.
//!
//! Counts do not depend on the load of the machine, but on the processor family and the compiler, so each pair has its own baseline. On
//! [`PROCESSOR`], every Rust release from [`RUST`] on must have one; elsewhere nothing is compared. Development builds are counted, because
//! the suites need them anyway.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::tools::cargo::build_measuring;
use crate::tools::process::run;
use crate::tools::progress::say;
use crate::tools::{RUST, apt};

/// The processor family whose baselines are maintained; CI runs on it.
const PROCESSOR: &str = "x86_64";

/// The paths that tests/bench/instructions.rs implements.
const NAMES: [(&str, &str); 3] = [
    ("match", "match an event with 100 webhooks"),
    ("sign", "convert and sign an event"),
    ("row", "encode a history row"),
];
/// Accepted growth over the baseline.
const TOLERANCE: f64 = 0.05;
/// Each path runs this often in two processes; the difference excludes the instructions of the start.
const FEW: u64 = 2;
const MANY: u64 = 12;

const SAVE: &str = "cargo xtask bench instructions --save";

const MISSING: &str = "valgrind is needed: install it (on Debian and Ubuntu: apt install valgrind)";

/// Instructions by path, by processor family and compiler.
type Baselines = BTreeMap<String, BTreeMap<String, u64>>;

/// Returns the path of valgrind, and installs it if necessary and possible.
pub(crate) fn valgrind() -> Result<PathBuf> {
    apt::program(&["valgrind"], &["valgrind"], MISSING)
}

/// Counts and compares with the baseline, or with `save` stores the counts as the baseline of this compiler.
pub(crate) fn instructions(root: &Path, save: bool) -> Result<()> {
    let valgrind = valgrind()?;
    let program =
        build_measuring(root)?.remove("instructions").context("cargo did not build instructions")?;
    let mut counts = BTreeMap::new();
    for (name, _) in NAMES {
        let (few, many) = (count(&valgrind, &program, name, FEW)?, count(&valgrind, &program, name, MANY)?);
        ensure!(many > few, "{name}: {many} instructions for {MANY} times, {few} for {FEW}");
        counts.insert(name.to_owned(), (many - few) / (MANY - FEW));
    }
    let file = root.join("tests/bench/instructions.json");
    let mut baselines: Baselines = serde_json::from_slice(&std::fs::read(&file)?)
        .with_context(|| format!("cannot parse {}", file.display()))?;
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
        say(format!("stored as the baseline of {compiler}"));
        return Ok(());
    }
    if !baselines.contains_key(&compiler) {
        ensure!(
            !needs_baseline(&compiler),
            "no baseline for {compiler}, which must have one; after a comparison with the last release: {SAVE}"
        );
        say(format!("NOT CHECKED: {compiler} has no baseline and needs none; to store one: {SAVE}"));
    }
    ensure!(
        over.is_empty(),
        "{} more than {:.0} % above the baseline; if that is intended: {SAVE}",
        over.join(", "),
        TOLERANCE * 100.0
    );
    Ok(())
}

/// Prints each count and returns the paths that are too far above the baseline.
fn compare(counts: &BTreeMap<String, u64>, baseline: Option<&BTreeMap<String, u64>>) -> Vec<String> {
    let mut over = Vec::new();
    for (name, what) in NAMES {
        let Some(count) = counts.get(name) else { continue };
        let change =
            baseline.and_then(|baseline| baseline.get(name)).map(|before| ratio(*count, *before) - 1.0);
        let change_text = change.map(|change| format!("{:+.1} %", change * 100.0)).unwrap_or_default();
        say(format!("  {what:<34} {count:>10} instructions {change_text}"));
        // The tiny term is the rounding error of the division.
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
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed under valgrind:\n{log}");
    let collected = log.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    collected.with_context(|| format!("valgrind printed no count for {name}:\n{log}"))
}

/// Returns whether a missing baseline is an error: on [`PROCESSOR`], for [`RUST`] and newer releases.
fn needs_baseline(compiler: &str) -> bool {
    let numbers = |version: &str| -> Vec<u32> {
        version.split(['.', '-']).map_while(|part| part.parse().ok()).collect()
    };
    let version = compiler.strip_prefix(PROCESSOR).and_then(|rest| rest.strip_prefix(" rustc "));
    version.is_some_and(|version| numbers(version) >= numbers(RUST))
}

/// Returns the processor family and the compiler, such as `x86_64 rustc 1.95.0`.
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
    fn growth_over_tolerance_is_reported() {
        let of = |row| BTreeMap::from([("row".to_owned(), row)]);
        assert_eq!(compare(&of(1050), Some(&of(1000))), Vec::<String>::new());
        assert_eq!(compare(&of(1051), Some(&of(1000))), ["encode a history row"]);
        assert_eq!(compare(&of(500), Some(&of(1000))), Vec::<String>::new());
        assert_eq!(compare(&of(1051), None), Vec::<String>::new());
    }

    #[test]
    fn maintained_compilers_need_a_baseline() {
        for maintained in
            [&format!("{PROCESSOR} rustc {RUST}"), "x86_64 rustc 1.96.0-beta.1", "x86_64 rustc 2.0.0"]
        {
            assert!(needs_baseline(maintained), "{maintained}");
        }
        for other in ["x86_64 rustc 1.94.1", "aarch64 rustc 1.95.0", "x86_64 clang 99.0.0"] {
            assert!(!needs_baseline(other), "{other}");
        }
    }

    #[test]
    fn oldest_maintained_compiler_has_a_baseline() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let file = std::fs::read(root.join("tests/bench/instructions.json")).unwrap();
        let baselines: Baselines = serde_json::from_slice(&file).unwrap();
        let baseline = &baselines[&format!("{PROCESSOR} rustc {RUST}")];
        assert_eq!(baseline.keys().map(String::as_str).collect::<Vec<_>>(), ["match", "row", "sign"]);
    }
}
