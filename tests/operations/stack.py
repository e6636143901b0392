"""Access to the stack that ANZOL_STACK names, and tenants for single tests."""

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
# Variables for functions that run by hand; `cargo xtask up` writes the file next to stack.json.
FUNCTIONS_ENV = DESCRIPTION.with_name("functions.env")
WEBHOOKS = "/api/core/webhooks"
APP_CREATED = "com.qlik.v1.app.created"
# The endpoint of the local cloud, and the credentials of its root user.
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
    """Sends a request and returns the status and JSON of the response."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json", **headers})
    try:
        with _direct.open(request, timeout=30) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    return status, json.loads(text) if text else None


def api(token, method, path, body=None):
    # This URL has the API's id in its path, because not every resolver knows names under localhost.
    url = urlsplit(STACK["apiUrl"])
    base = f"http://localhost:{url.port}/_aws/execute-api/{url.hostname.split('.')[0]}"
    return call(method, base + path, body, Authorization=f"Bearer {token}")


class Tenant:
    """A new tenant, with the token of its administrator."""

    def __init__(self, name):
        self.id = f"{name}-{uuid.uuid4().hex[:12]}"
        stack, password, cognito = outputs(), "Of-the-tests-1", aws("cognito-idp")
        pool = stack["UserPoolId"]
        attributes = [{"Name": "custom:tenantId", "Value": self.id}]
        cognito.admin_create_user(UserPoolId=pool, Username=self.id, MessageAction="SUPPRESS", UserAttributes=attributes)
        cognito.admin_set_user_password(UserPoolId=pool, Username=self.id, Password=password, Permanent=True)
        cognito.admin_add_user_to_group(UserPoolId=pool, Username=self.id, GroupName="TenantAdmin")
        answer = cognito.initiate_auth(
            ClientId=stack["UserPoolClientId"],
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": self.id, "PASSWORD": password},
        )
        self.token = answer["AuthenticationResult"]["IdToken"]

    def api(self, method, path, body=None):
        return api(self.token, method, path, body)

    def webhook(self, path=None):
        """Creates a webhook for new apps and returns it."""
        url = f"{STACK['receiver']['url']}{path or self.path}"
        status, webhook = self.api("POST", WEBHOOKS, {"name": "Test", "url": url, "eventTypes": [APP_CREATED]})
        assert status == 201, webhook
        return webhook

    @property
    def path(self):
        """The path of its webhooks at the receiver."""
        return f"/{self.id}"

    def publish(self, **members):
        event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "tests", "type": APP_CREATED, "data": {"id": "app-1"}, **members}
        status, answer = self.api("POST", "/api/v1/events", event)
        assert status == 202, answer

    def received(self, count):
        """Waits for `count` requests at the receiver and returns their JSON bodies."""

        def read():
            _, requests = call("GET", f"{STACK['receiver']['controlUrl']}/requests?path={self.path}")
            bodies = [json.loads(base64.b64decode(request["bodyBase64"])) for request in requests]
            return bodies if len(bodies) >= count else None

        return eventually(read, f"{count} requests at {self.path}")

    def history(self, webhook, count):
        """Waits until the webhook's history has `count` rows and returns them."""

        def read():
            _, page = self.api("GET", f"{WEBHOOKS}/{webhook['id']}/deliveries")
            return page["data"] if len(page["data"]) >= count else None

        return eventually(read, f"{count} rows of history")


def eventually(read, what, timeout=60):
    """Calls `read` until it returns something, and returns that."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if found := read():
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {timeout} s: {what}")


def items(table, needle):
    """Returns the items of a table whose keys contain the text."""
    scan = aws("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return [item for page in scan for item in page["Items"] if needle in item["pk"]["S"] + item["sk"]["S"]]
