"""What this machine allows: open files, room on the disk, how fast it writes, and whether the port is free."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx

from cowrite.doctor.findings import Finding, Level, of_line
from cowrite.settings import Settings
from cowrite.startup import StartError, allow_open_files, http_address, listen, prepare_folder

_LITTLE_ROOM: Final = 1 << 30
_NO_ROOM: Final = 64 << 20
_SLOW_COMMIT: Final = 0.05
"""Seconds; an acknowledgement waits for one commit, and a person sees more than that."""
_ASK_SECONDS: Final = 3.0


def cores() -> int | None:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def interpreter() -> Iterator[Finding]:
    """Which Python it is."""
    from importlib.metadata import version

    python = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("versions", Level.OK, f"cowrite {version('cowrite')}, Python {python}")


def open_files(settings: Settings) -> Iterator[Finding]:
    """Whether there may be as many sockets as the settings say."""
    problem = allow_open_files(settings.max_connections)
    if problem is not None:
        yield of_line("open files", Level.WARNING, problem, behind=": ")
    else:
        yield Finding("open files", Level.OK, f"enough for {settings.max_connections} connections")


def folder(settings: Settings) -> Iterator[Finding]:
    """The folder of a SQLite file: whether files can be made in it, room, and how fast it writes."""
    if settings.database_file is None:
        return
    place = settings.database_file.parent
    try:
        if place.exists():
            prepare_folder(place)  # it is there: this only tries it
            yield from _disk(place)
        elif not os.access(_nearest(place), os.W_OK):
            raise StartError(f"the data folder {place.absolute()} cannot be made; choose another with COWRITE_DATA_DIR")
    except StartError as error:
        yield of_line("data folder", Level.PROBLEM, error)


def _nearest(folder: Path) -> Path:
    """The nearest of its parents that is there."""
    return next(parent for parent in folder.absolute().parents if parent.exists())


def _disk(folder: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free
    room = f"{free / (1 << 30):.1f} GB free in {folder.absolute()}"
    if free < _NO_ROOM:
        yield Finding("disk", Level.PROBLEM, room, "make room: edits that cannot be stored are not acknowledged")
    elif free < _LITTLE_ROOM:
        yield Finding("disk", Level.WARNING, room, "make room, or choose another folder with COWRITE_DATA_DIR")
    else:
        yield Finding("disk", Level.OK, room)
    took = _sync_seconds(folder)
    what = f"{took * 1000:.1f} ms until a write is on the disk"
    if took > _SLOW_COMMIT:
        yield Finding(
            "disk", Level.WARNING, what, "every acknowledgement waits for that: use a faster disk, or a database server"
        )
    else:
        yield Finding("disk", Level.OK, what)


def _sync_seconds(folder: Path) -> float:
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(5):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def port(settings: Settings) -> Iterator[Finding]:
    """Whether it is free, or a cowrite serves there already."""
    if settings.port == 0:
        yield Finding("port", Level.OK, "any free one")
        return
    try:
        for opened in listen(settings.host, settings.port):
            opened.close()
    except StartError as error:
        running = _running(settings)
        yield of_line("port", Level.PROBLEM, error) if running is None else running
    else:
        yield Finding("port", Level.OK, f"{settings.port} of {settings.host} is free")


def _running(settings: Settings) -> Finding | None:
    """What a cowrite says that serves there; None: it is something else."""
    try:
        told = httpx.get(f"{http_address(settings.host, settings.port)}healthz", timeout=_ASK_SECONDS, trust_env=False).json()
        status, documents, connections = told["status"], told["documents"], told["connections"]
    except (httpx.HTTPError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        return None
    where = f"a cowrite serves on port {settings.port} of {settings.host}: documents open: {documents}, sockets: {connections}"
    if status == "ok":
        return Finding("port", Level.OK, where)
    failing = ", ".join(part for part in ("store", "presence", "broker") if told.get(part) not in {None, "ok"}) or "its health"
    return Finding("port", Level.PROBLEM, f"{where}; it is {status}", f"its log says why: {failing}")
