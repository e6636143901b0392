"""Tests `cargo xtask tenant delete`: it deletes all data of one tenant and none of another."""

import os
import subprocess
import sys
import unittest

from stack import ENVIRONMENT, ROOT, STACK, Tenant, items


def tenant_delete(*words):
    """Runs the program behind the command."""
    command = [sys.executable, str(ROOT / "infra/aws/tenant.py"), *words]
    environment = {"PATH": os.environ["PATH"], **ENVIRONMENT}
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def everything(tenant):
    return [item for table in STACK["tables"].values() for item in items(table, tenant.id)]


class TenantDelete(unittest.TestCase):
    def setUp(self):
        self.leaving, self.staying = Tenant("leaving"), Tenant("staying")
        for tenant in (self.leaving, self.staying):
            # One webhook, and the history of a deleted one.
            gone, there = tenant.webhook(), tenant.webhook()
            tenant.publish()
            tenant.history(gone, 1), tenant.history(there, 1)
            self.assertEqual(tenant.api("DELETE", f"/api/core/webhooks/{gone['id']}")[0], 204)

    def test_only_the_given_tenant_is_deleted(self):
        kept = everything(self.staying)
        there = everything(self.leaving)
        kinds = {item["sk"]["S"].split("#")[0] for item in there}
        self.assertLessEqual({"QUOTA", "WEBHOOK"}, kinds)
        self.assertGreaterEqual(sum(item["pk"]["S"].startswith(f"{self.leaving.id}#0") for item in there), 2, "history of both webhooks")

        dry = tenant_delete("--dry-run", self.leaving.id)
        self.assertEqual((dry.returncode, dry.stderr), (0, ""))
        self.assertIn(f"{len(there)} items found, nothing deleted", dry.stdout)
        self.assertIn("1 webhooks", dry.stdout)
        self.assertIn("2 deliveries", dry.stdout)
        self.assertEqual(everything(self.leaving), there)

        unasked = tenant_delete(self.leaving.id)
        self.assertNotEqual(unasked.returncode, 0)
        self.assertIn("no terminal for a confirmation", unasked.stderr)
        self.assertEqual(everything(self.leaving), there)

        done = tenant_delete("--yes", self.leaving.id)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn(f"{len(there)} items deleted", done.stdout)
        self.assertEqual(everything(self.leaving), [])
        self.assertEqual(everything(self.staying), kept)

        # Later events of the deleted tenant are not delivered; those of the other tenant are.
        self.leaving.publish()
        self.staying.publish()
        self.staying.received(3)
        self.assertEqual(len(self.leaving.received(2)), 2)
        self.assertEqual(self.leaving.api("GET", "/api/core/webhooks")[1]["data"], [])

    def test_invalid_tenant_is_refused(self):
        for id in ["", "a#b", "a b", "x" * 129]:
            with self.subTest(id):
                refused = tenant_delete("--yes", "--", id)
                self.assertNotEqual(refused.returncode, 0)
                self.assertIn("is not a valid tenant id", refused.stderr)

    def test_missing_stack_is_reported(self):
        refused = tenant_delete("--yes", "--stack-name", "no-such-stack", self.staying.id)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("no-such-stack", refused.stderr)
        self.assertNotIn("Traceback", refused.stderr)


if __name__ == "__main__":
    unittest.main()
