"""Deletes all data of one tenant; `cargo xtask tenant delete` calls it.

Works on any endpoint (`AWS_ENDPOINT_URL`) with the caller's own credentials. They need cloudformation:DescribeStacks on the stack, and
dynamodb:Query, Scan and BatchWriteItem on both tables. shared/store/src/keys.rs describes their layout.

Users, groups and clients of the user pool, or of another issuer, are not deleted.
"""

import argparse
import os
import re
import sys
from collections import Counter

import boto3
from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import BotoCoreError, ClientError

# The rule of shared/domain/src/id.rs. An id contains no '#', so the prefix "<tenant>#" is unique.
TENANT = re.compile("[!-~]{1,128}")
KEYS = {"ProjectionExpression": "pk, sk"}


class Refused(Exception):
    """The reason why nothing was deleted, in one line."""


def tables(args):
    """Returns both tables, by the outputs of the stack."""
    try:
        [stack] = boto3.client("cloudformation", region_name=args.region).describe_stacks(StackName=args.stack_name)["Stacks"]
    except ClientError as error:
        raise Refused(f"stack {args.stack_name} in {args.region}: {error}") from error
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    dynamodb = boto3.resource("dynamodb", region_name=args.region)
    try:
        return [dynamodb.Table(outputs[name]) for name in ("WebhooksTable", "DeliveriesTable")]
    except KeyError as missing:
        raise Refused(f"stack {args.stack_name} has no output {missing}: it is not a stack of Anzol") from missing


def pages(operation, **request):
    while True:
        page = operation(**request)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def webhook_keys(table, tenant):
    """Returns the keys of the tenant's items in the webhooks table, which are in one partition."""
    return pages(table.query, KeyConditionExpression=Key("pk").eq(f"TENANT#{tenant}"), ConsistentRead=True, **KEYS)


def delivery_keys(table, tenant):
    """Returns the keys of the tenant's items in the deliveries table. A scan also finds the history of deleted webhooks."""
    return pages(table.scan, FilterExpression=Attr("pk").begins_with(f"{tenant}#"), ConsistentRead=True, **KEYS)


def kind(key):
    """Returns the kind of an item, for the printed counts."""
    pk, sk = key["pk"], key["sk"]
    if pk.startswith("TENANT#"):
        return "webhooks" if sk.startswith("WEBHOOK#") else "quota, pace and leases"
    parts = pk.split("#")
    return (
        "deliveries"
        if len(parts) == 2 and parts[1] != "EVENTS"
        else "recoveries"
        if parts[-1] in ("RECOVERIES", "HANDLED")
        else "match records"
    )


def sweep(table, keys, delete):
    """Counts items by kind, and deletes them if `delete` is set."""
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
        raise Refused("no terminal for a confirmation: use --yes, or --dry-run to count the items")
    where = os.environ.get("AWS_ENDPOINT_URL", f"AWS, {args.region}")
    if input(f"Delete all of tenant {args.tenant} of stack {args.stack_name} ({where})? Type its id: ") != args.tenant:
        raise Refused("the id does not match; nothing was deleted")


def delete(args):
    if not TENANT.fullmatch(args.tenant) or "#" in args.tenant:
        raise Refused(f"{args.tenant!r} is not a valid tenant id")
    webhooks, deliveries = tables(args)
    confirm(args)
    # Webhooks first: afterwards nothing is queued, and queued messages have no receiver.
    counts = sweep(webhooks, webhook_keys(webhooks, args.tenant), not args.dry_run)
    counts += sweep(deliveries, delivery_keys(deliveries, args.tenant), not args.dry_run)
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
