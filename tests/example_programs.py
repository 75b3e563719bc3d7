"""The programs of examples/ that have cowrite in them, each in its own process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from timing import MS

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@contextmanager
def example_program(name: str, folder: Path, pages: Path) -> Iterator[str]:
    """Run an example as its first lines say, with what it keeps in ``folder`` and these pages; its URL, without a slash."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    own = {key: value for key, value in os.environ.items() if not key.startswith("COWRITE_")}
    environment = {**own, "COWRITE_DATA_DIR": str(folder / "data"), "PAGES": str(pages)}
    command = [sys.executable, "-m", "uvicorn", "main:app", "--port", str(port), "--ws-max-size", "33554432"]
    log = folder / "example.log"
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


def _serves(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
