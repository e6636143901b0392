"""Tests of deploy.py without AWS, and of the template's effects; `cargo xtask test template` runs them."""

import contextlib
import io
import json
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import deploy

TEMPLATE = Path(__file__).parents[1] / "template.yaml"
# Resources with data, by logical id. CloudFormation would replace a renamed resource by an empty one.
KEPT = {
    "WebhooksTable": "AWS::DynamoDB::Table",
    "DeliveriesTable": "AWS::DynamoDB::Table",
    "DataKey": "AWS::KMS::Key",
    "SecretsKey": "AWS::KMS::Key",
    "UserPool": "AWS::Cognito::UserPool",
}


def run(*words, template=TEMPLATE, region="eu-central-1"):
    """Runs deploy.py; returns the exit code, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    # Runs without a terminal and without the user's settings.
    output = contextlib.ExitStack()
    with output, mock.patch.dict(os.environ, {}, clear=True), mock.patch("sys.stdin", io.StringIO()):
        output.enter_context(contextlib.redirect_stdout(out))
        output.enter_context(contextlib.redirect_stderr(err))
        options = ["--region", region] if region else []
        code = deploy.main(["--template", str(template), *options, *words])
    return code, out.getvalue(), err.getvalue()


class DryRun(unittest.TestCase):
    def refused(self, *words, says, **more):
        code, _, err = run(*words, **more)
        self.assertEqual(code, 1, err)
        self.assertIn(says, err)

    def test_unmodified_template_is_deployable(self):
        code, out, err = run("--dry-run")
        self.assertEqual((code, err), (0, ""))
        for expected in ["Stack anzol in eu-central-1", "AWS::Lambda::EventSourceMapping", "SenderFunctionSlowLane", "UserPoolDomain"]:
            self.assertIn(expected, out)
        self.assertEqual(out.count("+ AWS::Lambda::Function "), 5)
        self.assertIn("WebhooksTable   (when deleted: RetainExceptOnCreate)", out)

    def test_conditions_follow_parameters(self):
        code, out, _ = run("--dry-run", "--parameter", "JwtIssuer=https://id.example.com", "--parameter", "DataDeletionPolicy=Retain")
        self.assertEqual(code, 0)
        self.assertNotIn("AWS::Cognito", out)
        self.assertIn("'https://id.example.com'   (chosen)", out)
        self.assertIn("DeliveriesTable   (when deleted: Retain)", out)

    def test_data_survives_update_and_deletion(self):
        template = deploy.yaml_parse(TEMPLATE.read_text())
        kept = {name: resource["Type"] for name, resource in template["Resources"].items() if resource["Type"] in KEPT.values()}
        self.assertEqual(kept, KEPT)
        for name in KEPT:
            with self.subTest(name):
                resource = template["Resources"][name]
                self.assertEqual(resource["DeletionPolicy"], {"Ref": "DataDeletionPolicy"})
                self.assertEqual(resource["UpdateReplacePolicy"], "Retain")
        self.assertNotEqual(template["Parameters"]["DataDeletionPolicy"]["Default"], "Delete")
        tables = [resource for resource in template["Resources"].values() if resource["Type"] == "AWS::DynamoDB::Table"]
        self.assertEqual(len(tables), 2)
        for table in tables:
            self.assertEqual(table["Properties"]["PointInTimeRecoverySpecification"], {"PointInTimeRecoveryEnabled": True})
            # With a fixed name, a replacement would fail while the old table exists.
            self.assertNotIn("TableName", table["Properties"])
            # A different key schema would replace the table.
            keys = [(key["AttributeName"], key["KeyType"]) for key in table["Properties"]["KeySchema"]]
            self.assertEqual(keys, [("pk", "HASH"), ("sk", "RANGE")])
            self.assertIn({"AttributeName": "pk", "AttributeType": "S"}, table["Properties"]["AttributeDefinitions"])
            self.assertIn({"AttributeName": "sk", "AttributeType": "S"}, table["Properties"]["AttributeDefinitions"])

    def test_messages_survive_updates(self):
        template = deploy.yaml_parse(TEMPLATE.read_text())
        queues = {name: resource for name, resource in template["Resources"].items() if resource["Type"] == "AWS::SQS::Queue"}
        self.assertEqual(set(queues), {f"{name}{kind}" for name in ["Events", "Deliveries", "SlowLane"] for kind in ["Queue", "Dlq"]})
        for name, queue in queues.items():
            # Only changes of these properties replace a queue:
            # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-sqs-queue.html
            self.assertFalse({"QueueName", "FifoQueue"} & set(queue["Properties"]), name)

    def test_stack_policy_protects_the_same_resources(self):
        allow, deny = json.loads(TEMPLATE.with_name("aws").joinpath("stack-policy.json").read_text())["Statement"]
        self.assertEqual((allow["Effect"], allow["Action"], deny["Effect"]), ("Allow", "Update:*", "Deny"))
        self.assertEqual(set(deny["Action"]), {"Update:Replace", "Update:Delete"})
        self.assertEqual(set(deny["Resource"]), {f"LogicalResourceId/{name}" for name in KEPT})

    def test_invalid_parameters_are_reported_with_their_rule(self):
        for given, says in [
            ("Nonsense=1", "Nonsense: the template has no such parameter; it has Architecture"),
            ("LogLevel", "'LogLevel' is not of the form Name=value"),
            ("LogLevel=loud", "LogLevel: must be one of error, warn, info, debug, trace, not 'loud'"),
            ("LogRetentionDays=2", "LogRetentionDays: must be one of 1, 3, 5"),
            ("WebhookCap=0", "WebhookCap: must be at least 1, not '0'"),
            ("WebhookCap=many", "WebhookCap: must be a number"),
            ("AdminRole=Junior Admin", "AdminRole: must be 1 to 128 letters, digits and ._:/@#+=~-"),
            ("AdminRole=[TenantAdmin]", "AdminRole: must be 1 to 128 letters"),
            ("PublisherRole=", "PublisherRole: must be 1 to 128 letters"),
            ("ReservedConcurrency=100", "ReservedConcurrency: must be one of none, preset"),
            ("LongestQueueDelay=901", "LongestQueueDelay: must be at most 900"),
            ("JwtIssuer=http://id.example.com", "JwtIssuer: must be empty or an https URL"),
            ("RetrySchedule=5,,30", "RetrySchedule: must be 1 to 20 whole numbers of seconds"),
        ]:
            with self.subTest(given):
                self.refused("--dry-run", "--parameter", given, says=says)
        self.refused("--dry-run", "--parameter", "WebhookCap=1", "--parameter", "WebhookCap=2", says="WebhookCap: given twice")

    def test_all_invalid_parameters_are_reported(self):
        _, _, err = run("--dry-run", "--parameter", "LogLevel=loud", "--parameter", "WebhookCap=0")
        self.assertIn("LogLevel", err)
        self.assertIn("WebhookCap", err)

    def test_region_and_valid_name_are_required(self):
        self.refused("--dry-run", region=None, says="no region: give it with --region")
        self.refused("--dry-run", region="mars", says="'mars' is not the name of a region")
        self.refused("--dry-run", "--stack-name", "1st", says="--stack-name: a letter")

    def test_parameter_without_default_is_asked_for_or_reported(self):
        template = {"Parameters": {"Domain": {"Type": "String", "Description": "Where", "AllowedPattern": "[a-z.]+"}}}
        with self.assertRaisesRegex(deploy.Refused, r"Domain: has no default; give it with --parameter Domain=value \(Where\)"):
            deploy.choose(template, [], False, None)
        with mock.patch("builtins.input", side_effect=["", "NO", "example.com"]) as asked, contextlib.redirect_stdout(io.StringIO()):
            values, chosen = deploy.choose(template, [], False, deploy.ask_at_terminal)
        self.assertEqual(values, {"Domain": "example.com"})
        self.assertEqual((chosen, asked.call_count), (values, 3))

    def test_guided_offers_each_default(self):
        template = {"Parameters": {"Hours": {"Type": "Number", "Default": 1}, "Days": {"Type": "Number", "Default": 7}}}
        with mock.patch("builtins.input", side_effect=["", "x", "9"]), contextlib.redirect_stdout(io.StringIO()):
            values, _ = deploy.choose(template, [], True, deploy.ask_at_terminal)
        self.assertEqual(values, {"Hours": "1", "Days": "9"})

    def test_lists_are_checked_item_by_item(self):
        about = {"Type": "CommaDelimitedList", "AllowedPattern": "[a-z]+"}
        self.assertIsNone(deploy.problem(about, "a,b"))
        self.assertEqual(deploy.problem(about, "a,B"), "must match [a-z]+")


def every(kind, path, value):
    """Expects a value at a path of all resources of a type."""
    return lambda made: all(at(resource, path) == value for resource in made.values() if resource["Type"] == kind)


def one(name, path, value):
    """Expects a value at a path of one resource."""
    return lambda made: name in made and at(made[name], path) == value


def variable(value, name, *functions):
    """Expects a value of an environment variable of functions."""
    return lambda made: all(at(made[f"{function}Function"], f"Environment.Variables.{name}") == value for function in functions)


def at(resource, path):
    """Returns the value at `A.B.0.C` of a resource's properties, or None."""
    found = resource["Properties"]
    for step in path.split("."):
        if isinstance(found, list):
            found = found[int(step)] if int(step) < len(found) else None
        elif isinstance(found, dict):
            found = found.get(step)
        else:
            return None
    return found


