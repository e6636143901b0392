//! A producer in Rust: sends an event to Anzol's events queue, for systems in the same AWS account.
//!
//! ```sh
//! QUEUE_URL=<output EventsQueueUrl> TENANT_ID=<tenant> cargo run -p anzol-tests --example produce
//! ```
//!
//! Your project needs `aws-config`, `aws-sdk-sqs`, `serde_json`, `tokio` (features `macros` and `rt`), `time` and `uuid`. Use
//! `aws_config::load_defaults(BehaviorVersion::latest()).await` in place of Anzol's configuration. The caller needs `sqs:SendMessage` on
//! that queue and can then publish for every tenant. Give it only to your own systems.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "an example program, which is not shipped"
)]

use std::error::Error;

use aws_sdk_sqs::Client;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// Queues one `CloudEvent` and returns its id.
///
/// If you send the same id again, for example after a timeout, Anzol delivers it again with the same `webhook-id`.
async fn publish(
    sqs: &Client,
    queue_url: &str,
    tenant_id: &str,
    event_type: &str,
    data: Value,
) -> Result<String, Box<dyn Error>> {
    let now = OffsetDateTime::now_utc();
    let id = Uuid::now_v7().to_string();
    let event = json!({
        "specversion": "1.0",
        "id": id,
        "source": "my/system",
        "type": event_type,
        "time": now.format(&Rfc3339)?,
        "tenantid": tenant_id,
        "datacontenttype": "application/json",
        "data": data,
    });
    // One group per tenant, so that a tenant with many events does not delay the others (SQS fair queues).
    let message =
        sqs.send_message().queue_url(queue_url).message_body(event.to_string()).message_group_id(tenant_id);
    message.send().await?;
    Ok(id)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (queue_url, tenant_id) = (std::env::var("QUEUE_URL")?, std::env::var("TENANT_ID")?);
    let config = anzol_runtime::aws::config()?;
    let data = json!({ "id": "app-1" });
    println!(
        "{}",
        publish(&Client::new(&config), &queue_url, &tenant_id, "com.qlik.v1.app.created", data).await?
    );
    Ok(())
}
