"""One WebSocket whose frames picows reads: messages, pings, the close handshake, and writing without copying."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Final, cast

from picows import WSFrame, WSMsgType

from cowrite.core.delivery.outbox import Outbox
from cowrite.core.leaving import REASON
from cowrite.core.ports import Timer
from cowrite.protocol.close_codes import CloseCode
from cowrite.transports.arrival import Arrival
from cowrite.transports.attendance import max_message_bytes
from cowrite.transports.connections import connection_for
from cowrite.transports.framing import BINARY, CLOSE, PING, PONG, TEXT, control_frame
from cowrite.transports.json_connection import MeteredWire
from cowrite.transports.large_messages import LargeMessages
from cowrite.transports.link import LinkMeter
from cowrite.transports.read_turn import ReadTurn
from cowrite.transports.services import Services
from cowrite.transports.upgrade import Accepted, Language

HIGH_WATER: Final = 64 << 10
"""Bytes in the socket's buffer from which on nothing more is written to it."""
LOW_WATER: Final = 16 << 10
_PROTOCOL_ERROR, _TOO_BIG, _INTERNAL_ERROR = 1002, 1009, 1011
"""Codes of RFC 6455, 7.4.1, with which picows ends a connection; only the first one leaves the server."""
_JOIN_BYTES: Final = 8 << 10
"""Messages over this size are written by themselves: joining would copy them."""