def own_hosts(function):
    """Returns the host names that a function treats as this deployment's, as far as they are known before the deployment."""
    text, parts = at(function, "Environment.Variables.ANZOL_OWN_HOSTS")["Fn::Sub"]
    for name, value in parts.items():
        text = text.replace(f"${{{name}}}", value["Fn::Sub"] if isinstance(value, dict) else value)
    return text.split(",")


ALL = ["Api", "Ingest", "Fanout", "Sender", "Console"]
RULE = "arn:aws:events:eu-central-1:111122223333:rule/orders"
TOPIC = "arn:aws:sns:eu-central-1:111122223333:alarms"
KEY = "arn:aws:kms:eu-central-1:111122223333:key/k"
CERTIFICATE = "arn:aws:acm:eu-central-1:111122223333:certificate/c"
ISSUER = "https://id.example.com"
# Parameters with a value other than the default, with others that they require, and their expected effects.
EFFECTS = {
    "Architecture=x86_64": [every("AWS::Lambda::Function", "Architectures", ["x86_64"])],
    f"JwtIssuer={ISSUER}": [one("JwtAuthorizer", "JwtConfiguration.Issuer", ISSUER), variable(ISSUER, "AUTH_ISSUER", "Console")],
    f"JwtAudience=a,b JwtIssuer={ISSUER}": [one("JwtAuthorizer", "JwtConfiguration.Audience", ["a", "b"])],
    "TokenHours=2": [every("AWS::Cognito::UserPoolClient", f"{kind}TokenValidity", "2") for kind in ("Access", "Id")],
    "TenantClaim=t": [variable("t", "TENANT_CLAIM", "Api", "Ingest", "Console")],
    "RolesClaim=r": [variable("r", "ROLES_CLAIM", "Api", "Ingest", "Console")],
    "AdminRole=urn:admins": [
        variable("urn:admins", "ANZOL_ADMIN_ROLE", "Api", "Ingest", "Console"),
        one("TenantAdminGroup", "GroupName", "urn:admins"),
    ],
    "PublisherRole=urn:publishers": [
        variable("urn:publishers", "ANZOL_PUBLISHER_ROLE", "Api", "Ingest"),
        one("PublisherGroup", "GroupName", "urn:publishers"),
    ],
    "PublishScope=p": [variable("p", "PUBLISH_SCOPE", "Api", "Ingest")],
    "PlatformScope=p": [variable("p", "PLATFORM_SCOPE", "Api", "Ingest")],
    f"EventBridgeRule={RULE}": [one("EventsQueuePolicy", "PolicyDocument.Statement.1.Condition.ArnLike.aws:SourceArn", RULE)],
    "WebhookCap=7": [variable("7", "WEBHOOK_CAP", "Api", "Console")],
    "LargestEvent=100": [variable("100", "LARGEST_EVENT", "Ingest", "Fanout")],
    "ApiRateLimit=7": [one("HttpStage", "DefaultRouteSettings.ThrottlingRateLimit", "7")],
    "ApiBurstLimit=7": [one("HttpStage", "DefaultRouteSettings.ThrottlingBurstLimit", "7")],
    "Throughput=large": [
        one("FanoutFunctionEvents", "ScalingConfig.MaximumConcurrency", "50"),
        one("SenderFunctionFastLane", "ScalingConfig.MaximumConcurrency", "500"),
        one("SenderFunctionSlowLane", "ScalingConfig.MaximumConcurrency", "100"),
    ],
    "ReservedConcurrency=preset": [
        one(f"{function}Function", "ReservedConcurrentExecutions", number)
        for function, number in [("Api", "100"), ("Ingest", "200"), ("Fanout", "10"), ("Sender", "60")]
    ],
    f"DomainName=hooks.example.com CertificateArn={CERTIFICATE}": [
        one("ApiDomain", "DomainName", "hooks.example.com"),
        one("ApiDomainMapping", "DomainName", {"Ref": "ApiDomain"}),
        one("ConsoleClient", "CallbackURLs", ["https://hooks.example.com/console/"]),
        lambda made: all("hooks.example.com" in own_hosts(made[f"{function}Function"]) for function in ("Api", "Sender")),
    ],
    f"CertificateArn={CERTIFICATE} DomainName=hooks.example.com": [
        one("ApiDomain", "DomainNameConfigurations.0.CertificateArn", CERTIFICATE)
    ],
    "RetrySchedule=1,2": [variable("1,2", "RETRY_SCHEDULE", "Sender")],
    "LongestQueueDelay=7": [variable("7", "LONGEST_QUEUE_DELAY", "Sender")],
    "DisableAfterFailures=7": [variable("7", "DISABLE_AFTER_FAILURES", "Api", "Sender")],
    "DisableAfterHours=7": [variable("7", "DISABLE_AFTER_HOURS", "Api", "Sender")],
    "DeliveryTimeout=7": [variable("7", "DELIVERY_TIMEOUT", "Api", "Sender")],
    "ConnectTimeout=7": [variable("7", "CONNECT_TIMEOUT", "Api", "Sender")],
    "UserAgent=Ours": [variable("Ours", "USER_AGENT", "Api", "Sender")],
    "SignatureHeader=X-Ours": [variable("X-Ours", "SIGNATURE_HEADER", "Api", "Ingest", "Sender")],
    "LogLevel=debug": [variable("debug", "RUST_LOG", *ALL)],
    "LogRetentionDays=90": [every("AWS::Logs::LogGroup", "RetentionInDays", "90")],
    "Tracing=PassThrough": [every("AWS::Lambda::Function", "TracingConfig.Mode", "PassThrough")],
    f"AlarmTopicArn={TOPIC}": [every("AWS::CloudWatch::Alarm", f"{when}Actions", [TOPIC]) for when in ("Alarm", "OK")],
    "LatencyObjective=700": [one("EndToEndLatencyAlarm", "Threshold", "700")],
    f"TablesKeyArn={KEY}": [every("AWS::DynamoDB::Table", "SSESpecification.KMSMasterKeyId", KEY), lambda made: "DataKey" not in made],
    "DataDeletionPolicy=Delete": [lambda made: {made[name]["DeletionPolicy"] for name in KEPT} == {"Delete"}],
}


