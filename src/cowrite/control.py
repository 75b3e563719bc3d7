"""What a supervisor and its workers say to one another.

The supervisor writes to a worker's standard input, the worker to its standard output: one JSON object a line. The first line to
a worker is its assignment. That is where secrets go, since other users of the machine could read a command line. The end of its
input tells a worker to drain: it comes when the supervisor closes it, and also when the supervisor has died.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pydantic import SecretStr

from cowrite.settings import Settings

MAX_LINE_BYTES: Final = 4 << 20
"""No line of either side is nearly as long."""

Message: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one worker is told at its start."""

    number: int
    """Its place among the workers, from 1 on. Its successor has the same."""
    settings: Settings
    demo: bool
    sockets: tuple[int, ...]
    """The file descriptors that it accepts connections from."""

    def line(self) -> bytes:
        """As it is sent."""
        return encode(
            {
                "number": self.number,
                "settings": {name: _plain(value) for name, value in self.settings},
                "demo": self.demo,
                "sockets": list(self.sockets),
            }
        )

    @classmethod
    def read(cls, line: bytes) -> Assignment:
        """Raises ``ValueError`` when it is none, or has settings that cannot be used any more (a file that has gone)."""
        found = decode(line)
        try:
            settings = Settings(**{"_env_file": None} | found["settings"])
            return cls(found["number"], settings, found["demo"], tuple(found["sockets"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"no assignment of a worker: {error}") from error


def encode(message: Message) -> bytes:
    """One line."""
    return json.dumps(message, separators=(",", ":"), default=str).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Read a line. Raises ``ValueError`` when it is no message."""
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError("no message: not an object")
    return found


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
