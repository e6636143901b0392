//! Cold starts: from the start of the process to its first request for an event, with and without the warm-up of AWS connections.

use anyhow::{Result, ensure};

use super::{median, millis};
use crate::context::{BenchContext, Paths};
use crate::report::{Figure, Threshold};

const STARTS: usize = 41;
/// Threshold, relative to a function that does nothing.
const MOST: f64 = 1.5;

#[derive(Default)]
struct Starts {
    /// Durations without the warm-up.
    alone: Vec<f64>,
    /// Durations until the first byte to AWS, including the creation of the SDK's client and a signed request.
    to_aws: Vec<f64>,
    /// Durations with the warm-up, against an emulator on this machine.
    all: Vec<f64>,
    cpu: Vec<f64>,
}

pub(super) async fn measure(paths: &Paths) -> Result<Vec<Figure>> {
    let context = BenchContext::start(paths).await?;
    let names = ["api", "ingest", "fanout", "sender", "console"];
    let mut hello = Starts::default();
    let mut functions: Vec<_> = names.iter().map(|name| (*name, Starts::default())).collect();
    // In turns, so that other load on the machine affects all alike. The first round only fills caches.
    for round in 0..=STARTS {
        let start = context.baseline("hello").await?;
        if round > 0 {
            hello.all.push(millis(start.ready.after));
            hello.cpu.push(millis(start.ready.cpu));
        }
        for (name, starts) in &mut functions {
            context.aws.take_first_call();
            let (start, warm_up) = context.deployed_with_warm_up(name).await?;
            let first = context.aws.take_first_call();
            ensure!(
                first.is_some() == warm_up.is_some(),
                "{name} calls AWS without logging its duration, or the reverse"
            );
            if round > 0 {
                let all = start.ready.after;
                starts.alone.push(millis(all.saturating_sub(warm_up.unwrap_or_default())));
                starts.to_aws.extend(first.map(|first| millis(first - start.started())));
                starts.all.push(millis(all));
                starts.cpu.push(millis(start.ready.cpu));
            }
        }
    }
    let (baseline, baseline_cpu) = (median(hello.all)?, median(hello.cpu)?);
    let mut figures = Vec::new();
    for (name, Starts { alone, to_aws, all, cpu }) in functions {
        let figure = Figure::new(format!("{name}: start"), median(alone)?, "ms").baseline(baseline);
        figures.push(figure.threshold(Threshold::TimesBaseline(MOST)).note("without the warm-up"));
        if !to_aws.is_empty() {
            let figure =
                Figure::new(format!("{name}: start to the first byte to AWS"), median(to_aws)?, "ms");
            figures.push(
                figure.baseline(baseline).note("includes the creation of a client and a signed request"),
            );
            let figure = Figure::new(format!("{name}: start, warm-up included"), median(all)?, "ms");
            figures.push(figure.baseline(baseline).note("includes a new connection and an answered call"));
        }
        figures.push(
            Figure::new(format!("{name}: CPU by then, warm-up included"), median(cpu)?, "ms")
                .baseline(baseline_cpu),
        );
    }
    Ok(figures)
}