class Effects(unittest.TestCase):
    @staticmethod
    def made(*given):
        """Returns the transformed resources with these parameters, evaluated as far as possible before the deployment."""
        template = deploy.yaml_parse(TEMPLATE.read_text())
        parameters, _ = deploy.choose(template, given, False, None)
        with mock.patch.dict(os.environ):
            template = deploy.expanded(template, parameters, "eu-central-1")
        kept = [name for name, *_ in deploy.resources(template, parameters)]
        nothing = object()

        def known(part):
            match part:
                case {"Ref": "AWS::NoValue"}:
                    return nothing
                case {"Ref": str(name)} if name in parameters:
                    many = template["Parameters"][name]["Type"] == "CommaDelimitedList"
                    return parameters[name].split(",") if many else parameters[name]
                case {"Fn::If": [condition, yes, no]}:
                    return known(yes if deploy.value_of({"Condition": condition}, parameters, template) else no)
                case {"Fn::FindInMap": _}:
                    return deploy.value_of(part, parameters, template)
                case {"Fn::Sub": str(text)}:
                    for name, value in parameters.items():
                        text = text.replace(f"${{{name}}}", value)
                    return text if "${" not in text else {"Fn::Sub": text}
                case dict():
                    return {name: value for name, value in ((name, known(value)) for name, value in part.items()) if value is not nothing}
                case list():
                    return [value for value in map(known, part) if value is not nothing]
            return part

        return {name: known(template["Resources"][name]) for name in kept}

    def test_every_parameter_has_its_effects(self):
        untouched = self.made()
        for given, effects in EFFECTS.items():
            made = self.made(*given.split())
            for number, effect in enumerate(effects, 1):
                with self.subTest(given, effect=number):
                    self.assertTrue(effect(made))
                    self.assertFalse(effect(untouched), "true without the parameter too")

    def test_h1_own_hosts_are_those_of_this_deployment(self):
        api, pool = "${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}", "${UserPoolDomain}.auth.${AWS::Region}.amazoncognito.com"
        own = ["DomainName=hooks.example.com", f"CertificateArn={CERTIFICATE}"]
        for given, expected in [
            ([], [api, pool]),
            ([f"JwtIssuer={ISSUER}"], [api]),
            (own, [api, "hooks.example.com", pool]),
            ([*own, f"JwtIssuer={ISSUER}"], [api, "hooks.example.com"]),
        ]:
            made = self.made(*given)
            for function in ("Api", "Sender"):
                with self.subTest(function, given=given):
                    self.assertEqual(own_hosts(made[f"{function}Function"]), expected)

    def test_h1_ingest_and_sender_share_the_signature_header(self):
        made = self.made("SignatureHeader=X-Ours")
        self.assertTrue(variable("X-Ours", "SIGNATURE_HEADER", "Sender", "Ingest")(made))

    def test_h3_reservations_cover_the_queues_concurrency(self):
        for size in ("small", "standard", "large"):
            made = self.made(f"Throughput={size}", "ReservedConcurrency=preset")
            reserved = {name: int(at(resource, "ReservedConcurrentExecutions") or 0) for name, resource in made.items()}
            for function, mappings in [("Sender", ["FastLane", "SlowLane"]), ("Fanout", ["Events"])]:
                with self.subTest(function, size=size):
                    in_work = sum(int(at(made[f"{function}Function{name}"], "ScalingConfig.MaximumConcurrency")) for name in mappings)
                    self.assertGreaterEqual(reserved[f"{function}Function"], in_work)
            self.assertEqual(deploy.reservation(deploy.yaml_parse(TEMPLATE.read_text()), size), sum(reserved.values()))

    def test_h3_nothing_is_reserved_by_default(self):
        made = self.made()
        functions = [resource for resource in made.values() if resource["Type"] == "AWS::Lambda::Function"]
        self.assertEqual(len(functions), 5)
        for function in functions:
            self.assertNotIn("ReservedConcurrentExecutions", function["Properties"])

    def test_l2_no_client_may_write_the_tenant(self):
        made = self.made()
        clients = {name: resource["Properties"] for name, resource in made.items() if resource["Type"] == "AWS::Cognito::UserPoolClient"}
        self.assertEqual(set(clients), {"ConsoleClient", "PublisherClient"})
        for name, client in clients.items():
            with self.subTest(name):
                self.assertTrue(client["WriteAttributes"])
                self.assertFalse([attribute for attribute in client["WriteAttributes"] if attribute.startswith("custom:")])
        self.assertIn("custom:tenantId", clients["ConsoleClient"]["ReadAttributes"])

    def test_l2_publisher_client_has_no_sign_in(self):
        client = self.made()["PublisherClient"]["Properties"]
        self.assertEqual(client["ExplicitAuthFlows"], ["ALLOW_REFRESH_TOKEN_AUTH"])
        self.assertEqual(client["AllowedOAuthFlows"], ["client_credentials"])
        self.assertEqual((client["ReadAttributes"], client["WriteAttributes"]), (["name"], ["name"]))

    def test_all_parameters_are_covered(self):
        parameters = deploy.yaml_parse(TEMPLATE.read_text())["Parameters"]
        self.assertEqual({given.split("=")[0] for given in EFFECTS}, set(parameters))


