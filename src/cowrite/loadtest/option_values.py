"""What is written on the command line, read."""

from __future__ import annotations

import re
from typing import Final

from cowrite.loadtest.errors import PlanError
from cowrite.loadtest.plan import Protocol

_UNITS: Final = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "KI": 1 << 10, "MI": 1 << 20, "GI": 1 << 30}


def protocols(one: str, mix: str | None) -> dict[Protocol, float]:
    """``yjs``, or ``yjs=70,poll=30``. Raises :class:`PlanError`."""
    if mix is None:
        return {_protocol(one): 1.0}
    shares: dict[Protocol, float] = {}
    for part in mix.split(","):
        name, _, share = part.partition("=")
        try:
            shares[_protocol(name.strip())] = float(share)
        except ValueError:
            raise PlanError(
                f"--mix {mix!r}: {part!r} is no share of a protocol; write it like yjs=70,poll=20,json=10"
            ) from None
    return shares


def _protocol(name: str) -> Protocol:
    if name not in set(Protocol):
        raise PlanError(f"{name!r} is no protocol; there are {', '.join(Protocol)}")
    return Protocol(name)


def size(text: str) -> int:
    """``200K``, ``4M`` (millions), ``4Mi``, or a number of bytes. Raises :class:`PlanError`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?|)B?", text.strip().upper())
    if found is None:
        raise PlanError(f"{text!r} is no size: write it like 200K or 4M")
    return int(float(found[1]) * _UNITS[found[2]])
