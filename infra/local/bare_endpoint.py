"""moto as an endpoint for `cargo xtask test endpoint`: tables, queues and keys, and no functions."""

import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

one_at_a_time = threading.Lock()
moto = DomainDispatcherApplication(create_backend_app)


def endpoint(environ, start_response):
    """Serializes DynamoDB calls: moto's transactions roll back whole tables, including concurrent writes of other requests."""
    if environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB"):
        with one_at_a_time:
            return moto(environ, start_response)
    return moto(environ, start_response)


if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), endpoint, threaded=True, request_handler=MotoRequestHandler)
