"""Creates the tables, queues and keys of infra/template.yaml at an endpoint without functions, and a plan for the runner.

`create` prints one JSON object: the outputs of the stack, the environment of each function, the routes, and the queues of each function,
all evaluated from the template. It records the resources in a file, by which `remove` deletes them. Policies are left out: the functions
run outside the endpoint, which cannot distinguish callers.
"""

import argparse
import json
import os
import re
import sys
import uuid
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
from botocore.parsers import ResponseParserError
from cloud import REGION, TENANTS, USERS, Failed, client, configure_table
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from samtranslator.yaml_helper import yaml_parse

# Required services, each with a read-only call.
SERVICES = {
    "dynamodb": "list_tables",
    "sqs": "list_queues",
    "kms": "list_keys",
    "iam": "list_roles",
    "scheduler": "list_schedule_groups",
    "logs": "describe_log_groups",
}
ACCOUNT = "000000000000"
POOL = f"{REGION}_runner"
# Names of the clients that the runner provides instead of Cognito.
CONSOLE_CLIENT, PUBLISHER_CLIENT = "console-client", "publisher-client"


def check_services(args):
    """Fails if the endpoint does not answer or lacks a service."""
    lacking = {}
    for service, operation in SERVICES.items():
        try:
            getattr(client(service, args), operation)()
        except ClientError as error:
            lacking[service] = error.response["Error"].get("Message") or error
        except (ConnectionError, HTTPClientError) as error:
            raise Failed(f"no answer from {args.endpoint}, which AWS_ENDPOINT_URL names") from error
        except (BotoCoreError, ResponseParserError) as error:
            lacking[service] = error
    if lacking:
        errors = "; ".join(f"{service} ({str(why).splitlines()[0]})" for service, why in lacking.items())
        raise Failed(f"{args.endpoint} lacks services: {errors}")


class Template:
    """Evaluates the intrinsic functions that the template uses. Creates a resource when something first refers to it."""

    def __init__(self, args):
        parsed = yaml_parse(Path(args.template).read_text())
        self.args, self.parsed, self.resources = args, parsed, parsed["Resources"]
        given = dict(pair.split("=", 1) for pair in args.parameter)
        if unknown := given.keys() - parsed["Parameters"].keys():
            raise Failed(f"the template has no parameter {', '.join(sorted(unknown))}")
        self.references = {name: given.get(name, parameter.get("Default")) for name, parameter in parsed["Parameters"].items()}
        self.references |= {
            "AWS::StackName": args.stack,
            "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{args.stack}/{uuid.uuid4()}",
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::NoValue": None,
            # The runner provides these resources.
            "UserPool": POOL,
            "ConsoleClient": CONSOLE_CLIENT,
            "PublisherClient": PUBLISHER_CLIENT,
        }
        self.attributes = {"HttpApi.ApiEndpoint": args.api_url}
        self.created = []

    def condition(self, name):
        return name is None or self.value(self.parsed["Conditions"][name])

    def reference(self, name):
        if name not in self.references:
            create = CREATORS.get(self.resources[name]["Type"])
            if create:
                properties = self.resources[name]["Properties"]
                create(self, name, self.value({name: part for name, part in properties.items() if name != "KeyPolicy"}))
            else:
                self.references[name] = name  # provided by the runner under the same name
        return self.references[name]

    def attribute(self, name, attribute):
        self.reference(name)
        if f"{name}.{attribute}" not in self.attributes:
            self.attributes[f"{name}.{attribute}"] = f"arn:aws:runner:{REGION}:{ACCOUNT}:{name}"
        return self.attributes[f"{name}.{attribute}"]

    def substituted(self, text, own):
        def one(match):
            name = match[1]
            if name in own:
                return str(self.value(own[name]))
            return str(self.attribute(*name.split(".")) if "." in name else self.reference(name))

        return re.sub(r"\$\{([^}!]+)\}", one, text)

    def value(self, node):
        """Evaluates all intrinsic functions in a part of the template."""
        if isinstance(node, list):
            return [value for value in map(self.value, node) if value is not None]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(function, of)] = node.items()
            match function:
                case "Ref":
                    return self.reference(of)
                case "Fn::GetAtt":
                    return self.attribute(*(of.split(".") if isinstance(of, str) else of))
                case "Fn::Sub":
                    return self.substituted(of, {}) if isinstance(of, str) else self.substituted(*of)
                case "Fn::If":
                    return self.value(of[1] if self.condition(of[0]) else of[2])
                case "Fn::Equals":
                    return self.value(of[0]) == self.value(of[1])
                case "Fn::Not":
                    return not self.value(of[0])
                case "Fn::FindInMap":
                    top, *path = map(self.value, of)
                    return self.parsed["Mappings"][top][path[0]][path[1]]
                case "Fn::Select":
                    return self.value(of[1])[int(self.value(of[0]))]
                case "Fn::Split":
                    return self.value(of[1]).split(self.value(of[0]))
            if function.startswith("Fn::"):
                raise Failed(f"the template uses {function}, which infra/local/resources.py does not support")
        return {name: value for name, part in node.items() if (value := self.value(part)) is not None}

    def record(self, service, operation, **request):
        """Records the call that deletes the resource that was just created."""
        self.created.append([service, operation, request])
        Path(self.args.list).write_text(json.dumps({"endpoint": self.args.endpoint, "resources": self.created}))

    def physical(self, name):
        return f"{self.args.stack}-{name}"

    def client(self, service):
        return client(service, self.args)


