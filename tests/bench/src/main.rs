//! Benchmarks: measures the functions under an emulated Lambda Runtime API and compares them with baselines of the same run.
//!
//! `cargo xtask bench` runs it: `bench --functions DIR --local DIR --baselines DIR --out DIR PART…`.

#![expect(clippy::disallowed_methods, reason = "the rules on clock and environment are for deployed code")]

mod context;
mod emulated_aws;
mod lambda;
mod meter;
mod parts;
mod prices;
mod report;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use context::Paths;
use report::Part;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the given parts and returns whether every threshold was met.
fn run() -> Result<bool> {
    let (mut functions, mut local, mut baselines, mut out) = (None, None, None, None);
    let mut names = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut path = || words.next().map(PathBuf::from).with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--functions" => functions = Some(path()?),
            "--local" => local = Some(path()?),
            "--baselines" => baselines = Some(path()?),
            "--out" => out = Some(path()?),
            flag if flag.starts_with("--") => bail!("unknown argument {flag}"),
            _ => names.push(word),
        }
    }
    let paths = Paths {
        functions: functions.context("--functions is missing")?,
        local: local.context("--local is missing")?,
        baselines: baselines.context("--baselines is missing")?,
        out: out.context("--out is missing")?,
    };
    std::fs::create_dir_all(&paths.out)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut met = true;
    for name in &names {
        let figures = runtime.block_on(parts::measure(name, &paths)).with_context(|| name.clone())?;
        let at = OffsetDateTime::now_utc().replace_nanosecond(0)?.format(&Rfc3339)?;
        let part = Part { name: name.clone(), at, figures };
        part.print();
        part.write(&paths.out)?;
        met &= part.figures.iter().all(|figure| figure.is_met() != Some(false));
    }
    report::write(&paths.out, &parts::NAMES, &machine())?;
    Ok(met)
}

/// Describes the machine in one line.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{} × {}, {}", cores, model.map_or("CPU", |(_, name)| name), std::env::consts::ARCH)
}
