"""A producer in Python: sends an event to Anzol's events queue, for systems in the same AWS account (pip install boto3).

    QUEUE_URL=<output EventsQueueUrl> TENANT_ID=<tenant> python produce.py

The caller needs sqs:SendMessage on that queue and can then publish for every tenant. Give it only to your own systems.
"""

import json
import os
import uuid
from datetime import datetime, timezone

import boto3


def publish(sqs, queue_url, tenant_id, event_type, data):
    """Queues one CloudEvent and returns its id.

    If you send the same id again, for example after a timeout, Anzol delivers it again with the same `webhook-id`.
    """
    event = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "my/system",
        "type": event_type,
        "time": datetime.now(timezone.utc).isoformat(),
        "tenantid": tenant_id,
        "datacontenttype": "application/json",
        "data": data,
    }
    # One group per tenant, so that a tenant with many events does not delay the others (SQS fair queues).
    sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps(event), MessageGroupId=tenant_id)
    return event["id"]


if __name__ == "__main__":
    print(publish(boto3.client("sqs"), os.environ["QUEUE_URL"], os.environ["TENANT_ID"], "com.qlik.v1.app.created", {"id": "app-1"}))
