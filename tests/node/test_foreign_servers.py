"""``cowrite load`` on the servers that others have made, as their packages start them."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cowrite.loadtest import Plan, Protocol, Report, run
from node_program import install, node
from timing import MS

pytestmark = pytest.mark.timeout(120)  # the first run installs the packages

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def programs() -> Path:
    return install(ROOT / "bench" / "peers", ROOT / ".cache" / "peers")


@contextmanager
def serving(program: Path) -> Iterator[int]:
    """The program, until the block ends; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = int(listening.getsockname()[1])
    with subprocess.Popen([node(), program.name, str(port)], cwd=program.parent, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield port
        finally:
            process.kill()


@pytest.mark.rule("LG2")
@pytest.mark.rule("LG7")
@pytest.mark.parametrize(("program", "protocol"), [("hocuspocus", Protocol.HOCUSPOCUS), ("y-websocket", Protocol.YJS)])
def test_a_foreign_server(programs: Path, program: str, protocol: Protocol) -> None:
    """Every edit arrives; Hocuspocus acknowledges them, y-websocket's server does not. Both forget a document that nobody has
    open, and yet the text is there that was put there before.
    """
    with serving(programs / f"{program}.mjs") as port:
        url = f"ws://127.0.0.1:{port}"
        plan = Plan(
            url=url, protocols={protocol: 1.0}, people=8, rate=5, cursors=2, seconds=0.5, warm_up=0.1, settle=20_000 * MS,
            document_bytes=300_000, join_storm=3,
        )  # fmt: skip

        async def work() -> Report:
            return await run(plan)

        with asyncio.Runner(debug=False) as runner:
            report = runner.run(work())
    assert report.ok, (report.problems, report.delivery, report.refused_edits, report.replicas)
    assert report.delivery.delivered == 7 * report.delivery.edits > 0
    assert (report.acknowledgement is not None) == (protocol is Protocol.HOCUSPOCUS)
    assert report.storm is not None
    assert report.replicas is not None
    assert report.replicas.replicas == 4
