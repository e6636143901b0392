//! The sender: CPU for a delivery beside that of a bare client, and what a batch for a slow receiver takes.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use anzol_tests::receiver::Behavior;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use super::{count, median, millis};
use crate::cloud::FAST_ARN;
use crate::lambda::Function;
use crate::report::{Bar, Figure};
use crate::usage::Usage;
use crate::world::{BATCH, EVENTS_A_CALL, Paths, World, batch, send};

/// Deliveries in a round, and rounds; the median round counts.
const ROUND: usize = 5_000;
const ROUNDS: usize = 5;
const WARM_UP: usize = 500;
/// In terms of the bare client, and in milliseconds.
const MOST_TIMES: f64 = 1.6;
const MOST_MS: f64 = 0.35;
/// What a slow receiver takes, and a batch of it in terms of that.
const SLOW_MS: u64 = 500;
const SLOW_TIMES: f64 = 1.1;

pub(super) async fn measure(paths: &Paths) -> Result<Vec<Figure>> {
    let world = World::start(paths).await?;
    let (api, ingest, sender) =
        (world.local("api").await?, world.local("ingest").await?, world.local("sender").await?);
    world.create_webhooks(&api, "one", &["/one".to_owned()]).await?;
    let one = world.publish(&ingest, "one", ROUND, EVENTS_A_CALL).await?;
    let mut ten = Vec::new();
    for tenant in 0..BATCH {
        let name = format!("ten-{tenant}");
        world.create_webhooks(&api, &name, &[format!("/{name}")]).await?;
        ten.push(world.publish(&ingest, &name, ROUND / BATCH, EVENTS_A_CALL).await?);
    }
    let ten: Vec<String> = (0..ROUND / BATCH)
        .flat_map(|index| ten.iter().filter_map(move |of| of.get(index).cloned()))
        .collect();
    ensure!(one.len() == ROUND && ten.len() == ROUND, "{} and {} messages", one.len(), ten.len());

    let mut client = Client::start(&world, &body_of(&one)?).await?;
    send_all(&sender, one.get(..WARM_UP).unwrap_or(&one)).await?;
    send_all(&sender, ten.get(..WARM_UP).unwrap_or(&ten)).await?;
    client.post(WARM_UP).await?;
    let (mut of_one, mut of_ten, mut of_client) = (Vec::new(), Vec::new(), Vec::new());
    let (mut rate_one, mut rate_client) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (cpu, rate) = client.measure().await?;
        of_client.push(cpu);
        rate_client.push(rate);
        let (cpu, rate) = round(&sender, &one).await?;
        of_one.push(cpu);
        rate_one.push(rate);
        of_ten.push(round(&sender, &ten).await?.0);
    }
    let floor = median(of_client)?;
    let note = format!(
        "{:.0} deliveries a second, one batch at a time; the bare client {:.0}, so the receiver is not the limit",
        median(rate_one)?,
        median(rate_client)?
    );
    let bars =
        |figure: Figure| figure.floor(floor).bar(Bar::TimesFloor(MOST_TIMES)).bar(Bar::AtMost(MOST_MS));
    let mut figures = vec![
        bars(Figure::new("CPU for a delivery, ten for one webhook", median(of_one)?, "ms")).note(note),
        bars(Figure::new("CPU for a delivery, ten for ten tenants' webhooks", median(of_ten)?, "ms")),
    ];
    figures.push(slow(&world, &sender, "ten", &ten).await?);
    figures.push(slow(&world, &sender, "one", &one).await?);
    Ok(figures)
}

/// How long a batch takes whose receivers are slow.
async fn slow(world: &World, sender: &Function, name: &str, bodies: &[String]) -> Result<Figure> {
    let behaviour = Behavior { delay_ms: SLOW_MS, ..Behavior::default() };
    for path in [
        "/one", "/ten-0", "/ten-1", "/ten-2", "/ten-3", "/ten-4", "/ten-5", "/ten-6", "/ten-7", "/ten-8",
        "/ten-9",
    ] {
        world.behave(path, behaviour.clone()).await?;
    }
    let mut took = Vec::new();
    for bodies in bodies.chunks(BATCH).take(5) {
        let began = Instant::now();
        send(sender, batch(FAST_ARN, bodies)).await?;
        took.push(millis(began.elapsed()));
    }
    let figure = Figure::new(
        format!("a batch for {name} webhook(s) whose receivers take {SLOW_MS} ms"),
        median(took)?,
        "ms",
    );
    let floor = crate::meter::approximate(SLOW_MS);
    Ok(figure.floor(floor).bar(Bar::TimesFloor(SLOW_TIMES)))
}

/// Hands all of them to the sender, ten at a time.
pub(super) async fn send_all(sender: &Function, bodies: &[String]) -> Result<()> {
    for bodies in bodies.chunks(BATCH) {
        send(sender, batch(FAST_ARN, bodies)).await?;
    }
    Ok(())
}

/// CPU in milliseconds for each, and how many a second.
pub(super) async fn round(sender: &Function, bodies: &[String]) -> Result<(f64, f64)> {
    let (began, before) = (Instant::now(), sender.usage().cpu()?);
    send_all(sender, bodies).await?;
    let (deliveries, cpu) = (count(bodies.len()), sender.usage().cpu()?.saturating_sub(before));
    Ok((millis(cpu) / deliveries, deliveries / began.elapsed().as_secs_f64()))
}

/// The body a receiver gets for a message: what its event comes to, near enough.
fn body_of(messages: &[String]) -> Result<String> {
    let message: Value = serde_json::from_str(messages.first().context("no messages")?)?;
    let event = message.pointer("/task/event").context("a message without an event")?;
    Ok(event.to_string())
}

/// The bare client.
struct Client {
    _child: Child,
    usage: Usage,
    input: tokio::process::ChildStdin,
    output: BufReader<tokio::process::ChildStdout>,
}

impl Client {
    async fn start(world: &World, body: &str) -> Result<Self> {
        let file = world.paths.out.join("body.json");
        tokio::fs::write(&file, body).await?;
        let mut child = Command::new(world.paths.floors.join("post"))
            .args(["https://hooks.receiver.test/floor", &world.receiver_address])
            .args([world.authority(), &file])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let usage = Usage::of(child.id().context("it ended at once")?)?;
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
        let (began, before) = (Instant::now(), self.usage.cpu()?);
        self.post(ROUND).await?;
        let cpu = self.usage.cpu()?.saturating_sub(before);
        Ok((millis(cpu) / count(ROUND), count(ROUND) / began.elapsed().as_secs_f64()))
    }
}
