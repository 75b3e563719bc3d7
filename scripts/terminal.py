"""Terminals of somebody who follows a tutorial: a shell whose commands end, and one with a server that goes on."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import Final

from scripts.tutorial import Commands, matches, ports

from timing import MS

SECONDS: Final = 30_000 * MS
"""How long a server may take to come up, and a window to show something."""
_DONE: Final = "-- done"


class Failed(Exception):
    """A step did not do what its tutorial says."""


class Terminal:
    """A shell in the reader's folder: what is typed into it leaves its folder and variables to what comes next."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], cwd=folder, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def type(self, command: str) -> str:
        """Run a command to its end; what it printed. Raises ``Failed`` with that when its exit code is not 0."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\n{_DONE} %d\\n' $?\n")
        self._shell.stdin.flush()
        printed: list[str] = []
        for line in self._shell.stdout:
            if line.startswith(_DONE):
                break
            printed.append(line)
        else:
            raise Failed(f"$ {command}\nthe shell ended:\n{''.join(printed)}")
        if line.split()[-1] != "0":
            raise Failed(f"$ {command}\nended with {line.split()[-1]}:\n{''.join(printed)}")
        return "".join(printed)

    def close(self) -> None:
        """End the shell."""
        self._shell.kill()
        self._shell.communicate()


class Server:
    """A terminal whose last command goes on until the end."""

    def __init__(self, commands: Commands, folder: Path, environment: dict[str, str], log: Path) -> None:
        *before, last = commands.commands
        self._commands = commands
        self._log = log
        with log.open("wb") as output:
            script = "\n".join(["set -e", *before, f"exec {last}"])
            self._process = subprocess.Popen(
                ["bash", "--noprofile", "--norc", "-c", script], cwd=folder, env=environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def wait(self) -> None:
        """Until it has printed what the tutorial shows, and its ports answer. Raises ``Failed`` when that does not come."""
        deadline = time.monotonic() + SECONDS
        wanted = ports([self._commands])
        while not (matches(self._commands.seen, self._log.read_text()) and all(map(answers, wanted))):
            if self._process.poll() is not None or time.monotonic() > deadline:
                how = "ended" if self._process.poll() is not None else f"did not come up within {SECONDS:.0f} s"
                raise Failed(
                    f"$ {self._commands.commands[-1]}\n{how}; it should show\n{self._commands.seen}\nand did show\n{self.log}"
                )
            time.sleep(0.05)

    @property
    def log(self) -> str:
        """All that it has printed."""
        return self._log.read_text()

    def close(self) -> None:
        """SIGTERM, and wait for its end. Raises ``Failed`` when a traceback is among what it has printed."""
        self._process.terminate()
        try:
            self._process.wait(SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
        if "Traceback" in self.log or "Fatal error" in self.log:
            raise Failed(f"$ {self._commands.commands[-1]}\n{self.log}")


def answers(port: int) -> bool:
    """Whether somebody listens at this port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
