"""A real ``cowrite`` whose clock on the wall can be turned while it runs, as somebody does who sets that of a machine.

Both functions of the standard library that tell the time (:func:`time.time`, :func:`time.time_ns`) look into a file how far
it is turned, before anything of cowrite is imported; the monotonic clock does not notice, as it would not.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time
from pathlib import Path
from typing import Final

TURNED_BY: Final = "TURNED_BY"
"""The variable of the environment that names the file."""
_STEP: Final = struct.Struct("=q")


class TurnedClock:
    """The file. Also the program: an executable beside it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "turned-by"
        self.step(0)
        self.program = folder / "cowrite"
        self.program.write_text(
            f"#!{sys.executable}\nimport os, sys\nos.environ[{TURNED_BY!r}] = {str(self._file)!r}\n"
            f"sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom turned_clock import run\nrun()\n"
        )
        self.program.chmod(0o755)

    def step(self, milliseconds: int) -> None:
        """From now on it shows so much more, or less, than the machine's."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(_STEP.pack(milliseconds))


def run() -> None:
    """In the process of the server."""
    with Path(os.environ[TURNED_BY]).open("rb") as file:
        turned = mmap.mmap(file.fileno(), _STEP.size, access=mmap.ACCESS_READ)
    true = time.time_ns

    def time_ns() -> int:
        return true() + int(_STEP.unpack_from(turned)[0]) * 1_000_000

    time.time_ns, time.time = time_ns, lambda: time_ns() / 1e9
    from cowrite.cli import main

    main()
