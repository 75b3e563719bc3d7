"""The pages of examples/, built and served beside a real server, as ``vite preview`` serves them to a reader."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node_program import PATH, alone
from timing import MS

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
CACHE = ROOT / ".cache" / "examples"
START_SECONDS = 20_000 * MS


def build() -> Path:
    """Build the pages, unless they are built already, and give their folder."""
    sources = [*EXAMPLES.glob("*.*"), *EXAMPLES.glob("*/*.*"), *(ROOT / "clients" / "js" / "src").rglob("*.ts")]
    sources = sorted(
        path for path in sources if path.is_file() and "dist" not in path.parts and "node_modules" not in path.parts
    )
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    with alone(CACHE):
        stamp = CACHE / "built"
        # The packages are in another folder than the stamp: one can be without the other. `served` needs them too.
        installed = (EXAMPLES / "node_modules" / ".bin" / "vite").exists()
        if not installed or not stamp.is_file() or stamp.read_text() != digest:
            _run("npm", "ci", "--no-audit", "--no-fund", "--loglevel", "error")
            _run(
                "npm", "run", "--silent", "build", "--", "--outDir", str(CACHE / "dist"), "--emptyOutDir", "--logLevel", "error"
            )
            stamp.write_text(digest)
    return CACHE / "dist"


@contextmanager
def served(cowrite: str, log: Path) -> Iterator[str]:
    """Serve the built pages, with the server at ``cowrite`` behind the same address, which is given."""
    folder, port = build(), _free_port()
    command = ["npx", "vite", "preview", "--outDir", str(folder), "--host", "127.0.0.1", "--port", str(port), "--strictPort"]
    environment = {**os.environ, "PATH": PATH, "COWRITE_URL": cowrite.rstrip("/")}
    url = f"http://127.0.0.1:{port}/"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=EXAMPLES, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _serves(url):
            assert process.poll() is None, f"vite ended at once:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"vite did not come up:\n{log.read_text()}"
            time.sleep(0.05)
        yield url
    finally:
        os.killpg(process.pid, 9)  # npx and what it started
        process.wait()


def _run(*command: str) -> None:
    subprocess.run(["/usr/bin/env", f"PATH={PATH}", *command], cwd=EXAMPLES, check=True)


def _serves(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}textarea/index.html", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
