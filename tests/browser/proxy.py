"""What may stand between a browser and the server: a proxy for HTTP that does as it is told with WebSockets."""

from __future__ import annotations

import random
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

Sockets = Literal["pass", "refuse", "swallow"]


class Proxy:
    """Serves what is at ``port`` under ``prefix``, on a port of its own. One request for each connection."""

    def __init__(self, port: int, *, prefix: str = "", sockets: Sockets = "pass") -> None:
        self.sockets = sockets
        """What becomes of upgrades from now on: they pass, get 403, or get no answer."""
        self.breaks: random.Random | None = None
        """While there is one, a third of all connections break: before a request went through, before its answer, or later."""
        self._port = port
        self._prefix = prefix.encode()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}{prefix}/"
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)
        for client in list(self._open):
            _cut(client)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self._open.add(client)
            threading.Thread(target=self._connection, args=(client,), daemon=True).start()

    def _connection(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            self._forward(client)
        self._open.discard(client)

    def _forward(self, client: socket.socket) -> None:
        """Cut the prefix off the first request, ask for no second one, and pass on what comes."""
        head = client.recv(65536)
        if not head:  # a connection that the browser opened in advance
            return
        if self.breaks is not None and self.breaks.random() < 1 / 3:
            when = self.breaks.choice((None, 0.01, 0.03, 0.5))
            if when is None:
                return
            threading.Timer(when, _cut, (client,)).start()
        method, path, rest = head.split(b" ", 2)
        if not path.startswith(self._prefix + b"/"):
            client.sendall(_answer("404 Not Found"))
            return
        if b"pgrade: websocket" not in rest:
            rest = rest.replace(b"Connection: keep-alive", b"Connection: close")
        elif self.sockets == "refuse":
            client.sendall(_answer("403 Forbidden"))
            return
        elif self.sockets == "swallow":
            while client.recv(65536):
                pass
            return
        # The page's origin is the proxy, so the proxy says so, as any would that sits in front of an application.
        with socket.create_connection(("127.0.0.1", self._port)) as upstream:
            upstream.sendall(b" ".join((method, path.removeprefix(self._prefix), rest)))
            back = threading.Thread(target=_pump, args=(upstream, client), daemon=True)
            back.start()
            _pump(client, upstream)
            back.join()


def _cut(client: socket.socket) -> None:
    with suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)


def _answer(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
