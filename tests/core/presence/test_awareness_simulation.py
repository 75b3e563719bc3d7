"""At random: whatever happened, in the end everybody sees everybody, and no ghosts."""

from __future__ import annotations

import os

import pytest

from core.presence.awareness_world import World
from cowrite.core.presence.awareness import STALE_AFTER

pytestmark = pytest.mark.fuzz

MANY = int(os.environ.get("COWRITE_FUZZ", "1"))


@pytest.mark.rule("AW30")
def test_in_the_end_everybody_sees_everybody() -> None:
    """Slow networks, sleeping tabs, sockets that are dead for long before the server notices."""
    skipped = 0
    for seed in range(50 * MANY):
        world = World(seed)
        for _ in range(300):
            world.step()
        # Sleepers wake within 50 s, and may hear then what was said before they fell asleep; clients forget after 30 s.
        world.settle(50 + STALE_AFTER + 10)
        present = world.present()
        assert world.servers[0].shown() == present, f"seed {seed}: the server"
        for tab in world.tabs:
            assert tab.seen == present, f"seed {seed}: tab {tab.awareness.client_id}"
        skipped += world.servers[0].awareness.skipped
    assert skipped > 500 * MANY


@pytest.mark.rule("AW31")
def test_where_messages_arrive_everybody_is_seen_within_a_heartbeat() -> None:
    """Nobody stays invisible, and no ghost stays, until a state expires: that would take 30 s."""
    for seed in range(50 * MANY):
        world = World(seed)
        world.viewers = False
        for _ in range(150):
            world.step()
            world.catch_up()
        world.settle(20)
        present = world.present()
        assert world.servers[0].shown() == present, f"seed {seed}: the server"
        for tab in world.tabs:
            # What a tab has told only the other tabs of its browser, the server cannot take back.
            told = {client for client, browser in world.browsers.items() if browser == tab.browser} - present.keys()
            seen = {client: state for client, state in tab.seen.items() if client not in told}
            assert seen == present, f"seed {seed}: tab {tab.awareness.client_id}"


@pytest.mark.rule("AW50")
def test_in_the_end_everybody_sees_everybody_on_all_processes() -> None:
    """Signals are late, and lost; processes come, go, and are killed."""
    started = lost = skipped = 0
    for seed in range(30 * MANY):
        world = World(seed, processes=3)
        world.losses = world.rng.choice([0.0, 0.1])
        for _ in range(300):
            if world.rng.random() < 0.01:
                world.stop(world.rng.choice(world.servers), killed=world.rng.random() < 0.5)
                world.start()
            world.step()
        world.losses = 0.0
        world.settle(50 + STALE_AFTER + 10)
        present = world.present()
        for server in world.servers:
            assert server.shown() == present, f"seed {seed}: {server.name}"
            skipped += server.awareness.skipped
        for tab in world.tabs:
            assert tab.seen == present, f"seed {seed}: tab {tab.awareness.client_id}"
        started, lost = started + world.started, lost + world.signals_lost
    assert started > 100 * MANY
    assert lost > 50 * MANY
    assert skipped > 500 * MANY


@pytest.mark.rule("AW51")
def test_where_signals_arrive_everybody_is_seen_within_a_heartbeat_on_all_processes() -> None:
    for seed in range(30 * MANY):
        world = World(seed, processes=3)
        world.viewers, world.renews = False, bool(seed % 2)
        for _ in range(150):
            if not world.renews and world.rng.random() < 0.02:
                world.stop(world.rng.choice(world.servers), killed=False)
                world.start()
            world.step()
            world.catch_up()
        world.settle(20)
        present = world.present()
        for server in world.servers:
            assert server.shown() == present, f"seed {seed}: {server.name}"
        for tab in world.tabs:
            told = {client for client, browser in world.browsers.items() if browser == tab.browser} - present.keys()
            seen = {client: state for client, state in tab.seen.items() if client not in told}
            assert seen == present, f"seed {seed}: tab {tab.awareness.client_id}"
