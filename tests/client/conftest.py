"""A server that knows its users, in a process of its own, for all tests of the client."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from demo_server import DemoServer
from python_clients import SECRET


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    with DemoServer(tmp_path_factory.mktemp("server"), demo=False, COWRITE_SECRET=SECRET) as one:
        yield one
        one.stop()
    assert one.errors() == []


@pytest.fixture
def name() -> str:
    """A document's id that nobody else has, of a kind that addresses have to be careful with."""
    return f"notes {uuid.uuid4()}/ü?"
