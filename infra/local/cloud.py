"""Deploys to the local cloud and seeds it (`deploy`, `seed`, `environment`, `logs`), and redrives dead-letter queues (`redrive`).

`cargo xtask` calls it. It is in Python, as the local cloud is: three more SDK crates in xtask would add minutes to the first build.
Each command prints one JSON object on standard output, or one line with an error on standard error.
"""

import argparse
import base64
import io
import json
import re
import signal
import sys
import threading
import time
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

REGION = "us-east-1"
BUCKET = "anzol-code"
# For signing in to the local console; these users exist only on this machine.
PASSWORD = "Anzol-local-1"
# acme's id is also in tests/events/app-deleted.json, so that this event can be published.
TENANTS = {
    "acme": "oZcMPa_1PwH4FUdrh6839YHHdEJN",
    "globex": "Kq2vWn_7RtB9XyLcm5310GTTaQZS",
}
# user name: (tenant, groups)
USERS = {
    "acme.admin": ("acme", ["TenantAdmin"]),
    "acme.user": ("acme", []),
    "globex.admin": ("globex", ["TenantAdmin"]),
    "acme.publisher": ("acme", ["Publisher"]),
}


# Source queues by their name on the command line, and the stack's output with their URL.
SOURCES = {"deliveries": "DeliveriesQueueUrl", "slow-lane": "SlowLaneQueueUrl", "events": "EventsQueueUrl"}


class Failed(Exception):
    """A failure, with an error message of one line."""


def client(service, args):
    if not args.endpoint:
        return boto3.client(service, region_name=args.region)  # AWS, with the user's credentials
    # "test" is the root user of the local cloud, which enforces IAM for all others, including the functions.
    key_id, secret = getattr(args, "credentials", ("test", "test"))
    return boto3.client(
        service,
        endpoint_url=args.endpoint,
        region_name=REGION,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=Config(proxies={}, retries={"max_attempts": 3}, s3={"addressing_style": "path"}),
    )


def zip_of(binary):
    """Returns a Lambda package with the binary as `bootstrap`. It is not compressed, because it stays on this machine."""
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o755 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(entry, Path(binary).read_bytes())
    return buffer.getvalue()


def packaged(template, functions, upload):
    """Returns the template with each `CodeUri` replaced by the result of `upload`; everything else is unchanged."""
    seen = set()

    def replace(match):
        name = match["path"].rstrip("/").rsplit("/", 1)[-1]
        if name not in functions:
            raise Failed(f"the template has a function '{name}' that was not built")
        seen.add(name)
        return match["key"] + upload(name)

    text = re.sub(r"^(?P<key>\s+CodeUri: )(?P<path>\S+)$", replace, template, flags=re.MULTILINE)
    if missing := functions.keys() - seen:
        raise Failed(f"the template has no CodeUri for {', '.join(sorted(missing))}")
    return text


def deploy(args):
    functions = dict(pair.split("=", 1) for pair in args.function)
    s3, cloudformation = client("s3", args), client("cloudformation", args)
    s3.create_bucket(Bucket=BUCKET)

    def upload(name):
        s3.put_object(Bucket=BUCKET, Key=f"{name}.zip", Body=zip_of(functions[name]))
        return f"s3://{BUCKET}/{name}.zip"

    body = packaged(Path(args.template).read_text(), functions, upload)
    s3.put_object(Bucket=BUCKET, Key="template.yaml", Body=body.encode())
    cloudformation.create_stack(
        StackName=args.stack,
        TemplateURL=f"{args.endpoint}/{BUCKET}/template.yaml",  # inline templates are limited to 50 KiB
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        OnFailure="DO_NOTHING",  # keeps the failed resource for inspection
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in (pair.split("=", 1) for pair in args.parameter)],
    )
    deadline = time.monotonic() + 60
    while True:
        stack = cloudformation.describe_stacks(StackName=args.stack)["Stacks"][0]
        status = stack["StackStatus"]
        if status == "CREATE_COMPLETE":
            configure_tables(args, cloudformation)
            return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        if not status.endswith("IN_PROGRESS") or time.monotonic() > deadline:
            raise Failed(f"the stack is {status}: {first_failure(cloudformation, args.stack, stack)}")
        time.sleep(0.2)


def configure_tables(args, cloudformation):
    """Sets the properties of tables that the local cloud's CloudFormation silently ignores."""
    from samtranslator.yaml_helper import yaml_parse  # noqa: PLC0415 (redrive does not need it)

    dynamodb = client("dynamodb", args)
    for name, resource in yaml_parse(Path(args.template).read_text())["Resources"].items():
        if resource["Type"] == "AWS::DynamoDB::Table":
            found = cloudformation.describe_stack_resource(StackName=args.stack, LogicalResourceId=name)
            configure_table(dynamodb, found["StackResourceDetail"]["PhysicalResourceId"], resource["Properties"])


