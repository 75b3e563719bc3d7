"""News and signals by Redis or Valkey: sharded publish and subscribe, one channel for each document.

Theory of operation. The receivers of this process are called within ``publish`` and ``send``, as by the local broker; what
comes back from the server with this broker's own name in it is dropped unread. Other processes are told by what is written
into one of the connections of a :class:`Contact`. One task keeps that contact: it connects, subscribes all documents again,
and only when the server has confirmed them all does :attr:`RedisBroker.reaches_others` say so. Whoever listens is told then,
and whenever contact is lost, that something may be missing.

Nothing waits for the server but ``subscribe``, for a second at most; while there is no contact what is told to others is
dropped, and counted. The database is the truth: whoever may have missed something reads it.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog

from cowrite.brokers.channel import BrokerCounters, Channel, channel_name
from cowrite.brokers.contact import Contact
from cowrite.brokers.encoding import SENDER_BYTES, Undecodable, decode, encode, sender_of
from cowrite.brokers.errors import BrokerSetupError
from cowrite.brokers.link import Address, Link, LinkLost, Refused, command, read_url
from cowrite.core.ports import Broker, Missed, News, Receiver, Signal

CONFIRM_SECONDS: Final = 1.0
"""How long ``subscribe`` waits for the server."""
FIRST_RETRY, LAST_RETRY = 0.1, 2.0
"""Seconds between attempts to connect; doubled each time, with jitter."""
_STEADY_SECONDS: Final = 5.0
"""A contact that has held for so long was none that fails again and again."""
MOST_NEWS: Final = 1 << 20
"""Bytes of a message with entries: larger ones go without, and others read the store."""
_MOST_UNREAD: Final = 4 << 20
"""Bytes that have come and are not handled: from then on the server has to keep what it has."""
_SLICE_SECONDS: Final = 0.005
"""How long messages are handled without a turn of the event loop for others."""
_SUBSCRIBE_AT_ONCE: Final = 500
_LAST_WORDS_SECONDS: Final = 0.3
"""How long what was told before the end may take to be sent: that a process leaves is among it."""

_log = structlog.get_logger(__name__)


class RedisSubscription:
    """One receiver of one document's news."""

    def __init__(self, broker: RedisBroker, channel: Channel) -> None:
        self._broker = broker
        self._channel = channel

    async def close(self) -> None:
        self._broker.unsubscribe(self, self._channel)


