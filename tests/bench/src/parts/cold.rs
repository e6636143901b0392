//! Cold starts: from the start of the process to the first event asked for, without and with the connections to AWS opened on the way.

use anyhow::{Result, ensure};

use super::{median, millis};
use crate::report::{Bar, Figure};
use crate::world::{Paths, World};

const STARTS: usize = 41;
/// In terms of a function that does nothing.
const MOST: f64 = 1.5;

#[derive(Default)]
struct Starts {
    /// Less the time it warmed up.
    alone: Vec<f64>,
    /// Until the first byte to AWS: with the SDK's client made, and its first request signed.
    to_aws: Vec<f64>,
    /// With the connections to AWS opened, to a cloud on this machine.
    all: Vec<f64>,
    cpu: Vec<f64>,
}

pub(super) async fn measure(paths: &Paths) -> Result<Vec<Figure>> {
    let world = World::start(paths).await?;
    let names = ["api", "ingest", "fanout", "sender", "console"];
    let mut hello = Starts::default();
    let mut functions: Vec<_> = names.iter().map(|name| (*name, Starts::default())).collect();
    // In turns, so that whatever else the machine does falls on all alike. The first round only fills caches.
    for round in 0..=STARTS {
        let start = world.floor("hello").await?;
        if round > 0 {
            hello.all.push(millis(start.ready.after));
            hello.cpu.push(millis(start.ready.cpu));
        }
        for (name, starts) in &mut functions {
            world.cloud.take_first_call();
            let (start, warm_up) = world.deployed_telling(name).await?;
            let first = world.cloud.take_first_call();
            ensure!(first.is_some() == warm_up.is_some(), "{name} calls AWS, and does not say how long");
            if round > 0 {
                let all = start.ready.after;
                starts.alone.push(millis(all.saturating_sub(warm_up.unwrap_or_default())));
                starts.to_aws.extend(first.map(|first| millis(first - start.started())));
                starts.all.push(millis(all));
                starts.cpu.push(millis(start.ready.cpu));
            }
        }
    }
    let (floor, floor_cpu) = (median(hello.all)?, median(hello.cpu)?);
    let mut figures = Vec::new();
    for (name, Starts { alone, to_aws, all, cpu }) in functions {
        let figure = Figure::new(format!("{name}: start"), median(alone)?, "ms").floor(floor);
        figures.push(figure.bar(Bar::TimesFloor(MOST)).note("without the warm-up"));
        if !to_aws.is_empty() {
            let figure =
                Figure::new(format!("{name}: start to the first byte to AWS"), median(to_aws)?, "ms");
            figures.push(figure.floor(floor).note("with a client made and a request signed"));
            let figure = Figure::new(format!("{name}: start, warm-up included"), median(all)?, "ms");
            figures.push(figure.floor(floor).note("with a connection opened and a call answered"));
        }
        figures.push(
            Figure::new(format!("{name}: CPU by then, warm-up included"), median(cpu)?, "ms")
                .floor(floor_cpu),
        );
    }
    Ok(figures)
}
