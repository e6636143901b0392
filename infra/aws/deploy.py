"""Validates and deploys infra/template.yaml; `cargo xtask deploy` calls it.

First it validates everything that needs no AWS account: the template's transform, the parameters, the built functions. `--dry-run` stops
there. Otherwise it runs `sam deploy`, which shows the change set for confirmation at a terminal.
"""

import argparse
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

# Limits of CloudFormation: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MOST_RESOURCES, MOST_BYTES = 500, 1_000_000
# Concurrency that Lambda keeps for functions without a reservation:
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
KEPT_UNRESERVED = 100
# The machine field of an ELF header, at byte 18.
MACHINES = {b"\xb7\x00": "arm64", b"\x3e\x00": "x86_64"}

logging.getLogger("samtranslator").setLevel(logging.ERROR)  # it warns about metrics that are not collected


class Refused(Exception):
    """The reasons why the deployment is refused, one per line."""


class NoManagedPolicies:
    """An empty list for the transform: the template uses no managed policies, so none has to be looked up at AWS."""

    def load(self):
        return {}


# ── Parameters ──────────────────────────────────────────────────────────────────────────────────────────────────────


def problem(about, value):
    """Returns why CloudFormation would reject this value of a parameter, or None."""
    kind = about["Type"]
    many = kind == "CommaDelimitedList" or kind.startswith("List<")
    for one in value.split(",") if many else [value]:
        if kind in ("Number", "List<Number>"):
            try:
                number = float(one)
            except ValueError:
                return "must be a number"
            if "MinValue" in about and number < float(about["MinValue"]):
                return f"must be at least {about['MinValue']}"
            if "MaxValue" in about and number > float(about["MaxValue"]):
                return f"must be at most {about['MaxValue']}"
        if "MinLength" in about and len(one) < int(about["MinLength"]):
            return f"must have at least {about['MinLength']} characters"
        if "MaxLength" in about and len(one) > int(about["MaxLength"]):
            return f"must have at most {about['MaxLength']} characters"
        if "AllowedValues" in about and one not in [text_of(allowed) for allowed in about["AllowedValues"]]:
            return f"must be one of {', '.join(map(text_of, about['AllowedValues']))}"
        if "AllowedPattern" in about and not re.fullmatch(about["AllowedPattern"], one):
            return about.get("ConstraintDescription", f"must match {about['AllowedPattern']}")
    return None


def text_of(value):
    """Returns a YAML value in the form that CloudFormation uses."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def choose(template, given, ask_all, ask):
    """Returns the values of all parameters (given, asked for, or defaults), and those that were given or asked for.

    `ask` is None without a terminal.
    """
    known = template.get("Parameters", {})
    chosen, defaults, wrong = {}, {}, []
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals:
            wrong.append(f"{pair!r} is not of the form Name=value")
        elif name not in known:
            wrong.append(f"{name}: the template has no such parameter; it has {', '.join(known)}")
        elif name in chosen:
            wrong.append(f"{name}: given twice")
        else:
            chosen[name] = value
            if why := problem(known[name], value):
                wrong.append(f"{name}: {why}, not {value!r}")
    if wrong:
        raise Refused("\n".join(wrong))
    for name, about in known.items():
        if name in chosen:
            continue
        default = text_of(about["Default"]) if "Default" in about else None
        if ask and (ask_all or default is None):
            chosen[name] = ask(name, about, default)
        elif default is not None:
            defaults[name] = default
        else:
            wrong.append(f"{name}: has no default; give it with --parameter {name}=value ({about.get('Description', '')})")
    if wrong:
        raise Refused("\n".join(wrong))
    return {name: chosen.get(name, defaults.get(name)) for name in known}, chosen


def ask_at_terminal(name, about, default):
    print(f"\n{name}: {about.get('Description', '')}")
    if "AllowedValues" in about:
        print(f"  one of {', '.join(map(text_of, about['AllowedValues']))}")
    while True:
        answer = input(f"  [{default}] " if default is not None else "  > ").strip()
        value = default if answer == "" and default is not None else answer
        if not (why := problem(about, value)):
            return value
        print(f"  {why}")


# ── The plan ──────────────────────────────────────────────────────────────────────────────────────────────


def expanded(template, parameters, region):
    """Returns the template after SAM's transform."""
    os.environ["AWS_DEFAULT_REGION"] = region  # the transform derives the partition from it
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://of-this-deployment/package.zip"  # where `sam deploy` puts it
    return transform(template, dict(parameters), NoManagedPolicies())


