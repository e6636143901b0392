"""What schemathesis needs beside the document: safety for strangers, a history to read, and the rules that JSON Schema cannot say."""

import ast
import json
import os
import re
import threading
import time
import urllib.request
import uuid
from urllib.parse import unquote

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData

API_URL, TOKEN = os.environ["ANZOL_API_URL"], os.environ["ANZOL_TOKEN"]
WEBHOOKS = "/api/core/webhooks"
PATIENCE = 30
"""Seconds that a call, or the way of an event to the history, may take."""


def api(method, path, body=None):
    """Calls the API as the tests do; answers its JSON."""
    request = urllib.request.Request(
        API_URL + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        text = answer.read()
    return json.loads(text) if text else None


# ---------------------------------------------------------------- strangers

RECEIVER = "hooks.receiver.test"
"""The local receiver. Every other name is a stranger's, whom no test may call."""

target = re.compile("")
"""The URLs that the API takes, by the document."""


def to_receiver(url):
    """A URL that the API takes, but at the receiver; any other as it is, for the API to refuse."""
    if isinstance(url, str) and target.search(url):
        return re.sub(r"^[A-Za-z]+://[^/?]+", f"https://{RECEIVER}", url)
    return url


def is_move(item):
    """Whether an operation of a patch changes the URL."""
    return isinstance(item, dict) and item.get("path") == "/url" and "value" in item


def redirect(case):
    """Sends every webhook of a request to the receiver."""
    if isinstance(case.body, dict) and "url" in case.body:
        case.body = {**case.body, "url": to_receiver(case.body["url"])}
    if isinstance(case.body, list):
        case.body = [{**item, "value": to_receiver(item["value"])} if is_move(item) else item for item in case.body]


def is_ascii(case):
    """Whether all names are in ASCII: the API takes those in other scripts that have a form in ASCII, which no pattern can tell."""
    urls = [case.body.get("url")] if isinstance(case.body, dict) else []
    if isinstance(case.body, list):
        urls = [item["value"] for item in case.body if is_move(item)]
    names = [re.split(r"[/?#]", url.split("://", 1)[-1], maxsplit=1)[0] for url in urls if isinstance(url, str)]
    return all(name.isascii() for name in names)


def delete_strangers(case, response):
    """Deletes at once what a hole in the document would have let through: no event may find it."""
    if case.method not in ("POST", "PUT") or "/webhooks" not in case.path or response.status_code not in (200, 201):
        return
    webhook = response.json()
    if "url" in webhook and not re.match(rf"https://{re.escape(RECEIVER)}(?:[/?]|$)", webhook["url"]):
        api("DELETE", f"{WEBHOOKS}/{webhook['id']}")


# ---------------------------------------------------------------- what there is

history = {}
"""The path parameters of a delivery that happened: no generator can think of one."""


def make_webhook(name, event_type):
    """Makes a webhook; answers its id."""
    return api("POST", WEBHOOKS, {"name": name, "url": f"https://{RECEIVER}/contract", "eventTypes": [event_type]})["id"]


def make_history():
    """Has an event delivered, and waits for it."""
    name = f"History {uuid.uuid4()}"
    event_type = "com.qlik.v1.api-key.validation.failed"
    webhook = make_webhook(name, event_type)
    event = {"specversion": "1.0", "id": name, "source": "contract", "type": event_type}
    api("POST", "/api/v1/events", event)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        rows = api("GET", f"{WEBHOOKS}/{webhook}/deliveries")["data"]
        if rows:
            return {"id": webhook, "deliveryId": rows[0]["id"]}
        time.sleep(0.1)
    raise TimeoutError(f"no delivery within {PATIENCE} s")


def find_something(case):
    """Lets requests find what they are for; those whose id is what is wrong with them, and stateful tests, go their own way."""
    parameters, meta = case.path_parameters or {}, case.meta
    if case.method == "DELETE" and parameters.get("id") == history["id"]:
        parameters["id"] = str(uuid.uuid4())
    if not meta or meta.phase.name.value == "stateful" or meta.is_negative_at(ParameterLocation.PATH):
        return
    valid = meta.generation.mode.is_positive
    if "/deliveries" in case.path and valid:
        parameters.update({name: history[name] for name in parameters})
    if case.method in ("PUT", "PATCH") and "id" in parameters:
        # A change that may succeed gets a webhook that none before it has changed.
        parameters["id"] = make_webhook("To be changed", "com.qlik.v1.automation.run.ended") if valid else history["id"]


deleted = set()
"""Base path and id of every webhook that was deleted."""


def note_deletion(case, response):
    if case.method == "DELETE" and response.status_code == 204:
        deleted.add((case.path, case.path_parameters["id"]))


def is_deleted_elsewhere(case):
    """Whether what a request is for was deleted at the other base path, which schemathesis takes for another resource."""
    return any(id == case.path_parameters.get("id") and not case.path.startswith(path) for path, id in deleted)


# ---------------------------------------------------------------- paths and queries


def is_empty(case):
    """Whether what is wrong with a query may be an empty value: `allowEmptyValue` says of each that it is not wrong."""
    meta = case.meta
    return bool(meta and meta.is_negative_at(ParameterLocation.QUERY) and "" in (case.query or {}).values())


def ends_early(case):
    """Whether an id has what would end the path: the gateway hands paths on without escapes, so these are requests for other paths."""
    return any(mark in unquote(str(value)) for value in (case.path_parameters or {}).values() for mark in "?#")


def begin_at_the_start(case):
    """Takes generated cursors out of valid requests: a cursor is sealed, and can only be taken from a link of the same list."""
    if case.meta and case.meta.generation.mode.is_positive and case.query:
        case.query.pop("next", None)
        case.query.pop("prev", None)


# ---------------------------------------------------------------- credentials


def sign_in(case):
    """Lets the document's example of client credentials be those of a client that there is."""
    if case.path == "/oauth/token" and case.meta and case.meta.phase.name.value == "examples":
        with open(os.environ["ANZOL_STACK"], encoding="utf-8") as file:
            client = json.load(file)["clients"]["platform.publisher"]
        case.body = {**case.body, "client_id": client["id"], "client_secret": client["secret"]}


# ---------------------------------------------------------------- rules

WRITES, HEADERS, ANY = ("POST", "PUT", "PATCH"), ("headers", "encryptedHeaders"), None
UNSAID = [
    # Names of members that differ only in case, and bounds in bytes, of all members together or of text that is not ASCII.
    (WRITES, HEADERS, "header_duplicate"),
    (WRITES, ("encryptedHeaders",), "header_in_both"),
    (WRITES, HEADERS, "headers_max_bytes"),
    (WRITES, ("url",), "max_bytes"),
    (WRITES, ("filter",), "max_length"),
    # Whether a text of one member fits the list that is another.
    (WRITES, ("filter",), "filter_status_only"),
    # What time it is.
    (("POST",), ("since",), "max_age"),
    (("POST",), ("since",), "not_in_future"),
    # Whether a test fits the webhook as it is stored.
    (("POST",), ("eventType",), "event_type_of_webhook"),
    (("POST",), ("eventTypes",), "no_event_types"),
    # Attributes that an event repeats under names in any case; the spelling of numbers; the number of members.
    (("POST",), ("extensions",), "must_equal"),
    (("POST",), ANY, "hop_count"),
    (("POST",), ANY, "integer"),
    (("POST",), ("event", "extensions"), "max_members"),
    # Whether a patch fits the webhook as it is stored.
    (("PATCH",), ANY, "patch_not_applicable"),
    (("PATCH",), ("eventTypes",), "event_type_required"),
    (("PATCH",), ("eventTypes",), "event_type_not_at_level"),
    (("PATCH",), ("encryptedHeaders",), "header_value_required"),
]
"""Rules that may refuse a request with 400 although it fits its schema: methods, members, and the rule's code."""


def member_of(field):
    """The member that a field is in: `headers` of `headers.X-Key`, `extensions` of `[2].extensions.userId`."""
    return re.split(r"[.\[]", re.sub(r"^\[\d+\]\.?", "", field))[0]


def is_unsaid(method, error):
    """Whether JSON Schema has no words for the rule of an error."""
    rule, member = error["rule"], member_of(error.get("field", ""))
    return any(
        rule == code and method in methods and (members is ANY or member in members) for methods, members, code in UNSAID
    )


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Ignores the refusal of valid data when JSON Schema has no words for the rule of any error in it; and the absence of a webhook that
    was deleted under the other base path."""
    if isinstance(failure, EnsureResourceAvailability):
        return not is_deleted_elsewhere(case)
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 400:
        return True
    return not all(is_unsaid(case.method, error) for error in response.json()["errors"])


# ---------------------------------------------------------------- start

# CPython miscounts its own depth when two threads parse at once, and fails (python/cpython#106905, in 3.11 and 3.12 at first); the
# generators of each worker parse.
parsing = threading.Lock()
parse_alone = ast.parse


def parse(*arguments, **options):
    """`ast.parse`, one at a time."""
    with parsing:
        return parse_alone(*arguments, **options)


ast.parse = parse


@schemathesis.hook
def before_load_schema(context, raw_schema):
    global target
    # The same schema in another media type would be the same tests again; that each is read, tests/it says.
    for path in raw_schema["paths"].values():
        for operation in path.values():
            content = operation.get("requestBody", {}).get("content", {})
            schemas = [media_type["schema"] for media_type in content.values()]
            for index, name in reversed(list(enumerate(content))):
                if schemas[index] in schemas[:index]:
                    del content[name]
    target = re.compile(raw_schema["components"]["schemas"]["WebhookCreation"]["properties"]["url"]["pattern"])
    history.update(make_history())


@schemathesis.hook
def before_call(context, case, kwargs):
    redirect(case)
    find_something(case)
    begin_at_the_start(case)
    sign_in(case)


@schemathesis.hook
def filter_case(context, case):
    return is_ascii(case) and not is_empty(case) and not ends_early(case)


@schemathesis.hook
def after_call(context, case, response):
    delete_strangers(case, response)
    note_deletion(case, response)
