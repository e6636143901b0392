"""Runs functions by hand with `cargo lambda watch` and `cargo lambda invoke`, and the events of tests/events."""

import base64
import json
import os
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

from stack import FUNCTIONS_ENV, ROOT, Tenant, eventually

EVENTS = ROOT / "tests/events"
# Seconds for a call, which may have to wait for a build on a busy machine.
TIMEOUT = 900


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


class Invoke(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Removes the user's AWS settings, such as a profile.
        cls.environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CARGO_PKG_"))}
        cls.port = free_port()
        cls.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by a cleanup)
        cls.addClassCleanup(cls.log.close)
        command = ["cargo", "lambda", "watch", "--env-file", str(FUNCTIONS_ENV), "--ignore-changes"]
        command += ["--features", "anzol-api/local,anzol-sender/local", "--invoke-address", "127.0.0.1", "--invoke-port", cls.port]
        # Runs in the process group of the tests, so that it stops with them. It stops its functions itself.
        cls.watch = subprocess.Popen(command, cwd=ROOT, env=cls.environment, stdout=cls.log, stderr=subprocess.STDOUT)
        cls.addClassCleanup(cls.stop)
        eventually(cls.listens, "cargo lambda watch listens")

    @classmethod
    def stop(cls):
        cls.watch.terminate()
        try:
            cls.watch.wait(10)
        except subprocess.TimeoutExpired:
            cls.watch.kill()
            cls.watch.wait()

    @classmethod
    def listens(cls):
        if cls.watch.poll() is not None:
            raise AssertionError(f"cargo lambda watch exited: {cls.output()}")
        with socket.socket() as caller:
            return caller.connect_ex(("127.0.0.1", int(cls.port))) == 0

    @classmethod
    def output(cls):
        cls.log.seek(0)
        return cls.log.read()[-4000:]

    def invoke(self, function, file=None):
        file = file or EVENTS / f"{function}.json"
        command = ["cargo", "lambda", "invoke", "--invoke-address", "127.0.0.1", "--invoke-port", self.port]
        command += [function, "--data-file", str(file)]
        try:
            done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            self.fail(f"{function} does not answer: {self.output()}")
        self.assertEqual(done.returncode, 0, f"{done.stderr}\n{self.output()}")
        return json.loads(done.stdout)

    def http(self, function, status):
        answer = self.invoke(function)
        self.assertEqual(answer["statusCode"], status, answer)
        return answer

    def test_api(self):
        listed = json.loads(self.http("api", 200)["body"])
        self.assertIsInstance(listed["data"], list)
        self.assertIn("/api/core/webhooks", listed["links"]["self"]["href"])

    def test_console(self):
        answer = self.http("console", 200)
        body = base64.b64decode(answer["body"]).decode() if answer["isBase64Encoded"] else answer["body"]
        self.assertIn("<!doctype html>", body.lower())

    def test_ingest(self):
        accepted = json.loads(self.http("ingest", 202)["body"])
        self.assertEqual(accepted["accepted"], 1)

    def test_fanout(self):
        self.assertEqual(self.invoke("fanout"), {"batchItemFailures": []})

    def test_sender_acknowledges_messages_without_webhook(self):
        self.assertEqual(self.invoke("sender"), {"batchItemFailures": []})

    def test_sender_sends(self):
        tenant = Tenant("by-hand")
        webhook = tenant.webhook()
        event = json.loads((EVENTS / "sender.json").read_text())
        message = json.loads(event["Records"][0]["body"])
        message["task"].update(tenantId=tenant.id, webhookId=webhook["id"])
        event["Records"][0]["body"] = json.dumps(message)
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory, "event.json")
            file.write_text(json.dumps(event))
            self.assertEqual(self.invoke("sender", file), {"batchItemFailures": []})
        self.assertEqual(tenant.received(1)[0]["id"], "by-hand-3")


if __name__ == "__main__":
    unittest.main()