def value_of(expression, parameters, template):
    """Evaluates a condition or one of its operands."""
    if isinstance(expression, (str, int, bool)):
        return text_of(expression)
    [(function, arguments)] = expression.items()
    evaluate = lambda part: value_of(part, parameters, template)  # noqa: E731
    match function:
        case "Ref":
            return parameters[arguments]
        case "Condition":
            return evaluate(template["Conditions"][arguments])
        case "Fn::Equals":
            return evaluate(arguments[0]) == evaluate(arguments[1])
        case "Fn::Not":
            return not evaluate(arguments[0])
        case "Fn::And":
            return all(map(evaluate, arguments))
        case "Fn::Or":
            return any(map(evaluate, arguments))
        case "Fn::FindInMap":
            name, *keys = map(evaluate, arguments)
            found = template["Mappings"][name]
            for key in keys:
                found = found[key]
            return text_of(found)
    raise Refused(f"a condition uses {function}, which a dry run does not support")


def resources(template, parameters):
    """Yields logical id, type and deletion policy of each resource that would be created."""
    for name, resource in template["Resources"].items():
        condition = resource.get("Condition")
        if condition is None or value_of({"Condition": condition}, parameters, template) is True:
            policy = resource.get("DeletionPolicy")
            yield name, resource["Type"], value_of(policy, parameters, template) if policy else ""


def check_functions(template, directory, architecture):
    """Checks that the functions are built for the processor that the template selects."""
    wrong = []
    for resource in template["Resources"].values():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        binary = (directory / resource["Properties"]["CodeUri"] / "bootstrap").resolve()
        if not binary.is_file():
            wrong.append(f"{binary} does not exist")
            continue
        with binary.open("rb") as file:
            machine = MACHINES.get(file.read(20)[18:], "another processor")
        if machine != architecture:
            wrong.append(f"{binary} is for {machine}, the parameter Architecture says {architecture}")
    if wrong:
        raise Refused("\n".join([*wrong, f"build them with: cargo xtask package --arch {architecture}"]))


def plan(path, args, ask):
    """Validates the template and the parameters, prints the plan, and returns the result of `choose`."""
    text = path.read_text()
    if len(text.encode()) > MOST_BYTES:
        raise Refused(f"the template is larger than CloudFormation's {MOST_BYTES:,} bytes")
    template = yaml_parse(text)
    parameters, chosen = choose(template, args.parameter, args.guided, ask)
    if not args.dry_run:
        check_functions(template, path.parent, parameters["Architecture"])
    template = expanded(template, parameters, args.region)
    made = sorted(resources(template, parameters), key=lambda resource: (resource[1], resource[0]))
    if len(made) > MOST_RESOURCES:
        raise Refused(f"{len(made)} resources are more than CloudFormation's {MOST_RESOURCES}")
    print(f"Stack {args.stack_name} in {args.region}\n\nParameters")
    for name, value in parameters.items():
        print(f"  {name:<22} {value!r}{'   (chosen)' if name in chosen else ''}")
    print("An existing stack keeps its values of parameters that were not chosen.")
    print("\nChanges, if the stack is new")
    for name, kind, policy in made:
        print(f"  + {kind:<38} {name}{f'   (when deleted: {policy})' if policy else ''}")
    print(f"\n{len(made)} resources, {len(template.get('Outputs', {}))} outputs")
    return parameters, chosen


# ── Reserved concurrency ───────────────────────────────────────────────────────────────────────────────────


def reservation(template, throughput):
    """Returns the concurrency that all functions together reserve with ReservedConcurrency=preset."""
    sizes = template["Mappings"]["Concurrency"][throughput]
    reserved = [resource["Properties"].get("ReservedConcurrentExecutions") for resource in template["Resources"].values()]
    return sum(sizes[function["Fn::If"][1]["Fn::FindInMap"][2]] for function in reserved if function)


