//! Resident memory: of each function at its first event, and of the sender after thousands of deliveries.
//!
//! Lambda's Rust runtime sets an environment variable in each invocation, and glibc never frees old values: about 100 bytes each. The
//! memory of a function that does nothing grows only by these values, and its growth is subtracted.

use anyhow::{Result, ensure};

use super::megabytes;
use super::sender::send_all;
use crate::context::{BATCH, BenchContext, EVENTS_A_CALL, Paths};
use crate::lambda::Function;
use crate::report::{Figure, Threshold};

const FEW: usize = 10_000;
const MANY: usize = 50_000;
/// Threshold for the sender after [`FEW`] deliveries, in MB.
const MOST: f64 = 40.0;
/// Threshold for the growth from [`FEW`] to [`MANY`] deliveries: a page or two of the allocator.
const NO_GROWTH: f64 = 1.03;

pub(super) async fn measure(paths: &Paths) -> Result<Vec<Figure>> {
    let context = BenchContext::start(paths).await?;
    let hello = context.baseline("hello").await?;
    let baseline = megabytes(hello.ready.memory);
    let mut figures = Vec::new();
    for name in ["api", "ingest", "fanout", "sender", "console"] {
        let memory = megabytes(context.deployed(name).await?.ready.memory);
        figures.push(Figure::new(format!("{name}: at the first call"), memory, "MB").baseline(baseline));
    }
    let (api, ingest, sender) =
        (context.local("api").await?, context.local("ingest").await?, context.local("sender").await?);
    context.create_webhooks(&api, "memory", &["/memory".to_owned()]).await?;
    let bodies = context.publish(&ingest, "memory", FEW, EVENTS_A_CALL).await?;
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
        Figure::new(format!("sender: after {FEW} deliveries"), few, "MB")
            .baseline(baseline)
            .threshold(Threshold::AtMost(MOST)),
    );
    let note = format!("peak {:.1} MB", megabytes(sender.usage().peak_memory()?));
    figures
        .push(Figure::new(format!("sender: after {MANY} deliveries"), many, "MB").baseline(few).note(note));
    let note = format!("without {runtime:.2} MB, the growth of hello in as many calls");
    let figure =
        Figure::new("sender: the same, without the runtime's growth", many - runtime, "MB").baseline(few);
    figures.push(figure.threshold(Threshold::TimesBaseline(NO_GROWTH)).note(note));
    Ok(figures)
}

/// Invokes a function once for each batch of these messages.
async fn call_all(hello: &Function, bodies: &[String]) -> Result<()> {
    for _ in bodies.chunks(BATCH) {
        hello.invoke("null").await?;
    }
    Ok(())
}
