"""The frames of one socket on their way to whoever takes them: in order, and no faster than the socket's share.

Theory of operation. Everything is one synchronous call per frame, without tasks, as long as nothing is in the way. While the
lane is held (something else must be done before the next frame), or its socket has used its share of CPU time, messages or
bytes (:class:`Account`), frames wait, in a bounded queue, and others are served. When the queue is long nothing more is read of
the socket until it is short again: the rest waits with its peer, who is not sent away for having much to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final

from cowrite.core.account import Account
from cowrite.core.excess import Excess
from cowrite.core.incoming import REASON, Incoming
from cowrite.core.limits import Limits
from cowrite.core.ports import Clock, Timer
from cowrite.core.turn_share import TurnShare
from cowrite.transports.backlog import Backlog

BEHIND_QUEUE_BYTES: Final = 8 << 20
"""What may wait in small messages where nothing can be left unread (:func:`no_socket`). Large ones are counted with all that
has come (:class:`Incoming`)."""
LONG_BYTES: Final = 1 << 20
"""When more waits, nothing more is read."""
SHORT_BYTES: Final = 256 << 10
"""When no more waits, it is read again."""
BRIEF_SECONDS: Final = 0.01
WATCHED_FRAMES: Final = 100
"""The clock on the wall tells what a frame has cost, since it never shows less than the CPU clock; to ask that one is a call of
the system, and two for each frame took a seventh of a server's time. But where the process had to wait for its core, the wall
shows more: after a frame that took longer than this, so many are measured by the CPU clock."""


def no_socket(paused: bool) -> None:
    """For frames that come by none: there is nothing that could be left unread."""


class _State(Enum):
    OPEN = "frames are taken as they come"
    HELD = "they wait"
    OVER = "none is taken, nor kept, any more"


class Lane:
    """See the module's docstring.

    ``take`` is given each frame; it may hold the lane, and must not raise. ``flood`` is told when more waits than may, or for
    longer: close the socket. ``throttle(True)``: read nothing more of it; ``throttle(False)``: do again.
    """

    __slots__ = (
        "_account",
        "_behind",
        "_clock",
        "_excess",
        "_farewell",
        "_flood",
        "_opening_bytes",
        "_state",
        "_take",
        "_throttle",
        "_throttled",
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
        behind: TurnShare,
        *,
        take: Callable[[bytes], None],
        flood: Callable[[str], None],
        throttle: Callable[[bool], None] = no_socket,
        held_bytes: int = 0,
    ) -> None:
        """``behind``: where those are served who have fallen behind. ``held_bytes``: it begins held, and until its first
        release so much is read, and may wait; 0: it does not.
        """
        self.user = ""
        """Whose frames they are; empty while that is not known."""
        self._clock = clock
        self._excess = excess
        self._behind = behind
        self._take = take
        self._flood = flood
        self._throttle = throttle
        self._throttled = False
        """Nothing is read."""
        self._account = Account(clock, limits)
        self._waiting = Backlog(incoming)
        self._opening_bytes = held_bytes
        self._state = _State.HELD if held_bytes else _State.OPEN
        self._timer: Timer | None = None
        self._farewell: Callable[[], None] | None = None
        self._watched = 0
        """So many frames to come are measured by the CPU clock."""

    @property
    def held(self) -> bool:
        """Frames wait."""
        return self._state is _State.HELD

    @property
    def waiting_bytes(self) -> int:
        """Of all frames that wait, each with what it costs on top."""
        return self._waiting.size

    def receive(self, frame: bytes) -> None:
        """The next frame."""
        if self._state is _State.OPEN:
            self._serve(frame)
        elif self._state is _State.HELD:
            self._waiting.append(frame)
            if self._is_too_much():
                self._give_up(f"more than {self._opening_bytes or BEHIND_QUEUE_BYTES} bytes wait to be read")
            elif not self._waiting.count(self.user):
                self._flood(REASON)
            elif self._waiting.size > LONG_BYTES:
                self.stall()

    def stall(self) -> bool:
        """Read nothing more of the socket until something of it was taken. False: nothing of it is about to be."""
        if self._state is not _State.HELD or self._opening_bytes:
            return False
        if not self._throttled:
            self._throttled = True
            self._throttle(True)
        return True

    def hold(self) -> None:
        """Take nothing more for now. From within ``take``, at most once for each release."""
        if self._state is _State.OPEN:
            self._state = _State.HELD

    def release(self) -> None:
        """Take what waits, as far as the lane is not held again with it: then the rest goes on waiting. Once it was stopped
        nothing happens: whoever has held it need not know.
        """
        if self._state is _State.OVER:
            return
        self._state, self._timer = _State.OPEN, None
        self._opening_bytes = 0
        while self._waiting and self._state is _State.OPEN:
            frame = self._waiting.pop()
            self._waiting.count(self.user)  # before it is taken: whoever takes it may count it, too. Less: there is room
            self._serve(frame)
        self._waiting.count(self.user)
        if self._waiting.size <= SHORT_BYTES:
            self._read_on()
        if self._state is _State.OPEN:
            self._account.caught_up()
            if self._farewell is not None:
                self._farewell()

    def put_first(self, frames: Iterable[bytes]) -> None:
        """Frames that came before those that wait; they are taken now, or as soon as the lane is released."""
        if self._state is _State.OVER:
            return
        self._waiting.put_first(frames)
        if self._state is _State.OPEN:
            self.release()
        elif not self._waiting.count(self.user):
            self._flood(REASON)

    def charge(self, seconds: float) -> None:
        """CPU time that was spent on a frame elsewhere."""
        self._account.charge(seconds, messages=0)

    def when_empty(self, farewell: Callable[[], None]) -> None:
        """No more frames will come: call this when those that have come are taken."""
        if self._state is _State.HELD:
            self._farewell = farewell
        else:
            farewell()

    def stop(self) -> None:
        """Take nothing more, whatever comes. Idempotent."""
        self._state = _State.OVER
        self._waiting.clear()
        self._farewell = None
        if self._timer is not None:
            self._timer.cancel()
        self._read_on()  # for the peer's goodbye

    def _read_on(self) -> None:
        if self._throttled:
            self._throttled = False
            self._throttle(False)

    def _is_too_much(self) -> bool:
        if self._opening_bytes:
            return self._waiting.size > self._opening_bytes
        return self._waiting.small_size > BEHIND_QUEUE_BYTES

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
        if wait is not None and self._state is _State.OPEN:
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
            self._state = _State.HELD
            if seconds:
                self._timer = self._clock.call_later(seconds, self._join)
            else:
                self._join()

    def _join(self) -> None:
        """Others have fallen behind, too, and there may be hundreds: each has its turn."""
        self._behind.later(self.release)

    def _give_up(self, reason: str) -> None:
        if self._account.late_by is not None:
            self._excess.count(self._account.late_by)
        self._flood(reason)