def configure_table(dynamodb, table, properties):
    """Enables time to live and point-in-time recovery if the properties have them, and verifies both."""
    if ttl := properties.get("TimeToLiveSpecification"):

        def actual():
            found = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
            return found.get("TimeToLiveStatus") in ("ENABLED", "ENABLING"), found.get("AttributeName")

        wanted = (ttl["Enabled"], ttl["AttributeName"])
        if actual() != wanted:
            dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=ttl)
        if actual() != wanted:
            raise Failed(f"{table} has no time to live by {ttl['AttributeName']} after enabling it: {actual()}")
    if recovery := properties.get("PointInTimeRecoverySpecification"):
        dynamodb.update_continuous_backups(TableName=table, PointInTimeRecoverySpecification=recovery)
        found = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
        status = found.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
        if (status == "ENABLED") != recovery["PointInTimeRecoveryEnabled"]:
            raise Failed(f"{table} has no point-in-time recovery after enabling it: {status}")


def first_failure(cloudformation, name, stack):
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    for event in reversed(events):  # newest first, and the first failure explains the others
        if event["ResourceStatus"].endswith("FAILED"):
            return f"{event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason', 'no reason given')}"
    return stack.get("StackStatusReason", "no reason given")


def seed(args):
    outputs = json.loads(Path(args.outputs).read_text())
    pool, console = outputs["UserPoolId"], outputs["UserPoolClientId"]
    cognito = client("cognito-idp", args)
    tokens = {}
    for name, (tenant, groups) in USERS.items():
        cognito.admin_create_user(
            UserPoolId=pool,
            Username=name,
            MessageAction="SUPPRESS",
            UserAttributes=[
                {"Name": "email", "Value": f"{name}@example.com"},
                {"Name": "email_verified", "Value": "true"},
                {"Name": "custom:tenantId", "Value": TENANTS[tenant]},
            ],
        )
        cognito.admin_set_user_password(UserPoolId=pool, Username=name, Password=PASSWORD, Permanent=True)
        for group in groups:
            cognito.admin_add_user_to_group(UserPoolId=pool, Username=name, GroupName=group)
        signed_in = cognito.initiate_auth(
            ClientId=console,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": name, "PASSWORD": PASSWORD},
        )
        tokens[name] = signed_in["AuthenticationResult"]["IdToken"]
    publisher = outputs["PublisherClientId"]
    described = cognito.describe_user_pool_client(UserPoolId=pool, ClientId=publisher)
    secret = described["UserPoolClient"]["ClientSecret"]
    tokens["platform.publisher"] = client_credentials(publisher, secret, args.endpoint)
    clients = {"platform.publisher": {"id": publisher, "secret": secret}}
    return {"tokens": tokens, "clients": clients, "tenants": TENANTS, "password": PASSWORD}


def environment(args):
    """Returns the variables of all functions. Equal names have equal values, so one file serves every function that runs by hand."""
    outputs = json.loads(Path(args.outputs).read_text())
    functions = client("lambda", args)
    variables = {}
    for name in sorted(output for key, output in outputs.items() if key.endswith("Function")):
        configured = functions.get_function_configuration(FunctionName=name).get("Environment", {}).get("Variables", {})
        for key, value in configured.items():
            if variables.setdefault(key, value) != value:
                raise Failed(f"{key} has different values in different functions")
    return variables


def client_credentials(client_id, secret, endpoint):
    request = urllib.request.Request(
        f"{endpoint}/oauth2/token",
        data=urllib.parse.urlencode({"grant_type": "client_credentials"}).encode(),
        headers={"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=10) as response:
        return json.load(response)["access_token"]


def follow(args):
    """Copies the log groups of the functions to files, one for each, until SIGTERM."""
    logs = client("logs", args)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    files = {name: Path(args.directory, f"{name}.log") for name in args.function}
    for file in files.values():
        file.write_text("")
    newest = dict.fromkeys(files, 0)
    written = {name: set() for name in files}  # each invocation has its own stream, written at its end
    last_time, pause = False, 1
    while not last_time:
        last_time = stop.wait(pause)
        started = time.monotonic()
        for name, file in files.items():
            # Overlap a little, for invocations that finish at the same time.
            since = max(0, newest[name] - 2000)
            try:
                events = logs.filter_log_events(logGroupName=f"/anzol/{args.stack}/{name}", startTime=since)["events"]
            except (BotoCoreError, ClientError):
                continue  # the local cloud is busy or stopping; the next round retries
            lines = []
            for event in events:
                newest[name] = max(newest[name], event["timestamp"])
                noise = event["message"].startswith(("START ", "END ", "REPORT "))
                if not noise and event["logStreamName"] not in written[name]:
                    lines.append(event["message"].rstrip() + "\n")
            written[name].update(event["logStreamName"] for event in events)
            with file.open("a") as log:
                log.writelines(lines)
        # Each round searches all events, so limit this to a tenth of the time.
        pause = max(1, 9 * (time.monotonic() - started))
    return {}


def redrive(args):
    """Moves messages from dead-letter queues to their source queues; returns the numbers by queue."""
    stacks = client("cloudformation", args).describe_stacks(StackName=args.stack)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}
    sqs, report = client("sqs", args), {}

    def attributes(url, *names):
        return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names))["Attributes"]

    for name in args.queue or SOURCES:
        source = outputs.get(SOURCES[name])
        if not source:
            raise Failed(f"{args.stack} is not a stack of Anzol: it has no output {SOURCES[name]}")
        of_source = attributes(source, "RedrivePolicy", "QueueArn")
        dead_arn = json.loads(of_source["RedrivePolicy"])["deadLetterTargetArn"]
        dead = sqs.get_queue_url(QueueName=dead_arn.rsplit(":", 1)[1])["QueueUrl"]
        waiting = int(attributes(dead, "ApproximateNumberOfMessages")["ApproximateNumberOfMessages"])
        moved, kept = 0, 0
        if waiting and not args.dry_run:
            try:
                moved = move_by_task(sqs, dead_arn, of_source["QueueArn"])
            except ClientError as error:
                if error.response["Error"]["Code"] not in NO_TASKS:
                    raise
                moved, kept = move_by_hand(sqs, dead, source, waiting)
        report[name] = {"waiting": waiting, "moved": moved, "unreadable": kept}
    return report