class RedisBroker:
    """The port :class:`cowrite.core.ports.Broker`; see the module's docstring. Call :meth:`start` before anything else."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._seeds: Sequence[Address] = ()
        self._me = secrets.token_bytes(SENDER_BYTES)
        self._channels: dict[bytes, Channel] = {}
        self._contact: Contact | None = None
        """Connected, perhaps not with everything subscribed yet."""
        self._works = False
        self._expected: dict[Link, deque[tuple[bytes, Channel]]] = {}
        """What each server has still to confirm, in order: the kind, and the channel."""
        self._unread: deque[tuple[bytes, bytes]] = deque()
        self._unread_bytes = 0
        self._handling = False
        self._listeners: list[Missed] = []
        self._keeping: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._refusal: Refused | None = None
        self._failing_since: float | None = None
        self._closed = False
        self.counters = BrokerCounters()

    async def start(self) -> None:
        """Make contact; when the server cannot be reached now it is tried again and again, and this returns.

        Raises :class:`BrokerSetupError` when it can, and is too old or refuses the user or the password.
        """
        self._seeds = (await asyncio.to_thread(read_url, self._url),)
        self._keeping = asyncio.get_running_loop().create_task(self._keep())
        await self._tried.wait()
        if self._refusal is not None:
            await self.close()
            raise BrokerSetupError(str(self._refusal))

    # ---- the port ----------------------------------------------------------------------------------------------------

    @property
    def reaches_others(self) -> bool:
        return self._works and self._contact is not None and not self._contact.lost.done()

    @property
    def degraded(self) -> bool:
        return not self.reaches_others

    def listen(self, missed: Missed) -> None:
        self._listeners.append(missed)

    async def publish(self, news: News) -> None:
        self._tell(news)

    def send(self, signal: Signal) -> None:
        self._tell(signal)

    async def subscribe(self, document_id: str, receive: Receiver) -> RedisSubscription:
        name = channel_name(document_id)
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = Channel(document_id, name)
        subscription = RedisSubscription(self, channel)
        channel.receivers[subscription] = receive
        if self._contact is not None and not self._contact.lost.done():
            self._request(self._contact, channel)
        if channel.confirmed is not None and not channel.confirmed.done():
            try:
                done, _ = await asyncio.wait([channel.confirmed], timeout=CONFIRM_SECONDS)
            except BaseException:
                await subscription.close()
                raise
            channel.late = channel.late or not done
        return subscription

    def unsubscribe(self, subscription: RedisSubscription, channel: Channel) -> None:
        """End a subscription. Idempotent."""
        if channel.receivers.pop(subscription, None) is None or channel.receivers:
            return
        del self._channels[channel.name]
        contact = self._contact
        if contact is not None and channel.contact is contact and not contact.lost.done():
            link = contact.link(channel.name)
            self._expected[link].append((b"sunsubscribe", channel))
            link.request(command(b"SUNSUBSCRIBE", channel.name))

    async def close(self) -> None:
        self._closed = True
        for channel in list(self._channels.values()):
            channel.receivers.clear()
        self._channels.clear()
        if self._contact is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_SECONDS):
                    for link in self._contact.links:
                        await link.drain()
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping

    # ---- telling -----------------------------------------------------------------------------------------------------

    def _tell(self, told: News | Signal) -> None:
        if self._closed:
            return
        name = channel_name(told.document_id)
        self._tell_others(name, told)  # first: a receiver here may tell something itself, which is to arrive later
        channel = self._channels.get(name)
        if channel is not None:
            channel.hand_over(told)

    def _tell_others(self, name: bytes, told: News | Signal) -> None:
        if not self.reaches_others:
            self.counters.dropped += 1
            return
        try:
            message = self._encode(told)
        except (ValueError, TypeError, RecursionError) as error:
            self.counters.dropped += 1
            _log.error("news not told to other processes", document=told.document_id, reason=str(error))
            return
        assert self._contact is not None, "it reaches others"
        if self._contact.link(name).send(command(b"SPUBLISH", name, message)):
            self.counters.sent += 1
            self.counters.sent_bytes += len(message)
        else:
            self.counters.dropped += 1

    def _encode(self, told: News | Signal) -> bytes:
        message = encode(self._me, told)
        if len(message) > MOST_NEWS and isinstance(told, News):
            return encode(self._me, News(told.document_id, told.epoch, told.offset, ()))
        return message

    # ---- hearing -----------------------------------------------------------------------------------------------------

    def _take(self, link: Link, push: list[Any]) -> None:
        """What a server pushes; cheap, since what comes in one go may be much."""
        kind = push[0]
        if kind == b"smessage":
            _, name, message = push
            if sender_of(message) == self._me:
                self.counters.own += 1
                return
            self._unread.append((name, message))
            self._unread_bytes += len(message)
            if self._unread_bytes > _MOST_UNREAD and self._contact is not None:
                for each in self._contact.links:
                    each.pause()
            if not self._handling:
                self._handling = True
                asyncio.get_running_loop().call_soon(self._handle)
        elif kind in {b"ssubscribe", b"sunsubscribe"}:
            self._confirm(link, kind, push[1])

    def _handle(self) -> None:
        """Hand over what has come, in slices."""
        until = time.perf_counter() + _SLICE_SECONDS
        while self._unread:
            self._handle_one(*self._unread.popleft())
            if time.perf_counter() >= until:
                break
        self._handling = bool(self._unread)
        if self._handling:
            asyncio.get_running_loop().call_soon(self._handle)
        elif self._contact is not None:
            for each in self._contact.links:
                each.resume()

    def _handle_one(self, name: bytes, message: bytes) -> None:
        self._unread_bytes -= len(message)
        self.counters.received += 1
        self.counters.received_bytes += len(message)
        channel = self._channels.get(name)
        if channel is not None:
            self._read(channel, message)

    def _read(self, channel: Channel, message: bytes) -> None:
        try:
            told = decode(channel.document_id, message)
        except Undecodable as error:
            self.counters.undecodable += 1
            if self.counters.undecodable == 1:
                _log.warning("a message of another process was not understood", document=channel.document_id, reason=str(error))
            self._missed(channel.document_id)
            return
        channel.hand_over(told)

    def _missed(self, document_id: str | None) -> None:
        for missed in self._listeners:
            try:
                missed(document_id)
            except Exception as error:
                # As of a receiver: nobody else goes without what comes then.
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"what may be lost was not taken by {missed!r}", "exception": error}
                )

    # ---- subscribing -------------------------------------------------------------------------------------------------

    def _request(self, contact: Contact, channel: Channel) -> None:
        """Subscribe a channel, unless that is done."""
        if channel.contact is contact:
            return
        channel.contact, channel.late = contact, False
        channel.confirmed = asyncio.get_running_loop().create_future()
        link = contact.link(channel.name)
        self._expected[link].append((b"ssubscribe", channel))
        link.request(command(b"SSUBSCRIBE", channel.name))

    def _confirm(self, link: Link, kind: bytes, name: bytes) -> None:
        expected = self._expected.get(link)
        if expected is None:
            return  # of a contact that is over
        if not expected or (expected[0][0], expected[0][1].name) != (kind, name):
            link.close(f"{link.address} has ended a subscription: its slot may have moved")
            return
        _, channel = expected.popleft()
        if kind == b"ssubscribe" and channel.confirmed is not None and not channel.confirmed.done():
            channel.confirmed.set_result(None)
            if channel.late:
                self._missed(channel.document_id)

    # ---- contact -----------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Keep contact, until cancelled."""
        retry = FIRST_RETRY
        while True:
            contact, began = Contact(self._take), time.monotonic()
            try:
                await contact.open(self._seeds)
                self._tried.set()
                self._expected = {link: deque() for link in contact.links}
                self._contact = contact
                reason = await self._hold(contact)
            except Refused as error:
                if not self._tried.is_set():
                    self._refusal = error  # for whoever starts it
                    return
                reason = str(error)
            except LinkLost as error:
                reason = str(error)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # whatever it was: nobody else keeps contact
                _log.exception("broker failed")
                reason = str(error)
            finally:
                contact.close()
                self._let_go()
                self._tried.set()
            self._fails(reason)
            if time.monotonic() - began > _STEADY_SECONDS:
                retry = FIRST_RETRY
            await asyncio.sleep(retry * random.uniform(0.5, 1))
            retry = min(2 * retry, LAST_RETRY)

    async def _hold(self, contact: Contact) -> str:
        """Subscribe everything, and return why it is over when it is."""
        for number, channel in enumerate(list(self._channels.values()), 1):
            if self._channels.get(channel.name) is channel and not contact.lost.done():
                self._request(contact, channel)
            if number % _SUBSCRIBE_AT_ONCE == 0:
                await asyncio.sleep(0)
        waiting = [channel.confirmed for channel in self._channels.values() if channel.confirmed is not None]
        for confirmed in reversed(waiting):  # they are confirmed in order: the last one is nearly all that is waited for
            if confirmed.done():
                continue
            either: list[asyncio.Future[Any]] = [confirmed, contact.lost]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not contact.lost.done():
            self._is_made(contact)
        return await contact.lost

    def _is_made(self, contact: Contact) -> None:
        self._works = True
        self.counters.contacts += 1
        # The servers that work now come first; the one that the settings name may be gone for a while.
        self._seeds = list(dict.fromkeys((*contact.addresses, *self._seeds[-1:])))
        if self._failing_since is not None:
            _log.info("broker works again", after=round(time.monotonic() - self._failing_since, 3))
            self._failing_since = None
        self._missed(None)

    def _let_go(self) -> None:
        """There is no contact."""
        worked, self._works, self._contact, self._expected = self._works, False, None, {}
        self._unread.clear()
        self._unread_bytes = 0
        for channel in self._channels.values():
            if channel.confirmed is not None and not channel.confirmed.done():
                channel.confirmed.set_result(None)
        if worked and not self._closed:
            self._missed(None)

    def _fails(self, reason: str) -> None:
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            _log.warning("broker does not work: other processes' edits are read from the database", reason=reason)


if TYPE_CHECKING:
    _: type[Broker] = RedisBroker
