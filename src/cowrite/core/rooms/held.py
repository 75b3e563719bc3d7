"""Updates that came before something on which they build. They are neither applied nor relayed until it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from cowrite.core.errors import PeerError
from cowrite.core.limits import Limits
from cowrite.core.ports import Clock, Timer
from cowrite.protocol.close_codes import CloseCode

if TYPE_CHECKING:
    from cowrite.core.rooms.received import Received

_AT_ONCE = 0.001
"""Seconds. Event loops call timers up to their clock's resolution too early."""


class HeldUpdates:
    """The held updates of one peer, bounded in number, bytes and time.

    ``ask`` is called at once and then every 2 s while something is held (it sends SyncStep1 to that peer); ``give_up`` when one
    of them has waited for 10 s. Nothing is held any more by then.
    """

    __slots__ = ("_ask", "_bytes", "_clock", "_give_up", "_limits", "_taken", "_timer", "waiting")

    def __init__(self, clock: Clock, limits: Limits, *, ask: Callable[[], None], give_up: Callable[[], None]) -> None:
        self._clock = clock
        self._limits = limits
        self._ask = ask
        self._give_up = give_up
        self.waiting: dict[Received, float] = {}
        """What is held, in the order of arrival, and since when. Look, but do not touch: empty with nearly all peers, at each
        flush.
        """
        self._taken: dict[Received, float] = {}
        """The same for what :meth:`take` gave last."""
        self._bytes = 0
        self._timer: Timer | None = None

    def __bool__(self) -> bool:
        return bool(self.waiting)

    def hold(self, held: Received) -> None:
        """Keep one more. Raises :class:`PeerError` over the limits."""
        count, size = len(self.waiting) + 1, self._bytes + held.size
        if count > self._limits.held_updates or size > self._limits.held_bytes:
            reason = f"{count} updates ({size} bytes) wait for others that did not arrive"
            raise PeerError(CloseCode.MISSING_DEPENDENCIES, reason)
        self.waiting[held] = self._clock.monotonic()
        self._bytes = size
        if self._timer is None:
            self._wait()
            self._ask()

    def take(self) -> list[Received]:
        """Everything that is held, in the order of arrival. Nothing is held until :meth:`keep`, which must follow at once."""
        self._taken, self.waiting = self.waiting, {}
        return list(self._taken)

    def keep(self, updates: Iterable[Received]) -> None:
        """Put back what :meth:`take` gave and is still of no use; the time that each waited goes on counting."""
        self.waiting = {held: self._taken[held] for held in updates}
        self._taken = {}
        self._bytes = sum(held.size for held in self.waiting)
        if not self.waiting:
            self.cancel()

    def cancel(self) -> None:
        """Forget what is held, and stop asking for what it needs."""
        self.waiting, self._bytes = {}, 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._timer = self._clock.call_later(min(self._limits.ask_again_seconds, self._seconds_left()), self._remind)

    def _seconds_left(self) -> float:
        return next(iter(self.waiting.values())) + self._limits.held_seconds - self._clock.monotonic()

    def _remind(self) -> None:
        if self._seconds_left() < _AT_ONCE:
            self.cancel()
            self._give_up()
        else:
            self._wait()
            self._ask()
