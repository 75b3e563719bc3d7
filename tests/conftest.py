"""How all tests run: blocking calls found out, asyncio's debug mode, a time limit each, and the loop of one's choice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator

import pytest
import uvloop
from blockbuster import BlockBuster

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
TIMEOUTS = {"browser": 120.0, "chaos": 200.0, "fuzz": 60.0 * max(1.0, float(os.environ.get("COWRITE_FUZZ", "1")))}
"""Seconds for the tests with these marks; the others have pyproject.toml's ``timeout``."""

MAY_BLOCK: dict[str, set[str]] = {}
"""Calls of cowrite that may block the event loop: end of a file's path → functions. Say why beside each."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--loop", choices=[*LOOPS, "both"], default="asyncio", help="the event loop of the asynchronous tests")


def pytest_asyncio_loop_factories(config: pytest.Config) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    chosen = config.getoption("--loop")
    return {name: factory for name, factory in LOOPS.items() if chosen in {name, "both"}}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        limits = [seconds for mark, seconds in TIMEOUTS.items() if item.get_closest_marker(mark)]
        if limits and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(max(limits)))


@pytest.fixture(scope="session", autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """A call of cowrite that would block the event loop raises ``BlockingError`` (tests themselves may block)."""
    detector = BlockBuster("cowrite")
    for function in detector.functions.values():
        for path, names in MAY_BLOCK.items():
            function.can_block_in(path, names)
    detector.activate()
    yield
    detector.deactivate()
