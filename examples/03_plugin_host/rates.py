"""A tiny service for exchange rates: a program of its own in real life, a thread here."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry import propagate
from opentelemetry.trace import SpanKind, Tracer

RATES = {"840": 0.9, "826": 1.15}


@contextmanager
def serving(tracer: Tracer) -> Generator[str]:
    """Serve on a free port of this machine; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # What came with the request makes this span a child of the caller's, whoever that is.
            context = propagate.extract({name.lower(): value for name, value in self.headers.items()})
            with tracer.start_as_current_span("GET /rates/{currency}", context, SpanKind.SERVER) as span:
                print(f"rates: a request came with traceparent {self.headers['traceparent']}", flush=True)
                rate = RATES.get(self.path.rpartition("/")[2])
                status = 200 if rate else 404
                span.set_attribute("http.response.status_code", status)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(rate).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the span does."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