def no_account(service, **_):
    raise deploy.BotoCoreError()


def account(free, stack=None):
    """Returns a client for an account with this available concurrency and, if given, a stack with these parameters."""

    def client(service, **_):
        made = mock.Mock()
        made.get_account_settings.return_value = {"AccountLimit": {"UnreservedConcurrentExecutions": free}}
        if stack is None:
            absent = {"Error": {"Code": "ValidationError", "Message": "Stack with id anzol does not exist"}}
            made.describe_stacks.side_effect = deploy.ClientError(absent, "DescribeStacks")
        else:
            pairs = [{"ParameterKey": name, "ParameterValue": value} for name, value in stack.items()]
            made.describe_stacks.return_value = {"Stacks": [{"Parameters": pairs}]}
        return made

    return client


class RealRun(unittest.TestCase):
    def test_h3_concurrency_is_reserved_if_possible(self):
        preset = 'ParameterKey=ReservedConcurrency,ParameterValue="preset"'
        large, kept = ["--parameter", "Throughput=large"], ["--parameter", "ReservedConcurrency=none"]
        for words, free, stack, expected in [
            ([], 1000, None, True),
            ([], 470, None, True),
            ([], 469, None, False),
            ([], 10, None, False),
            (large, 1000, None, False),
            (large, 1450, None, True),
            (kept, 1000, None, False),
            ([], 1000, {"Throughput": "standard"}, True),  # of an earlier release
            ([], 1000, {"Throughput": "large"}, False),
            ([], 174, {"Throughput": "small"}, True),
            ([], 1000, {"Throughput": "standard", "ReservedConcurrency": "none"}, False),
        ]:
            with self.subTest(words=words, free=free, stack=stack):
                (code, out, err), sam = self.deploy_with(b"\xb7\0", *words, account=account(free, stack))
                self.assertEqual((code, err), (0, ""))
                self.assertEqual(preset in sam.call_args.args[0], expected, out)
                self.assertEqual(
                    "ReservedConcurrency stays none:" in out, not (expected or words == kept or "ReservedConcurrency" in (stack or {}))
                )

    def test_h3_deploys_without_knowing_the_limits(self):
        (code, out, _), sam = self.deploy_with(b"\xb7\0")
        self.assertEqual((code, sam.called), (0, True))
        self.assertIn("ReservedConcurrency stays none: the account's limits are unknown", out)

    def deploy_with(self, machine, *words, account=None):
        """Deploys functions built for this machine type; returns the result and the mock of `sam`."""
        with tempfile.TemporaryDirectory() as directory:
            infra = Path(directory, "infra")
            infra.mkdir()
            template = infra / "template.yaml"
            template.write_text(TEMPLATE.read_text())
            for name in ["api", "ingest", "fanout", "sender", "console"] if machine else []:
                binary = Path(directory, "target/lambda", name, "bootstrap")
                binary.parent.mkdir(parents=True)
                binary.write_bytes(b"\x7fELF".ljust(18, b"\0") + machine + b"\0")
            with mock.patch("subprocess.run") as sam, mock.patch("boto3.client", account or no_account):
                sam.return_value.returncode = 0
                return run(*words, template=template), sam

    def test_missing_functions_are_refused(self):
        (code, _, err), sam = self.deploy_with(None)
        self.assertEqual((code, sam.called), (1, False))
        self.assertIn("sender/bootstrap does not exist", err)
        self.assertIn("build them with: cargo xtask package --arch arm64", err)

    def test_functions_for_another_processor_are_refused(self):
        (code, _, err), sam = self.deploy_with(b"\x3e\0")
        self.assertEqual((code, sam.called), (1, False))
        self.assertIn("is for x86_64, the parameter Architecture says arm64", err)

    def test_sam_gets_only_chosen_parameters(self):
        words = ["--parameter", 'JwtIssuer=https://id.example.com/?a="b"', "--stack-name", "hooks"]
        (code, _, err), sam = self.deploy_with(b"\xb7\0", *words)
        self.assertEqual((code, err), (0, ""))
        command = sam.call_args.args[0]
        self.assertEqual(command[1], "deploy")
        self.assertEqual(
            command[-2:], ["--parameter-overrides", 'ParameterKey=JwtIssuer,ParameterValue="https://id.example.com/?a=\\"b\\""']
        )
        for option in ["--stack-name hooks", "--region eu-central-1", "--no-confirm-changeset"]:
            self.assertIn(option, " ".join(command))


if __name__ == "__main__":
    unittest.main()
