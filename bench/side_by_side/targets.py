"""Medians, ratios, and whether a target is met. Nothing here measures anything."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bench.side_by_side import doubts
from bench.side_by_side.figures import FIGURES, Figures

RATIO_DIGITS: Final = 2


class Verdict(StrEnum):
    """What became of a target."""

    PASS = "pass"
    SHORT = "falls short"
    OPEN = "not measured"
    """The figure is missing, or the one that it is compared with."""
    DOUBTFUL = "not judged"
    """There is a figure, and reason to doubt it: see :mod:`bench.side_by_side.doubts`."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure of ``server`` must be: at most ``limit`` (at least, where ``least``), or so many times ``against``'s."""

    figure: str
    limit: float
    server: str = "cowrite"
    against: str | None = None
    least: bool = False


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over all runs."""

    median: float
    lowest: float
    highest: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None where no run has it."""
        if not values:
            return None
        return cls(statistics.median(values), min(values), max(values), len(values))


@dataclass(frozen=True, slots=True)
class Judgement:
    """A target, the value that counts for it (a figure, or a ratio), and the verdict."""

    target: Target
    value: float | None
    verdict: Verdict


Results = Mapping[str, Sequence[Figures]]
"""By server, its runs."""


def spread(results: Results, server: str, figure: str) -> Spread | None:
    """The figure of one server over its runs; None where no run has it."""
    return Spread.of([run[figure] for run in results.get(server, ()) if figure in run])


def _most(results: Results, server: str, figure: str) -> Spread | None:
    found = spread(results, server, figure)
    return found if found is not None and 2 * found.runs > len(results[server]) else None


def judge(target: Target, results: Results) -> Judgement:
    """Compare medians. Not where half of the runs, or more, have no figure: those that died are part of the result."""
    own = _most(results, target.server, target.figure)
    value = None if own is None else own.median
    if value is not None and target.against is not None:
        other = _most(results, target.against, target.figure)
        value = value / other.median if other is not None and other.median else None
    if value is None:
        return Judgement(target, None, Verdict.OPEN)
    # As it is printed: 0.504 of a limit of 0.50 would be a riddle to the reader if it fell short.
    rounded = round(value, RATIO_DIGITS if target.against is not None else FIGURES[target.figure].digits)
    met = rounded >= target.limit if target.least else rounded <= target.limit
    return Judgement(target, value, _doubted(target, results, Verdict.PASS if met else Verdict.SHORT))


def _doubted(target: Target, results: Results, verdict: Verdict) -> Verdict:
    others = results[target.against] if target.against is not None else ()
    if doubts.forbids(target.figure, results[target.server], others):
        return Verdict.DOUBTFUL
    # Falling short of what looks slower than it is remains falling short.
    return Verdict.DOUBTFUL if verdict is Verdict.PASS and doubts.flatters(target.figure, others) else verdict
