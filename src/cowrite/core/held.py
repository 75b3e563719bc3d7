"""Updates that came before something on which they build. They are neither applied nor relayed until it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cowrite.core.errors import PeerError
from cowrite.core.limits import Limits
from cowrite.core.ports import Clock, Timer
from cowrite.protocol.close_codes import CloseCode

if TYPE_CHECKING:
    from cowrite.core.received import Received


class HeldUpdates:
    """The held updates of one peer, bounded in number, bytes and time.

    ``ask`` is called at once and then every 2 s while something is held (it sends SyncStep1 to that peer); ``give_up`` after 10 s.
    """

    def __init__(self, clock: Clock, limits: Limits, *, ask: Callable[[], None], give_up: Callable[[], None]) -> None:
        self._clock = clock
        self._limits = limits
        self._ask = ask
        self._give_up = give_up
        self._updates: list[Received] = []
        self._bytes = 0
        self._deadline = 0.0
        self._timer: Timer | None = None

    def __bool__(self) -> bool:
        return bool(self._updates)

    def hold(self, held: Received) -> None:
        """Keep one more. Raises :class:`PeerError` over the limits."""
        if len(self._updates) >= self._limits.held_updates or self._bytes + len(held.update) > self._limits.held_bytes:
            raise PeerError(
                CloseCode.MISSING_DEPENDENCIES,
                f"{len(self._updates) + 1} updates ({self._bytes + len(held.update)} bytes) wait for others that did not arrive",
            )
        self._updates.append(held)
        self._bytes += len(held.update)
        if self._timer is None:
            self._deadline = self._clock.monotonic() + self._limits.held_seconds
            self._wait()
            self._ask()

    def take(self) -> list[Received]:
        """Everything that is held, in the order of arrival; nothing is held afterwards (whoever cannot use one holds it again)."""
        updates, self._updates, self._bytes = self._updates, [], 0
        return updates

    def keep(self, updates: list[Received]) -> None:
        """Put back what :meth:`take` gave and is still of no use; the time that they waited goes on counting."""
        self._updates = updates
        self._bytes = sum(len(held.update) for held in updates)
        if not updates:
            self.cancel()

    def cancel(self) -> None:
        """Stop waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._timer = self._clock.call_later(self._limits.ask_again_seconds, self._remind)

    def _remind(self) -> None:
        if self._clock.monotonic() >= self._deadline:
            self._timer = None
            self._give_up()
        else:
            self._wait()
            self._ask()