def table(template, name, properties):
    dynamodb, own = template.client("dynamodb"), template.physical(name)
    encryption = properties.pop("SSESpecification")
    encryption["Enabled"] = encryption.pop("SSEEnabled")
    deferred = {
        part: properties.pop(part) for part in ("TimeToLiveSpecification", "PointInTimeRecoverySpecification") if part in properties
    }
    created = dynamodb.create_table(TableName=own, SSESpecification=encryption, **properties)
    template.record("dynamodb", "delete_table", TableName=own)
    dynamodb.get_waiter("table_exists").wait(TableName=own, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    configure_table(dynamodb, own, deferred)
    template.references[name] = own
    template.attributes[f"{name}.Arn"] = created["TableDescription"]["TableArn"]


def queue(template, name, properties):
    sqs, own = template.client("sqs"), template.physical(name)
    text = {key: json.dumps(value) if isinstance(value, (dict, bool)) else str(value) for key, value in properties.items()}
    url = sqs.create_queue(QueueName=own, Attributes=text)["QueueUrl"]
    template.record("sqs", "delete_queue", QueueUrl=url)
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    template.references[name] = url
    template.attributes |= {f"{name}.Arn": attributes["QueueArn"], f"{name}.QueueName": own}


def key(template, name, properties):
    made = template.client("kms").create_key(Description=properties["Description"])["KeyMetadata"]
    template.record("kms", "schedule_key_deletion", KeyId=made["KeyId"], PendingWindowInDays=7)
    template.references[name], template.attributes[f"{name}.Arn"] = made["KeyId"], made["Arn"]


def role(template, name, properties):
    iam, own = template.client("iam"), template.physical(name)
    trust = json.dumps(properties["AssumeRolePolicyDocument"])
    made = iam.create_role(RoleName=own, AssumeRolePolicyDocument=trust)["Role"]
    template.record("iam", "delete_role", RoleName=own)
    for policy in properties["Policies"]:
        document = json.dumps(policy["PolicyDocument"])
        iam.put_role_policy(RoleName=own, PolicyName=policy["PolicyName"], PolicyDocument=document)
        template.record("iam", "delete_role_policy", RoleName=own, PolicyName=policy["PolicyName"])
    template.references[name], template.attributes[f"{name}.Arn"] = own, made["Arn"]


def schedule_group(template, name, properties):
    template.client("scheduler").create_schedule_group(Name=properties["Name"])
    template.record("scheduler", "delete_schedule_group", Name=properties["Name"])
    template.references[name] = properties["Name"]


def log_group(template, name, properties):
    group = properties["LogGroupName"]
    template.client("logs").create_log_group(logGroupName=group)
    template.record("logs", "delete_log_group", logGroupName=group)
    template.references[name] = group


# Resources that are created at the endpoint. The template refers to only one role, the scheduler's.
CREATORS = {
    "AWS::DynamoDB::Table": table,
    "AWS::SQS::Queue": queue,
    "AWS::KMS::Key": key,
    "AWS::IAM::Role": role,
    "AWS::Scheduler::ScheduleGroup": schedule_group,
    "AWS::Logs::LogGroup": log_group,
}


def functions(template):
    """Yields logical id, package name and configuration of each function."""
    shared = template.parsed["Globals"]["Function"]
    for logical, resource in template.resources.items():
        if resource["Type"] == "AWS::Serverless::Function":
            properties = resource["Properties"]
            name = properties["CodeUri"].rstrip("/").rsplit("/", 1)[-1]
            variables = shared["Environment"]["Variables"] | properties["Environment"]["Variables"]
            template.references[logical] = f"{template.args.stack}-{name}"
            yield (
                logical,
                name,
                {
                    "name": template.references[logical],
                    "logGroup": template.value(properties["LoggingConfig"]["LogGroup"]),
                    "environment": {key: str(value) for key, value in template.value(variables).items()}
                    | {  # variables that Lambda sets
                        "AWS_REGION": REGION,
                        "AWS_LAMBDA_FUNCTION_NAME": template.references[logical],
                        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(shared["MemorySize"]),
                        "AWS_LAMBDA_LOG_FORMAT": shared["LoggingConfig"]["LogFormat"],
                    },
                    "queues": [template.value(event["Properties"]) for event in properties.get("Events", {}).values()],
                },
            )


def routes(template, by_logical):
    for resource in template.resources.values():
        if resource["Type"] == "AWS::ApiGatewayV2::Route":
            properties = template.value(resource["Properties"])
            integration = template.resources[properties["Target"].removeprefix("integrations/")]
            logical = integration["Properties"]["IntegrationUri"]["Fn::GetAtt"][0]
            yield {
                "key": properties["RouteKey"],
                "function": by_logical[logical],
                "jwt": properties["AuthorizationType"] == "JWT",
            }


def create(args):
    check_services(args)
    template = Template(args)
    for directory in (Path(args.keys), Path(args.list).parent):
        directory.mkdir(parents=True, exist_ok=True)
    for name, resource in template.resources.items():
        if resource["Type"] != "AWS::IAM::Role" and resource["Type"] in CREATORS and template.condition(resource.get("Condition")):
            template.reference(name)
    found = list(functions(template))
    urls = {
        template.attributes[f"{name}.Arn"]: url for name, url in template.references.items() if f"{name}.QueueName" in template.attributes
    }
    for _, _, function in found:
        for source in function["queues"]:
            source["url"] = urls[source["Queue"]]
    for use in ("id", "access"):  # a user pool signs each kind with its own key
        pem = rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = Path(args.keys, f"{POOL}-{use}.pem")
        file.touch(mode=0o600)
        file.write_bytes(pem)
    outputs = template.parsed["Outputs"].items()
    return {
        "outputs": {name: template.value(output["Value"]) for name, output in outputs if template.condition(output.get("Condition"))},
        "functions": {name: function for _, name, function in found},
        "routes": list(routes(template, {logical: name for logical, name, _ in found})),
        "authorizer": template.value(template.resources["JwtAuthorizer"]["Properties"]["JwtConfiguration"]),
        "tokenHours": int(template.references["TokenHours"]),
        "scopes": template.value(template.resources["PublisherClient"]["Properties"]["AllowedOAuthScopes"]),
        "clients": [CONSOLE_CLIENT, PUBLISHER_CLIENT],
        "region": REGION,
        "tenants": TENANTS,
        "users": {name: {"tenant": TENANTS[tenant], "groups": groups} for name, (tenant, groups) in USERS.items()},
    }


def remove(args):
    """Deletes the recorded resources, the last one first, and continues after errors."""
    recorded = json.loads(Path(args.list).read_text())
    args.endpoint, left = recorded["endpoint"], []
    for service, operation, request in reversed(recorded["resources"]):
        try:
            getattr(client(service, args), operation)(**request)
        except ConnectionError:
            left = [f"it does not answer, and has {len(recorded['resources'])} resources, including the tables"]
            break
        except (BotoCoreError, ClientError) as error:
            left.append(f"{operation} {next(iter(request.values()))}: {error}")
    Path(args.list).unlink()
    if left:
        raise Failed(f"some resources could not be deleted from {args.endpoint}: {'; '.join(left)}")
    return {}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("create", help="create the resources, print the plan")
    one.add_argument("--endpoint", required=True)
    one.add_argument("--template", required=True)
    one.add_argument("--stack", required=True, help="prefix of all names at the endpoint")
    one.add_argument("--api-url", required=True, help="URL of the runner's gateway")
    one.add_argument("--keys", required=True, help="directory for the keys that sign tokens")
    one.add_argument("--parameter", action="append", default=[], metavar="KEY=VALUE")
    one.set_defaults(run=create)
    two = commands.add_parser("remove", help="delete the resources")
    two.set_defaults(run=remove)
    for command in (one, two):
        command.add_argument("--list", required=True, help="file that lists the created resources")
    args = parser.parse_args()
    args.credentials = [os.environ.get(name) or "test" for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    try:
        json.dump(args.run(args), sys.stdout)
    except (Failed, BotoCoreError, ClientError, OSError) as error:
        sys.exit(f"resources.py: {error}")


if __name__ == "__main__":
    main()
