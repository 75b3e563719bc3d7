"""People who come and go on several processes at random, while processes are killed and storages fail: in the end all processes
show who is there, and nobody else.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from core.presence.presence_tools import Town, look, session, shown
from cowrite.core.presence.present import Transport
from cowrite.core.rooms.room import Room
from cowrite.core.sessions.session import Session
from cowrite.presence.local import LocalPresenceHub
from cowrite.testing.process import Process

pytestmark = pytest.mark.fuzz
MANY = int(os.environ.get("COWRITE_FUZZ", "1"))
SETTLED = 70.0
"""Seconds after which every process must be right: polls run out, leases end, all have read again."""


class Simulation:
    """A town, and what really is the case in it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.town = Town(linked=self.random.random() < 0.5)
        self.rooms: dict[Process, Room] = {}
        self.sockets: list[tuple[Process, Session]] = []
        self.polling: list[Session] = []
        self.staying: dict[str, tuple[str, int, Process]] = {}
        """Of programs that stay: their users, until when, and whom they told."""
        self.lost = 0.0
        self.town.loses = lambda: self.random.random() < self.lost

    async def start(self) -> None:
        process = self.town.process()
        await process.__aenter__()
        self.rooms[process] = await look(process)
        await process.join(user="watching")  # keeps the room open

    def user(self) -> str:
        return self.random.choice(["ana", "ben", "cem", "eve"])

    async def act(self) -> None:
        """Something happens."""
        processes = list(self.rooms)
        here = self.random.choice(processes)
        match self.random.choice(
            ["connect", "connect", "disconnect", "poll", "poll", "poll", "leave", "stay", "tell", "fail", "kill"]
        ):
            case "connect":
                one = session(here, self.user())
                self.rooms[here].presence.connect(one, Transport.YJS, here.clock.now())
                self.sockets.append((here, one))
            case "disconnect" if self.sockets:
                where, one = self.sockets.pop(self.random.randrange(len(self.sockets)))
                self.rooms[where].presence.disconnect(one)
            case "poll":
                if not self.polling or self.random.random() < 0.3:
                    self.polling.append(session(here, self.user()))
                one = self.random.choice(self.polling)
                self.rooms[here].presence.visit(one, here.clock.now(), here.clock.monotonic(), 30)
            case "leave" if self.polling:
                self.polling.pop(self.random.randrange(len(self.polling)))  # it does not come again
            case "stay":
                one, seconds = session(here, self.user()), self.random.randrange(5, 200)
                self.rooms[here].presence.stay(one, here.clock.now(), seconds * 1000)
                self.staying[one.id] = one.author, here.clock.now() + seconds * 1000, here
            case "tell" if self.sockets:
                where, one = self.random.choice(self.sockets)
                self.rooms[where].presence.tell(one, {"cursor": self.random.random()}, where.clock.now())
            case "fail":
                self.town.presences[here].fails = self.random.random() < 0.5
            case "kill" if len(processes) > 1 and self.random.random() < 0.2:
                await self.kill(here)
                if self.random.random() < 0.7:
                    await self.start()
            case _:
                pass

    async def kill(self, process: Process) -> None:
        del self.rooms[process]
        self.sockets = [(where, one) for where, one in self.sockets if where is not process]
        await self.town.kill(process)
        # What it could not write down is lost with it.
        written = self.town.written.documents.get("doc", {})
        self.staying = {one: stay for one, stay in self.staying.items() if one in written or stay[2] is not process}

    def take_over(self) -> None:
        hub = self.town.written = LocalPresenceHub()
        for process in self.rooms:
            self.town.presences[process].take_over(hub)

    def truth(self) -> dict[str, int]:
        now = self.town.clock.now()
        users = [one.author for _, one in self.sockets]
        users += [user for user, until, _ in self.staying.values() if until > now]
        users += ["watching" for _ in self.rooms]
        return dict(Counter(users))


@pytest.mark.rule("PE10", "PE11", "PE14", "PE15")
@pytest.mark.parametrize("seed", range(3 * MANY))
async def test_in_the_end_everybody_is_shown_and_nobody_else(seed: int) -> None:
    simulation = Simulation(seed)
    town, chance = simulation.town, simulation.random
    for _ in range(3):
        await simulation.start()
    for _ in range(2):
        simulation.lost = chance.choice([0.0, 0.3])
        for _ in range(40):
            await simulation.act()
            await town.step(chance.choice([0.2, 0.2, 0.4, 3.0]))
        if chance.random() < 0.3:
            simulation.take_over()
        for process in simulation.rooms:
            town.presences[process].fails = False
        simulation.lost = 0.0
        simulation.polling.clear()
        await town.step(SETTLED)
        for room in simulation.rooms.values():
            assert shown(room) == simulation.truth()
    for process in list(simulation.rooms):
        await simulation.kill(process)


@pytest.mark.rule("PE15", "PE19")
@pytest.mark.parametrize("seed", range(3 * MANY))
async def test_what_sessions_tell_now_one_process_and_now_another_is_not_lost(seed: int) -> None:
    """Some poll, one has a socket, one stays for a time; all of them tell wherever they please."""
    chance = random.Random(seed)
    linked = chance.random() < 0.5
    town = Town(linked=linked)
    lost = 0.0
    town.loses = lambda: chance.random() < lost
    processes = [town.process() for _ in range(3)]
    rooms: dict[Process, Room] = {}
    for process in processes:
        await process.__aenter__()
        rooms[process] = await look(process)
        await process.join(user="watching")
    await town.step(6)
    bot, dan = session(processes[0], "bot"), session(processes[0], "dan")
    rooms[processes[0]].presence.connect(dan, Transport.WEBSOCKET, processes[0].clock.now())
    sessions = [session(processes[0], user) for user in ("ana", "ben", "ben")] + [dan, bot]
    told: dict[str, dict[str, object]] = {one.id: {"cursor": None, "data": None} for one in sessions}

    def visit(one: Session, where: Process) -> None:
        people, now = rooms[where].presence, where.clock.now()
        if one is bot:
            people.stay(one, now, 600_000)
        else:
            people.visit(one, now, where.clock.monotonic(), 30)

    for round_ in range(100 if linked else 60):  # what was lost with a signal is read once a minute
        lost = 0.3 if round_ < 40 else 0.0
        for where in processes:
            town.presences[where].fails = round_ < 40 and chance.random() < 0.1
        for one in sessions:
            where = chance.choice(processes)
            if one is not bot or round_ % 5 == 0:
                visit(one, where)
            if round_ < 40 and chance.random() < 0.3:
                value = {"n": chance.random()}
                name = chance.choice(["cursor", "data"])
                visit(one, where)
                if rooms[where].presence.crowd.get(one.id) is not None:
                    rooms[where].presence.tell(one, {name: value}, where.clock.now())
                    told[one.id][name] = value
        await town.step(chance.choice([0.2, 0.4, 1.0, 2.0]))
    await town.step(3)
    for room in rooms.values():
        shown_here = {one.session_id: {"cursor": one.cursor, "data": one.data} for one in room.presence.crowd}
        assert shown_here.items() >= told.items()
    for process in processes:
        await town.kill(process)
