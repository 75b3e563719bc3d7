"""One connection to a Redis or Valkey server, in RESP3: answers come in order, and messages between them.

Everything is synchronous but the opening. What is sent in one turn of the event loop is written in one go; what the server does
not take waits here, up to :data:`MOST_WAITING`. A connection that fails in any way is over for good: ``lost`` says why.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import hiredis
from redis.asyncio.connection import SSLConnection, parse_url

MOST_WAITING: Final = 8 << 20
"""Bytes that wait to be sent; of what comes then, messages are dropped."""
_PAUSE_AT: Final = 1 << 20
OPEN_SECONDS: Final = 1.0
"""How long it may take to connect and to be let in."""
_BEAT_SECONDS: Final = 0.8
"""A beat is sent that often, and something must have come until the next one, or"""
_LAST_CHANCE: Final = 0.2
"""so much later: an event loop that was held up itself gets so long to see what has arrived meanwhile."""
_OLDEST: Final = 7


class LinkLost(Exception):
    """The server cannot be used now. The message is the reason, for people."""


class Refused(LinkLost):
    """It cannot be used as it is set up, or as the settings say: waiting does not help."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and as whom to come."""

    host: str = "localhost"
    port: int = 6379
    path: str | None = None
    """Of a socket of the file system; then there is no host."""
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return self.path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")

    def at(self, host: str, port: int) -> Address:
        """Another server of the same cluster."""
        return replace(self, host=host, port=port, path=None)


def read_url(url: str) -> Address:
    """What a URL of Redis says. Reads files for TLS: not on the event loop."""
    parts: dict[str, Any] = dict(parse_url(url))
    tls = ssl.create_default_context() if parts.pop("connection_class", None) is SSLConnection else None
    names = ("host", "port", "path", "username", "password")
    return Address(tls=tls, **{name: parts[name] for name in names if name in parts})


