//! infra/template.yaml against what it is about: parameters that have an effect and are documented, variables that are read, alarms on
//! metrics that exist.

use std::collections::{BTreeMap, BTreeSet};

use anzol_domain::event::{EVENT_KIB, MAX_EVENT};
use anzol_domain::health::DisablePolicy;
use anzol_domain::webhook::WEBHOOK_CAP;
use anzol_egress::Settings;
use anzol_http::Claims;
use anzol_pipeline::deliver::USER_AGENT;
use anzol_queue::MAX_DELAY;
use anzol_runtime::metrics::{Metric, NAMESPACE};
use anzol_signing::QLIK_SIGNATURE;

const TEMPLATE: &str = include_str!("../../infra/template.yaml");
const README: &str = include_str!("../../README.md");
const RUNBOOK: &str = include_str!("../../infra/runbook.md");

/// What each function is made of that reads variables.
const SOURCES: [(&str, &[&str]); 5] = [
    ("Api", &[include_str!("../../functions/api/src/main.rs"), CLAIMS, RUNTIME, METRICS]),
    ("Ingest", &[include_str!("../../functions/ingest/src/main.rs"), CLAIMS, RUNTIME, METRICS]),
    ("Fanout", &[include_str!("../../functions/fanout/src/main.rs"), RUNTIME, METRICS]),
    ("Sender", &[include_str!("../../functions/sender/src/main.rs"), RUNTIME, METRICS]),
    ("Console", &[include_str!("../../functions/console/src/main.rs"), RUNTIME, METRICS]),
];
const CLAIMS: &str = include_str!("../../shared/http/src/caller.rs");
const RUNTIME: &str = include_str!("../../shared/runtime/src/telemetry.rs");
const METRICS: &str = include_str!("../../shared/runtime/src/metrics.rs");

/// Metrics of AWS's own that alarms and dashboard use. Each is in its service's list:
/// SQS <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html>,
/// Lambda <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>,
/// DynamoDB <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html>,
/// HTTP APIs <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html>,
/// Logs <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html>.
const OF_AWS: [(&str, &str, &str); 16] = [
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
    // Ours; which dimensions they have is tested where they are written.
    (NAMESPACE, "*", "Stack"),
    (NAMESPACE, "*", "Lane"),
];

fn section(name: &str) -> &'static str {
    let (_, after) = TEMPLATE.split_once(&format!("\n{name}:\n")).unwrap();
    let end = after
        .match_indices('\n')
        .find(|(at, _)| after[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic()));
    &after[..end.map_or(after.len(), |(at, _)| at)]
}

/// The members of a section, each with its own lines.
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
fn every_parameter_is_explained_bounded_used_and_in_the_readme() {
    let parameters = members(section("Parameters"));
    assert!(parameters.len() > 25, "{parameters:#?}");
    for (name, block) in &parameters {
        assert!(property(block, "Description").is_some(), "{name} has no description");
        let default = property(block, "Default").unwrap_or_else(|| panic!("{name} has no default"));
        // Names that an identity provider gives cannot be bounded.
        let free =
            ["JwtAudience", "TenantClaim", "RolesClaim", "PublishScope", "PlatformScope"].contains(name);
        let bounded = ["AllowedValues", "AllowedPattern", "MinValue"]
            .iter()
            .any(|rule| property(block, rule).is_some());
        assert!(bounded || free, "{name} takes anything");
        let used = TEMPLATE.matches(&format!("!Ref {name}")).count()
            + TEMPLATE.matches(&format!("${{{name}}}")).count();
        let rest = used - block.matches(&format!("!Ref {name}")).count();
        assert!(rest > 0, "{name} has no effect");
        let shown = if default.is_empty() { "empty".to_owned() } else { format!("`{default}`") };
        assert!(
            README.contains(&format!("| `{name}` | {shown} |")),
            "the README has no row for {name} with its default, {shown}"
        );
    }
    let groups = TEMPLATE.split_once("ParameterGroups:").unwrap().1.split_once("\nParameters:").unwrap().0;
    for name in parameters.keys() {
        let words = groups.split(|c: char| !c.is_ascii_alphanumeric());
        assert_eq!(words.filter(|word| word == name).count(), 1, "{name} is in one group");
    }
}

#[test]
fn defaults_are_those_of_the_code() {
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
    let bounds = ["MinValue", "MaxValue"].map(|rule| property(parameters["LargestEvent"], rule).unwrap());
    assert_eq!(bounds, [EVENT_KIB.start(), EVENT_KIB.end()].map(ToString::to_string));
}

