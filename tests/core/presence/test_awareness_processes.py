"""Clients of several processes: who drops off one and comes back on another, and what processes say as they come and go."""

from __future__ import annotations

import pytest

from core.presence.awareness_world import Server, Tab, World
from cowrite.core.ports import AwarenessLost, AwarenessNews, AwarenessQuery, ProcessLeft, Signal
from cowrite.core.presence import announcements
from cowrite.core.presence.announcements import LONGEST_INTERVAL, SMALL_ROOM, interval
from cowrite.core.presence.awareness import Awareness
from cowrite.core.presence.awareness_exchange import AwarenessExchange
from cowrite.core.presence.awareness_owners import Owner
from cowrite.protocol.awareness import AwarenessEntry

MOVER = 1


class Watcher(Tab):
    """A tab that notes whenever the mover is not in sight."""

    blinked = False
    watching = False

    def _changed(self, changed: list[int], origin: object) -> None:
        super()._changed(changed, origin)
        self.blinked |= self.watching and MOVER not in self.seen


class Scene:
    """One tab moves; a watcher is on each process."""

    def __init__(self, user: str, processes: int = 3) -> None:
        self.world = World(0, processes=processes)
        self.world.tabs.clear()
        self.mover = Tab(self.world, 0, user, MOVER, queues=False)
        self.watchers = [Watcher(self.world, number, f"watcher {number}", number, queues=False) for number in (11, 12, 13)]
        self.world.tabs += [self.mover, *self.watchers]
        for tab, server in zip(self.watchers, self.world.servers, strict=False):
            tab.connect(server)
        self.mover.connect(self.world.servers[0])
        for each in self.world.tabs:
            each.awareness.set_local_state({"at": 0})
        self.settle()

    def drop_off(self, *, noticed: bool = True) -> None:
        """The mover's socket is gone."""
        self.mover.lose(noticed=noticed)
        self.mover.wants_socket = False

    def settle(self, seconds: float = 0.0) -> None:
        """Time goes by, and all that is sent arrives."""
        self.world.advance(seconds)
        self.world.deliver()

    def watch(self) -> None:
        """From now on the mover must be in sight of all."""
        for tab in self.watchers:
            tab.watching = True
            assert MOVER in tab.seen

    def comes_back_on(self, server: Server, *, moves: bool) -> None:
        """And is watched for as long as anything could end."""
        if moves:
            self.mover.awareness.set_local_state({"at": 7})
        self.mover.wants_socket = True
        self.mover.connect(server)
        self.settle()
        for _ in range(50):
            self.settle(1)
        assert not any(tab.blinked for tab in self.watchers)
        state = self.mover.seen[MOVER]
        assert all(tab.seen[MOVER] == state for tab in self.watchers)
        assert all(one.shown()[MOVER] == state for one in self.world.servers)


@pytest.mark.rule("AW52")
@pytest.mark.parametrize("user", ["ana", ""], ids=["named", "guest"])
@pytest.mark.parametrize("moves", [False, True], ids=["equal clock", "higher clock"])
@pytest.mark.parametrize("away", [0.0, 0.5, 1.0])
def test_who_comes_back_on_another_process_does_not_blink(user: str, moves: bool, away: float) -> None:
    scene = Scene(user)
    scene.watch()
    scene.drop_off()
    scene.settle(away)
    scene.comes_back_on(scene.world.servers[1], moves=moves)


@pytest.mark.rule("AW52")
@pytest.mark.parametrize("moves", [False, True], ids=["equal clock", "higher clock"])
@pytest.mark.parametrize("noticed_after", [0.0, 0.5, 20.0])
def test_nor_when_the_old_socket_is_found_to_be_dead_later(moves: bool, noticed_after: float) -> None:
    """The process that thinks it open is asked meanwhile, by one that starts."""
    scene = Scene("ana")
    scene.watch()
    scene.drop_off(noticed=False)
    ((_, dead),) = scene.world.lost
    scene.world.lost = [(scene.world.now + 1 + noticed_after, dead)]
    scene.settle(1)
    if noticed_after:
        scene.mover.connect(scene.world.servers[1])
        scene.settle(noticed_after / 2)
        scene.world.start()
        scene.settle()
        scene.drop_off()
    scene.comes_back_on(scene.world.servers[2], moves=moves)


