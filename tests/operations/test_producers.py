"""Every way in but HTTP, as infra/examples shows it: each event arrives at the receiver of its tenant's webhook."""

import importlib.util
import json
import os
import subprocess
import unittest

from stack import APP_CREATED, ENVIRONMENT, ROOT, STACK, Tenant, aws, eventually, outputs

EXAMPLES = ROOT / "infra/examples"


class Producers(unittest.TestCase):
    def setUp(self):
        self.tenant = Tenant("producing")
        self.tenant.webhook()

    def arrives(self, id, source, data):
        [event] = self.tenant.received(1)
        self.assertEqual((event["id"], event["source"], event["type"]), (id, source, APP_CREATED))
        self.assertEqual(event["data"], data)

    def test_python(self):
        spec = importlib.util.spec_from_file_location("produce", EXAMPLES / "produce.py")
        produce = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(produce)
        id = produce.publish(aws("sqs"), STACK["queues"]["events"], self.tenant.id, APP_CREATED, {"id": "from-python"})
        self.arrives(id, "my/system", {"id": "from-python"})

    def test_rust(self):
        command = [os.environ.get("CARGO", "cargo"), "run", "--quiet", "--locked", "-p", "anzol-tests", "--example", "produce"]
        variables = {**os.environ, **ENVIRONMENT, "QUEUE_URL": STACK["queues"]["events"], "TENANT_ID": self.tenant.id}
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.arrives(done.stdout.strip(), "my/system", {"id": "app-1"})

    def test_eventbridge(self):
        cloudformation, events = aws("cloudformation"), aws("events")
        name = f"from-{self.tenant.id}"
        parameters = {"EventsQueueArn": outputs()["EventsQueueArn"], "Source": name}
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=(EXAMPLES / "eventbridge.yaml").read_text(),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )
        self.addCleanup(cloudformation.delete_stack, StackName=name)

        def status():
            found = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
            return None if found.endswith("IN_PROGRESS") else found

        self.assertEqual(eventually(status, "the example is deployed"), "CREATE_COMPLETE")
        detail = {"tenantId": self.tenant.id, "order": 7, "text": 'with "quotes"'}
        nobodys = {"order": 8}  # names no tenant: the rule leaves it alone
        entries = [{"Source": name, "DetailType": "OrderPlaced", "Detail": json.dumps(each)} for each in (nobodys, detail)]
        answer = events.put_events(Entries=entries)
        self.assertEqual(answer["FailedEntryCount"], 0)
        self.arrives(answer["Entries"][1]["EventId"], name, detail)


if __name__ == "__main__":
    unittest.main()
