//! A client of AWS that uses none of the product's code. Suites use it to send messages to SQS and to read `DynamoDB` tables.
//!
//! A suite that read the history through `anzol-store` would only check the store against itself. Signature Version 4 and the JSON
//! protocol are small enough to implement here.

use anyhow::{Context, Result, ensure};
use ring::{digest, hmac};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;
use ureq::http::{Method, Uri};

use crate::client::{Answer, Http};
use crate::stack::Stack;

/// A client with the credentials of the environment, or with those that a local cloud accepts.
#[derive(Debug, Clone)]
pub struct Aws {
    http: Http,
    endpoint: String,
    region: String,
    key_id: String,
    secret: String,
    session: Option<String>,
}

impl Aws {
    /// Returns a client of the stack's endpoint.
    #[must_use]
    pub fn new(stack: &Stack) -> Self {
        Self::at(&stack.aws_endpoint_url, &stack.region)
    }

    /// Returns a client of any endpoint.
    #[must_use]
    pub fn at(endpoint: &str, region: &str) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            http: Http::new(),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            region: region.to_owned(),
            key_id: variable("AWS_ACCESS_KEY_ID").unwrap_or_else(|| "test".to_owned()),
            secret: variable("AWS_SECRET_ACCESS_KEY").unwrap_or_else(|| "test".to_owned()),
            session: variable("AWS_SESSION_TOKEN"),
        }
    }

    /// Sends one message to a queue.
    pub fn send_message(&self, queue_url: &str, body: &str) -> Result<Value> {
        self.call("sqs", "AmazonSQS.SendMessage", &json!({ "QueueUrl": queue_url, "MessageBody": body }))
    }

    /// Returns the endpoint's port, if its URL has one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.endpoint.parse::<Uri>().ok()?.port_u16()
    }

    /// Returns the number of messages in a queue: waiting, in flight and delayed.
    pub fn queue_length(&self, queue_url: &str) -> Result<u64> {
        let names = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ];
        let answer = self.call(
            "sqs",
            "AmazonSQS.GetQueueAttributes",
            &json!({ "QueueUrl": queue_url, "AttributeNames": names }),
        )?;
        let mut length = 0;
        for name in names {
            let count = answer.pointer(&format!("/Attributes/{name}")).and_then(Value::as_str);
            length += count.with_context(|| format!("no {name} in {answer}"))?.parse::<u64>()?;
        }
        Ok(length)
    }

    /// Returns every item of a table whose sort key contains `needle`, in `DynamoDB`'s JSON.
    pub fn items_with_sort_key_like(&self, table: &str, needle: &str) -> Result<Vec<Value>> {
        self.scan(json!({
            "TableName": table,
            "ConsistentRead": true,
            "FilterExpression": "contains(sk, :needle)",
            "ExpressionAttributeValues": { ":needle": { "S": needle } },
        }))
    }

    /// Returns every item of a table, in `DynamoDB`'s JSON.
    pub fn items(&self, table: &str) -> Result<Vec<Value>> {
        self.scan(json!({ "TableName": table, "ConsistentRead": true }))
    }

    /// Returns every line of a log group.
    ///
    /// The local cloud returns the oldest 10,000 events and no `nextToken`; the next call then starts at the time of the last event.
    pub fn log_lines(&self, group: &str) -> Result<Vec<String>> {
        const MAX_EVENTS: usize = 10_000;
        let time = |event: &Value| event.get("timestamp").and_then(Value::as_u64).unwrap_or_default();
        let (mut request, mut known) = (json!({ "logGroupName": group }), 0);
        let mut lines = Vec::new();
        loop {
            let page = self.call("logs", "Logs_20140328.FilterLogEvents", &request)?;
            let events = page.get("events").and_then(Value::as_array).context("no events in the answer")?;
            let messages = events.iter().skip(known).filter_map(|event| event.get("message")?.as_str());
            lines.extend(messages.flat_map(str::lines).map(str::to_owned));
            known = 0;
            match page.get("nextToken") {
                Some(Value::String(token)) if request.get("nextToken") != Some(&json!(token)) => {
                    request = json!({ "logGroupName": group, "nextToken": token });
                }
                _ if events.len() == MAX_EVENTS => {
                    let last = events.last().map(time).unwrap_or_default();
                    // The order is stable, so the next page starts with these events again.
                    known = events.iter().rev().take_while(|event| time(event) == last).count();
                    ensure!(known < MAX_EVENTS, "more events in one millisecond than a page holds");
                    request = json!({ "logGroupName": group, "startTime": last });
                }
                _ => return Ok(lines),
            }
        }
    }

    fn scan(&self, mut request: Value) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        loop {
            let mut page = self.call("dynamodb", "DynamoDB_20120810.Scan", &request)?;
            if let Some(Value::Array(found)) = page.get_mut("Items").map(Value::take) {
                items.extend(found);
            }
            match page.get_mut("LastEvaluatedKey").map(Value::take) {
                Some(key) if !key.is_null() => {
                    if let Some(fields) = request.as_object_mut() {
                        fields.insert("ExclusiveStartKey".to_owned(), key);
                    }
                }
                _ => return Ok(items),
            }
        }
    }

    /// Returns the number of successful deliveries in a partition of the history.
    pub fn successes(&self, table: &str, partition: &str) -> Result<u64> {
        let mut request = json!({
            "TableName": table,
            "ConsistentRead": true,
            "Select": "COUNT",
            "KeyConditionExpression": "pk = :pk",
            "FilterExpression": "attribute_not_exists(failedOf)",
            "ExpressionAttributeValues": { ":pk": { "S": partition } },
        });
        let mut count = 0;
        loop {
            let mut page = self.call("dynamodb", "DynamoDB_20120810.Query", &request)?;
            count +=
                page.get("Count").and_then(Value::as_u64).with_context(|| format!("no count in {page}"))?;
            match page.get_mut("LastEvaluatedKey").map(Value::take) {
                Some(key) if !key.is_null() => {
                    if let Some(fields) = request.as_object_mut() {
                        fields.insert("ExclusiveStartKey".to_owned(), key);
                    }
                }
                _ => return Ok(count),
            }
        }
    }

    /// Sets or removes a variable of a function's environment. Running processes keep their environment.
    pub fn set_variable(&self, function: &str, name: &str, value: Option<&str>) -> Result<()> {
        let path = format!("/2015-03-31/functions/{function}/configuration");
        let now = self.signed(&Method::GET, &path, "lambda", None)?.expect_status(200)?.json()?;
        let mut variables = now
            .pointer("/Environment/Variables")
            .and_then(Value::as_object)
            .with_context(|| format!("no environment in {now}"))?
            .clone();
        match value {
            Some(value) => drop(variables.insert(name.to_owned(), json!(value))),
            None => drop(variables.remove(name)),
        }
        let body = json!({ "Environment": { "Variables": variables } }).to_string();
        self.signed(&Method::PUT, &path, "lambda", Some((None, body.as_bytes())))?
            .expect_status(200)
            .map(drop)
    }

    /// Returns the names of all schedules, in any group.
    pub fn schedules(&self) -> Result<Vec<String>> {
        let answer =
            self.signed(&Method::GET, "/schedules", "scheduler", None)?.expect_status(200)?.json()?;
        let schedules = answer.get("Schedules").and_then(Value::as_array).context("no list of schedules")?;
        schedules
            .iter()
            .map(|schedule| {
                schedule.get("Name").and_then(Value::as_str).map(str::to_owned).context("no name")
            })
            .collect()
    }

    /// Invokes a function directly, without the gateway, and returns its response or its error.
    pub fn invoke(&self, function: &str, event: &Value) -> Result<Value> {
        let event = event.to_string();
        let path = format!("/2015-03-31/functions/{function}/invocations");
        self.signed(&Method::POST, &path, "lambda", Some((None, event.as_bytes())))?
            .expect_status(200)?
            .json()
    }

    /// Calls one operation. Any status other than 200 is an error.
    pub fn call(&self, service: &str, target: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        let content = Some((Some(target), body.as_bytes()));
        let answer = self.signed(&Method::POST, "/", service, content)?.expect_status(200)?;
        // An empty response is `{}` on AWS, and an empty body at some other endpoints.
        if answer.text.is_empty() { Ok(json!({})) } else { answer.json() }
    }

    /// Sends a signed request. `content` is the JSON body, with the operation for services that name it in a header.
    fn signed(
        &self,
        method: &Method,
        path: &str,
        service: &str,
        content: Option<(Option<&str>, &[u8])>,
    ) -> Result<Answer> {
        let uri: Uri = self.endpoint.parse()?;
        let host = uri.authority().context("the endpoint has no host")?.as_str();
        let moment = OffsetDateTime::now_utc()
            .format(format_description!("[year][month][day]T[hour][minute][second]Z"))?;
        // Sorted by name, as the canonical request requires.
        let mut headers = Vec::new();
        headers.extend(content.map(|_| ("content-type", "application/x-amz-json-1.0")));
        headers.extend([("host", host), ("x-amz-date", moment.as_str())]);
        headers.extend(self.session.as_deref().map(|token| ("x-amz-security-token", token)));
        headers.extend(content.and_then(|(target, _)| target).map(|target| ("x-amz-target", target)));
        let body = content.map(|(_, body)| body);
        let request = format!("{method}\n{path}");
        let authorization =
            self.authorization(service, &moment, &request, &headers, body.unwrap_or_default());

        let mut sent: Vec<_> = headers.into_iter().filter(|(name, _)| *name != "host").collect();
        sent.push(("authorization", &authorization));
        self.http.send(method, &format!("{}{path}", self.endpoint), &sent, body)
    }

    fn authorization(
        &self,
        service: &str,
        moment: &str,
        request: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> String {
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines =
            headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect::<Vec<_>>().concat();
        let canonical = format!("{request}\n\n{lines}\n{names}\n{}", sha256(body));

        let day = moment.split('T').next().unwrap_or_default();
        let scope = format!("{day}/{}/{service}/aws4_request", self.region);
        let to_sign = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{}", sha256(canonical.as_bytes()));
        let first = format!("AWS4{}", self.secret).into_bytes();
        let parts = [day, &self.region, service, "aws4_request"];
        let key = parts.iter().fold(first, |key, part| hmac_sha256(&key, part.as_bytes()));
        let signature = hex::encode(hmac_sha256(&key, to_sign.as_bytes()));
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.key_id
        )
    }
}

/// Computes HMAC-SHA256 with ring: the product signs with another implementation.
#[must_use]
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_matches_botocore() {
        let aws = Aws {
            http: Http::new(),
            endpoint: "http://localhost:4566".to_owned(),
            region: "us-east-1".to_owned(),
            key_id: "AKIDEXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session: Some("session".to_owned()),
        };
        let headers = [
            ("content-type", "application/x-amz-json-1.0"),
            ("host", "localhost:4566"),
            ("x-amz-date", "20261124T080000Z"),
            ("x-amz-security-token", "session"),
            ("x-amz-target", "AmazonSQS.SendMessage"),
        ];
        let authorization = aws.authorization(
            "sqs",
            "20261124T080000Z",
            "POST\n/",
            &headers,
            "{\"MessageBody\":\"é\"}".as_bytes(),
        );
        assert_eq!(
            authorization,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261124/us-east-1/sqs/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, \
             Signature=72eccd9b900a6708bc65d9a931cb79743c4004224a837aab6cb1ac6006301ec9"
        );
    }
}