class Link(asyncio.Protocol):
    """See the module's docstring. ``told`` is called with each message that a server pushes, ``ended`` once, at the end."""

    def __init__(self, address: Address, told: Callable[[Link, list[Any]], None], ended: Callable[[Link, str], None]) -> None:
        self.address = address
        self.lost: str | None = None
        """Why it is over; None: it works, as far as is known."""
        self._told = told
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._answers: deque[asyncio.Future[Any] | None] = deque()
        """Who waits for the next answers; None: nobody."""
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._writable = True
        self._scheduled = False
        self._reading = True
        self._heard = 0
        """How often something has come."""
        self._beating: asyncio.Task[None] | None = None

    # ---- opening -----------------------------------------------------------------------------------------------------

    async def open(self) -> dict[str, Any]:
        """Connect, and return what the server says of itself. Raises :class:`LinkLost` and :class:`Refused`."""
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._connect()
                found = _texts(await self.call(*self._hello()))
            _check(self.address, found)
        except TimeoutError:
            self.close(f"{self.address} does not answer within {OPEN_SECONDS:g} s")
            raise LinkLost(self.lost) from None
        except OSError as error:
            self.close(f"{self.address} cannot be reached: {error.strerror or error}")
            raise LinkLost(self.lost) from None
        except BaseException:
            self.close("it was given up")
            raise
        self._beating = asyncio.get_running_loop().create_task(self._beat())
        return found

    async def _connect(self) -> None:
        loop, address = asyncio.get_running_loop(), self.address
        if address.path is not None:
            await loop.create_unix_connection(lambda: self, address.path)
        else:
            await loop.create_connection(lambda: self, address.host, address.port, ssl=address.tls)

    def _hello(self) -> list[bytes | str]:
        hello: list[bytes | str] = ["HELLO", "3"]
        if self.address.password is not None:
            hello += ["AUTH", self.address.username or "default", self.address.password]
        return [*hello, "SETNAME", "cowrite-broker"]

    # ---- sending -----------------------------------------------------------------------------------------------------

    async def call(self, *parts: bytes | str) -> Any:
        """The answer to a command. Raises :class:`LinkLost`."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.lost is not None:
            raise LinkLost(self.lost)
        self._answers.append(answer)
        self._put(command(*parts))
        return await answer

    def send(self, written: bytes) -> bool:
        """Send a message, whose answer nobody waits for. False: it was dropped, since too much waits."""
        assert self._transport is not None, "it was opened"
        if self._waiting_bytes + self._transport.get_write_buffer_size() + len(written) > MOST_WAITING:
            return False
        self._answers.append(None)
        self._put(written)
        return True

    def request(self, written: bytes) -> None:
        """Send a command that is answered by a push, and never dropped."""
        self._put(written)

    async def drain(self) -> None:
        """Wait until all that was sent is answered, or it is over. Bytes alone are not enough: a socket that is closed while
        answers are unread takes them back.
        """
        while self.lost is None and (self._waiting or self._answers):  # noqa: ASYNC110 # once, at the end
            await asyncio.sleep(0.005)

    def _put(self, written: bytes) -> None:
        self._waiting.append(written)
        self._waiting_bytes += len(written)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled and self._writable and self._waiting:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if self.lost is None and self._writable and self._transport is not None:
            waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
            self._transport.write(b"".join(waiting))

    # ---- what the event loop says ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it
        if self.lost is not None:  # it was given up meanwhile
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=_PAUSE_AT)
        self._schedule()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._schedule()

    def data_received(self, data: bytes) -> None:
        self._heard += 1
        try:
            self._reader.feed(data)
            while self.lost is None and (answer := self._reader.gets()) is not False:
                self._take(answer)
        except hiredis.ProtocolError as error:
            self.close(f"{self.address} does not speak the protocol of Redis: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        self.close(f"the connection to {self.address} was lost" + (f": {error}" if error is not None else ""))

    def _take(self, answer: Any) -> None:
        if isinstance(answer, hiredis.PushNotification):
            self._told(self, answer)
        elif isinstance(answer, hiredis.ReplyError):
            # Nothing that is sent here may fail: whatever it is, beginning anew finds out more than going on.
            self.close(f"{self.address} said: {answer}", answer)
        elif self._answers:
            waiting = self._answers.popleft()
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
        else:
            self.close(f"{self.address} has answered what nobody has asked")

    # ---- its life ----------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Read no more for now: the server, and at last its limits, have to bear what comes. Idempotent."""
        if self._reading and self._transport is not None and self.lost is None:
            self._reading = False
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on. Idempotent."""
        if not self._reading and self._transport is not None and self.lost is None:
            self._reading = True
            self._heard += 1
            self._transport.resume_reading()

    def close(self, reason: str, error: Exception | None = None) -> None:
        """It is over. Idempotent."""
        if self.lost is not None:
            return
        self.lost = reason
        if self._beating is not None:
            self._beating.cancel()
        for answer in self._answers:
            if answer is not None and not answer.done():
                answer.set_exception(_refusal(self.address, error) if error is not None else LinkLost(reason))
                answer.exception()  # who asked may be gone
        self._waiting.clear()
        if self._transport is not None:
            self._transport.abort()  # nothing that is still on its way is waited for
        self._ended(self, reason)

    async def _beat(self) -> None:
        """See that the server lives, and is still the one to be told."""
        while True:
            heard, beat = self._heard, asyncio.get_running_loop().create_task(self.call("HELLO"))
            beat.add_done_callback(self._check_beat)
            await asyncio.sleep(_BEAT_SECONDS)
            if self._heard == heard and self._reading:
                await asyncio.sleep(_LAST_CHANCE)
            if self._heard == heard and self._reading:
                self.close(f"{self.address} has not answered for {_BEAT_SECONDS + _LAST_CHANCE:g} s")

    def _check_beat(self, beat: asyncio.Task[Any]) -> None:
        if not beat.cancelled() and beat.exception() is None and _texts(beat.result()).get("role") != "master":
            self.close(f"{self.address} has become a replica")


def command(*parts: bytes | str) -> bytes:
    """A command as it is sent."""
    written = [b"*%d\r\n" % len(parts)]
    for part in parts:
        value = part if isinstance(part, bytes) else part.encode(errors="surrogatepass")
        written.append(b"$%d\r\n%b\r\n" % (len(value), value))
    return b"".join(written)


def _texts(answer: Any) -> dict[str, str]:
    """The map that HELLO answers, as far as it is made of texts."""
    if not isinstance(answer, dict):
        return {}
    return {_as_text(name): _as_text(value) for name, value in answer.items()}


def _as_text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _check(address: Address, found: dict[str, str]) -> None:
    major = found.get("version", "").partition(".")[0]
    if not major.isascii() or not major.isdigit() or int(major) < _OLDEST:
        raise _too_old(address, found.get("version"))
    if found.get("role") != "master" and found.get("mode") != "cluster":
        raise LinkLost(f"{address} is a replica; name its master")


def _refusal(address: Address, error: Exception) -> LinkLost:
    said = str(error)
    if said.startswith(("WRONGPASS", "NOAUTH", "NOPERM")):
        return Refused(
            f"Redis at {address} refuses the user or the password of COWRITE_REDIS_URL ({said}): "
            "the user needs the commands of @connection and @pubsub, CLUSTER SLOTS, and the channels and keys cowrite:*"
        )
    if said.startswith(("ERR unknown command", "NOPROTO")):
        return _too_old(address, None)
    return LinkLost(f"{address} said: {said}")


def _too_old(address: Address, version: str | None) -> Refused:
    is_of = f"is of version {version}" if version else "is older than version 6"
    return Refused(
        f"Redis at {address} {is_of}: cowrite needs Redis 7 or newer, or Valkey; upgrade it or unset COWRITE_REDIS_URL"
    )
