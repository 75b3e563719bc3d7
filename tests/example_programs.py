"""The programs of examples/ that have cowrite in them, each in its own process."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from pycrdt import Text
from websockets.asyncio.client import connect

from cowrite.testing.yjs_client import YjsClient
from socket_writers import ACKNOWLEDGED
from timing import MS

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
_PEOPLE = """
from django.contrib.auth.models import User
from django.core.management import call_command
call_command("migrate", verbosity=0)
for name in ("ana", "bo"):
    User.objects.create_user(name, password=name, first_name=name.title(), last_name="Lima")
"""


@contextmanager
def example_program(name: str, folder: Path, pages: Path, program: str = "main:app") -> Iterator[str]:
    """Run an example as its first lines say, with what it keeps in ``folder`` and these pages; its URL, without a slash."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", program, "--port", str(port), "--ws-max-size", "33554432"]
    with running(name, command, folder / "example.log", example_environment(folder, pages), port) as url:
        yield url


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def running(name: str, command: list[str], log: Path, environment: dict[str, str], port: int) -> Iterator[str]:
    """A program of examples/ that serves at this port, until the block ends; its URL, without a slash."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=EXAMPLES / name, env=environment, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 20_000 * MS
        while not _serves(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield url
        process.terminate()
        assert process.wait(15_000 * MS) in {0, -15}, log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        process.kill()
        process.wait()


def example_environment(folder: Path, pages: Path) -> dict[str, str]:
    """What an example is told in the environment."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("COWRITE_")}
    return {**own, "COWRITE_DATA_DIR": str(folder / "data"), "DATA": str(folder / "data"), "PAGES": str(pages)}


def prepare_project(folder: Path) -> None:
    """The tables of the Django example, and two people, Ana and Bo, whose passwords are their names."""
    manage(folder, "shell", "--verbosity", "0", "-c", _PEOPLE)


def manage(folder: Path, *arguments: str) -> str:
    """Run ``manage.py`` of the Django example; what it prints."""
    command = [sys.executable, "manage.py", *arguments]
    environment = example_environment(folder, folder)
    done = subprocess.run(command, cwd=EXAMPLES / "django", env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


async def edit(address: str, token: str, text: str | None, root: str = "body") -> str:
    """Open a document by y-websocket; write, if there is something to write, until it is saved. Gives the root's text."""
    client = YjsClient()
    there = client.doc.get(root, type=Text)
    socket_url = f"{address.replace('http', 'ws', 1)}?token={token}"
    async with connect(socket_url, subprotocols=ACKNOWLEDGED, compression=None) as opened:
        outgoing: list[bytes] = []
        client.connect(outgoing.append)
        written = False
        async with asyncio.timeout(10):
            while not (client.synced and (text is None or (written and client.saved))):
                for message in outgoing:
                    await opened.send(message)
                outgoing.clear()
                client.receive(bytes(await opened.recv(decode=False)))
                if client.synced and text is not None and not written:
                    there.insert(len(str(there).encode()), text)
                    written = True
    return str(there)


def _serves(url: str) -> bool:
    try:
        return httpx.get(url).status_code in {200, 302}
    except httpx.TransportError:
        return False
