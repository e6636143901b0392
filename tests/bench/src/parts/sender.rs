//! The sender: CPU for a delivery, compared with a plain HTTP client, and the duration of a batch to slow receivers.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use anzol_tests::receiver::Behavior;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use super::{count, median, millis};
use crate::context::{BATCH, BenchContext, EVENTS_A_CALL, Paths, batch, send};
use crate::emulated_aws::FAST_ARN;
use crate::lambda::Function;
use crate::report::{Figure, Threshold};
use crate::usage::Usage;

/// Number of deliveries in a round, and of rounds. The median of the rounds counts.
const ROUND: usize = 5_000;
const ROUNDS: usize = 5;
const WARM_UP: usize = 500;
/// Thresholds for a delivery: relative to the plain client, and in milliseconds.
const MOST_TIMES: f64 = 1.6;
const MOST_MS: f64 = 0.35;
/// Latency of a slow receiver, and threshold for a batch relative to it.
const SLOW_MS: u64 = 500;
const SLOW_TIMES: f64 = 1.1;

pub(super) async fn measure(paths: &Paths) -> Result<Vec<Figure>> {
    let context = BenchContext::start(paths).await?;
    let (api, ingest, sender) =
        (context.local("api").await?, context.local("ingest").await?, context.local("sender").await?);
    context.create_webhooks(&api, "one", &["/one".to_owned()]).await?;
    let one = context.publish(&ingest, "one", ROUND, EVENTS_A_CALL).await?;
    let mut ten = Vec::new();
    for tenant in 0..BATCH {
        let name = format!("ten-{tenant}");
        context.create_webhooks(&api, &name, &[format!("/{name}")]).await?;
        ten.push(context.publish(&ingest, &name, ROUND / BATCH, EVENTS_A_CALL).await?);
    }
    let ten: Vec<String> = (0..ROUND / BATCH)
        .flat_map(|index| ten.iter().filter_map(move |messages| messages.get(index).cloned()))
        .collect();
    ensure!(one.len() == ROUND && ten.len() == ROUND, "{} and {} messages", one.len(), ten.len());

    let mut client = Client::start(&context, &body_of(&one)?).await?;
    send_all(&sender, one.get(..WARM_UP).unwrap_or(&one)).await?;
    send_all(&sender, ten.get(..WARM_UP).unwrap_or(&ten)).await?;
    client.post(WARM_UP).await?;
    let (mut cpu_one, mut cpu_ten, mut cpu_client) = (Vec::new(), Vec::new(), Vec::new());
    let (mut rate_one, mut rate_client) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (cpu, rate) = client.measure().await?;
        cpu_client.push(cpu);
        rate_client.push(rate);
        let (cpu, rate) = round(&sender, &one).await?;
        cpu_one.push(cpu);
        rate_one.push(rate);
        cpu_ten.push(round(&sender, &ten).await?.0);
    }
    let baseline = median(cpu_client)?;
    let note = format!(
        "{:.0} deliveries a second, one batch at a time; the plain client reaches {:.0}, so the receiver is not the limit",
        median(rate_one)?,
        median(rate_client)?
    );
    let thresholds = |figure: Figure| {
        figure
            .baseline(baseline)
            .threshold(Threshold::TimesBaseline(MOST_TIMES))
            .threshold(Threshold::AtMost(MOST_MS))
    };
    let mut figures = vec![
        thresholds(Figure::new("CPU for a delivery, ten for one webhook", median(cpu_one)?, "ms")).note(note),
        thresholds(Figure::new("CPU for a delivery, ten for ten tenants' webhooks", median(cpu_ten)?, "ms")),
    ];
    figures.push(slow(&context, &sender, "ten", &ten).await?);
    figures.push(slow(&context, &sender, "one", &one).await?);
    Ok(figures)
}

/// Measures the duration of a batch to slow receivers.
async fn slow(context: &BenchContext, sender: &Function, name: &str, bodies: &[String]) -> Result<Figure> {
    let behavior = Behavior { delay_ms: SLOW_MS, ..Behavior::default() };
    for path in [
        "/one", "/ten-0", "/ten-1", "/ten-2", "/ten-3", "/ten-4", "/ten-5", "/ten-6", "/ten-7", "/ten-8",
        "/ten-9",
    ] {
        context.behave(path, behavior.clone()).await?;
    }
    let mut took = Vec::new();
    for bodies in bodies.chunks(BATCH).take(5) {
        let started = Instant::now();
        send(sender, batch(FAST_ARN, bodies)).await?;
        took.push(millis(started.elapsed()));
    }
    let figure = Figure::new(
        format!("a batch for {name} webhook(s) whose receivers take {SLOW_MS} ms"),
        median(took)?,
        "ms",
    );
    let baseline = crate::meter::approximate(SLOW_MS);
    Ok(figure.baseline(baseline).threshold(Threshold::TimesBaseline(SLOW_TIMES)))
}

/// Invokes the sender with these messages, ten at a time.
pub(super) async fn send_all(sender: &Function, bodies: &[String]) -> Result<()> {
    for bodies in bodies.chunks(BATCH) {
        send(sender, batch(FAST_ARN, bodies)).await?;
    }
    Ok(())
}

/// Returns the CPU in milliseconds for each message, and messages per second.
pub(super) async fn round(sender: &Function, bodies: &[String]) -> Result<(f64, f64)> {
    let (started, before) = (Instant::now(), sender.usage().cpu()?);
    send_all(sender, bodies).await?;
    let (deliveries, cpu) = (count(bodies.len()), sender.usage().cpu()?.saturating_sub(before));
    Ok((millis(cpu) / deliveries, deliveries / started.elapsed().as_secs_f64()))
}

/// Returns approximately the body that a receiver gets for the first message.
fn body_of(messages: &[String]) -> Result<String> {
    let message: Value = serde_json::from_str(messages.first().context("no messages")?)?;
    let event = message.pointer("/task/event").context("a message without an event")?;
    Ok(event.to_string())
}

/// A running plain client: the baseline program `post`.
struct Client {
    _child: Child,
    usage: Usage,
    input: tokio::process::ChildStdin,
    output: BufReader<tokio::process::ChildStdout>,
}

impl Client {
    async fn start(context: &BenchContext, body: &str) -> Result<Self> {
        let file = context.paths.out.join("body.json");
        tokio::fs::write(&file, body).await?;
        let mut child = Command::new(context.paths.baselines.join("post"))
            .args(["https://hooks.receiver.test/baseline", &context.receiver_address])
            .args([context.authority(), &file])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let usage = Usage::of(child.id().context("the client exited")?)?;
        let input = child.stdin.take().context("no input")?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { _child: child, usage, input, output })
    }

    async fn post(&mut self, times: usize) -> Result<()> {
        self.input.write_all(format!("{times}\n").as_bytes()).await?;
        let mut line = String::new();
        self.output.read_line(&mut line).await?;
        ensure!(line.trim() == times.to_string(), "{} of {times} POSTs arrived", line.trim());
        Ok(())
    }

    async fn measure(&mut self) -> Result<(f64, f64)> {
        let (started, before) = (Instant::now(), self.usage.cpu()?);
        self.post(ROUND).await?;
        let cpu = self.usage.cpu()?.saturating_sub(before);
        Ok((millis(cpu) / count(ROUND), count(ROUND) / started.elapsed().as_secs_f64()))
    }
}
