"""How all tests run: blocking calls found out, asyncio's debug mode, a time limit each, and the loop of one's choice."""

from __future__ import annotations

import asyncio
import gc
import linecache
import os
import sys
import traceback
from collections.abc import Callable, Generator, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import pytest
import uvloop
from blockbuster import BlockBuster

from timing import MS

if TYPE_CHECKING:
    from mariadb_server import MariadbServer
    from postgres_server import PostgresServer
    from valkey_server import ValkeyCluster, ValkeyServer

# The contracts' asserts tell what they have compared; it must be said before anything imports them.
pytest.register_assert_rewrite(*(f"cowrite.testing.{port}_contract" for port in ("access", "directory", "history", "presence")))

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
TIMEOUT = 30_000 * MS
"""Seconds that a test may take."""
TIMEOUTS = {
    "browser": 4 * TIMEOUT,
    "chaos": 6 * TIMEOUT,
    "fuzz": 2 * TIMEOUT * max(1.0, float(os.environ.get("COWRITE_FUZZ", "1"))),
}
"""Seconds for the tests with these marks."""

NOTED_FRAMES = 3
"""How many frames asyncio's debug mode remembers of each callback."""
WALK_STACK = traceback.walk_stack
PRINTERS = {traceback.format_stack.__code__, traceback.print_stack.__code__}

HERE = Path(__file__).parent
COUNTED = {"protocol", "crdt", "formats", "core"}
"""The folders whose tests run counted (scripts/check.py) …"""
UNCOUNTED = "fuzz", "large"
"""… but for those with these marks: counting makes Python several times slower."""
PLACES = {"browser": {"browser"}, "chaos": {"chaos", "stores"}}
"""Marks, and the folders where scripts/check.py looks for tests that have them; in the folder of that name all have it."""
FIRST = "node", "transports", "http"
"""The folders with the files that take longest: where files are shared out to processes, none of these should be the last."""
LAST = "brokers", "core", "crdt", "formats", "hostile", "protocol", "tokens"
"""Those with files that take seconds: they fill what is left when some processes have no other."""

ON_SERVERS = "TestPostgres", "TestMariadb"
ALL_ON_SERVERS = {"test_exact_content"}
NOT_ON_SERVERS = {"test_offset_at_where_time_steps_back", "test_ten_thousand"}
"""Thousands of statements of a kind that other tests make too."""

MAY_BLOCK: dict[str, set[str]] = {
    # Writing a traceback reads source files; it happens once for each outage of a kind that nobody thought of.
    "cowrite/core/journal/journal.py": {"_set_apart"},
    # For each new connection asyncpg looks whether there are the files that psql would use, as psql does.
    "asyncpg/connect_utils.py": {"_parse_connect_dsn_and_args"},
    # On a database server it has a loop, in a thread, to itself.
    "cowrite/stores/sqlalchemy/schema.py": {"run_migrations"},
    # A backup has a loop to itself: nobody waits for what its command waits for.
    "cowrite/stores/backup_file.py": {"_write", "_read", "_exactly", "__iter__", "begin"},
    # Coverage's own lock, which the threads that cowrite starts take as well.
    "coverage/collector.py": {"lock_data"},
}
"""Calls of cowrite that may block the event loop: end of a file's path → functions. Say why beside each."""


def pytest_configure() -> None:
    # Coverage counts in the processes of pytest-xdist, not in the servers that tests start: those would take twice as long.
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    # In its debug mode asyncio notes for each callback and each future who made it: all the frames, up to pytest's, which takes
    # a third of the time of such tests. The next frames tell who it was; and no source changes while tests run.
    linecache.checkcache = lambda filename=None: None
    traceback.walk_stack = _walk_stack


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Nearly all that is made meanwhile stays; looking for garbage in it would take a fifth of the time, in each process."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    # What was imported and collected stays to the end: the garbage collector need not look through it again and again.
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--loop", choices=[*LOOPS, "both"], default="asyncio", help="the event loop of the asynchronous tests")


