//! Resident memory: of each function as it asks for its first event, and of the sender after thousands of deliveries.
//!
//! Lambda's Rust runtime puts each invocation's trace in the environment, where glibc keeps every value there ever was: about a hundred
//! bytes an invocation, which no function can help. A function that does nothing shows how much that is.

use anyhow::{Result, ensure};

use super::megabytes;
use super::sender::send_all;
use crate::lambda::Function;
use crate::report::{Bar, Figure};
use crate::world::{BATCH, EVENTS_A_CALL, Paths, World};

const FEW: usize = 10_000;
const MANY: usize = 50_000;
/// Of the sender after a few, in MB.
const MOST: f64 = 40.0;
/// Of the sender after many, in terms of after a few: what a page or two of the allocator comes to.
const NO_GROWTH: f64 = 1.03;

pub(super) async fn measure(paths: &Paths) -> Result<Vec<Figure>> {
    let world = World::start(paths).await?;
    let hello = world.floor("hello").await?;
    let floor = megabytes(hello.ready.memory);
    let mut figures = Vec::new();
    for name in ["api", "ingest", "fanout", "sender", "console"] {
        let memory = megabytes(world.deployed(name).await?.ready.memory);
        figures.push(Figure::new(format!("{name}: at the first call"), memory, "MB").floor(floor));
    }
    let (api, ingest, sender) =
        (world.local("api").await?, world.local("ingest").await?, world.local("sender").await?);
    world.create_webhooks(&api, "memory", &["/memory".to_owned()]).await?;
    let bodies = world.publish(&ingest, "memory", FEW, EVENTS_A_CALL).await?;
    ensure!(bodies.len() == FEW, "{} messages", bodies.len());
    send_all(&sender, &bodies).await?;
    call_all(&hello, &bodies).await?;
    let (few, few_calls) = (megabytes(sender.usage().memory()?), megabytes(hello.usage().memory()?));
    for _ in 0..(MANY - FEW) / FEW {
        send_all(&sender, &bodies).await?;
        call_all(&hello, &bodies).await?;
    }
    let (many, many_calls) = (megabytes(sender.usage().memory()?), megabytes(hello.usage().memory()?));
    let runtime = many_calls - few_calls;
    figures.push(
        Figure::new(format!("sender: after {FEW} deliveries"), few, "MB").floor(floor).bar(Bar::AtMost(MOST)),
    );
    let note = format!("{:.1} MB at most until then", megabytes(sender.usage().most_memory()?));
    figures.push(Figure::new(format!("sender: after {MANY} deliveries"), many, "MB").floor(few).note(note));
    let note = format!("{runtime:.2} MB, which Lambda's runtime takes for as many calls of hello, taken off");
    let figure = Figure::new("sender: the same, by what is its own", many - runtime, "MB").floor(few);
    figures.push(figure.bar(Bar::TimesFloor(NO_GROWTH)).note(note));
    Ok(figures)
}

/// Calls a function as often as these messages are batches.
async fn call_all(hello: &Function, bodies: &[String]) -> Result<()> {
    for _ in bodies.chunks(BATCH) {
        hello.invoke("null").await?;
    }
    Ok(())
}