# Errors of SQS implementations without move tasks.
NO_TASKS = {"InvalidAction", "AWS.SimpleQueueService.UnsupportedOperation", "UnsupportedOperation", "UnknownOperationException"}


def move_by_task(sqs, dead_arn, source_arn):
    """Lets SQS move the messages. The destination is explicit, because SQS knows no source of messages that functions sent to the DLQ."""
    handle = sqs.start_message_move_task(SourceArn=dead_arn, DestinationArn=source_arn)["TaskHandle"]
    while True:
        time.sleep(1)
        tasks = sqs.list_message_move_tasks(SourceArn=dead_arn, MaxResults=10)["Results"]
        # Only running tasks have a handle; this one is the newest.
        task = next((task for task in tasks if task.get("TaskHandle") == handle), tasks[0] if tasks else {})
        if task.get("Status") == "COMPLETED":
            return task.get("ApproximateNumberOfMessagesMoved", 0)
        if task.get("Status") not in ("RUNNING", None):
            raise Failed(f"SQS stopped the move: {task['Status']} {task.get('FailureReason', '')}")


def move_by_hand(sqs, dead, source, count):
    """Sends each message to its source and then deletes it: it may be duplicated, never lost. Malformed messages (with a reason) stay."""
    moved, kept = 0, []
    while moved + len(kept) < count:
        messages = sqs.receive_message(
            QueueUrl=dead,
            MaxNumberOfMessages=10,
            VisibilityTimeout=300,
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages", [])
        if not messages:
            break
        for message in messages:
            own = message.get("MessageAttributes", {})
            if "reason" in own:
                kept.append(message["ReceiptHandle"])
                continue
            group = message.get("Attributes", {}).get("MessageGroupId")
            sqs.send_message(
                QueueUrl=source,
                MessageBody=message["Body"],
                MessageAttributes=own,
                **({"MessageGroupId": group} if group else {}),
            )
            sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
    for handle in kept:
        sqs.change_message_visibility(QueueUrl=dead, ReceiptHandle=handle, VisibilityTimeout=0)
    return moved, len(kept)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)

    def command(name, run, about):
        parser = commands.add_parser(name, help=about)
        parser.add_argument("--endpoint", required=run is not redrive, help="URL of the local cloud")
        parser.add_argument("--region", help="region on AWS, where no endpoint is given")
        parser.set_defaults(run=run)
        return parser

    one = command("deploy", deploy, "upload the functions, create the stack, print its outputs")
    one.add_argument("--stack", required=True)
    one.add_argument("--template", required=True)
    one.add_argument("--function", action="append", required=True, metavar="NAME=BINARY")
    one.add_argument("--parameter", action="append", default=[], metavar="KEY=VALUE")
    one = command("seed", seed, "create users, print their tokens")
    one.add_argument("--outputs", required=True, help="file with the output of deploy")
    one = command("environment", environment, "print the functions' environment variables")
    one.add_argument("--outputs", required=True, help="file with the output of deploy")
    one = command("logs", follow, "copy the functions' logs to files")
    one.add_argument("--stack", required=True)
    one.add_argument("--function", action="append", required=True, metavar="NAME")
    one.add_argument("--directory", required=True)
    one = command("redrive", redrive, "move messages from dead-letter queues to their source queues")
    one.add_argument("--stack", required=True)
    one.add_argument("--queue", action="append", default=[], choices=SOURCES)
    one.add_argument("--dry-run", action="store_true", help="only count the messages")
    args = parser.parse_args()
    try:
        json.dump(args.run(args), sys.stdout)
    except (Failed, BotoCoreError, ClientError, OSError) as error:
        sys.exit(f"cloud.py: {error}")


if __name__ == "__main__":
    main()