@pytest.mark.rule("AW52")
@pytest.mark.parametrize("moves", [False, True], ids=["equal clock", "higher clock"])
def test_nor_on_a_process_that_opens_the_document_for_it(moves: bool) -> None:
    scene = Scene("", processes=2)
    scene.watch()
    scene.drop_off()
    scene.settle(0.5)
    scene.world.start()
    scene.comes_back_on(scene.world.servers[2], moves=moves)


@pytest.mark.rule("AW47")
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_process_that_stops(comes_back: bool) -> None:
    """Its people have two seconds to come back elsewhere."""
    scene = Scene("")
    scene.watchers.pop(0)
    if comes_back:
        scene.watch()
    scene.mover.wants_socket = False
    scene.world.stop(scene.world.servers[0], killed=False)
    scene.settle()
    scene.settle(1)
    if comes_back:
        scene.comes_back_on(scene.world.servers[0], moves=False)
    else:
        assert all(MOVER in tab.seen for tab in scene.watchers)
        scene.settle(1)
        assert not any(MOVER in tab.seen for tab in scene.watchers)


@pytest.mark.rule("AW48")
def test_a_process_that_is_killed() -> None:
    """Nobody speaks for its people any more: they are gone within 30 s."""
    scene = Scene("ana")
    scene.watchers.pop(0)
    scene.mover.wants_socket = scene.world.tabs[1].wants_socket = False
    scene.world.stop(scene.world.servers[0], killed=True)
    for _ in range(5):
        assert all(MOVER in tab.seen for tab in scene.watchers)
        scene.settle(5)
    assert not any(MOVER in tab.seen for tab in scene.watchers)
    assert all(server.shown().keys() == {12, 13} for server in scene.world.servers)


@pytest.mark.rule("AW44")
def test_an_end_that_is_told_elsewhere_is_mended() -> None:
    """The word that the client is elsewhere was lost, so its old process ends it."""
    scene = Scene("ana")
    scene.drop_off()
    scene.settle()
    scene.world.losses = 1.0
    scene.mover.connect(scene.world.servers[1])
    scene.settle()
    scene.world.losses = 0.0
    scene.settle(2)
    assert all(MOVER in tab.seen for tab in scene.watchers)
    assert scene.mover.awareness.meta[MOVER][0] == 2, "it was told of its end, and has announced itself again"


@pytest.mark.rule("AW40")
@pytest.mark.rule("AW41")
@pytest.mark.rule("AW43")
@pytest.mark.rule("AW46")
def test_what_a_process_tells() -> None:
    """News of its own connections, once; never what came from elsewhere."""
    scene = Scene("ana", processes=1)
    told: list[object] = []
    scene.world.send = lambda name, signal: told.append(signal)  # type: ignore[method-assign]
    server = scene.world.servers[0]
    scene.mover.awareness.set_local_state({"at": 1})
    scene.settle()
    (state,) = server.awareness.entries([MOVER])
    assert told == [AwarenessNews("doc", server.name, (state,), ("ana",))]
    server.announcements.hear(AwarenessNews("doc", "other", (AwarenessEntry(99, 1, "{}"),), ("ben",)))
    server.announcements.hear(AwarenessQuery("doc", "other"))
    living = tuple(server.awareness.entries([11, 12, 13, MOVER]))
    assert set(told[1].entries) == set(living)  # type: ignore[attr-defined]
    assert told[1].to == "other"  # type: ignore[attr-defined]
    scene.drop_off()
    scene.settle()
    scene.mover.connect(server)
    scene.settle()
    assert told[2:] == [
        AwarenessLost("doc", server.name, (MOVER,)),
        AwarenessNews("doc", server.name, (state,), ("ana",)),
    ]
    scene.mover.leave()
    scene.settle()
    assert told[4:] == [AwarenessNews("doc", server.name, (AwarenessEntry(MOVER, state.clock, None),), (None,))]


