//! Checks infra/template.yaml: parameters are documented, bounded and used; functions get the variables that they read; alarms and the
//! dashboard use metrics that exist.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::rc::Rc;

use anzol_domain::config::Env;
use anzol_domain::event::{EVENT_KIB, MAX_EVENT};
use anzol_domain::health::DisablePolicy;
use anzol_domain::webhook::{WEBHOOK_CAP, WEBHOOK_CAP_BOUNDS};
use anzol_egress::Settings;
use anzol_http::Claims;
use anzol_pipeline::deliver::USER_AGENT;
use anzol_queue::MAX_DELAY;
use anzol_runtime::metrics::{Metric, NAMESPACE};
use anzol_signing::QLIK_SIGNATURE;

const TEMPLATE: &str = include_str!("../../infra/template.yaml");
const CONFIGURATION: &str = include_str!("../../infra/docs/configuration.md");
const RUNBOOK: &str = include_str!("../../infra/docs/operate.md");

/// Reads all settings of a function.
type Read = fn(&mut Env);

/// The functions by their names in the template.
const CONFIGS: [(&str, Read); 5] = [
    ("Api", |env| drop(anzol_api::Config::from_env(env))),
    ("Ingest", |env| drop(anzol_ingest::Config::from_env(env))),
    ("Fanout", |env| drop(anzol_fanout::Config::from_env(env))),
    ("Sender", |env| drop(anzol_sender::Config::from_env(env))),
    ("Console", |env| drop(anzol_console::Config::from_env(env))),
];

/// Returns the names of the variables that `read` reads. All are set to `1`, so that no unset variable prevents the read of another.
fn variables_of(read: Read) -> BTreeSet<String> {
    let names = Rc::new(RefCell::new(BTreeSet::new()));
    let seen = Rc::clone(&names);
    read(&mut Env::new(move |name| {
        seen.borrow_mut().insert(name.to_owned());
        Some("1".to_owned())
    }));
    names.take()
}

/// Metrics of AWS services that alarms and the dashboard use, from the list of each service:
/// SQS <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html>,
/// Lambda <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>,
/// DynamoDB <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html>,
/// HTTP APIs <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html>,
/// Logs <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html>.
const AWS_METRICS: [(&str, &str, &str); 14] = [
    ("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName"),
    ("AWS/SQS", "NumberOfMessagesSent", "QueueName"),
    ("AWS/Lambda", "Errors", "FunctionName"),
    ("AWS/Lambda", "Throttles", "FunctionName"),
    ("AWS/Lambda", "Duration", "FunctionName"),
    ("AWS/DynamoDB", "ReadThrottleEvents", "TableName"),
    ("AWS/DynamoDB", "WriteThrottleEvents", "TableName"),
    ("AWS/DynamoDB", "ConsumedReadCapacityUnits", "TableName"),
    ("AWS/DynamoDB", "ConsumedWriteCapacityUnits", "TableName"),
    ("AWS/ApiGateway", "Count", "ApiId"),
    ("AWS/ApiGateway", "4xx", "ApiId"),
    ("AWS/ApiGateway", "5xx", "ApiId"),
    ("AWS/Logs", "IncomingBytes", "LogGroupName"),
];

fn section(name: &str) -> &'static str {
    let (_, after) = TEMPLATE.split_once(&format!("\n{name}:\n")).unwrap();
    let end = after
        .match_indices('\n')
        .find(|(at, _)| after[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic()));
    &after[..end.map_or(after.len(), |(at, _)| at)]
}

/// Returns the members of a section, each with its lines.
fn members(section: &'static str) -> BTreeMap<&'static str, &'static str> {
    let is_name = |line: &str| {
        line.strip_prefix("  ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()))
            && line.ends_with(':')
    };
    let mut starts: Vec<(usize, &str)> = Vec::new();
    let mut at = 0;
    for line in section.split_inclusive('\n') {
        if is_name(line.trim_end()) {
            starts.push((at, line.trim().trim_end_matches(':')));
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).map(|(at, _)| *at).chain([section.len()]);
    starts.iter().zip(ends).map(|((start, name), end)| (*name, &section[*start..end])).collect()
}

fn property<'a>(block: &'a str, name: &str) -> Option<&'a str> {
    block
        .lines()
        .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))
        .map(|value| value.trim().trim_matches('"'))
}