def reserve_if_possible(template, args, parameters, chosen, client):
    """Adds ReservedConcurrency=preset, unless it was chosen or Lambda would refuse it in this account, and prints why.

    The template cannot decide this: it does not know the account's limit, which is 10 for new accounts.
    """
    if "ReservedConcurrency" in chosen:
        return chosen
    try:
        throughput = parameters["Throughput"]
        if stack := stack_of(client("cloudformation"), args.stack_name):
            before = {one["ParameterKey"]: one["ParameterValue"] for one in stack.get("Parameters", [])}
            if "ReservedConcurrency" in before:
                return chosen  # set by an earlier deployment
            throughput = chosen.get("Throughput", before.get("Throughput", throughput))
        limits = client("lambda").get_account_settings()["AccountLimit"]
    except (BotoCoreError, ClientError) as error:
        print(f"\nReservedConcurrency stays none: the account's limits are unknown ({error})")
        return chosen
    needed, free = reservation(template, throughput), limits["UnreservedConcurrentExecutions"]
    if free - needed < KEPT_UNRESERVED:
        print(
            f"\nReservedConcurrency stays none: {needed} would be reserved and {KEPT_UNRESERVED} must stay unreserved, but only {free} are"
            " available. Request a higher quota 'Concurrent executions' of Lambda, then deploy with"
            " --parameter ReservedConcurrency=preset"
        )
        return chosen
    print(f"\nReservedConcurrency is set to preset: it reserves {needed} of the account's {free} available executions")
    return chosen | {"ReservedConcurrency": "preset"}


def stack_of(cloudformation, name):
    """Returns the stack, or None if it does not exist."""
    try:
        return cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":  # "Stack with id … does not exist"
            return None
        raise


def sam(path, args, chosen, terminal):
    """Runs `sam deploy` and returns its exit code.

    Only chosen parameters are passed: in an update, defaults would reset earlier choices.
    """
    command = [str(Path(sys.executable).with_name("sam")), "deploy", "--template-file", str(path)]
    command += ["--stack-name", args.stack_name, "--region", args.region, "--resolve-s3"]
    command += ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "--no-fail-on-empty-changeset"]
    command += ["--confirm-changeset" if terminal and not args.yes else "--no-confirm-changeset"]
    if chosen:
        pairs = (f"ParameterKey={name},ParameterValue={quoted(value)}" for name, value in chosen.items())
        command += ["--parameter-overrides", *pairs]
    return subprocess.run(command, env=os.environ | {"SAM_CLI_TELEMETRY": "0"}, check=False).returncode


def quoted(value):
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def main(words):
    parser = argparse.ArgumentParser(prog="cargo xtask deploy", description=__doc__.splitlines()[0])
    parser.add_argument("--template", type=Path, required=True)
    parser.add_argument("--stack-name", default="anzol")
    parser.add_argument("--region")
    parser.add_argument("--parameter", action="append", default=[], metavar="Name=value")
    parser.add_argument("--guided", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--yes", action="store_true")
    args = parser.parse_args(words)
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        if not re.fullmatch("[A-Za-z][A-Za-z0-9-]{0,127}", args.stack_name):
            raise Refused("--stack-name: a letter, then letters, digits and hyphens, at most 128 in total")
        args.region = args.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if not args.region:
            raise Refused("no region: give it with --region, or in AWS_REGION")
        if not re.fullmatch("[a-z]{2}(-[a-z]+)+-[0-9]+", args.region):
            raise Refused(f"--region: {args.region!r} is not the name of a region")
        parameters, chosen = plan(args.template, args, ask_at_terminal if terminal else None)
    except Refused as refused:
        print(f"error: {refused}", file=sys.stderr)
        return 1
    if args.dry_run:
        print("Dry run: AWS was not called, and nothing was changed.")
        return 0
    client = lambda service: boto3.client(service, region_name=args.region)  # noqa: E731
    chosen = reserve_if_possible(yaml_parse(args.template.read_text()), args, parameters, chosen, client)
    sys.stdout.flush()
    return sam(args.template, args, chosen, terminal)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
