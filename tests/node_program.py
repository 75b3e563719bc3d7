"""Node for the tests: the machine's, or the one that make installed into the environment; and packages from a lock file."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

BIN = Path(sys.executable).parent
PATH = f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def node() -> str:
    """The program ``node``. Raises ``FileNotFoundError`` when there is none."""
    found = shutil.which("node", path=PATH)
    if found is None:
        raise FileNotFoundError("the tests need Node, and there is none: `make browser` installs one into .venv")
    return found


class LedProgram:
    """A Node process that runs commands, most of them about somebody with a name: a program of ``tests/node``."""

    about = "provider"
    """What it calls those with names."""
    expected: Collection[str] = ()
    """Complaints that are no failure."""

    def __init__(self, program: Path, complaints: Path) -> None:
        self._complaints = complaints
        self._told = 0
        with complaints.open("wb") as stderr:
            self._process = subprocess.Popen(
                [node(), program.name],
                cwd=program.parent,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def __call__(self, call: str, who: str = "", /, **options: Any) -> Any:
        """Run one command and give its result. Raises ``AssertionError`` with the reason when it failed."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"call": call, self.about: who, **options}) + "\n")
        stdin.flush()
        answer = json.loads(stdout.readline() or '{"error": "the process has ended"}')
        assert "error" not in answer, f"{who}: {call} {options}: {answer['error']}"
        return answer["result"]

    @contextmanager
    def lent(self) -> Iterator[Self]:
        """For one test of several: starting Node takes longer than most of them. What the test has opened ends with it."""
        self.expected = ()
        yield self
        self("forget")
        assert self.complaints() == []

    def complaints(self) -> list[str]:
        """What the program wrote to the console since it was last asked, without what was expected."""
        lines = self._complaints.read_text().splitlines()
        new, self._told = lines[self._told :], len(lines)
        return [line for line in new if line not in self.expected]

    def close(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While the block runs no other process that asks for the same folder gets in: tests run in several of them."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(source: Path, folder: Path, *more: Path) -> Path:
    """Copy the files of ``source``, and ``more`` files, to ``folder`` and install its packages, unless that was done before."""
    files = sorted((*more, *(path for path in source.iterdir() if path.is_file())))
    wanted = "\n".join(f"{path.name}\n{path.read_text()}" for path in files)
    with alone(folder):
        stamp = folder / "installed"
        if not stamp.is_file() or stamp.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for path in files:
                shutil.copy(path, folder)
            command = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel", "error"]
            subprocess.run(["/usr/bin/env", f"PATH={PATH}", *command], cwd=folder, check=True)
            stamp.write_text(wanted)
    return folder