#[test]
fn every_parameter_is_described_bounded_and_used() {
    let parameters = members(section("Parameters"));
    assert!(parameters.len() > 25, "{parameters:#?}");
    for (name, block) in &parameters {
        assert!(property(block, "Description").is_some(), "{name} has no description");
        let default = property(block, "Default").unwrap_or_else(|| panic!("{name} has no default"));
        // The identity provider chooses these names, so they have no pattern.
        let free =
            ["JwtAudience", "TenantClaim", "RolesClaim", "PublishScope", "PlatformScope"].contains(name);
        let bounded = ["AllowedValues", "AllowedPattern", "MinValue"]
            .iter()
            .any(|rule| property(block, rule).is_some());
        assert!(bounded || free, "{name} accepts any value");
        let used = TEMPLATE.matches(&format!("!Ref {name}")).count()
            + TEMPLATE.matches(&format!("${{{name}}}")).count();
        let rest = used - block.matches(&format!("!Ref {name}")).count();
        assert!(rest > 0, "{name} has no effect");
        let shown = if default.is_empty() { "empty".to_owned() } else { format!("`{default}`") };
        assert!(
            CONFIGURATION.contains(&format!("| `{name}` | {shown} |")),
            "configuration.md has no row for {name} with its default, {shown}"
        );
    }
    let groups = TEMPLATE.split_once("ParameterGroups:").unwrap().1.split_once("\nParameters:").unwrap().0;
    for name in parameters.keys() {
        let words = groups.split(|c: char| !c.is_ascii_alphanumeric());
        assert_eq!(words.filter(|word| word == name).count(), 1, "{name} must be in exactly one group");
    }
}

#[test]
fn defaults_and_bounds_equal_those_of_the_code() {
    let parameters = members(section("Parameters"));
    let (settings, claims) = (Settings::default(), Claims::default());
    for (name, default) in [
        ("WebhookCap", WEBHOOK_CAP.to_string()),
        ("DisableAfterFailures", DisablePolicy::FAILURES.to_string()),
        ("DisableAfterHours", DisablePolicy::HOURS.to_string()),
        ("LargestEvent", (MAX_EVENT / 1024).to_string()),
        ("LongestQueueDelay", MAX_DELAY.as_secs().to_string()),
        ("DeliveryTimeout", settings.timeout.as_secs().to_string()),
        ("ConnectTimeout", settings.connect_timeout.as_secs().to_string()),
        ("UserAgent", USER_AGENT.to_owned()),
        ("SignatureHeader", QLIK_SIGNATURE.to_owned()),
        ("TenantClaim", claims.tenant),
        ("RolesClaim", claims.roles),
        ("PublishScope", claims.publish_scope),
        ("PlatformScope", claims.platform_scope),
    ] {
        assert_eq!(property(parameters[name], "Default"), Some(default.as_str()), "{name}");
    }
    for (name, bounds) in [
        ("WebhookCap", text(&WEBHOOK_CAP_BOUNDS)),
        ("DisableAfterFailures", text(&DisablePolicy::FAILURES_BOUNDS)),
        ("DisableAfterHours", text(&DisablePolicy::HOURS_BOUNDS)),
        ("LargestEvent", text(&EVENT_KIB)),
        ("LongestQueueDelay", text(&(1..=MAX_DELAY.as_secs()))),
        ("DeliveryTimeout", text(&Settings::TIMEOUT_BOUNDS)),
        ("ConnectTimeout", text(&Settings::TIMEOUT_BOUNDS)),
    ] {
        let given = ["MinValue", "MaxValue"].map(|rule| property(parameters[name], rule).unwrap_or_default());
        assert_eq!(given, bounds, "{name}");
    }
}

fn text<T: ToString>(bounds: &RangeInclusive<T>) -> [String; 2] {
    [bounds.start().to_string(), bounds.end().to_string()]
}