class PicowsWire:
    """One open socket: it is told what comes, and the connection writes to it."""

    # An instance dictionary would be the largest part of an idle socket here.
    __slots__ = (
        "_clear", "_clock", "_due", "_excess", "_heard", "_kind", "_large", "_lost", "_max_message", "_outboxes",
        "_paused", "_pausing", "_pinged", "_reads", "_refused", "_services", "_small", "_small_bytes", "_socket",
        "_timer", "_times", "_turn", "_unanswered", "_unread", "_watch", "arrival", "closing", "connection", "link"
    )  # fmt: skip

    def __init__(self, socket: asyncio.Transport, upgrade: Accepted, services: Services, reads: ReadTurn) -> None:
        self.link = LinkMeter(services.clock)
        self.connection = connection_for(
            self, upgrade, services, throttle=self.throttle, arriving=lambda: self.arrival is not None
        )
        self._kind = TEXT if upgrade.language is Language.JSON else BINARY
        self.closing = False
        """A close frame was sent, or nothing can be sent any more: what is written is dropped."""
        self._socket = socket
        self._clock = services.clock
        self._times = services.times
        self._turn = services.turn
        self._watch = services.watch
        self._excess = services.excess
        self._services = services
        self._max_message = max_message_bytes(services.limits)
        self.arrival: Arrival | None = None
        """Of the message that is coming in parts."""
        self._reads = reads
        self._unread = False
        """Nothing is read: too much of it waits."""
        self._small: list[bytes] = []
        self._small_bytes = 0
        self._large: LargeMessages | None = None
        self._paused = False
        self._pausing = False
        """It goes on with the large messages in a later turn, though the socket would take more."""
        self._outboxes: tuple[Outbox, ...] = ()
        """Those that have joined a multicast."""
        self._clear = False
        """They have entered it: it writes past this wire."""
        self._unanswered: bytes | None = None
        """The payload of the newest ping that came while nothing could be written."""
        self._refused = False
        """The connection was told that nothing more can be written now: it waits to be told otherwise."""
        self._heard = self._clock.monotonic()
        self._pinged = float("-inf")
        self._due: int | None = None
        """When the watch looks after it."""
        self._timer: Timer | None = None
        """When a closing socket is cut."""
        self._lost = False

    # ---- what the socket says -------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The upgrade was answered."""
        self._socket.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)
        self.look()
        self.connection.opened()

    def take(self, frame: WSFrame) -> None:
        """A frame has come; it is valid during the call only."""
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._break("a frame with bits that no extension was agreed for")
        elif self.closing:
            if kind == WSMsgType.CLOSE:
                self._socket.close()
        elif kind == WSMsgType.BINARY and frame.fin and (self.arrival is None or self.arrival.fragments is None):
            if self.arrival is not None:
                self._arrived()
            self.connection.receive(frame.get_payload_as_bytes())
        elif kind == WSMsgType.PING:
            self._answer(frame.get_payload_as_bytes())
        elif kind == WSMsgType.CLOSE:
            self._goodbye(cast("int", frame.get_close_code()))
        elif kind == WSMsgType.PONG:
            self.link.answered()
        else:
            self._fragment(frame)

    def waits_for(self, pending: int) -> bool:
        """So many bytes have come behind the last whole frame; call when there are some, or an :attr:`arrival`. False: the peer
        is sent away, and what still comes of it is not to be kept.
        """
        in_parts = self.arrival is not None and self.arrival.fragments is not None
        if not (pending or in_parts) or self.closing:
            self._arrived()
            return True
        if self._begin_arrival().grow(pending, self._heard):
            return True
        self._arrived()  # now, and not when the socket is gone
        return False

    def end(self) -> None:
        """The socket is gone."""
        self._arrived()
        self.stop_writing()
        self._stop_timer()
        self._lose(goodbye=False)

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        self._paused = True
        self._step_out()
        self.link.full()

    def resume_writing(self) -> None:
        """There is room in it again."""
        self._paused = False
        self.link.drained()
        self.hear()  # what leaves is a sign of life, too: a slow reader may be long in coming to a ping
        self._pong()
        self._pump()
        if self._refused:
            self._offer()

    def hear(self) -> None:
        """Bytes have come: the peer is alive."""
        self._heard = self._clock.monotonic()

    def throttle(self, paused: bool) -> None:
        """Read nothing more, or do again. Nobody is silent, or late, who is not read."""
        self._unread = paused
        self.hear()
        if paused:
            self._reads.stop(self._socket)
            if self.arrival is not None:
                self.arrival.pause(self._heard)
            if self._due is not None:
                self._watch.drop(self, self._due)
                self._due = self._watch.put(self, self._times.pong_within)
        else:
            if self.arrival is not None:
                self.arrival.go_on(self._heard)
            self._reads.go_on(self._socket)

    def fail(self, code: int, reason: str) -> None:
        """The reader of frames cannot go on."""
        if code == _TOO_BIG:
            self._too_large()
        elif code == _INTERNAL_ERROR:
            self.connection.close(CloseCode.INTERNAL_ERROR, "the server failed; connect again")
        else:
            self.connection.close(code, reason)

    # ---- Wire --------------------------------------------------------------------------------------------------------

    def write(self, message: bytes) -> None:
        if self.closing:
            return
        if self._clear:
            self._step_out()
        if len(message) > _JOIN_BYTES or self._large:
            self._write_small()
            if self._large is None:
                self._large = LargeMessages(self._socket, self._turn, self._kind, self._services.leaving, self.connection.user)
            if not self._large.append(message):
                # Later: who writes goes on as though this had been sent.
                asyncio.get_running_loop().call_soon(self.connection.close, CloseCode.TOO_FAST, REASON)
            self._pump()
        else:
            self._put_small(message)

    def writable(self) -> bool:
        if self._paused or self._large or self._small_bytes >= HIGH_WATER:
            self._refused = True
            return False
        return True

    def close(self, code: int, reason: str) -> None:
        # A large message that is under way is not finished first: the client will get everything after coming back.
        if not self.closing:
            self._excess.closed(code)
            self._step_out()
            self._write_small()
            self.stop_writing()
            self._socket.write(control_frame(CLOSE, struct.pack("!H", code) + reason.encode()))
            self._stop_timer()
            self._timer = self._clock.call_later(self._times.close_within, self._socket.abort)

    def join(self, outbox: Outbox) -> None:
        self._outboxes = (*(one for one in self._outboxes if one.joined), outbox)

    def ping(self) -> None:
        """Measure the round trip. Harmless while the socket is full, or closing."""
        if not (self.closing or self._paused or self._unread):
            self.link.asked()
            self._socket.write(control_frame(PING, b""))

    # ---- writing -----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """The turn is over: write the small messages."""
        messages = self._small
        if messages:  # as _write_small(), written out: once for each frame that leaves
            self._small, self._small_bytes = [], 0
            self._socket.write(self._turn.join(messages, self._kind))
        if self._refused:
            self._offer()
        if self._outboxes and not (self._refused or self._paused or self._small or self._large or self.closing):
            self._clear = True
            for outbox in self._outboxes:
                outbox.enter(self._socket.write)

    def _step_out(self) -> None:
        """A multicast must not write past this wire any more: what waits there comes before everything else."""
        self._clear = False
        for outbox in self._outboxes:
            for message in outbox.leave():
                self._put_small(message)

    def _put_small(self, message: bytes) -> None:
        if not self._small:
            self._turn.add(self)
        self._small.append(message)
        self._small_bytes += len(message)

    def _write_small(self) -> None:
        if self._small:
            messages, self._small = self._small, []
            self._small_bytes = 0
            self._socket.write(self._turn.join(messages, self._kind))

    def _pump(self) -> None:
        """Write parts of the large messages until the socket's buffer is full, or it is the others' turn."""
        if self._large is None or self._pausing:
            return
        if not self._large.write(lambda: self._paused):
            self._pausing = True
            self._turn.pause(self)
        elif not self._large:
            self._large = None

    def go_on(self) -> None:
        """It is its turn again."""
        self._pausing = False
        self._pump()
        if self._refused:
            self._offer()

    def _offer(self) -> None:
        """Tell the connection that it can write again, if it wants to know. Never while it writes."""
        if not self.closing and self.writable():
            self._refused = False
            self.connection.drained()

    def stop_writing(self) -> None:
        """What is still written is dropped."""
        self.closing = True
        self._step_out()
        self._small.clear()
        if self._large is not None:
            self._large.drop()
            self._large = None
        self._small_bytes = 0
        self._paused = False
        self._unanswered = None

    # ---- reading -----------------------------------------------------------------------------------------------------

    def _fragment(self, frame: WSFrame) -> None:
        """A frame that is not a whole binary message."""
        fragments = self.arrival.fragments if self.arrival is not None else None
        if (frame.msg_type == WSMsgType.CONTINUATION) == (fragments is None):
            self._break("a frame out of its order")
        elif len(fragments or b"") + frame.payload_size > self._max_message:
            self._too_large()
        else:
            arrival = self._begin_arrival()
            if fragments is None:
                fragments = arrival.fragments = bytearray()
                arrival.is_text = frame.msg_type == WSMsgType.TEXT
            fragments += frame.get_payload_as_memoryview()
            if frame.fin:
                self._arrived()
                (self.connection.receive_text if arrival.is_text else self.connection.receive)(bytes(fragments))

    def _begin_arrival(self) -> Arrival:
        if self.arrival is None:
            self.arrival = Arrival(self._services, self.connection, self._heard)
            if self._unread:
                self.arrival.pause(self._heard)
        return self.arrival

    def _arrived(self) -> None:
        if self.arrival is not None:
            self.arrival.end()
            self.arrival = None

    def _answer(self, ping: bytes) -> None:
        """Of the pings of one turn, or of a peer that does not read, only the newest is answered (RFC 6455, 5.5.3)."""
        if self._unanswered is None and not self._paused:
            # Not by the write turn: that is for messages, and may let a multicast write past this wire from then on.
            asyncio.get_running_loop().call_soon(self._pong)
        self._unanswered = ping

    def _pong(self) -> None:
        if self._unanswered is not None and not self._paused:
            payload, self._unanswered = self._unanswered, None
            self._socket.write(control_frame(PONG, payload))

    def _goodbye(self, code: int) -> None:
        """The client closes."""
        self._lose(goodbye=True)
        self.stop_writing()
        self._socket.write(control_frame(CLOSE, struct.pack("!H", code) if code else b""))
        self._stop_timer()
        self._timer = self._clock.call_later(self._times.close_within, self._socket.abort)
        self._socket.close()

    def _lose(self, *, goodbye: bool) -> None:
        if not self._lost:
            self._lost = True
            self.connection.lost(goodbye=goodbye)

    def _too_large(self) -> None:
        self.connection.close(CloseCode.MESSAGE_TOO_LARGE, f"a message of more than {self._max_message} bytes")

    def _break(self, reason: str) -> None:
        self.connection.close(_PROTOCOL_ERROR, reason)

    # ---- time --------------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Ping a peer that is silent, and let one go that stays so: half-open sockets look open for hours."""
        now = self._clock.monotonic()
        quiet = now - self._heard
        if self._unread:
            self._ping_unheard()
            return
        if self.arrival is not None and not self.arrival.look(now):
            return
        if quiet < self._times.ping_after:
            self._due = self._watch.put(self, self._times.ping_after - quiet)
        elif self._pinged < self._heard:
            self._pinged = now
            self.link.asked()
            self._socket.write(control_frame(PING, b""))
            self._due = self._watch.put(self, self._times.pong_within)
        else:
            self.connection.close(CloseCode.IDLE, f"nothing was heard for {quiet:.0f} s, nor an answer to a ping")

    def _ping_unheard(self) -> None:
        """Nobody can be heard who is not read; but what is written to a socket that has ended shows its end."""
        if not self._paused:
            self._socket.write(control_frame(PING, b""))
        self._due = self._watch.put(self, self._times.pong_within)

    def _stop_timer(self) -> None:
        if self._due is not None:
            self._watch.drop(self, self._due)
            self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


if TYPE_CHECKING:
    _: type[MeteredWire] = PicowsWire