#[test]
fn functions_get_the_variables_they_read_and_no_others() {
    let resources = members(section("Resources"));
    let globals = ["RUST_LOG", "STACK_NAME"];
    for (function, sources) in SOURCES {
        let block = resources[format!("{function}Function").as_str()];
        let variables = block.split_once("Variables:\n").unwrap().1.lines();
        let given: BTreeSet<&str> = variables
            .take_while(|line| line.starts_with("          "))
            // Not what a value of more than one line says.
            .filter(|line| line[10..].starts_with(|c: char| c.is_ascii_uppercase()))
            .filter_map(|line| line.trim().split_once(':'))
            .map(|(name, _)| name)
            .chain(globals)
            .collect();
        for name in &given {
            assert!(
                sources.iter().any(|source| source.contains(&format!("\"{name}\""))),
                "{function} does not read {name}"
            );
        }
        let own = sources[0];
        for call in ["env.required(\"", "env.or(\"", "env.within(\"", "env.maybe(\"", "optional(\""] {
            for name in own.split(call).skip(1).map(|rest| rest.split('"').next().unwrap()) {
                assert!(
                    given.contains(name) || name.starts_with("AWS_"),
                    "the template gives {function} no {name}"
                );
            }
        }
    }
}

#[test]
fn every_alarm_is_on_a_metric_that_exists_and_in_the_runbook() {
    let exists = |namespace: &str, metric: &str, dimension: &str| {
        let known = OF_AWS.contains(&(namespace, metric, dimension));
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
        let (_, title) =
            description.split_once("Runbook: ").unwrap_or_else(|| panic!("{name} names no section"));
        assert!(RUNBOOK.contains(&format!("\n## {title}\n")), "{name}: the runbook has no section {title:?}");
        assert!(RUNBOOK.contains(&format!("`{name}`")), "the runbook does not name {name}");
        for actions in ["AlarmActions", "OKActions"] {
            assert!(
                block.contains(&format!("{actions}: !If [AlarmsAreTold, [!Ref AlarmTopicArn]")),
                "{name} tells nobody"
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
fn the_dashboard_shows_metrics_that_exist() {
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
            continue; // CloudWatch's own abbreviation: as the one before, but for the last
        }
        let known = OF_AWS.contains(&(text(0), text(1), text(2)));
        let ours = text(0) == NAMESPACE
            && text(2) == "Stack"
            && Metric::ALL.iter().any(|ours| ours.name() == text(1));
        assert!(known || ours, "there is no {metric}");
    }
}

/// The numbers of one size in the mapping Concurrency.
fn concurrency(size: &str) -> BTreeMap<&'static str, u32> {
    let line = property(section("Mappings"), size).unwrap();
    let pairs = line.trim_matches(['{', '}']).split(',').map(|pair| pair.split_once(':').unwrap());
    pairs.map(|(name, number)| (name.trim(), number.trim().parse().unwrap())).collect()
}

#[test]
fn h3_each_function_reserves_what_its_queues_have_in_work() {
    for size in ["small", "standard", "large"] {
        let numbers = concurrency(size);
        assert!(numbers["Sender"] >= numbers["FastLane"] + numbers["SlowLane"], "{size}: {numbers:?}");
        assert!(numbers["Api"] > 0 && numbers["Ingest"] > numbers["Api"], "{size}: {numbers:?}");
        // What Lambda keeps for others has to be said where somebody chooses.
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
fn h1_functions_know_the_names_of_their_deployment() {
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
fn l1_roles_are_parameters_without_spaces_or_brackets() {
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
fn l2_no_client_of_the_user_pool_writes_the_tenant() {
    let resources = members(section("Resources"));
    let clients: Vec<_> = resources
        .iter()
        .filter(|(_, block)| block.contains("Type: AWS::Cognito::UserPoolClient\n"))
        .collect();
    assert_eq!(clients.len(), 2);
    for (name, block) in clients {
        let written = property(block, "WriteAttributes").unwrap_or_else(|| panic!("{name} names none"));
        assert!(written.starts_with('[') && written.len() > 2, "{name}: {written}");
        assert!(!written.contains("custom:") && !written.contains("tenant"), "{name}: {written}");
        assert!(property(block, "ExplicitAuthFlows").is_some(), "{name} takes Cognito's default");
        assert!(property(block, "ReadAttributes").is_some(), "{name} takes Cognito's default");
    }
}
