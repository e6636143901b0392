"""Deletes everything that Anzol keeps of one tenant, called by `cargo xtask tenant delete`.

Works on any endpoint (`AWS_ENDPOINT_URL`) with the caller's own credentials. They need cloudformation:DescribeStacks on the stack, and
dynamodb:Query, Scan and BatchWriteItem on both tables. What lies where is on one page in shared/store/src/keys.rs.

Users, groups and clients of the user pool, or of your own issuer, are not Anzol's data and stay.
"""

import argparse
import os
import re
import sys
from collections import Counter

import boto3
from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import BotoCoreError, ClientError

# As shared/domain/src/id.rs has it: a tenant's id holds no '#', so "<tenant>#" begins nobody else's keys.
TENANT = re.compile("[!-~]{1,128}")
KEYS = {"ProjectionExpression": "pk, sk"}


class Refused(Exception):
    """Why nothing was deleted, in one line."""


def tables(args):
    """Both tables, by the outputs of the stack."""
    try:
        [stack] = boto3.client("cloudformation", region_name=args.region).describe_stacks(StackName=args.stack_name)["Stacks"]
    except ClientError as error:
        raise Refused(f"stack {args.stack_name} in {args.region}: {error}") from error
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    dynamodb = boto3.resource("dynamodb", region_name=args.region)
    try:
        return [dynamodb.Table(outputs[name]) for name in ("WebhooksTable", "DeliveriesTable")]
    except KeyError as missing:
        raise Refused(f"stack {args.stack_name} has no output {missing}: it is no stack of Anzol") from missing


def pages(operation, **request):
    while True:
        page = operation(**request)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def of_webhooks(table, tenant):
    """Keys of the tenant's items in the webhooks table: one partition."""
    return pages(table.query, KeyConditionExpression=Key("pk").eq(f"TENANT#{tenant}"), ConsistentRead=True, **KEYS)


def of_deliveries(table, tenant):
    """Keys of the tenant's items in the deliveries table. It is read as a whole: webhooks that are gone have left history there."""
    return pages(table.scan, FilterExpression=Attr("pk").begins_with(f"{tenant}#"), ConsistentRead=True, **KEYS)


def kind(key):
    """What an item is, for the person who reads the counts."""
    pk, sk = key["pk"], key["sk"]
    if pk.startswith("TENANT#"):
        return "webhooks" if sk.startswith("WEBHOOK#") else "their quota, pace and leases"
    parts = pk.split("#")
    return "deliveries" if len(parts) == 2 and parts[1] != "EVENTS" else "recoveries" if parts[-1] in ("RECOVERIES", "HANDLED") else "markers"


def sweep(table, keys, delete):
    """Counts items by kind, and deletes them unless it is a dry run."""
    counts = Counter()
    if not delete:
        counts.update(map(kind, keys))
        return counts
    with table.batch_writer() as batch:
        for key in keys:
            batch.delete_item(Key={"pk": key["pk"], "sk": key["sk"]})
            counts[kind(key)] += 1
    return counts


def confirm(args):
    if args.yes or args.dry_run:
        return
    if not sys.stdin.isatty():
        raise Refused("nobody is there to be asked: say --yes, or --dry-run to see what there is")
    where = os.environ.get("AWS_ENDPOINT_URL", f"AWS, {args.region}")
    if input(f"Delete all of tenant {args.tenant} of stack {args.stack_name} ({where})? Type its id: ") != args.tenant:
        raise Refused("that was another id; nothing was deleted")


def delete(args):
    if not TENANT.fullmatch(args.tenant) or "#" in args.tenant:
        raise Refused(f"{args.tenant!r} can be no tenant's id")
    webhooks, deliveries = tables(args)
    confirm(args)
    # Webhooks first: from then on nothing new is queued, and what is queued finds nobody to be sent to.
    counts = sweep(webhooks, of_webhooks(webhooks, args.tenant), not args.dry_run)
    counts += sweep(deliveries, of_deliveries(deliveries, args.tenant), not args.dry_run)
    for name, count in sorted(counts.items()):
        print(f"  {count:>8} {name}")
    print(f"{counts.total()} items {'found, nothing deleted' if args.dry_run else 'deleted'}")


def main():
    parser = argparse.ArgumentParser(prog="cargo xtask tenant delete", description=__doc__.splitlines()[0])
    parser.add_argument("tenant")
    parser.add_argument("--stack-name", default="anzol")
    parser.add_argument("--region", default=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"))
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--yes", action="store_true")
    args = parser.parse_args()
    try:
        if not args.region:
            raise Refused("no region: give it with --region, or in AWS_REGION")
        delete(args)
    except (Refused, BotoCoreError, ClientError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
