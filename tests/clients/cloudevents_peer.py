"""Tests with the CloudEvents SDK for Python as a producer, in all three content modes, and as a receiver of the deliveries.

Needs `infra/local/requirements-clients.txt` and a running stack: `ANZOL_STACK=…/stack.json python -m unittest cloudevents_peer`. Section
numbers refer to CloudEvents 1.0.2: its HTTP protocol binding and its JSON format.
"""

import base64
import json
import os
import time
import unittest
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_binary_event, to_structured_event
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1 import conversion
from cloudevents.v1.http import CloudEvent as FirstEvent
from cloudevents.v1.http import from_http

STACK = json.loads(Path(os.environ.get("ANZOL_STACK", Path(__file__).parents[2] / "target/local/stack.json")).read_text())
TENANT = STACK["tenants"]["globex"]
TOKEN = STACK["tokens"]["globex.admin"]
# No other suite counts events of this type.
TYPE = "com.qlik.v1.app.data.updated"
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
# Text that is hard to encode in a header: spaces, quotation marks, percent signs, characters of two, three and four bytes.
HARD = 'say "hello world": 100% of %41, \\, é, 漢字, 😀'
TIME = datetime(2026, 11, 28, 9, 30, 0, 125, timezone.utc)

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(method, url, headers=None, body=None):
    """Sends a request and returns the status and JSON of the response."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with _direct.open(request, timeout=30) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    return status, json.loads(text) if text else None


def api(method, path, headers, body=None):
    # This URL has the API's id in its path, because not every resolver knows names under localhost.
    url = urlsplit(STACK["apiUrl"])
    base = f"http://localhost:{url.port}/_aws/execute-api/{url.hostname.split('.')[0]}"
    return call(method, base + path, {**headers, "Authorization": f"Bearer {TOKEN}"}, body)


def send(message):
    # Without a content type, urllib would declare a form.
    return api("POST", "/api/v1/events", {"Content-Type": "", **message.headers}, message.body)


def create(data=None, /, **attributes):
    return CloudEvent({"id": f"event-{uuid.uuid4()}", "source": "/tests/clients", "type": TYPE, "time": TIME, **attributes}, data)


def eventually(read, what, timeout=20):
    deadline = time.monotonic() + timeout
    while not (found := read()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.1)
    return found


def compact(value, escaped=True):
    """Returns Python's JSON without spaces between tokens, which are not transmitted; `escaped` applies to non-ASCII characters."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=escaped)


def as_sent(event):
    """Returns the expected delivery of an event: without null attributes (JSON format, 2.2), and with two that Anzol adds."""
    written = {name: value for name, value in event.items() if value is not None or name == "data"}
    return {**written, "tenantid": TENANT, "anzolhop": 1}


def written(event):
    """Returns the JSON that the SDK writes for an event."""
    return json.loads(to_structured_event(event).body)


def batch(events):
    """Returns a batch: the array of the SDK's JSON of each event, because the SDK has no batch mode."""
    bodies = [event if isinstance(event, bytes) else to_structured_event(event).body for event in events]
    return HTTPMessage({"content-type": BATCH}, b"[" + b", ".join(bodies) + b"]")


class Delivery:
    """A request that the receiver got."""

    def __init__(self, request):
        self.body = base64.b64decode(request["bodyBase64"])
        self.event = json.loads(self.body)
        self.message = HTTPMessage(request["headers"], self.body)


