"""Real servers for the tests of brokers: one for all tests of a process, or one of its own for a test that kills it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from valkey_server import ValkeyCluster, ValkeyServer


@pytest.fixture(scope="session")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    cluster = ValkeyCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()


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
