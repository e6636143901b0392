"""Hooks for schemathesis: keep requests on this machine, create data to read, and accept refusals that JSON Schema cannot express."""

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
TIMEOUT = 30
"""Seconds for a call, and for an event to appear in the history."""


def api(method, path, body=None):
    """Calls the API and returns its JSON."""
    request = urllib.request.Request(
        API_URL + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        text = answer.read()
    return json.loads(text) if text else None


# ---------------------------------------------------------------- foreign hosts

RECEIVER = "hooks.receiver.test"
"""The host name of the local receiver. No test may call another host."""

urls = {"accepted": re.compile("")}
"""Pattern of the URLs that the API accepts, from the document."""


def to_receiver(url):
    """Replaces the host of a URL that the API accepts by the receiver; any other URL is unchanged, and the API has to refuse it."""
    if isinstance(url, str) and urls["accepted"].search(url):
        return re.sub(r"^[A-Za-z]+://[^/?]+", f"https://{RECEIVER}", url)
    return url


def is_move(item):
    """Returns whether an operation of a patch changes the URL."""
    return isinstance(item, dict) and item.get("path") == "/url" and "value" in item


def redirect(case):
    """Changes the webhook of a request to the receiver."""
    if isinstance(case.body, dict) and "url" in case.body:
        case.body = {**case.body, "url": to_receiver(case.body["url"])}
    if isinstance(case.body, list):
        case.body = [{**item, "value": to_receiver(item["value"])} if is_move(item) else item for item in case.body]


def is_ascii(case):
    """Returns whether all host names are ASCII. The API accepts others if they have an ASCII form, which no pattern can express."""
    given = [case.body.get("url")] if isinstance(case.body, dict) else []
    if isinstance(case.body, list):
        given = [item["value"] for item in case.body if is_move(item)]
    names = [re.split(r"[/?#]", url.split("://", 1)[-1], maxsplit=1)[0] for url in given if isinstance(url, str)]
    return all(name.isascii() for name in names)


def delete_foreign(case, response):
    """Deletes a webhook to another host, which only a gap in the document can create, before any event matches it."""
    if case.method not in ("POST", "PUT") or "/webhooks" not in case.path or response.status_code not in (200, 201):
        return
    webhook = response.json()
    if "url" in webhook and not re.match(rf"https://{re.escape(RECEIVER)}(?:[/?]|$)", webhook["url"]):
        api("DELETE", f"{WEBHOOKS}/{webhook['id']}")


# ---------------------------------------------------------------- existing resources

history = {}
"""Path parameters of an existing delivery, which no generator can guess."""


def make_webhook(name, event_type):
    """Creates a webhook and returns its id."""
    return api("POST", WEBHOOKS, {"name": name, "url": f"https://{RECEIVER}/contract", "eventTypes": [event_type]})["id"]


def make_history():
    """Publishes an event and waits for its delivery."""
    name = f"History {uuid.uuid4()}"
    event_type = "com.qlik.v1.api-key.validation.failed"
    webhook = make_webhook(name, event_type)
    event = {"specversion": "1.0", "id": name, "source": "contract", "type": event_type}
    api("POST", "/api/v1/events", event)
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        rows = api("GET", f"{WEBHOOKS}/{webhook}/deliveries")["data"]
        if rows:
            return {"id": webhook, "deliveryId": rows[0]["id"]}
        time.sleep(0.1)
    raise TimeoutError(f"no delivery within {TIMEOUT} s")


def use_existing_ids(case):
    """Gives requests the ids of existing resources, except in stateful tests and where an invalid id is the test."""
    parameters, meta = case.path_parameters or {}, case.meta
    if case.method == "DELETE" and parameters.get("id") == history["id"]:
        parameters["id"] = str(uuid.uuid4())
    if not meta or meta.phase.name.value == "stateful" or meta.is_negative_at(ParameterLocation.PATH):
        return
    valid = meta.generation.mode.is_positive
    if "/deliveries" in case.path and valid:
        parameters.update({name: history[name] for name in parameters})
    if case.method in ("PUT", "PATCH") and "id" in parameters:
        # A valid change gets a new webhook, which no earlier change has modified.
        parameters["id"] = make_webhook("To be changed", "com.qlik.v1.automation.run.ended") if valid else history["id"]


deleted = set()
"""Base path and id of each deleted webhook."""


def note_deletion(case, response):
    if case.method == "DELETE" and response.status_code == 204:
        deleted.add((case.path, case.path_parameters["id"]))


def is_deleted_elsewhere(case):
    """Returns whether the webhook was deleted at the other base path, which schemathesis considers another resource."""
    return any(id == case.path_parameters.get("id") and not case.path.startswith(path) for path, id in deleted)


# ---------------------------------------------------------------- paths and queries


def is_empty(case):
    """Returns whether an invalid query has an empty value, which `allowEmptyValue` makes valid for every parameter."""
    meta = case.meta
    return bool(meta and meta.is_negative_at(ParameterLocation.QUERY) and "" in (case.query or {}).values())


def ends_early(case):
    """Returns whether an id contains a character that terminates the path: the gateway decodes paths, so another path is requested."""
    return any(mark in unquote(str(value)) for value in (case.path_parameters or {}).values() for mark in "?#")


def remove_generated_cursors(case):
    """Removes generated cursors from valid requests: cursors are sealed, so only links of the same list have valid ones."""
    if case.meta and case.meta.generation.mode.is_positive and case.query:
        case.query.pop("next", None)
        case.query.pop("prev", None)


# ---------------------------------------------------------------- credentials


def sign_in(case):
    """Replaces the client credentials in the document's example by those of an existing client."""
    if case.path == "/oauth/token" and case.meta and case.meta.phase.name.value == "examples":
        with open(os.environ["ANZOL_STACK"], encoding="utf-8") as file:
            client = json.load(file)["clients"]["platform.publisher"]
        case.body = {**case.body, "client_id": client["id"], "client_secret": client["secret"]}


# ---------------------------------------------------------------- rules

WRITES, HEADERS, ANY = ("POST", "PUT", "PATCH"), ("headers", "encryptedHeaders"), None
INEXPRESSIBLE = [
    # Names of members that differ only in case, and bounds in bytes, of all members together or of text that is not ASCII.
    (WRITES, HEADERS, "header_duplicate"),
    (WRITES, ("encryptedHeaders",), "header_in_both"),
    (WRITES, HEADERS, "headers_max_bytes"),
    (WRITES, ("url",), "url_max_bytes"),
    (WRITES, ("filter",), "filter_max_length"),
    # Whether the filter fits the event types of the webhook.
    (WRITES, ("filter",), "filter_status_only"),
    # Depends on the current time.
    (("POST",), ("since",), "max_age"),
    (("POST",), ("since",), "not_in_future"),
    # Whether a test event fits the stored webhook.
    (("POST",), ("eventType",), "event_type_of_webhook"),
    (("POST",), ("eventTypes",), "no_event_types"),
    # Attributes that an event repeats under names in any case; the spelling of numbers; the number of members.
    (("POST",), ("extensions",), "must_equal"),
    (("POST",), ANY, "hop_count"),
    (("POST",), ANY, "integer"),
    (("POST",), ("event", "extensions"), "max_members"),
    # Whether a patch fits the stored webhook.
    (("PATCH",), ANY, "patch_not_applicable"),
    (("PATCH",), ("eventTypes",), "event_type_required"),
    (("PATCH",), ("eventTypes",), "event_type_not_at_level"),
    (("PATCH",), ("encryptedHeaders",), "header_value_required"),
]
"""Rules that may refuse a request with 400 although it fits its schema: methods, members, and the rule's code."""


def member_of(field):
    """Returns the member that contains a field: `headers` of `headers.X-Key`, `extensions` of `[2].extensions.userId`."""
    return re.split(r"[.\[]", re.sub(r"^\[\d+\]\.?", "", field))[0]


def is_inexpressible(method, error):
    """Returns whether JSON Schema cannot express the rule of an error."""
    rule, member = error["rule"], member_of(error.get("field", ""))
    return any(rule == code and method in methods and (members is ANY or member in members) for methods, members, code in INEXPRESSIBLE)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Ignores the refusal of valid data if JSON Schema cannot express its rules, and webhooks deleted under the other base path."""
    if isinstance(failure, EnsureResourceAvailability):
        return not is_deleted_elsewhere(case)
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 400:
        return True
    return not all(is_inexpressible(case.method, error) for error in response.json()["errors"])


# ---------------------------------------------------------------- start

# CPython's parser fails when two threads parse concurrently (python/cpython#106905, in early releases of 3.11 and 3.12), and the
# generators of all workers parse.
parsing = threading.Lock()
parse_alone = ast.parse


def parse(*arguments, **options):
    """Calls `ast.parse` in one thread at a time."""
    with parsing:
        return parse_alone(*arguments, **options)


ast.parse = parse


@schemathesis.hook
def before_load_schema(context, raw_schema):
    # Media types with the same schema would repeat the same tests; tests/it covers each of them.
    for path in raw_schema["paths"].values():
        for operation in path.values():
            content = operation.get("requestBody", {}).get("content", {})
            schemas = [media_type["schema"] for media_type in content.values()]
            for index, name in reversed(list(enumerate(content))):
                if schemas[index] in schemas[:index]:
                    del content[name]
    urls["accepted"] = re.compile(raw_schema["components"]["schemas"]["WebhookCreation"]["properties"]["url"]["pattern"])
    history.update(make_history())


@schemathesis.hook
def before_call(context, case, kwargs):
    redirect(case)
    use_existing_ids(case)
    remove_generated_cursors(case)
    sign_in(case)


@schemathesis.hook
def filter_case(context, case):
    return is_ascii(case) and not is_empty(case) and not ends_early(case)


@schemathesis.hook
def after_call(context, case, response):
    delete_foreign(case, response)
    note_deletion(case, response)
