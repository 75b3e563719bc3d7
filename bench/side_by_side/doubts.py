"""Runs that say little, and what is made of them. No doubt is settled in cowrite's favour.

A run was *disturbed* when the server was ready to run and got no core, though it did not use up what there was: somebody else
worked there. It is chance, so the run is made again. The generator was *out of breath* when it needed most of its own core. It
is no chance: a server that sends more frames makes more work, and a second process of the generator would share the same core.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench.side_by_side.figures import FIGURES, Figures

CROWDED: Final = 10.0
"""Percent of the time that a server that is not saturated may have waited for its core."""
SATURATED: Final = 85.0
"""Percent of a core: from here on a server waits for itself."""
BREATHLESS: Final = 90.0
"""Percent of the generator's core."""
OF_THE_CORE_OR_NOT: Final = frozenset({"undelivered", "socket_kib", "storm_growth", "memory_mb"})
"""Figures that are the same however long somebody waits."""
_LATENCIES: Final = frozenset(name for name, figure in FIGURES.items() if figure.unit == "ms")


def is_disturbed(run: Figures) -> bool:
    """The server had to wait for its core though it was not busy."""
    return run.get("waited", 0) > CROWDED and run.get("core", 0) < SATURATED


def counted(runs: Sequence[Figures], wanted: int) -> Sequence[Figures]:
    """Those that count: without the disturbed ones where more than half of as many as were ``wanted`` remain, else all."""
    calm = [run for run in runs if not is_disturbed(run)]
    return calm if 2 * len(calm) > wanted else runs


def lacks(runs: Sequence[Figures], wanted: int) -> bool:
    """Another run is to be made: fewer than wanted were undisturbed, and fewer than as many again were made for that."""
    return len(runs) < 2 * wanted and sum(not is_disturbed(run) for run in runs) < wanted


def forbids(figure: str, own: Sequence[Figures], other: Sequence[Figures]) -> bool:
    """No verdict can be given, of runs that count: some were disturbed."""
    return figure not in OF_THE_CORE_OR_NOT and any(is_disturbed(run) for run in (*own, *other))


def flatters(figure: str, other: Sequence[Figures]) -> bool:
    """The other server looks slower than it is, in half of its runs or more: the generator read late what had come."""
    late = sum(run.get("generator", 0) >= BREATHLESS for run in other)
    return figure in _LATENCIES and late > 0 and 2 * late >= len(other)