#[test]
fn functions_get_exactly_the_variables_that_they_read() {
    let resources = members(section("Resources"));
    // Telemetry reads these in every function.
    let globals = ["RUST_LOG", "STACK_NAME"];
    for (function, read) in CONFIGS {
        let block = resources[format!("{function}Function").as_str()];
        let variables = block.split_once("Variables:\n").unwrap().1.lines();
        let given: BTreeSet<&str> = variables
            .take_while(|line| line.starts_with("          "))
            // Skips the other lines of a value.
            .filter(|line| line[10..].starts_with(|c: char| c.is_ascii_uppercase()))
            .filter_map(|line| line.trim().split_once(':'))
            .map(|(name, _)| name)
            .filter(|name| !globals.contains(name))
            .collect();
        // Lambda sets the `AWS_` variables; only local builds read the address of the receiver.
        let is_ours = |name: &&str| !name.starts_with("AWS_") && !name.starts_with("ANZOL_RECEIVER_");
        let read = variables_of(read);
        assert_eq!(given, read.iter().map(String::as_str).filter(is_ours).collect(), "{function}");
    }
}

#[test]
fn config_without_variables_lists_every_required_one() {
    for (function, read) in CONFIGS {
        let mut env = Env::new(|_| None);
        read(&mut env);
        let error = env.finish().unwrap_err().to_string();
        let required = if function == "Console" { "AUTH_ISSUER" } else { "DELIVERIES_TABLE" };
        assert!(
            error.contains(&format!("{required} is not set")) && error.contains("; "),
            "{function}: {error}"
        );
    }
}

#[test]
fn every_alarm_has_a_metric_and_a_runbook_section() {
    let exists = |namespace: &str, metric: &str, dimension: &str| {
        let known = AWS_METRICS.contains(&(namespace, metric, dimension));
        // tests/e2e/observe.rs checks the dimensions of Anzol's metrics.
        known || (namespace == NAMESPACE && Metric::ALL.iter().any(|ours| ours.name() == metric))
    };
    let resources = members(section("Resources"));
    let alarms = resources.iter().filter(|(_, block)| block.contains("Type: AWS::CloudWatch::Alarm\n"));
    let mut sections = BTreeSet::new();
    for (name, block) in alarms {
        let dimension = block.split_once("Dimensions: [{ Name: ").unwrap().1.split(',').next().unwrap();
        let (namespace, metric) =
            (property(block, "Namespace").unwrap(), property(block, "MetricName").unwrap());
        assert!(
            exists(namespace, metric, dimension),
            "{name}: there is no {namespace} {metric} of a {dimension}"
        );
        let description = property(block, "AlarmDescription").unwrap();
        let (_, title) = description
            .split_once("Runbook: ")
            .unwrap_or_else(|| panic!("the description of {name} names no section of the runbook"));
        assert!(RUNBOOK.contains(&format!("\n## {title}\n")), "{name}: the runbook has no section {title:?}");
        assert!(RUNBOOK.contains(&format!("`{name}`")), "the runbook does not name {name}");
        for actions in ["AlarmActions", "OKActions"] {
            assert!(
                block.contains(&format!("{actions}: !If [AlarmsHaveTopic, [!Ref AlarmTopicArn]")),
                "{name} notifies no one"
            );
        }
        sections.insert(title);
    }
    assert!(sections.len() >= 7, "{sections:?}");
    for step in ["What it means", "Look at", "Do"] {
        let count = RUNBOOK.matches(&format!("**{step}.**")).count();
        assert!(count >= sections.len(), "{count} sections of the runbook say {step:?}");
    }
}

#[test]
fn dashboard_uses_metrics_that_exist() {
    let dashboard = members(section("Resources"))["Dashboard"];
    let (_, body) = dashboard.split_once("DashboardBody: !Sub |\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(
        &body.lines().take_while(|line| line.starts_with("        ")).collect::<String>(),
    )
    .unwrap();
    let widgets = body["widgets"].as_array().unwrap();
    assert!(widgets.len() >= 12);
    for metric in widgets.iter().flat_map(|widget| widget["properties"]["metrics"].as_array().unwrap()) {
        let text = |index: usize| metric[index].as_str().unwrap();
        if text(0) == "..." {
            continue; // CloudWatch's abbreviation for the values of the previous metric
        }
        let known = AWS_METRICS.contains(&(text(0), text(1), text(2)));
        let ours = text(0) == NAMESPACE
            && text(2) == "Stack"
            && Metric::ALL.iter().any(|ours| ours.name() == text(1));
        assert!(known || ours, "there is no {metric}");
    }
}

