"""What is attacked. A target is a module with:

* ``check(data)``: gives the bytes to a decoder and raises ``AssertionError`` where something does not hold. Whatever else it
  raises is a finding, too.
* ``seeds()``: some bytes that the decoder takes.
* ``MAX_BYTES``: how long the bytes of a campaign may be.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, cast


class Target(Protocol):
    """A module of this folder."""

    MAX_BYTES: int

    def check(self, data: bytes) -> None: ...

    def seeds(self) -> Iterable[bytes]: ...


NAMES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")


def load(name: str) -> Target:
    """Import a target."""
    return cast("Target", importlib.import_module(f"fuzz.targets.{name}"))
