"""Bytes that took ways of their own: a few of each target are committed, all are kept in ``.cache/fuzz``.

    python -m fuzz.corpus keep      write a selection of what campaigns have found into fuzz/corpus

Committed they are text: base64, one a line.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

from fuzz.targets import NAMES, load
from fuzz.vectors import ROOT

COMMITTED = Path(__file__).parent / "corpus"
CACHE = ROOT / ".cache" / "fuzz"
KEPT_BYTES = 16 << 10
"""Of each target, before base64."""


def committed(name: str) -> list[bytes]:
    """The committed bytes of a target."""
    file = COMMITTED / f"{name}.txt"
    return [base64.b64decode(line) for line in file.read_text().splitlines()] if file.exists() else []


def begin(name: str) -> list[bytes]:
    """What an attack on a target begins with."""
    return [*load(name).seeds(), *committed(name)]


def unpack(name: str) -> Path:
    """Put all that into the target's folder in the cache. Returns it."""
    folder = CACHE / name / "corpus"
    folder.mkdir(parents=True, exist_ok=True)
    for data in begin(name):
        (folder / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)
    return folder


def select(some: Iterable[bytes], *, size: int = KEPT_BYTES) -> list[bytes]:
    """The shortest that fit into so many bytes, without repeats, in an order of their own."""
    kept: list[bytes] = []
    for data in sorted(set(some), key=lambda one: (len(one), one)):
        size -= len(data)
        if size < 0:
            break
        kept.append(data)
    return kept


def keep(name: str, folder: Path) -> None:
    """Commit a selection of a folder."""
    lines = [base64.b64encode(data).decode() + "\n" for data in select(path.read_bytes() for path in folder.iterdir())]
    COMMITTED.mkdir(exist_ok=True)
    (COMMITTED / f"{name}.txt").write_text("".join(lines))


if __name__ == "__main__":
    if sys.argv[1:] != ["keep"]:
        sys.exit(__doc__)
    for target in NAMES:
        found = CACHE / target / "corpus"
        if found.exists():
            keep(target, found)
