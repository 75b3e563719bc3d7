"""The load test plan of docs/load-testing.md, run with ``cowrite load`` against cowrite, and its results as Markdown.

    PYTHONPATH=tests python -m bench.plan [--only one-500,storm-20m] [--runs 3] [--seconds 5] [--into docs/load-testing.md]
    PYTHONPATH=tests python -m bench.plan --only soak [--seconds 1800] --runs 1

Each run starts ``cowrite serve --demo`` anew, on SQLite with full sync, on core 0, and the generator on core 1. The soak, which
takes half an hour, runs only when it is named; all the others take some nine minutes with three runs of five seconds. Of three,
a run in which the server had to wait for its core is left out.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.side_by_side import machine
from bench.side_by_side.documents import put_into
from bench.side_by_side.doubts import counted
from bench.side_by_side.figures import FIGURES, printed
from bench.side_by_side.loads import Run, command, remarked, run
from bench.side_by_side.scenarios import MB, Options, Scenario
from bench.side_by_side.servers import COWRITE
from bench.side_by_side.tables import cell, table
from bench.side_by_side.targets import spread

SOAK = "soak"
_COLUMNS = ("deliveries", "p50", "p95", "p99", "undelivered", "cpu_us", "core", "memory_mb", "opens", "generator")
_STORM = ("storm_s", "storm_p99", "p99", "storm_growth", "undelivered", "memory_mb", "generator")
_WARM_UP = {"warm_up": 1}


@dataclass(frozen=True, slots=True)
class Group:
    """Scenarios that are shown in one table."""

    title: str
    columns: tuple[str, ...]
    scenarios: tuple[Scenario, ...]


def _scenario(name: str, title: str, options: Options, *, seconds: float | None = None) -> Scenario:
    return Scenario(name, title, {**_WARM_UP, **options}, {}, (), (), ("cowrite",), seconds)


_SIZES = (500, 1000, 2000, 5000)
_MIX = "yjs=60,hocuspocus=20,poll=10,json=10"

PLAN = (
    Group(
        "One hot document: 20 people type twice a second, everybody reads",
        _COLUMNS,
        tuple(_scenario(f"one-{n}", f"{n} people", {"people": n, "typing": 20, "rate": 2}) for n in _SIZES),
    ),
    Group(
        "Many small documents, of 10 people each: 2 type once a second",
        _COLUMNS,
        tuple(
            _scenario(
                f"many-{n}", f"{n} people in {n // 10} documents", {"documents": n // 10, "people": 10, "typing": 2, "rate": 1}
            )
            for n in _SIZES
        ),
    ),
    Group(
        "With presence: everybody's cursor moves once a second",
        (*_COLUMNS, "cursor_age"),
        (
            _scenario(
                "presence-500", "500 people in one document, all type once a second", {"people": 500, "rate": 1, "cursors": 1}
            ),
            _scenario(
                "presence-1000",
                "1000 people in 20 documents, 5 type twice a second in each",
                {"documents": 20, "people": 50, "typing": 5, "rate": 2, "cursors": 1},
            ),
        ),
    ),
    Group(
        "Join storms: everybody at once, in the middle of the measurement",
        _STORM,
        (
            _scenario(
                "storm-small",
                "500 people join a document of 200 KB in which 10 of 100 type twice a second",
                {"people": 100, "typing": 10, "rate": 2, "document_bytes": 200_000, "join_storm": 500, "settle": 45},
            ),
            _scenario(
                "storm-20m",
                "150 people join a document of 20 MB in which 10 type twice a second",
                {"people": 10, "rate": 2, "document_bytes": 20 * MB, "join_storm": 150, "settle": 45},
            ),
        ),
    ),
    Group(
        "Polling only, and everything at once",
        _COLUMNS,
        (
            _scenario(
                "polling",
                "500 people who poll, in 50 documents, 2 type once a second in each",
                {"documents": 50, "people": 10, "typing": 2, "rate": 1, "mix": "poll=1"},
            ),
            _scenario(
                "mixed",
                f"1000 people in 50 documents, 5 type once a second in each, cursors; {_MIX}",
                {"documents": 50, "people": 20, "typing": 5, "rate": 1, "cursors": 0.5, "mix": _MIX},
            ),
        ),
    ),
    Group(
        "Soak: half an hour",
        _COLUMNS,
        (
            _scenario(
                SOAK,
                f"500 people in 50 documents, 3 type once a second in each, cursors; {_MIX}",
                {"documents": 50, "people": 10, "typing": 3, "rate": 1, "cursors": 0.2, "mix": _MIX},
                seconds=1800,
            ),
        ),
    ),
)

Done = dict[str, list[Run]]


def carry_out(chosen: Sequence[Scenario], *, runs: int, seconds: float) -> Done:
    """All runs of a scenario one after the other; a line for each."""
    done: Done = {}
    for scenario in chosen:
        done[scenario.id] = []
        for number in range(1, runs + 1):
            one = run(scenario, COWRITE, short=False, seconds=seconds)
            done[scenario.id].append(one)
            told = [f"{name} {printed(name, value)}" for name, value in one.figures.items()]
            print(f"{time.strftime('%H:%M:%S')} {scenario.id} {number}/{runs}: {'; '.join([*told, *one.remarks])}", flush=True)
    return done


def report(chosen: Sequence[Scenario], done: Done, *, runs: int, seconds: float) -> str:
    """Everything as Markdown."""
    lines = [f"* {line}" for line in machine.description(others=False)]
    lines += [f"* runs: {runs} of each, {seconds:g} s measured where nothing else is said; medians (range)"]
    for group in PLAN:
        scenarios = [scenario for scenario in chosen if scenario.id in {one.id for one in group.scenarios}]
        if scenarios:
            lines += ["", f"**{group.title}**", "", *_table(group, scenarios, done, runs), "", *_commands(scenarios, seconds)]
            lines += _remarks(scenarios, done, runs)
    return "\n".join(lines) + "\n"


def _table(group: Group, scenarios: Sequence[Scenario], done: Done, runs: int) -> list[str]:
    rows = [["", *(FIGURES[name].title for name in group.columns)]]
    for scenario in scenarios:
        results = {COWRITE.name: counted([one.figures for one in done[scenario.id]], runs)}
        rows.append([scenario.title, *(cell(name, spread(results, COWRITE.name, name)) for name in group.columns)])
    return table(rows)


def _commands(scenarios: Sequence[Scenario], seconds: float) -> list[str]:
    lines = [
        shlex.join(["cowrite", *command(COWRITE.address(8000), scenario.of(short=False, seconds=seconds))])
        for scenario in scenarios
    ]
    return [f"    {line.removesuffix(' --json -')}" for line in lines]


def _remarks(scenarios: Sequence[Scenario], done: Done, runs: int) -> list[str]:
    said = [f"* {scenario.title}, {remark}" for scenario in scenarios for remark in remarked(done[scenario.id], runs)]
    return ["", *said] if said else []


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    everything = [scenario.id for group in PLAN for scenario in group.scenarios]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME,NAME", help=f"of {', '.join(everything)}")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="how long is measured; 5, and 1800 for the soak")
    parser.add_argument(
        "--into", type=Path, metavar="FILE", help="put the results into this document, in place of the old ones"
    )
    options = parser.parse_args(arguments)
    options.names = [name for name in everything if name != SOAK] if options.only is None else options.only.split(",")
    if unknown := [name for name in options.names if name not in everything]:
        parser.error(f"there is no scenario {', '.join(unknown)}; there are {', '.join(everything)}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 1 when something did not arrive, or could not be measured."""
    options = _options(arguments)
    chosen = [scenario for group in PLAN for scenario in group.scenarios if scenario.id in options.names]
    if options.seconds is not None:
        chosen = [replace(one, seconds=None) for one in chosen]
    seconds = options.seconds or 5.0
    done = carry_out(chosen, runs=options.runs, seconds=seconds)
    text = report(chosen, done, runs=options.runs, seconds=seconds)
    print(f"\n{text}")
    if options.into:
        put_into(options.into, "soak" if options.names == [SOAK] else "plan", text)
    return int(any(not one.figures or one.figures.get("undelivered") for runs in done.values() for one in runs))


if __name__ == "__main__":
    sys.exit(main())
