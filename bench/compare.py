"""cowrite, Hocuspocus and y-websocket under the same loads in one run, side by side, and which targets are met.

    PYTHONPATH=tests python -m bench.compare [--only R1,R3] [--servers cowrite,hocuspocus] [--runs 3] [--seconds 8]
                                             [--json FILE] [--from FILE] [--into docs/load-testing.md] [--short]

What is measured is in ``.cache/compare.json`` (or where ``--json`` says) after each scenario. ``--from`` makes the tables of it
again, also of a run that was interrupted; with ``--only`` it measures some scenarios anew, or in addition, of the same commit.

Each run starts a server anew, on core 0, and ``cowrite load`` on core 1. The servers take turns, A B C A B C; what counts are
medians, printed with their range. cowrite runs with all its guarantees: an edit is on the disk before it is acknowledged. The
others run as they come, and keep everything in memory. ``--short`` tries everything out in seconds, a few people for a second
each: its figures mean nothing, and its exit code is 1 when something did not arrive.

The first run installs the other servers into ``.cache``, and Node where the machine has none that is new enough.
All of it takes half an hour with three runs, more where some are disturbed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from bench.side_by_side import machine, tables
from bench.side_by_side.comparison import Comparison, OtherConditions, Runs
from bench.side_by_side.documents import put_into
from bench.side_by_side.doubts import lacks
from bench.side_by_side.figures import FIGURES, Figures, printed
from bench.side_by_side.loads import Run, remarked, run
from bench.side_by_side.node import ROOT, any_node
from bench.side_by_side.scenarios import SCENARIOS, Scenario
from bench.side_by_side.servers import SERVERS, Server

LATEST = ROOT / ".cache" / "compare.json"


def compare(scenarios: Sequence[Scenario], servers: Sequence[Server], options: argparse.Namespace, so_far: Comparison) -> None:
    """Run everything; a line for each run, as it ends. What a scenario gave is written as soon as it is over."""
    for scenario in scenarios:
        takes_part = [server for server in servers if server.name in scenario.servers]
        so_far.scenarios[scenario.id] = _in_turns(scenario, takes_part, options)
        if options.json:
            so_far.write(options.json)


def _in_turns(scenario: Scenario, servers: Sequence[Server], options: argparse.Namespace) -> Runs:
    done: Runs = {server.name: [] for server in servers}

    def figures(server: Server) -> list[Figures]:
        return [one.figures for one in done[server.name]]

    # When it is only tried out nobody minds that the servers disturb one another.
    with ThreadPoolExecutor(len(servers) if options.short else 1) as pool:
        turns, number = list(servers), 0
        while turns:
            number += 1
            for server, one in zip(turns, pool.map(partial(_turn, scenario, options, number), turns), strict=True):
                done[server.name].append(one)
            if number >= options.runs:
                turns = [] if options.short else [server for server in servers if lacks(figures(server), options.runs)]
    return done


def _turn(scenario: Scenario, options: argparse.Namespace, number: int, server: Server) -> Run:
    one = run(scenario, server, short=options.short, seconds=options.seconds)
    how_often = f"{number} of {options.runs}" if number <= options.runs else f"{number}, in place of a disturbed one"
    which = f"{time.strftime('%H:%M:%S')} {scenario.id} {server.name} {how_often}"
    print(f"{which}: {_line(scenario, one)}", flush=True)
    return one


def _line(scenario: Scenario, one: Run) -> str:
    told = [
        f"{FIGURES[name].title} {printed(name, one.figures[name])}"
        for name in (*scenario.figures, "generator", "waited")
        if name in one.figures
    ]
    return "; ".join([*told, *(f"[{remark}]" for remark in one.remarks)])


def report(comparison: Comparison, *, judged: bool = True) -> str:
    """Everything as Markdown."""
    scenarios = [scenario for scenario in SCENARIOS if scenario.id in comparison.scenarios]
    results = {scenario.id: comparison.results(scenario.id) for scenario in scenarios}
    lines = [f"* {line}" for line in comparison.machine]
    lines += [
        f"* runs: {comparison.runs} of each, in turns, {comparison.seconds:g} s measured after 2 s of warm-up; medians (range)"
    ]
    taking_part = dict.fromkeys(name for runs in comparison.scenarios.values() for name in runs)
    lines += [f"* {name}: {server.defaults}" for name, server in SERVERS.items() if name in taking_part]
    if judged:
        lines += ["", *tables.judged(scenarios, results), *tables.doubted(scenarios, results)]
    for scenario in scenarios:
        lines += ["", f"**{scenario.id}**: {scenario.title}. {scenario.notes}".rstrip(), ""]
        lines += tables.measured(scenario, results[scenario.id])
        lines += _remarks(comparison, scenario)
    return "\n".join(lines) + "\n"


def _remarks(comparison: Comparison, scenario: Scenario) -> list[str]:
    servers = comparison.scenarios[scenario.id]
    said = [f"* {server}, {remark}" for server, runs in servers.items() for remark in remarked(runs, comparison.runs)]
    return ["", *said] if said else []


def _chosen(told: str | None, known: Sequence[str], what: str) -> list[str]:
    """What was asked for, in the order in which it is known; all where nothing was."""
    names = list(known) if told is None else [name.strip() for name in told.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"there is no {what} {', '.join(unknown)}; there are {', '.join(known)}")
    return [name for name in known if name in names]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="R1,R3", help="these scenarios")
    parser.add_argument("--servers", metavar="NAME,NAME", help=f"of {', '.join(SERVERS)}")
    parser.add_argument("--runs", type=int, help="of each scenario with each server; 3, and 1 with --short")
    parser.add_argument("--seconds", type=float, help="how long is measured where the scenario does not say; 8")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write everything to this file after each scenario, with the reports of cowrite load; without --short by itself"
        f" {LATEST.relative_to(ROOT)}",
    )
    parser.add_argument(
        "--from",
        type=Path,
        dest="earlier",
        metavar="FILE",
        help="begin with the results that --json wrote there: only what --only names is measured, anew, and nothing without it",
    )
    parser.add_argument(
        "--into", type=Path, metavar="FILE", help="put the results into this document, in place of the old ones"
    )
    parser.add_argument("--short", action="store_true", help="only try it out")
    options = parser.parse_args(arguments)
    if options.short and (options.into or options.earlier):
        parser.error("figures of --short mean nothing: they go into no document, and beside no others")
    if options.earlier and options.servers:
        parser.error("--from takes no --servers: those of a scenario are measured in turns, so all of them or none")
    if options.into and options.only and not options.earlier:
        parser.error("--into would drop what --only leaves out: say with --from where the results of the others are")
    options.json = options.json or (None if options.short else options.earlier or LATEST)
    return options


def _begin(options: argparse.Namespace, *, others: bool) -> tuple[Comparison, list[str]]:
    """What is there already, and the ids of what is to be measured. Raises ``SystemExit`` when they do not go together."""
    ids = [scenario.id for scenario in SCENARIOS]
    if options.earlier is None:
        runs = options.runs or (1 if options.short else 3)
        return Comparison(machine.description(others=others), runs, options.seconds or 8.0), _chosen(
            options.only, ids, "scenario"
        )
    try:
        earlier = Comparison.read(options.earlier)
        wanted = _chosen(options.only, ids, "scenario") if options.only else []
        if wanted:
            new = Comparison(machine.description(others=True), options.runs or earlier.runs, options.seconds or earlier.seconds)
            earlier.stands_beside(new, str(options.earlier))
    except (OSError, OtherConditions) as error:
        raise SystemExit(str(error)) from None
    return earlier, wanted


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    options = _options(arguments)
    servers = [SERVERS[name] for name in _chosen(options.servers, list(SERVERS), "server")]
    if options.short:
        any_node()
    comparison, ids = _begin(options, others=any(server.program for server in servers))
    options.runs, options.seconds = comparison.runs, comparison.seconds
    compare([scenario for scenario in SCENARIOS if scenario.id in ids], servers, options, comparison)
    text = report(comparison, judged=not options.short)
    print(f"\n{text}")
    if options.into:
        put_into(options.into, "compare", text)
    went_well = all(one.ok for servers in comparison.scenarios.values() for runs in servers.values() for one in runs)
    return int(options.short and not went_well)


if __name__ == "__main__":
    sys.exit(main())
