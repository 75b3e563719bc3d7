"""The machine and the versions that figures come from."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from bench.side_by_side.node import ROOT, node
from bench.side_by_side.servers import GENERATOR_CORE, SERVER_CORE, can_pin

_MEASURED = ("src", "bench", "pyproject.toml", "requirements")


def description(*, others: bool) -> list[str]:
    """Lines for people. ``others``: servers of others take part, so that their Node matters."""
    memory = psutil.virtual_memory().total / (1 << 30)
    pinned = f"server on core {SERVER_CORE}, generator on core {GENERATOR_CORE}" if can_pin() else "nothing pinned to a core"
    node_version = f", Node {_output(node(), '--version')}" if others else ""
    system, python = f"{platform.system()} {platform.release()}", platform.python_version()
    return [
        f"machine: {_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {system}; {pinned}",
        f"versions: cowrite {version('cowrite')}{_commit()}, Python {python}{node_version}",
    ]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    """The last one that changed what is measured or what measures; not one that puts results into the documentation."""
    commit = _output("git", "-C", str(ROOT), "log", "-1", "--format=%h", "--", *_MEASURED)
    changed = _output("git", "-C", str(ROOT), "status", "--porcelain", "--", *_MEASURED)
    return f" ({commit}{' and changes' if changed else ''})" if commit else ""


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
