"""Runs the example producers of infra/examples; each event has to arrive at the webhook of its tenant."""

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
        # The whole workspace is selected, as in all suites, so that cargo resolves the same features and compiles nothing again.
        build = [os.environ.get("CARGO", "cargo"), "build", "--quiet", "--locked", "--workspace", "--example", "produce"]
        subprocess.run(build, cwd=ROOT, check=True)
        variables = {**os.environ, **ENVIRONMENT, "QUEUE_URL": STACK["queues"]["events"], "TENANT_ID": self.tenant.id}
        done = subprocess.run([ROOT / "target/debug/examples/produce"], env=variables, capture_output=True, text=True, check=False)
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
        without_tenant = {"order": 8}  # the rule ignores it
        entries = [{"Source": name, "DetailType": "OrderPlaced", "Detail": json.dumps(each)} for each in (without_tenant, detail)]
        answer = events.put_events(Entries=entries)
        self.assertEqual(answer["FailedEntryCount"], 0)
        self.arrives(answer["Entries"][1]["EventId"], name, detail)


if __name__ == "__main__":
    unittest.main()