@pytest.mark.rule("AW53")
def test_a_closed_room_is_silent() -> None:
    """What it lost may be in a new room of the same process by the time that it would end."""
    scene = Scene("ana", processes=1)
    told: list[object] = []
    scene.world.send = lambda name, signal: told.append(signal)  # type: ignore[method-assign]
    server = scene.world.servers[0]
    scene.drop_off()
    scene.settle()
    server.exchange.close()
    scene.mover.wants_socket = False
    scene.settle(3)
    assert told == [AwarenessLost("doc", server.name, (MOVER,)), ProcessLeft("doc", server.name)]
    assert MOVER not in server.shown()


# ---- rate --------------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("AW21")
def test_the_more_peers_the_longer_awareness_waits() -> None:
    assert interval(SMALL_ROOM) == 0
    assert interval(50) == pytest.approx(0.1)
    assert interval(500) == interval(5000) == LONGEST_INTERVAL


@pytest.mark.rule("AW21")
def test_so_many_bytes_are_told_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a large room the next telling waits longer after a large one."""
    monkeypatch.setattr(announcements, "BYTES_PER_SECOND", 40_000)
    scene = Scene("ana", processes=1)
    for number in range(100, 100 + 40):
        tab = Tab(scene.world, number, f"user {number}", number, queues=False)
        scene.world.tabs.append(tab)
        tab.connect(scene.world.servers[0])
    scene.settle(1)
    scene.world.clock.advance(60)
    watcher = scene.watchers[0]
    assert watcher.socket is not None
    assert scene.mover.socket is not None
    peers = len(scene.world.servers[0].sockets)
    before = len(watcher.socket.down)
    for number in range(2):
        scene.mover.awareness.set_local_state({"at": 10**1000 + number})
        scene.world.servers[0].take(scene.mover.socket)
    seconds = peers * 1000 / 40_000
    scene.world.clock.advance(seconds * 0.9)
    assert len(watcher.socket.down) - before == 1, "the first was told at once"
    scene.world.clock.advance(seconds * 0.2)
    assert len(watcher.socket.down) - before == 2


@pytest.mark.rule("AW21")
def test_in_a_large_room_the_newest_of_each_client_is_sent_now_and_then() -> None:
    scene = Scene("ana", processes=1)
    for number in range(100, 100 + 40):
        tab = Tab(scene.world, number, f"user {number}", number, queues=False)
        scene.world.tabs.append(tab)
        tab.connect(scene.world.servers[0])
    scene.settle(1)
    watcher, came = scene.watchers[0], []
    assert watcher.socket is not None
    wait = interval(len(scene.world.servers[0].sockets))
    for number in range(5):
        scene.mover.awareness.set_local_state({"at": number})
        assert scene.mover.socket is not None
        scene.world.servers[0].take(scene.mover.socket)
        came.append(len(watcher.socket.down))
    assert came == [1, 1, 1, 1, 1], "the first at once, since it was quiet"
    scene.world.clock.advance(wait * 0.9)
    assert len(watcher.socket.down) == 1
    scene.world.clock.advance(wait * 0.2)
    assert [[entry.state for entry in message] for message in watcher.socket.down] == [['{"at": 0}'], ['{"at": 4}']]
    scene.world.clock.advance(60)
    assert len(watcher.socket.down) == 2


@pytest.mark.rule("AW40")
def test_what_is_claimed_or_lost_is_told_once() -> None:
    told: list[Signal] = []
    awareness = Awareness()
    exchange = AwarenessExchange("doc", "p", awareness, told.append)
    announced = awareness.announce(Owner("a1", "a"), [AwarenessEntry(1, 1, "{}")], 0.0)
    exchange.note(announced.news)
    exchange.claim(announced.claims)
    exchange.flush()
    assert told == [AwarenessNews("doc", "p", (AwarenessEntry(1, 1, "{}"),), ("a",))]
