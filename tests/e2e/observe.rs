//! Observability: the metrics that alarms depend on are written, and one log line describes a delivery attempt.

use std::collections::BTreeSet;

use anzol_tests::receiver::Behavior;
use serde_json::{Value, json};

use crate::kit::*;

/// Returns every JSON line of a function's log.
fn lines(function: &str) -> Vec<Value> {
    let all = context().aws.log_lines(&format!("/anzol/{}/{function}", context().stack.stack_name)).unwrap();
    all.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Returns the metrics that `CloudWatch` derives from the embedded metric format: name and dimensions.
fn metrics() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in ["api", "ingest", "fanout", "sender"].into_iter().flat_map(lines) {
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
            assert_eq!(directive["Namespace"], "Anzol");
            for (dimensions, metric) in directive["Dimensions"].as_array().unwrap().iter().flat_map(|set| {
                directive["Metrics"].as_array().unwrap().iter().map(move |metric| (set, metric))
            }) {
                let name = metric["Name"].as_str().unwrap();
                assert!(line[name].is_number() || line[name].is_array(), "{name} has no value in {line}");
                let dimensions = dimensions.as_array().unwrap().iter().map(|dimension| {
                    let dimension = dimension.as_str().unwrap();
                    format!("{dimension}={}", line[dimension].as_str().unwrap())
                });
                found.insert(format!("{name} {}", dimensions.collect::<Vec<_>>().join(" ")));
            }
        }
    }
    found
}

/// Returns the metrics of the template's alarms in our namespace, in the same form.
fn alarmed() -> BTreeSet<String> {
    let template = include_str!("../../infra/template.yaml");
    let blocks = template.split("Type: AWS::CloudWatch::Alarm\n").skip(1);
    let property = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {block}")).to_owned()
    };
    let ours = blocks.filter(|block| property(block, "Namespace") == "Anzol");
    ours.map(|block| {
        let dimensions =
            property(block, "Dimensions").replace("!Ref AWS::StackName", &context().stack.stack_name);
        let dimensions = dimensions.split("Name: ").skip(1).map(|part| {
            let (name, value) = part.split_once(", Value: ").unwrap();
            format!("{name}={}", value.split(" }").next().unwrap())
        });
        format!("{} {}", property(block, "MetricName"), dimensions.collect::<Vec<_>>().join(" "))
    })
    .collect()
}

#[test]
fn every_alarm_metric_is_written() {
    let context = context();
    let [fine, failing, gone] = ["seen", "seen-fails", "seen-gone"]
        .map(|word| Hook::new(&context.admin, word, &[APP_EXPORTED], &json!({})));
    failing.receiver_behaves(&Behavior { status: 500, ..Behavior::default() });
    gone.receiver_behaves(&Behavior { status: 410, ..Behavior::default() });
    let (first, event) = cloud_event(APP_EXPORTED, &context.acme);
    publish(&context.platform, &event);
    fine.await_received(&first, 1);
    let (second, event) = cloud_event(APP_EXPORTED, &context.acme);
    context.aws.send_message(&context.stack.queues.events, &event.to_string()).unwrap();
    fine.await_received(&second, 1);
    context
        .admin
        .post(&format!("{}/actions/test", fine.at()), &json!({}))
        .unwrap()
        .expect_status(201)
        .unwrap();

    let mut expected = alarmed();
    assert!(!expected.is_empty());
    for metric in [
        "EventsAccepted Stack=STACK Source=http",
        "DeliveriesQueued Stack=STACK Source=http",
        "EventsAccepted Stack=STACK Source=queue",
        "QueueAge Stack=STACK Source=queue",
        "DeliveriesSucceeded Stack=STACK Lane=fast",
        "DeliveriesFailed Stack=STACK Lane=fast",
        "RetriesQueued Stack=STACK Lane=fast",
        "LaneMovesToSlow Stack=STACK Lane=fast",
        "WebhooksDisabled Stack=STACK Lane=fast",
        "QueueAge Stack=STACK Lane=fast",
        "AttemptLatency Stack=STACK Lane=fast",
        "EndToEndLatency Stack=STACK Lane=fast",
        "DeliveriesSucceeded Stack=STACK Lane=direct",
    ] {
        expected.insert(metric.replace("STACK", &context.stack.stack_name));
    }
    eventually(SOON, "metrics of all events above", || {
        let missing: Vec<_> = expected.difference(&metrics()).cloned().collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("missing: {missing:?}")) }
    });
}

#[test]
fn producer_trace_is_in_the_log_and_at_the_receiver() {
    let context = context();
    let hook = Hook::new(&context.admin, "traced", &[APP_PUBLISHED], &json!({}));
    let (id, mut event) = cloud_event(APP_PUBLISHED, &context.acme);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    event["traceparent"] = json!(format!("00-{trace}-00f067aa0ba902b7-01"));
    publish(&context.platform, &event);
    let request = hook.await_received(&id, 1).remove(0);
    let row = hook.await_rows(&id, 1, SOON).remove(0);
    let delivery = row["id"].as_str().unwrap();
    let span = delivery.replace('-', "")[16..].to_owned();
    assert_eq!(request.header("traceparent"), format!("00-{trace}-{span}-01"));
    let line = eventually(SOON, &format!("log line of delivery {delivery}"), || {
        let line = lines("sender").into_iter().find(|line| line["delivery.id"] == delivery);
        line.ok_or_else(|| "none".to_owned())
    });
    for (field, value) in [
        ("message", json!("delivery attempt")),
        ("trace.id", json!(trace)),
        ("tenant.id", json!(context.acme)),
        ("webhook.id", json!(hook.id)),
        ("event.id", json!(id)),
        ("outcome", json!("success")),
        ("status_code", json!(200)),
        ("lane", json!("fast")),
    ] {
        assert_eq!(line[field], value, "{field} of {line:#}");
    }
    assert!(line["end_to_end_ms"].is_u64() && line["span"]["requestId"].is_string(), "{line:#}");
}
