"""Real servers for the tests of brokers that change or kill them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from valkey_server import ValkeyServer


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def locked_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """With a password, and users who may do this and that."""
    server = ValkeyServer(tmp_path_factory.mktemp("locked"))
    server.start()
    may = "+@connection +@pubsub"
    for user, allowed in {
        "mute": "+@connection &cowrite:*",
        "elsewhere": f"{may} &other:*",
        "enough": f"{may} &cowrite:*",
        "later": f"{may} &cowrite:*",
    }.items():
        assert server.call("ACL", "SETUSER", user, "on", ">sesame", "resetchannels", allowed) == "+OK\r\n"
    server.call("CONFIG", "SET", "requirepass", "sesame")
    yield server
    server.kill()
