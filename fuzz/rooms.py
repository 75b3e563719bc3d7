"""Hostile updates into a real room, in whose company somebody honest goes on typing: ``python -m fuzz.rooms SECONDS [SEED]``.

Nothing is replaced but the clock, the socket and the database's files. What must hold: the honest one is never sent away,
everything it types is acknowledged, whoever comes later is shown the same, and no turn of the loop takes too long.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass

from cowrite.brokers.local import LocalBroker
from cowrite.core.rooms.large_updates import is_large
from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.guard import inspect
from cowrite.protocol import yjs
from cowrite.protocol.messages import SyncStep2, Update
from cowrite.stores.memory import memory_storage
from cowrite.testing.clock import ManualClock
from cowrite.testing.process import Connection, Process, quiet
from fuzz.expense import expense
from fuzz.hostile import Dice, Writer

_PATIENCE = 10
"""Seconds of the room's time that an acknowledgement may take: the journal waits a little when it has to begin anew."""


@dataclass
class Played:
    """What has happened."""

    updates: int = 0
    words: int = 0
    closed: int = 0
    """How often the server sent the hostile one away."""
    slowest: float = 0.0
    """Seconds of CPU time that the longest call took."""
    grown: int = 0
    """Bytes by which the process grew within one call, at most."""


class _Play:
    def __init__(self, seed: int, played: Played) -> None:
        self._rng = random.Random(seed)
        self._played = played
        self._process = Process(memory_storage(), LocalBroker())

    async def run(self, updates: int, scale: int) -> None:
        async with self._process:
            honest = await self._process.join(user="ana")
            await quiet(self._process)
            await self._attack(honest, updates, scale)
            await self._settle()
            newcomer = await self._process.join(user="eve")
            await self._settle()
            assert honest.closed is None, f"the honest one was sent away: {honest.closed}"
            assert newcomer.client.state == honest.client.state
            # Not the order: a struct whose right neighbour stands left of its left one goes just anywhere.
            assert sorted(str(newcomer.client.text)) == sorted(str(honest.client.text))

    async def _attack(self, honest: Connection, updates: int, scale: int) -> None:
        writer = Writer(Dice(self._rng.randbytes(updates * 30)), scale=scale)
        hostile = await self._process.join(user="mallory")
        for number in range(updates):
            if hostile.closed is not None:
                self._played.closed += 1
                hostile.lose()
                hostile = await self._process.join(user="mallory")
            self._send(hostile, writer)
            self._played.updates += 1
            if number % 10 == 9:
                await self._type(honest)

    def _send(self, hostile: Connection, writer: Writer) -> None:
        update = writer.update()
        try:
            if is_large(inspect(update)):
                return  # such go another way, in slices, which needs a socket
        except HostileUpdate:
            pass  # the room says so, too
        frame = yjs.encode(SyncStep2(update) if self._rng.random() < 0.2 else Update(update))
        spent = expense(lambda: hostile.send(frame))
        self._note(spent.seconds, spent.grown)
        if hostile.closed is None:
            writer.remember()

    async def _type(self, honest: Connection) -> None:
        self._played.words += 1
        honest.client.text.insert(0, f"word {self._played.words} ")
        for _ in range(_PATIENCE):
            await self._settle()
            if honest.client.saved:
                break
        assert honest.closed is None, f"the honest one was sent away: {honest.closed}"
        assert honest.client.saved, "what was typed is acknowledged"

    async def _settle(self) -> None:
        clock = self._process.clock
        assert isinstance(clock, ManualClock)
        clock.advance(1.0)
        began = time.thread_time()
        await quiet(self._process)
        self._note(time.thread_time() - began, 0)

    def _note(self, seconds: float, grown: int) -> None:
        self._played.slowest = max(self._played.slowest, seconds)
        self._played.grown = max(self._played.grown, grown)


async def play(seed: int, played: Played, *, updates: int, scale: int) -> None:
    """One document, from the first update to the last look at it. What it raises has the seed as a note."""
    try:
        await _Play(seed, played).run(updates, scale)
    except BaseException as error:
        error.add_note(f"seed {seed}, {updates} updates, scale {scale}")
        raise


async def main(seconds: float, seed: int) -> None:
    """Play for so long, and print what has happened."""
    played = Played()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        rng = random.Random(seed)
        await play(seed, played, updates=rng.choice((40, 150, 400)), scale=rng.choice((5, 30, 150, 400)))
        seed += 1
    print(json.dumps(vars(played) | {"next_seed": seed}))


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)))
