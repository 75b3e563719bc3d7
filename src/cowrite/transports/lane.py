"""The frames of one socket on their way to whoever takes them: in order, and no faster than the socket's share.

Theory of operation. Everything is one synchronous call per frame, without tasks, as long as nothing is in the way. While the
lane is held (something else must be done before the next frame), or its socket has used its share of CPU time, messages or
bytes (:class:`Account`), frames wait, in a bounded queue, and others are served.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from cowrite.core.account import Account
from cowrite.core.excess import Excess
from cowrite.core.incoming import REASON, SMALL_BYTES, Incoming, Share
from cowrite.core.limits import Limits
from cowrite.core.ports import Clock, Timer

BEHIND_QUEUE_BYTES: Final = 8 << 20
"""What may wait of a client that has fallen behind."""
FRAME_OVERHEAD: Final = 64
"""Bytes that a waiting frame costs beyond its own, so that many tiny ones count, too."""
BRIEF_SECONDS: Final = 0.01
WATCHED_FRAMES: Final = 100
"""The clock on the wall tells what a frame has cost, since it never shows less than the CPU clock; to ask that one is a call of
the system, and two for each frame took a seventh of a server's time. But where the process had to wait for its core, the wall
shows more: after a frame that took longer than this, so many are measured by the CPU clock."""


class Lane:
    """See the module's docstring.

    ``take`` is given each frame; it may hold the lane, and must not raise. ``flood`` is told when more waits than may, or for
    longer: close the socket.
    """

    __slots__ = (
        "_account",
        "_clock",
        "_excess",
        "_farewell",
        "_flood",
        "_held",
        "_incoming",
        "_limit",
        "_over",
        "_share",
        "_size",
        "_take",
        "_timer",
        "_waiting",
        "_watched",
        "user",
    )

    def __init__(
        self,
        clock: Clock,
        limits: Limits,
        excess: Excess,
        incoming: Incoming,
        *,
        take: Callable[[bytes], None],
        flood: Callable[[str], None],
        held_bytes: int = 0,
    ) -> None:
        """``held_bytes``: it begins held, and so much may wait until its first release; 0: it does not."""
        self.user = ""
        """Whose frames they are; empty while that is not known."""
        self._incoming = incoming
        self._share: Share | None = None
        """Of the memory for what waits; made when it is much."""
        self._clock = clock
        self._excess = excess
        self._take = take
        self._flood = flood
        self._account = Account(clock, limits)
        self._waiting: deque[bytes] | None = None
        """Made when something waits: most sockets are idle, and an empty one is large."""
        self._size = 0
        self._limit = held_bytes or BEHIND_QUEUE_BYTES
        self._held = bool(held_bytes)
        self._timer: Timer | None = None
        self._farewell: Callable[[], None] | None = None
        self._over = False
        self._watched = 0
        """So many frames to come are measured by the CPU clock."""

    @property
    def held(self) -> bool:
        """Frames wait."""
        return self._held

    def receive(self, frame: bytes) -> None:
        """The next frame."""
        if self._over:
            return
        if not self._held:
            self._serve(frame)
            return
        self._queue().append(frame)
        self._size += len(frame) + FRAME_OVERHEAD
        if self._size > self._limit:
            self._give_up(f"more than {self._limit} bytes wait to be read")
        elif self._size > SMALL_BYTES and not self._hold():
            self._flood(REASON)

    def hold(self) -> None:
        """Take nothing more for now. From within ``take``, at most once for each release."""
        self._held = True

    def release(self) -> None:
        """Take what waits, as far as the lane is not held again with it: then the rest goes on waiting."""
        self._held, self._timer = False, None
        self._limit = BEHIND_QUEUE_BYTES
        while self._waiting and not self._held:
            frame = self._waiting.popleft()
            self._size -= len(frame) + FRAME_OVERHEAD
            self._serve(frame)
        if not self._waiting:
            self._waiting = None
        self._hold_less()
        if not (self._held or self._over):
            self._account.caught_up()
            if self._farewell is not None:
                self._farewell()

    def put_first(self, frames: Iterable[bytes]) -> None:
        """Frames that came before those that wait; they are taken now, or as soon as the lane is released."""
        if self._over:
            return
        for frame in reversed(list(frames)):
            self._queue().appendleft(frame)
            self._size += len(frame) + FRAME_OVERHEAD
        if not self._held:
            self.release()

    def charge(self, seconds: float) -> None:
        """CPU time that was spent on a frame elsewhere."""
        self._account.charge(seconds, messages=0)

    def when_empty(self, farewell: Callable[[], None]) -> None:
        """No more frames will come: call this when those that have come are taken."""
        if self._held:
            self._farewell = farewell
        else:
            farewell()

    def stop(self) -> None:
        """Take nothing more, whatever comes. Idempotent."""
        self._over = True
        self._waiting = None
        if self._share is not None:
            self._share.release()
        self._farewell = None
        if self._timer is not None:
            self._timer.cancel()

    def _queue(self) -> deque[bytes]:
        if self._waiting is None:
            self._waiting = deque()
        return self._waiting

    def _hold(self) -> bool:
        if self._share is None:
            self._share = self._incoming.share(self.user)
        return self._share.hold(self._size)

    def _hold_less(self) -> None:
        if self._share is not None:
            self._share.hold(self._size)
            if not self._size:
                self._share = None  # the next one may be somebody's who is known

    def _serve(self, frame: bytes) -> None:
        now = None
        if self._watched:
            seconds = self._take_watched(frame)
        else:
            began = self._clock.monotonic()
            self._take(frame)
            now = self._clock.monotonic()
            if (seconds := now - began) > BRIEF_SECONDS:
                self._watched = WATCHED_FRAMES
        wait = self._account.charge(seconds, len(frame), now=now)
        if wait is not None and not (self._held or self._over):
            self._fall_behind(wait)

    def _take_watched(self, frame: bytes) -> float:
        """Take a frame; returns the CPU time that it took."""
        self._watched -= 1
        began = self._clock.cpu()
        self._take(frame)
        return self._clock.cpu() - began

    def _fall_behind(self, seconds: float) -> None:
        """Others are served first."""
        if self._account.exhausted:
            self._give_up(f"its messages {self._account.reason('connection')}")
        else:
            self._held = True
            self._timer = self._clock.call_later(seconds, self.release)

    def _give_up(self, reason: str) -> None:
        if self._account.late_by is not None:
            self._excess.count(self._account.late_by)
        self._flood(reason)
