"""HTTP on cowrite's own server is uvicorn's, with three differences: upgrades are answered by :class:`Upgrades`; connections
that do not finish to ask are closed, while uvicorn waits for a request as long as a client likes; and so are those that do not
read their answers (:mod:`cowrite.transports.departure`).

The time runs from the opening of the connection, for later requests from their first byte, until the head is complete; what
comes meanwhile does not lengthen it. The upgrade of a WebSocket is a request, too. How long a body takes the application looks
at, which reads it (:mod:`cowrite.http.bodies`); and here, what still comes of one that nobody wants any more, when the request
was answered.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from cowrite.core.limits import Limits
from cowrite.transports.departure import Departure
from cowrite.transports.services import Serving
from cowrite.transports.websocket import Head, Upgrades

LATE, LARGE, LATE_BODY = "head_seconds", "head_bytes", "arrival_seconds"
_ANSWER: Final = (
    b"HTTP/1.1 %d %s\r\nconnection: close\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n\r\n%s"
)
_PROBLEM: Final = b'{"type":"about:blank","title":"%s","status":%d,"code":"%s"}'


def http_protocol(serving: Serving, limits: Limits) -> type[asyncio.Protocol]:
    """The class for uvicorn's ``http=``; its ``ws=`` is not used."""
    upgrades = Upgrades(serving, limits)

    class Http(_Http):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.serving = serving
            self.upgrades = upgrades
            self.limits = limits
            self.patience = limits.head_seconds
            self.most_bytes = limits.head_bytes

    return cast("type[asyncio.Protocol]", Http)


class _Http(HttpToolsProtocol):
    serving: Serving
    upgrades: Upgrades
    limits: Limits
    patience: float
    most_bytes: int
    _head_bytes = 0
    """Of a head that is not complete, or of what is behind a body in pieces."""
    _gets_on = False
    """What came last was more than such."""
    _timer: asyncio.TimerHandle | None = None
    """Until then the head has to be complete, or the body of what was answered."""
    _in_body = False
    """The head is complete, and the body is not."""
    _body_since = 0.0
    _body_bytes = 0
    _departure: Departure | None = None
    """Made when an answer is not read as fast as it is written."""
    _written = 0
    """Bytes of bodies of answers."""
    _begun = False
    """Something of a request has come."""
    _upgrades_now: bool | None = None
    """It asks for a WebSocket; None: its head is not complete."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        if self._departure is not None:
            self._departure.over()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        if self._departure is not None:
            if self.flow.write_paused:
                self.loop.call_soon(self._departure.given)  # until then the application counts all of it
            else:
                self._departure.over()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._departure is None and (services := self.serving()) is not None:
            # One of a private network is most often a proxy's: only the count of all holds for it.
            whose = services.addresses.client_of(self.client[0] if self.client is not None else None, None)
            self._departure = Departure(
                self.transport, services.leaving, self.limits, whose, written=lambda: self._written, end=self._abort
            )
        if self._departure is not None:
            self._departure.pause()

    def resume_writing(self) -> None:
        if self._departure is not None:
            if self._is_answering:
                self._departure.resume()
            else:
                self._departure.over()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        # httptools takes heads of any size: ten times their bytes in memory, and time that grows with their square.
        self._gets_on = False
        super().data_received(data)
        if self._in_body and self._timer is None:
            self._wait_for_body()
        if self._gets_on:
            self._head_bytes = 0
        else:
            self._head_bytes += len(data)
            if self._head_bytes > self.most_bytes:
                self._refuse(LARGE, 431, b"Request Header Fields Too Large", b"request_header_too_large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._gets_on = True
        self._upgrades_now = None
        self._begun = True
        if self._timer is None:
            self._wait()

    def on_headers_complete(self) -> None:
        self._wait_no_more()
        self._begun = False
        self._gets_on = self._in_body = True
        self._body_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._gets_on = True
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._gets_on = True
        self._in_body = False
        self._wait_no_more()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        if self._is_answering:
            # Its frames would go out before the answer, and the answer among them.
            self.send_400_response("An upgrade has to wait for the answer to the request before it.")
            return
        self._in_body = False
        self.upgrades.answer(Head(self.scope["method"], self.url, self.headers), self)
        # They know one another: such garbage is looked for seldom, and ten thousand of these would wait for it.
        self.parser = self.scope = self.flow = None  # type: ignore[assignment]

    @property
    def app(self) -> Any:
        """Uvicorn asks for it with each request. What the application writes is counted."""
        return self._counted

    @app.setter
    def app(self, app: Any) -> None:
        self._app = app

    async def _counted(self, scope: Any, receive: Any, send: Any) -> None:
        async def count(message: Any) -> None:
            self._written += len(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, count)

    def _should_upgrade(self) -> bool:
        if self._upgrades_now is None:  # uvicorn asks three times
            self._upgrades_now = super()._should_upgrade()
        return self._upgrades_now

    def _should_upgrade_to_ws(self) -> bool:
        return True

    @property
    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _wait(self) -> None:
        self._timer = self.loop.call_later(self.patience, self._give_up)

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait_for_body(self) -> None:
        self._body_since = self.loop.time()
        self._timer = self.loop.call_later(self.limits.arrival_seconds, self._look_at_body)

    def _look_at_body(self) -> None:
        if self._is_answering or self.flow.read_paused:
            self._wait_for_body()
        elif (left := self._body_since + self.limits.arrives_within(self._body_bytes) - self.loop.time()) > 0:
            self._timer = self.loop.call_later(left, self._look_at_body)
        else:
            self._give_up(LATE_BODY)

    def _give_up(self, limit: str = LATE) -> None:
        self._timer = None
        self._refuse(limit, 408, b"Request Timeout", b"request_timeout")

    def _abort(self, limit: str | None) -> None:
        if limit is not None and (services := self.serving()) is not None:
            services.excess.count(limit)
        self.transport.abort()

    def _refuse(self, limit: str, status: int, title: bytes, code: bytes) -> None:
        if self.transport.is_closing():
            return
        if (services := self.serving()) is not None:
            services.excess.count(limit)
        if self._begun and not self._is_answering:  # a browser that has opened a connection in advance is told nothing
            problem = _PROBLEM % (title, status, code)
            self.transport.write(_ANSWER % (status, title, len(problem), problem))
        self.transport.close()


if TYPE_CHECKING:
    _: type[asyncio.Protocol] = _Http
