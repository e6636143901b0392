//! Event source mappings: invoke functions with batches of messages and delete the processed ones. Failed messages are received again
//! after their visibility timeout, and the queue's redrive policy counts the attempts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use crate::Runner;
use crate::plan::Mapping;

/// Wait time of a receive call, in seconds.
const LONG_POLL: u32 = 5;

/// Polls a queue while the process runs.
pub(crate) async fn poll(runner: Arc<Runner>, function: String, mapping: Mapping) {
    let mapping = Arc::new(mapping);
    let in_work = Arc::new(Semaphore::new(mapping.scaling_config.maximum_concurrency));
    while let Ok(permit) = Arc::clone(&in_work).acquire_owned().await {
        let request = json!({
            "QueueUrl": mapping.url, "MaxNumberOfMessages": mapping.batch_size, "WaitTimeSeconds": LONG_POLL,
            "AttributeNames": ["All"], "MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"],
        });
        let mut answer = match runner.call("sqs", "AmazonSQS.ReceiveMessage", request).await {
            Ok(answer) => answer,
            Err(error) => {
                eprintln!("{}: {error:#}", mapping.arn);
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let Some(Value::Array(messages)) =
            answer.get_mut("Messages").map(Value::take).filter(|all| *all != json!([]))
        else {
            continue;
        };
        let (runner, function, mapping) = (Arc::clone(&runner), function.clone(), Arc::clone(&mapping));
        tokio::spawn(async move {
            if let Err(error) = process_batch(&runner, &function, &mapping, &messages).await {
                eprintln!("{function}: a batch of {} failed: {error:#}", messages.len());
            }
            drop(permit);
        });
    }
}

async fn process_batch(runner: &Runner, function: &str, mapping: &Mapping, messages: &[Value]) -> Result<()> {
    let records: Vec<_> =
        messages.iter().map(|message| record(message, mapping, &runner.plan.region)).collect();
    let outcome = runner.invoke(function, json!({ "Records": records }).to_string()).await?;
    ensure!(!outcome.failed, "{}", String::from_utf8_lossy(&outcome.payload));
    let answer: Value = serde_json::from_slice(&outcome.payload)?;
    let entries: Vec<_> = processed(messages, &answer)?
        .enumerate()
        .map(|(index, message)| json!({ "Id": index.to_string(), "ReceiptHandle": text(message, "ReceiptHandle") }))
        .collect();
    if !entries.is_empty() {
        let request = json!({ "QueueUrl": mapping.url, "Entries": entries });
        runner.call("sqs", "AmazonSQS.DeleteMessageBatch", request).await?;
    }
    Ok(())
}

/// Returns the messages that a function does not report as failed. As on AWS, an invalid report fails all of them.
fn processed<'a>(messages: &'a [Value], answer: &'a Value) -> Result<impl Iterator<Item = &'a Value>> {
    let failures =
        answer.get("batchItemFailures").and_then(Value::as_array).context("no batchItemFailures")?;
    let failed: BTreeSet<_> = failures.iter().map(|failure| text(failure, "itemIdentifier")).collect();
    let ids: BTreeSet<_> = messages.iter().map(|message| text(message, "MessageId")).collect();
    ensure!(failed.is_subset(&ids), "failures that are not in the batch: {answer}");
    Ok(messages.iter().filter(move |message| !failed.contains(text(message, "MessageId"))))
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the record for a message in Lambda's event.
fn record(message: &Value, mapping: &Mapping, region: &str) -> Value {
    let attributes = message.get("MessageAttributes").and_then(Value::as_object).into_iter().flatten();
    let attributes: Map<_, _> = attributes
        .map(|(name, value)| {
            let mut own =
                json!({ "stringListValues": [], "binaryListValues": [], "dataType": value.get("DataType") });
            for (theirs, ours) in [("StringValue", "stringValue"), ("BinaryValue", "binaryValue")] {
                if let (Some(value), Some(members)) = (value.get(theirs), own.as_object_mut()) {
                    members.insert(ours.to_owned(), value.clone());
                }
            }
            (name.clone(), own)
        })
        .collect();
    json!({
        "messageId": message.get("MessageId"), "receiptHandle": message.get("ReceiptHandle"), "body": message.get("Body"),
        "attributes": message.get("Attributes").unwrap_or(&json!({})), "messageAttributes": attributes,
        "md5OfBody": message.get("MD5OfBody"), "eventSource": "aws:sqs", "eventSourceARN": mapping.arn, "awsRegion": region,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may panic")]

    use super::*;

    #[test]
    fn failed_messages_and_invalid_reports_are_kept() {
        let messages = ["a", "b", "c"].map(|id| json!({ "MessageId": id }));
        let left = |answer: &Value| -> Option<Vec<String>> {
            let left = processed(&messages, answer).ok()?;
            Some(left.map(|message| text(message, "MessageId").to_owned()).collect())
        };
        let failed = |id: Value| json!({ "batchItemFailures": [{ "itemIdentifier": id }] });
        assert_eq!(left(&json!({ "batchItemFailures": [] })).unwrap(), ["a", "b", "c"]);
        assert_eq!(left(&failed(json!("b"))).unwrap(), ["a", "c"]);
        for answer in [failed(json!("x")), failed(json!("")), failed(Value::Null), json!({}), json!(null)] {
            assert_eq!(left(&answer), None, "{answer}");
        }
    }
}
