"""What the tests of operation start from: the stack of ANZOL_STACK, tenants of their own on it, and patience."""

import base64
import json
import os
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

ROOT = Path(__file__).parents[2]
DESCRIPTION = Path(os.environ.get("ANZOL_STACK", ROOT / "target/local/stack.json"))
STACK = json.loads(DESCRIPTION.read_text())
# Of functions that are run by hand; beside the description, as `cargo xtask up` writes it.
FUNCTIONS_ENV = DESCRIPTION.with_name("functions.env")
WEBHOOKS = "/api/core/webhooks"
APP_CREATED = "com.qlik.v1.app.created"
# The local cloud's root user; with the endpoint, all that any program needs to reach it.
ENVIRONMENT = {
    "AWS_ENDPOINT_URL": STACK["awsEndpointUrl"],
    "AWS_REGION": STACK["region"],
    "AWS_DEFAULT_REGION": STACK["region"],
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def aws(service, kind=boto3.client):
    return kind(
        service,
        endpoint_url=STACK["awsEndpointUrl"],
        region_name=STACK["region"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(proxies={}),
    )


def outputs():
    [stack] = aws("cloudformation").describe_stacks(StackName="anzol")["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def call(method, url, body=None, **headers):
    """Status and JSON of an answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json", **headers})
    try:
        with _direct.open(request, timeout=30) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    return status, json.loads(text) if text else None


def api(token, method, path, body=None):
    # By the API's id in the path: not every resolver knows names under localhost.
    place = urlsplit(STACK["apiUrl"])
    base = f"http://localhost:{place.port}/_aws/execute-api/{place.hostname.split('.')[0]}"
    return call(method, base + path, body, Authorization=f"Bearer {token}")


class Tenant:
    """A tenant that nobody else uses, and the token of its administrator."""

    def __init__(self, name):
        self.id = f"{name}-{uuid.uuid4().hex[:12]}"
        made, password, cognito = outputs(), "Of-the-tests-1", aws("cognito-idp")
        pool = made["UserPoolId"]
        attributes = [{"Name": "custom:tenantId", "Value": self.id}]
        cognito.admin_create_user(UserPoolId=pool, Username=self.id, MessageAction="SUPPRESS", UserAttributes=attributes)
        cognito.admin_set_user_password(UserPoolId=pool, Username=self.id, Password=password, Permanent=True)
        cognito.admin_add_user_to_group(UserPoolId=pool, Username=self.id, GroupName="TenantAdmin")
        answer = cognito.initiate_auth(
            ClientId=made["UserPoolClientId"],
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": self.id, "PASSWORD": password},
        )
        self.token = answer["AuthenticationResult"]["IdToken"]

    def api(self, method, path, body=None):
        return api(self.token, method, path, body)

    def webhook(self, path=None):
        """Registers one that hears of new apps, and answers it."""
        url = f"{STACK['receiver']['url']}{path or self.path}"
        status, webhook = self.api("POST", WEBHOOKS, {"name": "Test", "url": url, "eventTypes": [APP_CREATED]})
        assert status == 201, webhook
        return webhook

    @property
    def path(self):
        """Of its webhooks at the receiver."""
        return f"/{self.id}"

    def publish(self, **members):
        event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "tests", "type": APP_CREATED, "data": {"id": "app-1"}, **members}
        status, answer = self.api("POST", "/api/v1/events", event)
        assert status == 202, answer

    def received(self, count):
        """The JSON bodies that the receiver got for it, once there are `count` of them."""
        def read():
            _, requests = call("GET", f"{STACK['receiver']['controlUrl']}/requests?path={self.path}")
            bodies = [json.loads(base64.b64decode(request["bodyBase64"])) for request in requests]
            return bodies if len(bodies) >= count else None

        return eventually(read, f"{count} requests at {self.path}")

    def history(self, webhook, count):
        """The webhook's history, once it has `count` rows."""

        def read():
            _, page = self.api("GET", f"{WEBHOOKS}/{webhook['id']}/deliveries")
            return page["data"] if len(page["data"]) >= count else None

        return eventually(read, f"{count} rows of history")


def eventually(read, what, patience=60):
    """What `read` answers, once it answers something."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := read():
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {patience} s: {what}")


def items(table, needle):
    """Every item of a table that mentions the text in its keys."""
    scan = aws("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return [item for page in scan for item in page["Items"] if needle in item["pk"]["S"] + item["sk"]["S"]]