/// Returns the numbers of a size in the mapping `Concurrency`.
fn concurrency(size: &str) -> BTreeMap<&'static str, u32> {
    let line = property(section("Mappings"), size).unwrap();
    let pairs = line.trim_matches(['{', '}']).split(',').map(|pair| pair.split_once(':').unwrap());
    pairs.map(|(name, number)| (name.trim(), number.trim().parse().unwrap())).collect()
}

#[test]
fn h3_reserved_concurrency_covers_the_queues() {
    for size in ["small", "standard", "large"] {
        let numbers = concurrency(size);
        assert!(numbers["Sender"] >= numbers["FastLane"] + numbers["SlowLane"], "{size}: {numbers:?}");
        assert!(numbers["Api"] > 0 && numbers["Ingest"] > numbers["Api"], "{size}: {numbers:?}");
        // The parameter states the account limit that a size requires, including the 100 that Lambda leaves unreserved.
        let limit = 100 + ["Api", "Ingest", "Fanout", "Sender"].map(|name| numbers[name]).iter().sum::<u32>();
        let parameter = members(section("Parameters"))["ReservedConcurrency"];
        assert!(parameter.contains(&format!("{limit} ({size})")), "{size}: {limit}");
    }
    let resources = members(section("Resources"));
    for name in ["Api", "Ingest", "Fanout", "Sender"] {
        let expected =
            format!("!If [Reserved, !FindInMap [Concurrency, !Ref Throughput, {name}], !Ref AWS::NoValue]");
        let function = resources[format!("{name}Function").as_str()];
        assert_eq!(property(function, "ReservedConcurrentExecutions"), Some(expected.as_str()), "{name}");
    }
}

#[test]
fn h1_functions_get_the_deployments_host_names() {
    let resources = members(section("Resources"));
    for name in ["ApiFunction", "SenderFunction"] {
        let (_, hosts) = resources[name].split_once("ANZOL_OWN_HOSTS: !Sub\n").unwrap();
        let hosts: String = hosts.lines().take(3).collect();
        for expected in [
            "${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}",
            ",${DomainName}",
            ",${UserPoolDomain}.auth.${AWS::Region}.amazoncognito.com",
        ] {
            assert!(hosts.contains(expected), "{name}: {hosts}");
        }
    }
    for name in ["ApiFunction", "SenderFunction", "IngestFunction"] {
        let header = property(resources[name], "SIGNATURE_HEADER").map(|value| value.split(" #").next());
        assert_eq!(header, Some(Some("!Ref SignatureHeader")), "{name}");
    }
}

#[test]
fn l1_role_parameters_reject_spaces_and_brackets() {
    let (parameters, resources) = (members(section("Parameters")), members(section("Resources")));
    for (parameter, variable, group) in [
        ("AdminRole", "ANZOL_ADMIN_ROLE", "TenantAdminGroup"),
        ("PublisherRole", "ANZOL_PUBLISHER_ROLE", "PublisherGroup"),
    ] {
        let pattern = property(parameters[parameter], "AllowedPattern").unwrap();
        let inner = pattern.strip_prefix("^[").unwrap().split_once(']').unwrap().0;
        assert!(!inner.contains([' ', '[', '(', ',', '\'', '"', '\\']), "{parameter}: {pattern}");
        let expected = format!("!Ref {parameter}");
        assert_eq!(property(resources[group], "GroupName"), Some(expected.as_str()));
        for function in ["ApiFunction", "IngestFunction"] {
            assert_eq!(property(resources[function], variable), Some(expected.as_str()), "{function}");
        }
    }
}

#[test]
fn l2_no_user_pool_client_writes_the_tenant() {
    let resources = members(section("Resources"));
    let clients: Vec<_> = resources
        .iter()
        .filter(|(_, block)| block.contains("Type: AWS::Cognito::UserPoolClient\n"))
        .collect();
    assert_eq!(clients.len(), 2);
    for (name, block) in clients {
        let written = property(block, "WriteAttributes").unwrap_or_else(|| panic!("{name} has none"));
        assert!(written.starts_with('[') && written.len() > 2, "{name}: {written}");
        assert!(!written.contains("custom:") && !written.contains("tenant"), "{name}: {written}");
        assert!(property(block, "ExplicitAuthFlows").is_some(), "{name} has Cognito's default");
        assert!(property(block, "ReadAttributes").is_some(), "{name} has Cognito's default");
    }
}