def pytest_asyncio_loop_factories(config: pytest.Config) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    chosen = config.getoption("--loop")
    return {name: factory for name, factory in LOOPS.items() if chosen in {name, "both"}}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files without a test that was asked for are not imported: each process of xdist would take seconds for it."""
    asked: str = config.getoption("markexpr")
    folder = collection_path.relative_to(HERE).parts[:1]
    if any(f"not {mark}" in asked and folder == (mark,) for mark in PLACES):
        return True
    if "not counted" in asked and COUNTED.intersection(folder) and collection_path.name.startswith("test_"):
        source = collection_path.read_text()
        return not any(f"mark.{mark}" in source for mark in UNCOUNTED) or None
    return None


@pytest.hookimpl(tryfirst=True)  # before items are chosen by their marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _thin_out(config, items)
    items.sort(key=_place)
    for item in items:
        folder, marks = _folder(item), {mark.name for mark in item.iter_markers()}
        if folder in COUNTED and marks.isdisjoint(UNCOUNTED):
            item.add_marker("counted")
        for mark, folders in PLACES.items():
            if mark in marks and folder not in folders:
                raise pytest.UsageError(f"{item.nodeid}: scripts/check.py runs {mark} tests of {sorted(folders)} only")
            if folder == mark and mark not in marks:
                raise pytest.UsageError(f"{item.nodeid}: a test of this folder has the mark {mark}")
        if "timeout" not in marks:
            limits = [seconds for mark, seconds in TIMEOUTS.items() if mark in marks]
            item.add_marker(pytest.mark.timeout(max(limits, default=TIMEOUT)))


def _walk_stack(f: FrameType | None) -> Iterator[tuple[FrameType, int]]:
    """The frames from this one on: all of them for who prints them, the nearest ones for asyncio, which keeps them."""
    frames = WALK_STACK(f)
    return frames if sys._getframe(2).f_code in PRINTERS else islice(frames, NOTED_FRAMES)


def _thin_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the contracts, database servers are asked for what could be another thing there: a test takes five times as long.

    What is refused before a database is asked is refused on all in the same way, and of a test with many variants two will do.
    """
    variants: dict[tuple[object, str], list[pytest.Function]] = {}
    for item in items:
        if isinstance(item, pytest.Function) and item.cls is not None and item.cls.__name__.startswith(ON_SERVERS):
            variants.setdefault((item.cls, item.originalname), []).append(item)
    left_out: set[pytest.Item] = set()
    for (_, name), some in variants.items():
        if name.startswith("test_invalid_") or name in NOT_ON_SERVERS:
            left_out.update(some)
        elif name not in ALL_ON_SERVERS:
            left_out.update(some[1:-1])
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


def _folder(item: pytest.Item) -> str:
    return _folder_of(item.path)


@lru_cache
def _folder_of(path: Path) -> str:
    return path.relative_to(HERE).parts[0]


def _place(item: pytest.Item) -> int:
    folder = _folder(item)
    return FIRST.index(folder) if folder in FIRST else len(FIRST) + (folder in LAST)


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


@pytest.fixture(scope="session")
def patient() -> None:
    """On a busy machine a client may do nothing for long. Tests of deadlines make their own."""
    from cowrite.stores.sqlalchemy.server_kinds import Deadlines, ServerKind

    ServerKind.deadlines = Deadlines(connect=30, pool=30, statement=60, idle=60, lock=30, call=70)


@pytest.fixture(scope="session")
def postgres_server(patient: None) -> Iterator[PostgresServer]:
    """Of all tests of this process, for those who leave it as it is."""
    from postgres_server import PostgresServer  # here: most runs need none

    server = PostgresServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """A database with cowrite's tables, which are empty."""
    from postgres_server import emptied

    return emptied(postgres_server)


@pytest.fixture(scope="session")
def mariadb_server(patient: None) -> Iterator[MariadbServer]:
    """As the PostgreSQL server. Tests with it are skipped where the machine has no ``mariadbd``."""
    from mariadb_server import started

    server = started()
    yield server
    server.remove()


@pytest.fixture
def mariadb_url(mariadb_server: MariadbServer) -> str:
    """A database with cowrite's tables, which are empty."""
    from mariadb_server import emptied

    return emptied(mariadb_server)


@pytest.fixture(scope="session")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """Of all tests of this process, for those who leave it as it is."""
    from valkey_server import ValkeyServer

    server = ValkeyServer(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    """The same of a cluster."""
    from valkey_server import ValkeyCluster

    cluster = ValkeyCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()
