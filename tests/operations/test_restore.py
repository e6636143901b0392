"""Restores tables to a point in time (infra/docs/restore.md), as far as the local cloud supports it."""

import unittest
import uuid

from stack import STACK, Tenant, aws, items


class Restore(unittest.TestCase):
    def test_both_tables_are_restored(self):
        dynamodb, tenant = aws("dynamodb"), Tenant("restored")
        webhook = tenant.webhook()
        tenant.publish()
        tenant.history(webhook, 1)
        for table in STACK["tables"].values():
            with self.subTest(table):
                # The local cloud ignores this property of the template; infra/aws/test_deploy.py checks that the template has it.
                dynamodb.update_continuous_backups(TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})
                before = items(table, tenant.id)
                self.assertGreater(len(before), 0)
                copy = f"restored-{uuid.uuid4().hex[:12]}"
                dynamodb.restore_table_to_point_in_time(SourceTableName=table, TargetTableName=copy, UseLatestRestorableTime=True)
                self.addCleanup(dynamodb.delete_table, TableName=copy)
                dynamodb.get_waiter("table_exists").wait(TableName=copy)
                self.assertEqual(items(copy, tenant.id), before)
                shape = lambda name: {  # noqa: E731
                    key: value
                    for key, value in dynamodb.describe_table(TableName=name)["Table"].items()
                    if key in ("KeySchema", "AttributeDefinitions")
                }
                self.assertEqual(shape(copy), shape(table))


if __name__ == "__main__":
    unittest.main()
