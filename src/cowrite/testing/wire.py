"""A socket's sending half without a socket: for tests of core, and for authors of transports and dialects."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from cowrite.core.delivery.outbox import Outbox, Wire

_MANY = 1 << 62


class FakeWire:
    """Records what is written. The other side reads everything at once, until the test says :meth:`stop_reading`.

    From then on messages fill a buffer of ``capacity`` bytes (like a real socket, it takes whatever is written; it is writable
    below that), until the test reads. ``drained`` is called as a transport does it: once, when the wire is writable again after
    it said that it is not, and never from within :meth:`write` or :meth:`writable`.
    """

    def __init__(self, *, capacity: int = 64 << 10) -> None:
        self.capacity = capacity
        self.received: list[bytes] = []
        """The messages that the other side has read, in order."""
        self.closed: tuple[int, str] | None = None
        """Code and reason of the first close."""
        self.buffered = 0
        """Bytes that are written and not read."""
        self.drained: Callable[[], None] = lambda: None
        """Set this to the outbox's (or connection's) method of that name."""
        self._reading = True
        self._buffer: deque[bytes] = deque()
        self._was_full = False

    def write(self, message: bytes) -> None:
        if self.closed is not None:
            return
        if self._reading:
            self.received.append(message)
        else:
            self._buffer.append(message)
            self.buffered += len(message)

    def writable(self) -> bool:
        if self.buffered < self.capacity:
            return True
        self._was_full = True
        return False

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = code, reason

    def join(self, outbox: Outbox) -> None:
        """Everything is written to the wire."""

    def stop_reading(self) -> None:
        """The other side reads nothing more by itself."""
        self._reading = False

    def fill(self) -> None:
        """Stop reading, and fill the buffer up to its capacity with something that :meth:`read` takes away unseen."""
        self.stop_reading()
        self.buffered = max(self.buffered, self.capacity)

    def read(self, messages: int = _MANY) -> list[bytes]:
        """The other side reads what is in the buffer, at most so many messages; returns what it has read now."""
        count = min(messages, len(self._buffer))
        taken = [self._buffer.popleft() for _ in range(count)]
        self.received += taken
        self.buffered = sum(map(len, self._buffer))
        if self._was_full and self.buffered < self.capacity:
            self._was_full = False
            self.drained()
        return taken

    def read_on(self) -> None:
        """The other side reads again, all that there is and whatever comes."""
        self._reading = True
        self.read()


if TYPE_CHECKING:
    _: type[Wire] = FakeWire
