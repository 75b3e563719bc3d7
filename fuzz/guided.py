"""One target under atheris, a coverage-guided fuzzer: ``python -m fuzz.guided NAME [arguments of libFuzzer]``.

Beside what the target itself demands: no call may take a second, or let the process grow by 64 MB. What takes a tenth of a
second is kept in ``.cache/fuzz/NAME/slow``: the instrumentation makes all some times slower, so measure it again without.
The bytes that are tried stand in ``.cache/fuzz/NAME/current``, should the process die of them.
"""

from __future__ import annotations

import hashlib
import logging
import mmap
import sys
from pathlib import Path

import atheris
import structlog

from fuzz.corpus import CACHE
from fuzz.expense import LOOP_SECONDS, MEMORY_BYTES, expense
from fuzz.targets import load

CALL_SECONDS = 1.0


class Current:
    """The bytes that are tried, in a file that outlives the process."""

    def __init__(self, path: Path, size: int) -> None:
        path.write_bytes(bytes(size + 4))
        self._file = path.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), size + 4)
        self._size = size

    def note(self, data: bytes) -> None:
        cut = data[: self._size]
        self._map[: 4 + len(cut)] = len(cut).to_bytes(4, "big") + cut


def read_current(path: Path) -> bytes:
    """What a process was trying when it ended."""
    raw = path.read_bytes()
    return raw[4 : 4 + int.from_bytes(raw[:4], "big")]


def main(name: str, arguments: list[str]) -> None:
    """Fuzz until libFuzzer's arguments end it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with atheris.instrument_imports(include=["cowrite"]):
        target = load(name)
    folder = CACHE / name
    (folder / "slow").mkdir(parents=True, exist_ok=True)
    current = Current(folder / "current", target.MAX_BYTES)

    def one(data: bytes) -> None:
        current.note(data)
        spent = expense(lambda: target.check(data))
        if spent.seconds > LOOP_SECONDS:
            (folder / "slow" / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)
            assert spent.seconds < CALL_SECONDS, f"{len(data)} bytes took {spent.seconds:.2f} s"
        assert spent.grown < MEMORY_BYTES, f"{len(data)} bytes took {spent.grown >> 20} MB"

    atheris.Setup([sys.argv[0], f"-max_len={target.MAX_BYTES}", *arguments], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
