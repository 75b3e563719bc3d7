"""A real `cowrite serve` in its own process and folder, that can be killed and started again; most tests want the demo."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from timing import MS

START_SECONDS = 20_000 * MS
STOP_SECONDS = 15_000 * MS


class DemoServer:
    """One port and one data folder; the process may come and go. What it logs is JSON lines in a file, over all its lives.

    As a context manager it runs while the block runs, and whatever becomes of the block, no process is left.
    """

    def __init__(self, folder: Path, *, demo: bool = True, **settings: str) -> None:
        self.program = Path(sys.executable).parent / "cowrite"
        """This environment's; a test may put another one here before the start."""
        self._arguments = ["--demo"] if demo else []
        self._settings = settings
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.database = folder / "data" / "cowrite.sqlite3"
        self._data = folder / "data"
        self._log = folder / f"server-{self.port}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The id of the process, while there is one."""
        assert self._process is not None
        return self._process.pid

    def health(self) -> Any:
        """What ``/healthz`` says."""
        with urllib.request.urlopen(f"{self.url}healthz", timeout=START_SECONDS) as answer:
            return json.load(answer)

    def text(self, path: str) -> str:
        """What is at this path of HTTP."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=START_SECONDS) as answer:
            return bytes(answer.read()).decode()

    def refuses(self) -> bool:
        """Nobody listens at the port."""
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return True
        return False

    def code(self, within: float = STOP_SECONDS) -> int:
        """Wait until the process has ended, for so many seconds at most; its exit code."""
        assert self._process is not None
        return self._process.wait(within)

    def start(self) -> None:
        """Start the process and wait until it serves. Raises ``AssertionError`` with its log when it does not."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("COWRITE_")}
        settings = {"COWRITE_PORT": str(self.port), "COWRITE_DATA_DIR": str(self._data), "COWRITE_LOG_FORMAT": "json"}
        settings["COWRITE_DRAIN_SECONDS"] = "0"  # tests do not wait for one another's clients
        settings |= self._settings
        with self._log.open("ab") as log:
            command = [str(self.program), "serve", *self._arguments]
            # Not the repository's folder: a person's .env there must not change the tests.
            self._process = subprocess.Popen(command, env=own | settings, cwd=self._log.parent, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        try:
            while not self._serves():
                assert self._process.poll() is None, f"the server ended at once:\n{self._log.read_text()}"
                assert time.monotonic() < deadline, f"the server did not come up:\n{self._log.read_text()}"
                time.sleep(0.05)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait until the process has ended by itself."""
        self._signal(signal.SIGTERM)

    @property
    def written(self) -> str:
        """All that it has written, over all its lives."""
        return self._log.read_text()

    def errors(self) -> list[str]:
        """Log lines that tell of an error, and lines that are no log lines but a traceback."""
        return [line for line in self.written.splitlines() if _is_error(line)]

    def _signal(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            try:
                process.wait(STOP_SECONDS)
            finally:
                process.kill()  # does nothing to a process that has ended

    def _serves(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}readyz", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


def _is_error(line: str) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return "Traceback" in line or "Error" in line
    return isinstance(entry, dict) and entry.get("level") in {"error", "critical"}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
