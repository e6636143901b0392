//! Runs one of the hot paths a number of times, so that its instructions can be counted: `instructions NAME TIMES`.
//!
//! `cargo xtask bench instructions` runs it with two numbers. Their difference excludes the instructions of the start.

#![expect(clippy::print_stdout, reason = "a program that is not deployed")]

use std::hint::black_box;

use anyhow::{Context as _, Result, bail, ensure};
use anzol_domain::delivery::{ReceivedResponse, SentRequest};
use anzol_domain::webhook::{Defaults, WebhookInput};
use anzol_domain::{
    Delivery, DeliveryId, Event, MatchOutcome, Secrets, Status, TenantId, Trigger, UserId, Webhook, WebhookId,
};
use time::OffsetDateTime;

const EVENT: &str = include_str!("../events/app-deleted.json");
const EVENT_TYPE: &str = "com.qlik.v1.app.deleted";
const TENANT: &str = "oZcMPa_1PwH4FUdrh6839YHHdEJN";
const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
/// Number of webhooks of the tenant, the maximum.
const WEBHOOKS: u32 = 100;

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let name = words.next().context("usage: instructions NAME TIMES")?;
    let times: usize = words.next().context("usage: instructions NAME TIMES")?.parse()?;
    match name.as_str() {
        "match" => matches(times),
        "sign" => sign(times),
        "row" => row(times),
        _ => bail!("unknown path {name}; known are match, sign and row"),
    }
}

/// Matches an event with 100 webhooks: every third has its type, and every second of those a filter.
fn matches(times: usize) -> Result<()> {
    let event = Event::parse(EVENT, AT)?;
    let webhooks = (0..WEBHOOKS).map(|index| Ok(webhook(index)?.0)).collect::<Result<Vec<_>>>()?;
    let mut matched = 0;
    for _ in 0..times {
        let is_match =
            |webhook: &&Webhook| matches!(webhook.match_event(black_box(&event)), MatchOutcome::Matched);
        matched += webhooks.iter().filter(is_match).count();
    }
    ensure!(matched == times * 34, "{matched} of {times} × {WEBHOOKS}");
    println!("{matched} matched");
    Ok(())
}

/// Builds the body for a receiver and its three signature headers.
fn sign(times: usize) -> Result<()> {
    let event = Event::parse(EVENT, AT)?;
    let (webhook, secrets) = webhook(0)?;
    let secret = secrets.secret.as_ref().context("a webhook without a secret")?;
    let mut bytes = 0;
    for _ in 0..times {
        let body = black_box(&event).outgoing(false);
        let id = anzol_signing::message_id(&webhook.tenant_id, webhook.id, &event);
        let signed = anzol_signing::qlik_signature(secret, body.as_bytes());
        let standard = anzol_signing::standard_signature(secrets.signing(AT), &id, 0, body.as_bytes());
        bytes += black_box(body.len() + signed.len() + standard.len());
    }
    println!("{bytes} bytes");
    Ok(())
}

/// Encodes the history row of a typical delivery.
fn row(times: usize) -> Result<()> {
    let event = Event::parse(EVENT, AT)?;
    let delivery = delivery(&event)?;
    let mut bytes = 0;
    for _ in 0..times {
        bytes += anzol_store::row_size(black_box(&delivery))?;
    }
    ensure!(bytes <= times * 1024, "a row takes more than one write unit");
    println!("{bytes} bytes");
    Ok(())
}

fn webhook(index: u32) -> Result<(Webhook, Secrets)> {
    let user = UserId::parse("admin")?;
    let has_type = index.is_multiple_of(3);
    let filter = r#"id ne "none" and spaceId ne "a" or id eq "0984fec4-aa8c-4253-b1d1-4fd4f9c78""#;
    let input = WebhookInput {
        name: Some(format!("Webhook {index}")),
        url: Some(format!("https://hooks.example.com/{index}")),
        event_types: Some(vec![if has_type { EVENT_TYPE } else { "com.qlik.v1.app.created" }.to_owned()]),
        secret: Some("0123456789abcdef0123456789abcdef".to_owned()),
        filter: index.is_multiple_of(2).then(|| filter.to_owned()),
        headers: Some([("X-Environment".to_owned(), "production".to_owned())].into()),
        ..WebhookInput::default()
    };
    let (spec, secrets) = input.check(&Defaults::creation(&user))?;
    Ok((Webhook::new(WebhookId::mint(AT), TenantId::parse(TENANT)?, spec, user, AT), secrets))
}

fn delivery(event: &Event) -> Result<Delivery> {
    let (webhook, _) = webhook(0)?;
    let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let headers = [
        ("Content-Type", "application/json"),
        ("User-Agent", "Qlik Webhook"),
        ("webhook-id", "msg_2pD4cX3bTqW9eRkV7nYhLA"),
        ("webhook-timestamp", "1795600000"),
        ("Qlik-Signature", "04d0cb10af02069aabc4eb1b185d379574f9cc812bb3e4a346d4f6e1271e1805"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    let answered =
        [("content-type", "text/plain"), ("content-length", "2"), ("date", "Tue, 24 Nov 2026 10:00:00 GMT")];
    Ok(Delivery {
        id: DeliveryId::mint(AT),
        tenant_id: webhook.tenant_id,
        webhook_id: webhook.id,
        event_type: event.event_type().to_owned(),
        status: Status::Success,
        failure: None,
        status_message: None,
        attempt: 1,
        trigger: Trigger::Event,
        duration_ms: 87,
        next_attempt: None,
        retry_after: None,
        request: SentRequest {
            url: webhook.spec.url.to_string(),
            headers: headers.map(text).into(),
            body: event.outgoing(false),
        },
        response: Some(ReceivedResponse {
            status_code: 200,
            headers: answered.map(text).into(),
            body: "ok".to_owned(),
            headers_cut: false,
            body_cut: false,
            body_error: None,
        }),
    })
}
