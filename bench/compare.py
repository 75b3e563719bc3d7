"""cowrite, Hocuspocus and y-websocket under the same loads in one run, side by side, and which targets are met.

    PYTHONPATH=tests python -m bench.compare [--only R1,R3] [--servers cowrite,hocuspocus] [--runs 3] [--seconds 8]
                                             [--json FILE] [--into docs/load-testing.md] [--short]

Each run starts a server anew, on core 0, and ``cowrite load`` on core 1. The servers take turns, A B C A B C; what counts are
medians, printed with their range. cowrite runs with all its guarantees: an edit is on the disk before it is acknowledged. The
others run as they come, and keep everything in memory. ``--short`` tries everything out in seconds, a few people for a second
each: its figures mean nothing, and its exit code is 1 when something did not arrive.

The first run installs the other servers into ``.cache``, and Node where the machine has none that is new enough.
All of it takes some 25 minutes with three runs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from bench.side_by_side import machine, tables
from bench.side_by_side.documents import put_into
from bench.side_by_side.figures import FIGURES, printed
from bench.side_by_side.loads import Run, run
from bench.side_by_side.node import any_node
from bench.side_by_side.scenarios import SCENARIOS, Scenario
from bench.side_by_side.servers import SERVERS, Server

Runs = dict[str, dict[str, list[Run]]]
"""By scenario and server."""


def compare(scenarios: Sequence[Scenario], servers: Sequence[Server], options: argparse.Namespace) -> Runs:
    """Run everything; a line for each run, as it ends."""
    done: Runs = {}
    # When it is only tried out nobody minds that the servers disturb one another.
    with ThreadPoolExecutor(len(servers) if options.short else 1) as pool:
        for scenario in scenarios:
            takes_part = [server for server in servers if server.name in scenario.servers]
            done[scenario.id] = {server.name: [] for server in takes_part}
            for number in range(1, options.runs + 1):
                turn = partial(_turn, scenario, options, number)
                for server, one in zip(takes_part, pool.map(turn, takes_part), strict=True):
                    done[scenario.id][server.name].append(one)
    return done


def _turn(scenario: Scenario, options: argparse.Namespace, number: int, server: Server) -> Run:
    one = run(scenario, server, short=options.short, seconds=options.seconds)
    which = f"{time.strftime('%H:%M:%S')} {scenario.id} {server.name} {number}/{options.runs}"
    print(f"{which}: {_line(scenario, one)}", flush=True)
    return one


def _line(scenario: Scenario, one: Run) -> str:
    told = [
        f"{FIGURES[name].title} {printed(name, one.figures[name])}"
        for name in (*scenario.figures, "generator", "waited")
        if name in one.figures
    ]
    return "; ".join([*told, *(f"[{remark}]" for remark in one.remarks)])


def report(scenarios: Sequence[Scenario], done: Runs, options: argparse.Namespace) -> str:
    """Everything as Markdown."""
    figures = {
        name: {server: [one.figures for one in runs] for server, runs in servers.items()} for name, servers in done.items()
    }
    lines = [f"* {line}" for line in machine.description(others=True)]
    lines += [f"* runs: {options.runs} of each, in turns, {options.seconds:g} s measured after 2 s of warm-up; medians (range)"]
    taking_part = dict.fromkeys(server for servers in done.values() for server in servers)
    lines += [f"* {name}: {SERVERS[name].defaults}" for name in taking_part]
    if not options.short:
        lines += ["", *tables.judged(scenarios, figures)]
    for scenario in scenarios:
        lines += [
            "",
            f"**{scenario.id}**: {scenario.title}. {scenario.notes}".rstrip(),
            "",
            *tables.measured(scenario, figures[scenario.id]),
        ]
        lines += _remarks(done[scenario.id])
    return "\n".join(lines) + "\n"


def _remarks(servers: dict[str, list[Run]]) -> list[str]:
    said = dict.fromkeys(
        f"* {server}, run {number}: {remark}"
        for server, runs in servers.items()
        for number, one in enumerate(runs, 1)
        for remark in one.remarks
    )
    return ["", *said] if said else []


def _to_json(done: Runs, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "machine": machine.description(others=True),
        "runs": options.runs,
        "seconds": options.seconds,
        "scenarios": {
            name: {
                server: [{"figures": one.figures, "remarks": one.remarks, "report": one.report} for one in runs]
                for server, runs in servers.items()
            }
            for name, servers in done.items()
        },
    }


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
    parser.add_argument("--seconds", type=float, default=8.0, help="how long is measured where the scenario does not say")
    parser.add_argument("--json", metavar="FILE", help="write everything to this file, too, with the reports of cowrite load")
    parser.add_argument(
        "--into", type=Path, metavar="FILE", help="put the results into this document, in place of the old ones"
    )
    parser.add_argument("--short", action="store_true", help="only try it out")
    options = parser.parse_args(arguments)
    if options.short and options.into:
        parser.error("figures of --short mean nothing: they do not go into a document")
    options.runs = options.runs or (1 if options.short else 3)
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    options = _options(arguments)
    ids = _chosen(options.only, [scenario.id for scenario in SCENARIOS], "scenario")
    scenarios = [scenario for scenario in SCENARIOS if scenario.id in ids]
    if options.short:
        any_node()
    servers = [SERVERS[name] for name in _chosen(options.servers, list(SERVERS), "server")]
    done = compare(scenarios, servers, options)
    text = report(scenarios, done, options)
    print(f"\n{text}")
    if options.into:
        put_into(options.into, "compare", text)
    if options.json:
        Path(options.json).write_text(json.dumps(_to_json(done, options), indent=1))
    went_well = all(one.ok for servers in done.values() for runs in servers.values() for one in runs)
    return int(options.short and not went_well)


if __name__ == "__main__":
    sys.exit(main())
