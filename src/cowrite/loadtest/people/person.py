"""What all people have in common, whatever they speak."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Final

from cowrite.loadtest.addresses import Addresses
from cowrite.loadtest.edits import token
from cowrite.loadtest.frames import UPDATE, Frame, FrameCache, Reader, sum_of
from cowrite.loadtest.meter import Meter
from cowrite.loadtest.plan import Plan, Role

JOIN_SECONDS: Final = 120.0
"""How long somebody may take to come in."""


@dataclass(slots=True)
class Crew:
    """What the people of one process share."""

    plan: Plan
    addresses: Addresses
    reader: Reader = field(default_factory=Reader)
    meter: Meter = field(default_factory=Meter)
    caches: list[FrameCache] = field(default_factory=list)
    leaving: bool = False
    """The run is over: sockets that close are no problem."""


def _looked_at(joined: asyncio.Future[None]) -> None:
    """Who waited for it may have gone before it failed; that is no news then."""
    if not joined.cancelled():
        joined.exception()


class Person:
    """Somebody in a document. What arrives is counted by ``received`` and its sum."""

    def __init__(self, role: Role, crew: Crew) -> None:
        self.role = role
        self.crew = crew
        self.meter = crew.meter
        self.number = role.number
        self.rng = random.Random(role.number)
        self.counts = not role.storms
        self.samples = role.sampled
        self.received = 0
        self.received_sum = 0
        self.typed = 0
        self.typed_sum = 0
        self.left: str | None = None
        """Why the connection ended, if it did before the end of the run."""
        self.joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.joined.add_done_callback(_looked_at)

    @property
    def joined_once(self) -> bool:
        """It has come in."""
        return self.joined.done() and not self.joined.cancelled() and self.joined.exception() is None

    @property
    def waits(self) -> bool:
        """Something that it sent is not acknowledged yet."""
        return False

    async def join(self) -> None:
        """Come in, and have the whole state. Raises :class:`LoadError`, or ``OSError`` and what picows raises."""
        raise NotImplementedError

    def write(self, text: str, at: int) -> None:
        """Send it as an edit; ``at`` is when."""
        raise NotImplementedError

    def point(self) -> None:
        """Tell the others where the cursor is."""

    def breathe(self) -> None:
        """What somebody who does nothing does now and then."""

    async def leave(self) -> None:
        """End the connection."""
        raise NotImplementedError

    def type(self) -> None:
        """Make an edit that says when."""
        if self.left is not None:
            return
        at = time.monotonic_ns()
        if at >= self.crew.reader.since:
            self.typed += 1
            self.typed_sum += sum_of(self.number, at)
            self.meter.edits += 1
        self.write(token(self.number, at), at)

    def took(self, frame: Frame) -> None:
        """Edits of the others have arrived, and maybe its own."""
        count, total = frame.count, frame.sum
        if self.role.types and self.number in frame.own:
            own, own_sum = frame.own[self.number]
            count -= own
            total -= own_sum
        if not count or not self.counts:
            return
        self.received += count
        self.received_sum += total
        self.meter.deliveries += count
        if self.samples:
            self._sample(frame)

    def has_all_of(self, state: bytes) -> None:
        """The whole state has come instead of what was not read in time."""
        frame = Frame(UPDATE)
        self.crew.reader.count(frame, state)
        own, own_sum = frame.own.get(self.number, (0, 0))
        if self.counts:
            self.meter.deliveries += frame.count - own - self.received
            self.received, self.received_sum = frame.count - own, frame.sum - own_sum

    def pointed(self, frame: Frame) -> None:
        """Cursors have arrived."""
        if self.counts:
            self.meter.cursors_received += len(frame.cursors)
            if self.samples and frame.cursors:
                now = time.monotonic_ns()
                self.meter.ages += [(now - at) / 1e6 for at in frame.cursors]

    def acknowledged(self, at: int) -> None:
        """What was sent then is kept."""
        if at >= self.crew.reader.since:
            self.meter.acknowledgements.append((time.monotonic_ns() - at) / 1e6)

    def came_in(self) -> None:
        """It has the whole state."""
        if not self.joined.done():
            self.joined.set_result(None)

    def lost(self, why: str) -> None:
        """The connection has ended."""
        if self.left is None and not self.crew.leaving:
            self.left = why
        if not self.joined.done():
            self.joined.set_exception(ConnectionError(why))

    def _sample(self, frame: Frame) -> None:
        now = time.monotonic_ns()
        if self.number not in frame.own or not self.role.types:
            self.meter.latencies += [(now - at) / 1e6 for at in frame.times]
            return
        own, numbers = self.number, frame.numbers
        self.meter.latencies += [(now - at) / 1e6 for at, number in zip(frame.times, numbers, strict=True) if number != own]
