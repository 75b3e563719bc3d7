"""What may stand between a client and its server: a proxy that does as it is told with WebSockets and with time."""

from __future__ import annotations

import queue
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self, TypeAlias

Sockets: TypeAlias = Literal["pass", "refuse", "swallow"]
_Chunk: TypeAlias = tuple[float, bytes]


class Between:
    """Passes on what comes to a port of its own, and lets the first request of each connection decide what it is."""

    def __init__(self, port: int, *, sockets: Sockets = "pass", delay: float = 0.0) -> None:
        self.sockets = sockets
        """What becomes of upgrades from now on: they pass, get 403, or get no answer."""
        self.delay = delay
        """Seconds for which everything is under way, in each direction."""
        self.network = True
        """False: who comes is turned away at once. What is connected already is left to :meth:`cut`."""
        self.upgrades = 0
        """How many were asked for."""
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)
        self.cut()

    def cut(self) -> None:
        """Break every connection that there is."""
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._connection, args=(client,), daemon=True).start()

    def _connection(self, client: socket.socket) -> None:
        self._open.add(client)
        with client, suppress(OSError):
            if self.network:
                self._forward(client)
        self._open.discard(client)

    def _forward(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = client.recv(65536)
        if b"pgrade: websocket" in head:
            self.upgrades += 1
            if self.sockets == "refuse":
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            if self.sockets == "swallow":
                while client.recv(65536):
                    pass
                return
        with socket.create_connection(("127.0.0.1", self._port)) as upstream:
            upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=self._pump, args=(upstream, client, b""), daemon=True)
            back.start()
            self._pump(client, upstream, head)
            back.join()

    def _pump(self, source: socket.socket, target: socket.socket, first: bytes) -> None:
        """Pass on, each piece after the delay that holds when it comes."""
        under_way: queue.SimpleQueue[_Chunk] = queue.SimpleQueue()
        sending = threading.Thread(target=_send, args=(under_way, target), daemon=True)
        sending.start()
        data = first
        with suppress(OSError):
            while data or not first:
                if data:
                    under_way.put((time.monotonic() + self.delay, data))
                first = b"-"
                data = source.recv(65536)
        under_way.put((0.0, b""))
        sending.join()


def _send(under_way: queue.SimpleQueue[_Chunk], target: socket.socket) -> None:
    with suppress(OSError):
        while True:
            due, data = under_way.get()
            if not data:
                break
            time.sleep(max(0.0, due - time.monotonic()))
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