class Peer(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.pure, cls.hybrid = (f"{name}-{uuid.uuid4().hex[:12]}" for name in ("cloudevents-py", "hybrid-py"))
        for name in (cls.pure, cls.hybrid):
            url = f"{STACK['receiver']['url']}/{name}"
            request = {"name": name, "url": url, "eventTypes": [TYPE], "enableCloudEventDelivery": name == cls.pure}
            status, webhook = api("POST", "/api/core/webhooks", {"Content-Type": "application/json"}, json.dumps(request).encode())
            assert status == 201, webhook
            cls.addClassCleanup(api, "DELETE", f"/api/core/webhooks/{webhook['id']}", {})

    def publish(self, message, count=1):
        status, answer = send(message)
        self.assertEqual((status, answer.get("accepted")), (202, count), answer)

    def publish_all(self, messages):
        with ThreadPoolExecutor(5) as pool:
            for _ in pool.map(self.publish, messages):
                pass

    def refused(self, message):
        """Sends a message that has to be refused, and returns the fields and rules of the errors."""
        status, answer = send(message)
        self.assertEqual(status, 400, answer)
        return "; ".join(f"{error['field']} {error['rule']}" for error in answer["errors"])

    def arrived(self, id, name=None):
        path = f"/{name or self.pure}"

        def look():
            _, requests = call("GET", f"{STACK['receiver']['controlUrl']}/requests?path={path}")
            return next((found for found in map(Delivery, requests) if found.event["id"] == id), None)

        return eventually(look, f"delivery of {id}")

    def says(self, delivery, expected, escaped=True):
        """Checks that a delivery is exactly this event, both as JSON and as the SDK reads it."""
        self.assertEqual(delivery.event, expected)
        if "data" in expected:
            self.assertIn(f'"data":{compact(expected["data"], escaped)}'.encode(), delivery.body)
        # Payloads are sent as application/json, as Qlik does. The SDK treats every request without ce- headers as structured.
        self.assertEqual(delivery.message.headers["content-type"], "application/json")
        event = from_http_event(delivery.message)
        self.assertEqual(event.get_time(), datetime.fromisoformat(expected["time"].replace("Z", "+00:00")))
        data = base64.b64decode(expected["data_base64"]) if "data_base64" in expected else expected.get("data")
        self.assertEqual(event.get_data(), data)
        others = {name: value for name, value in expected.items() if name not in ("time", "data", "data_base64")}
        self.assertEqual({name: value for name, value in event.get_attributes().items() if name != "time"}, others)

    @staticmethod
    def events():
        return {
            "an object": create({"a": [1, -2.5e-7, None, True], "b": {"c": HARD}, "é": "\u2028\u0001"}),
            "an array": create([1, "two", [3], None]),
            "a string": create(HARD, datacontenttype="application/json"),
            "an empty string": create("", datacontenttype="text/plain"),
            "a number": create(12.5),
            "zero": create(0),
            "false": create(False),
            "no data": create(),
            "plain text": create(f"{HARD}\r\n", datacontenttype="text/plain; charset=utf-8"),
            "XML": create('<?xml version="1.0"?>\n<a b="1">é &amp; 漢字</a>', datacontenttype="application/xml"),
            "binary": create(bytes([0, 255, 195, 40, 10, 13]), datacontenttype="application/octet-stream"),
            "hard text": create(
                {"a": HARD},
                id=f"{HARD} {uuid.uuid4()}",
                source=HARD,
                subject=HARD,
                myown=HARD,
                dataschema="https://schemas.example/%C3%A9?a=%20b",
            ),
            "extensions": create(text="x", whole=2147483647, yes=True, no=False, zero=0, day=TIME + timedelta(days=1)),
            "a time to the microsecond": create(time=datetime(2026, 11, 28, 10, 30, 0, 123456, timezone(timedelta(hours=1)))),
        }

    def test_structured(self):
        events = self.events()
        self.publish_all(map(to_structured_event, events.values()))
        for name, event in events.items():
            with self.subTest(name):
                self.says(self.arrived(event.get_id()), as_sent(written(event)))

    def test_k5a_structured_attributes_that_are_null_are_not_set(self):
        # The SDK accepts None for extensions only; the other attributes are set to null by hand.
        event = create({"a": None}, myown=None, tenantid=None)
        self.assertIn(b'"myown": null', to_structured_event(event).body)
        by_hand = {**written(create()), **dict.fromkeys(["subject", "dataschema", "datacontenttype", "tenantid", "data"])}
        for members in (written(event), by_hand):
            self.publish(HTTPMessage({"content-type": STRUCTURED}, json.dumps(members).encode()))
            self.says(self.arrived(members["id"]), as_sent(members))

    def test_k5a_structured_time_that_is_null_is_now(self):
        members, before = {**written(create()), "time": None}, datetime.now(timezone.utc)
        self.publish(HTTPMessage({"content-type": STRUCTURED}, json.dumps(members).encode()))
        delivery = self.arrived(members["id"])
        event = from_http_event(delivery.message)
        self.assertLess(abs(event.get_time() - before), timedelta(seconds=10))
        self.assertEqual(delivery.event, {**as_sent(members), "time": delivery.event["time"]})

    def test_k5b_structured_is_read_from_its_body(self):
        event, other = create({"of": "the body"}), create({"of": "the headers"}, subject="of the headers")
        message = to_structured_event(event)
        self.publish(HTTPMessage({**to_binary_event(other).headers, **message.headers}, message.body))
        self.says(self.arrived(event.get_id()), as_sent(written(event)))

    def test_k5d_structured_data_of_both_kinds_is_refused(self):
        for members in ({"data": 1, "data_base64": "AA=="}, {"data_base64": "not base64!"}):
            body = json.dumps({**written(create()), **members}).encode()
            self.assertIn("data_base64", self.refused(HTTPMessage({"content-type": STRUCTURED}, body)))

    def test_binary(self):
        events = self.events()
        # The SDK writes JSON only for a dict; other JSON values are written into the body by hand.
        loose = {"an array", "a string"}
        messages = {name: to_binary_event(event) for name, event in events.items()}
        for name in loose:
            body = json.dumps(events[name].get_data()).encode()
            messages[name] = HTTPMessage(messages[name].headers, body)
        # The SDK writes Python's spelling, which is not JSON.
        self.assertEqual(messages["false"].body, b"False")
        del events["false"], messages["false"]
        self.publish_all(messages.values())
        for name, event in events.items():
            with self.subTest(name):
                # Headers are text without types.
                expected = {
                    attribute: value if isinstance(value, str) or attribute == "data" else str(value)
                    for attribute, value in written(event).items()
                }
                if expected.get("data") == "":
                    del expected["data"]  # an empty body means no data
                # JSON is forwarded unchanged; other text is encoded by Anzol.
                is_text = name in {"plain text", "XML"}
                self.says(self.arrived(event.get_id()), as_sent(expected), escaped=not is_text)

    def test_k5c_binary_quoted_values_are_unquoted_then_decoded(self):
        cases = {
            '"hello world"': "hello world",
            "hello world": "hello world",
            '"say \\"hello\\", \\\\o/"': 'say "hello", \\o/',
            '"caf%C3%A9 100%25 %22"': 'café 100% "',
            '"%2522"': "%22",
            "%22hello%20world%22": '"hello world"',
            # The SDK's encoding of a value that contains quotation marks.
            to_binary_event(create(subject='"hello world"')).headers["ce-subject"]: '"hello world"',
        }
        for value, subject in cases.items():
            event = create()
            message = to_binary_event(event)
            self.publish(HTTPMessage({**message.headers, "ce-subject": value, "ce-myown": value}, message.body))
            with self.subTest(value):
                self.says(self.arrived(event.get_id()), as_sent({**written(event), "subject": subject, "myown": subject}))

    def test_binary_body_that_is_not_json_is_refused(self):
        for data in ("just text", ["a", "list"], False):
            message = to_binary_event(create(data, datacontenttype="application/json"))
            self.assertEqual(self.refused(message), "body json")

    def test_batch(self):
        events = self.events()
        self.publish(batch(events.values()), len(events))
        for name, event in events.items():
            with self.subTest(name):
                self.says(self.arrived(event.get_id()), as_sent(written(event)))

    def test_k5a_batch_attributes_that_are_null_are_not_set(self):
        events = [written(create(1, myown=None)), {**written(create()), "subject": None, "tenantid": None}]
        self.publish(batch([json.dumps(event).encode() for event in events]), len(events))
        for event in events:
            self.says(self.arrived(event["id"]), as_sent(event))

    def test_k5a_batch_null_where_a_value_is_needed_is_refused(self):
        bad = json.dumps({**written(create()), "source": None}).encode()
        self.assertIn("[1].source", self.refused(batch([create(), bad])))

    def test_k5b_batch_is_read_from_its_body(self):
        events = [create(1), create(2)]
        message = batch(events)
        self.publish(HTTPMessage({**to_binary_event(create()).headers, **message.headers}, message.body), len(events))
        for event in events:
            self.says(self.arrived(event.get_id()), as_sent(written(event)))

    def test_hybrid_is_rejected_by_the_sdk(self):
        event = create({"a": 1}, subject=HARD)
        self.publish(to_structured_event(event))
        delivery = self.arrived(event.get_id(), self.hybrid)
        for name, value in as_sent(written(event)).items():
            self.assertEqual(delivery.event[name], value)
        # Legacy names have capital letters, which CloudEvents does not allow; such receivers use enableCloudEventDelivery.
        with self.assertRaisesRegex(CloudEventValidationError, "eventId"):
            from_http_event(delivery.message)

    def test_first_api(self):
        """Tests the API of releases before 2.0, which the package still contains and most code still uses."""
        attributes = {"source": "/tests/clients", "type": TYPE, "time": "2026-11-28T09:30:00Z", "subject": "hello world"}
        for convert in (conversion.to_structured, conversion.to_binary):
            with self.subTest(convert.__name__):
                event = FirstEvent({**attributes, "datacontenttype": "application/json"}, {"a": [HARD, None]})
                headers, body = convert(event)
                self.publish(HTTPMessage(headers, body))
                pure = self.arrived(event["id"])
                self.assertEqual(pure.event, as_sent({**event.get_attributes(), "data": event.get_data()}))
                # This API also reads the hybrid form, because it converts names to lower case.
                for delivery in (pure, self.arrived(event["id"], self.hybrid)):
                    found = from_http(delivery.message.headers, delivery.body)
                    self.assertEqual(found.get_data(), event.get_data())
                    for name, value in as_sent(event.get_attributes()).items():
                        self.assertEqual(found[name], value)


if __name__ == "__main__":
    unittest.main()
