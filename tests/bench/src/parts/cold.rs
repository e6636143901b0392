//! Cold starts: from the start of the process to the first event asked for, and before that to the first byte sent to AWS.

use anyhow::Result;

use super::{median, millis};
use crate::report::{Bar, Figure};
use crate::world::{Paths, World};

const STARTS: usize = 41;
/// In terms of a function that does nothing.
const MOST: f64 = 1.5;

#[derive(Default)]
struct Starts {
    /// Before anything goes to AWS.
    alone: Vec<f64>,
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
            let start = world.deployed(name).await?;
            if round > 0 {
                let first = world.cloud.take_first_call();
                starts.alone.push(millis(first.map_or(start.ready.after, |first| first - start.started())));
                starts.all.push(millis(start.ready.after));
                starts.cpu.push(millis(start.ready.cpu));
            }
        }
    }
    let (floor, floor_cpu) = (median(hello.all)?, median(hello.cpu)?);
    let mut figures = Vec::new();
    for (name, Starts { alone, all, cpu }) in functions {
        let note = format!("{:.2} ms with the connections to AWS opened in Init", median(all)?);
        let figure = Figure::new(format!("{name}: start to first call"), median(alone)?, "ms").floor(floor);
        figures.push(figure.bar(Bar::TimesFloor(MOST)).note(note));
        figures.push(
            Figure::new(format!("{name}: CPU by then, warm-up included"), median(cpu)?, "ms")
                .floor(floor_cpu),
        );
    }
    Ok(figures)
}
