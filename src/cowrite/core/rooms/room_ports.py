"""What a room needs of its surroundings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cowrite.core.delivery.multicast import Multicast
from cowrite.core.delivery.window import FlushTime, FlushWindow
from cowrite.core.excess import Excess
from cowrite.core.imports.line import Imports
from cowrite.core.limits import Limits
from cowrite.core.ports import Clock, Signal
from cowrite.core.ports.events import UNHEARD, Events
from cowrite.core.ports.tracing import Tracing
from cowrite.core.presence.service import PresenceService
from cowrite.core.rooms.pending import Backlog

if TYPE_CHECKING:
    from cowrite.core.rooms.room import Room


@dataclass(frozen=True, slots=True)
class RoomPorts:
    """The same for all rooms of a process."""

    process: str
    """The id of this process, as others know it."""
    presence: PresenceService
    clock: Clock
    limits: Limits
    backlog: Backlog
    shortest_window: float
    longest_window: float
    write: Callable[[], None]
    """The outboxes are filled: let the transports write now, so that it counts as part of the flush."""
    multicast: Callable[[], Multicast]
    """Make one, for the peers of one room and dialect."""
    commit: Callable[[Room], None]
    """Something is pending: commit it soon."""
    behind: Callable[[Room], None]
    """Others have committed something that this room has not seen: read the store."""
    signal: Callable[[Signal], None]
    """Tell other processes something of the moment."""
    emptied: Callable[[Room], None]
    """The last peer has left."""
    failed: Callable[[Room], None]
    """The document cannot be served: forget this room."""
    imports: Imports
    """The line of large updates."""
    excess: Excess = field(default_factory=Excess)
    """Counts what was more than a limit."""
    events: Events = UNHEARD
    """Whoever wants to know what happens."""
    tracing: Tracing | None = None
    """Whoever records how edits come to the disk. None: nobody does, and it costs nothing."""
    flushes: FlushTime = field(default_factory=FlushTime)
    """What flushing takes of the loop's time."""

    def window(self, flush: Callable[[], int]) -> FlushWindow:
        """When a room flushes; ``flush`` returns how many updates it has sent."""
        return FlushWindow(self.clock, flush, self.flushes, shortest=self.shortest_window, longest=self.longest_window)
