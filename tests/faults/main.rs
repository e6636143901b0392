//! The fault suite: injects faults that occur on AWS and counts every event. No event may be lost, and a duplicate must have the same
//! `webhook-id`.
//!
//! Run by `cargo xtask test faults`, on a stack whose functions call AWS through the port in `ANZOL_FAULT_PORT`, on which this program
//! listens. `ANZOL_FAULTS` selects scenarios by name, separated by commas; `ANZOL_SEED` repeats the random choices of another run.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "nothing here ships; indexing a JSON value by a missing member returns null"
)]

mod process;
mod proxy;
mod scenarios;
mod trial;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::scenarios::SCENARIOS;
use crate::trial::{FaultHarness, Line, Trial};

/// Minimum number of events over all scenarios.
const MIN_EVENTS: usize = 50_000;

fn main() -> ExitCode {
    if std::env::args().any(|word| word == "--list") {
        return ExitCode::SUCCESS; // tools ask every test program for a list of its tests; this suite has none
    }
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the scenarios. Returns whether no event was lost and no problem was found.
fn run() -> Result<bool> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let port = variable("ANZOL_FAULT_PORT")
        .context("run it by `cargo xtask test faults`, which sets ANZOL_FAULT_PORT")?;
    let seed = variable("ANZOL_SEED").map_or_else(|| Ok(fastrand::u64(..)), |seed| seed.parse())?;
    let picked = variable("ANZOL_FAULTS");
    let is_picked = |name: &str| picked.as_ref().is_none_or(|names| names.split(',').any(|one| one == name));
    let harness = FaultHarness::new(port.parse()?, seed)?;
    println!("seed {seed}\n");
    println!("{}", heading());
    let (started, mut lines) = (Instant::now(), Vec::new());
    for (name, scenario) in SCENARIOS.into_iter().filter(|(name, _)| is_picked(name)) {
        let mut trial = Trial::new(&harness, name);
        let outcome = scenario(&mut trial);
        if let Err(error) = outcome {
            trial.problem(format!("{error:#}"));
        }
        let line = trial.end().with_context(|| format!("{name} could not be finished"))?;
        println!("{}", row(&line));
        for problem in line.problems.iter().take(5) {
            println!("    ✗ {problem}");
        }
        lines.push(line);
    }
    let total = total(&lines, started.elapsed().as_secs_f64());
    println!("{}", row(&total));
    for line in &lines {
        let faults = line.faults.iter().map(|(fault, count)| format!("{fault} ×{count}"));
        let said: Vec<_> = line.notes.iter().cloned().chain(faults).collect();
        println!("  {:<24} {}", line.name, said.join("; "));
    }
    write(&lines, &total, seed)?;
    ensure!(
        picked.is_some() || total.published >= MIN_EVENTS,
        "only {} events were published",
        total.published
    );
    Ok(lines.iter().all(|line| line.lost == 0 && line.problems.is_empty()))
}

fn heading() -> String {
    format!(
        "{:<26} {:>9} {:>9} {:>10} {:>8} {:>6} {:>8}",
        "scenario", "published", "delivered", "duplicates", "withheld", "lost", "seconds"
    )
}

fn row(line: &Line) -> String {
    let mark = if line.lost == 0 && line.problems.is_empty() { '✓' } else { '✗' };
    let Line { name, published, delivered, duplicates, withheld, lost, seconds, .. } = line;
    format!(
        "{mark} {name:<24} {published:>9} {delivered:>9} {duplicates:>10} {withheld:>8} {lost:>6} {seconds:>8.1}"
    )
}

fn total(lines: &[Line], seconds: f64) -> Line {
    let sum = |of: fn(&Line) -> usize| lines.iter().map(of).sum();
    Line {
        name: "all",
        published: sum(|line| line.published),
        delivered: sum(|line| line.delivered),
        duplicates: sum(|line| line.duplicates),
        withheld: sum(|line| line.withheld),
        lost: sum(|line| line.lost),
        seconds,
        faults: BTreeMap::new(),
        notes: Vec::new(),
        problems: lines.iter().flat_map(|line| line.problems.iter().cloned()).collect(),
    }
}

/// Writes the figures as JSON, to compare runs.
fn write(lines: &[Line], total: &Line, seed: u64) -> Result<()> {
    let figures = |line: &Line| -> Value {
        json!({
            "scenario": line.name, "published": line.published, "delivered": line.delivered, "duplicates": line.duplicates,
            "withheld": line.withheld, "lost": line.lost, "seconds": line.seconds, "faults": line.faults,
            "notes": line.notes, "problems": line.problems,
        })
    };
    let report = json!({
        "seed": seed, "total": figures(total), "scenarios": lines.iter().map(figures).collect::<Vec<_>>(),
    });
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
    let file = workspace.join("target/faults/report.json");
    std::fs::create_dir_all(workspace.join("target/faults"))?;
    std::fs::write(&file, serde_json::to_vec_pretty(&report)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("\nFigures in {}", file.display());
    Ok(())
}
