"""A real HTTP server that receives webhooks: it answers as the test says, and checks what Standard Webhooks asks for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = bytes(range(32))
WEBHOOK_SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


@dataclass(frozen=True, slots=True)
class Received:
    """A request."""

    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = self.told["data"]
        return found

    def is_signed_by(self, key: bytes) -> bool:
        """As the specification has it, written without a look at cowrite."""
        signed = self.headers["webhook-id"] + "." + self.headers["webhook-timestamp"] + "." + self.body.decode()
        expected = "v1," + base64.b64encode(hmac.digest(key, signed.encode(), hashlib.sha256)).decode()
        fresh = abs(time.time() - int(self.headers["webhook-timestamp"])) < 300
        return fresh and expected in self.headers["webhook-signature"].split(" ")


@dataclass
class WebhookReceiver:
    """``answer`` makes of what was received a status, and perhaps headers and a body; in a thread."""

    url: str
    answer: Callable[[Received], tuple[int, Mapping[str, str], bytes]]
    received: list[Received] = field(default_factory=list)
    """All requests, answered well or not."""
    accepted: list[Received] = field(default_factory=list)

    def of(self, document_id: str) -> list[dict[str, Any]]:
        """What was accepted about a document."""
        return [one.told for one in self.accepted if one.data["document_id"] == document_id]

    def take(self, one: Received) -> tuple[int, Mapping[str, str], bytes]:
        assert one.is_signed_by(KEY)
        self.received.append(one)
        status, headers, body = self.answer(one)
        if 200 <= status < 300:
            self.accepted.append(one)
        return status, headers, body


def says(status: int, body: bytes = b"", **headers: str) -> Callable[[Received], tuple[int, Mapping[str, str], bytes]]:
    """Always the same answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: (status, named, body)


@contextmanager
def webhook_receiver(port: int = 0) -> Iterator[WebhookReceiver]:
    """Receive on a port of this machine; it answers 204."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, answer = receiver.take(Received(headers, body, time.monotonic()))
            with suppress(ConnectionError):  # the other side had enough
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *values: object) -> None:
            pass

    class Listening(ThreadingHTTPServer):
        daemon_threads = True

    with Listening(("127.0.0.1", port), Handler) as listening:
        receiver = WebhookReceiver(f"http://127.0.0.1:{listening.server_address[1]}/hooks?key=1", says(204))
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            listening.shutdown()
            thread.join()
