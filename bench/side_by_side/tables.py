"""Results as Markdown, which reads as well in a terminal as in the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bench.side_by_side.figures import FIGURES, printed
from bench.side_by_side.scenarios import Scenario
from bench.side_by_side.targets import RATIO_DIGITS, Judgement, Results, Spread, Verdict, judge, spread

_DOUBT: Final = (
    "the core was shared in too many runs; or the target would be met, but the generator used up its core with the other"
    " server, which then looks later than it is"
)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose first row is its head; columns as wide as they have to be."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def measured(scenario: Scenario, results: Results) -> list[str]:
    """The figures of one scenario, a column for each server: the median and, in brackets, the range."""
    servers = [server for server in scenario.servers if results.get(server)]
    names = [
        name
        for name in (*scenario.figures, "generator", "late_p99", "waited")
        if any(spread(results, one, name) for one in servers)
    ]
    rows = [["", *servers]]
    rows += [[FIGURES[name].title, *(cell(name, spread(results, server, name)) for server in servers)] for name in names]
    return table(rows)


def cell(name: str, one: Spread | None) -> str:
    if one is None:
        return "—"
    median = printed(name, one.median)
    digits = FIGURES[name].digits
    lowest, highest = f"{one.lowest:.{digits}f}", f"{one.highest:.{digits}f}"
    return median if lowest == highest else f"{median} ({lowest} … {highest})"


def judged(scenarios: Iterable[Scenario], results: Mapping[str, Results]) -> list[str]:
    """All targets, with what was measured and the verdict."""
    rows = [["", "target", "measured", ""]]
    for scenario in scenarios:
        for target in scenario.targets:
            judgement = judge(target, results.get(scenario.id, {}))
            rows.append([scenario.id, _target(judgement), _value(judgement), judgement.verdict])
    return table(rows)


def doubted(scenarios: Iterable[Scenario], results: Mapping[str, Results]) -> list[str]:
    """What *not judged* means, where the table of targets has it."""
    verdicts = {judge(target, results.get(one.id, {})).verdict for one in scenarios for target in one.targets}
    return ["", f"*{Verdict.DOUBTFUL}*: {_DOUBT}"] if Verdict.DOUBTFUL in verdicts else []


def _target(judgement: Judgement) -> str:
    target, sign = judgement.target, "≥" if judgement.target.least else "≤"
    whose = "" if target.server == "cowrite" else f" ({target.server})"
    if target.against is None:
        return f"{FIGURES[target.figure].title}{whose} {sign} {printed(target.figure, target.limit)}"
    return f"{FIGURES[target.figure].title}{whose} {sign} {target.limit:g} of {target.against}'s"


def _value(judgement: Judgement) -> str:
    if judgement.value is None:
        return "—"
    if judgement.target.against is not None:
        return f"{judgement.value:.{RATIO_DIGITS}f}"
    return printed(judgement.target.figure, judgement.value)
