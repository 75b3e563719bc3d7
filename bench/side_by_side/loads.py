"""A run of ``cowrite load`` on the generator's core, against a server that runs on the other."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.side_by_side import cold, figures
from bench.side_by_side.doubts import counted, is_disturbed
from bench.side_by_side.scenarios import Scenario
from bench.side_by_side.servers import GENERATOR_CORE, Running, Server, ServerError, on_core, running

BEHIND_MS = 1000.0
PATIENCE_SECONDS = 120.0
"""What a run may take besides warming up, measuring and settling: opening, and putting the document in."""


class LoadFailed(Exception):
    """The generator gave no report; the message says why."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run gave, and what has to be said about it."""

    figures: dict[str, float]
    remarks: tuple[str, ...]
    report: Mapping[str, Any] | None = None

    @property
    def ok(self) -> bool:
        """Everything arrived everywhere; whether the figures are worth anything is another question."""
        return bool(self.figures) and (self.report is None or bool(self.report["ok"]))


def command(address: str, options: Mapping[str, Any], pid: int | None = None) -> list[str]:
    """The arguments of ``cowrite`` that make this load."""
    told = [
        f"--{name.replace('_', '-')}={f'{value:g}' if isinstance(value, float) else value}" for name, value in options.items()
    ]
    return ["load", address, *told, *([] if pid is None else [f"--server-pid={pid}"]), "--json", "-"]


def load(one: Running, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The report. Raises :class:`LoadFailed`."""
    mix = {} if "mix" in options else {"mix": f"{one.server.protocol}=1"}
    arguments = command(one.address, {**mix, **options}, one.pid)
    patience = sum(float(options.get(name, 10)) for name in ("warm_up", "seconds", "settle")) + PATIENCE_SECONDS
    with on_core(GENERATOR_CORE):
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("cowrite")), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        out, complaints = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise LoadFailed(f"no result after {patience:.0f} s") from None
    try:
        report: Mapping[str, Any] = json.loads(out)
    except json.JSONDecodeError:
        last = (complaints or out).strip().splitlines()[-1:]
        raise LoadFailed(last[0] if last else f"cowrite load ended with {process.returncode} and said nothing") from None
    return report


def run(scenario: Scenario, server: Server, *, short: bool, seconds: float) -> Run:
    """One run of a scenario with a fresh server. Whatever goes wrong with it is a remark."""
    options = scenario.of(short=short, seconds=seconds)
    try:
        with tempfile.TemporaryDirectory(prefix="cowrite-bench-") as folder:
            if scenario.cold:
                return Run(cold.measure(server, Path(folder), documents=options["people"]), ())
            with running(server, Path(folder)) as one:
                return _measured(one, options)
    except ServerError as error:
        return Run({}, (str(error),))
    except Exception as error:  # an hour of other runs does not end with this one
        return Run({}, (f"failed: {type(error).__name__}: {error}",))


def _measured(one: Running, options: Mapping[str, Any]) -> Run:
    began, waited = time.monotonic(), one.waited_seconds()
    try:
        report = load(one, options)
    except LoadFailed as error:
        return Run({}, (f"died ({one.last_words()})" if one.died else str(error),))
    share = 100 * (one.waited_seconds() - waited) / (time.monotonic() - began)
    found = {**figures.read(report), "waited": share}
    return Run(found, tuple(remarks(found, report, died=one.died)), report)


def remarked(runs: Sequence[Run], wanted: int) -> list[str]:
    """All remarks, with the number of the run, and whether it was left out (see :func:`bench.side_by_side.doubts.counted`)."""
    left_out = len(counted([one.figures for one in runs], wanted)) < len(runs)
    said = []
    for number, one in enumerate(runs, 1):
        out = " (left out of the medians)" if left_out and is_disturbed(one.figures) else ""
        said += [f"run {number}{out}: {remark}" for remark in dict.fromkeys(one.remarks)]
    return said


def remarks(found: Mapping[str, float], report: Mapping[str, Any], *, died: bool) -> list[str]:
    """What a reader of the figures has to know."""
    said = ["died during the run"] if died else []
    if found.get("undelivered"):
        said.append(f"fell behind: {found['undelivered']:.0f} undelivered at the end")
    if found.get("p50", 0) > BEHIND_MS:
        said.append(f"fell behind: half of the updates took more than {found['p50'] / 1000:.1f} s")
    if is_disturbed(found):
        said.append(f"the core was shared: the server waited for it {found['waited']:.0f} % of the time")
    return [*said, *report.get("problems", ()), *report.get("warnings", ())]
