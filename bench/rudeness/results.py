"""What the honest noticed, as a table and in a file."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.rudeness.behaviours import BEHAVIOURS
from bench.rudeness.phases import QUIET, Measured

MOST: float = 2.0
"""What the p99 of an edit may be of the quiet one."""
_SHARED = 0.1
"""The share of the time without a core from which on a phase says little."""
_HEAD = (
    "beside",
    "an edit, p50 and p99",
    "times quiet",
    "acknowledged, p99",
    "somebody new, worst",
    "server, cores",
    "the rude, cores",
    "the server grows by",
    "in the end",
    f"at most {MOST:g} times",
)


@dataclass
class Results:
    """Of one run or of several."""

    machine: list[str]
    seconds: float
    runs: list[list[Measured]]
    """Each begins and ends quiet, and is judged by that."""

    @classmethod
    def read(cls, path: Path) -> Results:
        """Raises ``SystemExit`` when there is nothing."""
        try:
            found = json.loads(path.read_text())
            runs = [[Measured(**phase) for phase in run] for run in found["runs"]]
            return cls(found["machine"], found["seconds"], runs)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SystemExit(f"{path} has no results of bench.rude: {error}") from None

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1))

    def with_new(self, new: Results) -> Results:
        """These, with what was measured anew in place of the old. Raises ``SystemExit`` when they do not belong together."""
        if (self.machine, self.seconds) != (new.machine, new.seconds):
            raise SystemExit("these results are of another machine, commit or time: measure all anew, or say where those are")
        names = {phase.name for run in new.runs for phase in run} - {QUIET}
        kept = [[phase for phase in run if phase.name not in names] for run in self.runs]
        return Results(self.machine, self.seconds, [run for run in kept if len(run) > 2] + new.runs)

    def problems(self) -> list[str]:
        """Of the honest, and with those who should have gone."""
        return [f"{phase.name}: {problem}" for run in self.runs for phase in run for problem in phase.problems]

    def table(self, order: Sequence[str]) -> str:
        """Everything as Markdown."""
        lines = [f"* {line}" for line in self.machine]
        lines += [f"* {self.seconds:g} s of each; p99 of a time beside the quiet p99 of the same run", ""]
        lines += [_row(_HEAD), _row(["---"] * len(_HEAD))]
        found = {phase.name: (phase, run) for run in self.runs for phase in run}
        for run in self.runs:
            lines += [_row(_quiet_cells(phase)) for phase in run if phase.name == QUIET]
        for name in order:
            if name in found:
                phase, run = found[name]
                lines.append(_row(_cells(phase, [one for one in run if one.name == QUIET])))
        if problems := self.problems():
            lines += ["", *(f"* **{problem}**" for problem in problems)]
        return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _measured(phase: Measured) -> list[str]:
    return [f"{phase.edits['p50']:.1f} · {phase.edits['p99']:.1f} ms"]


def _after(phase: Measured) -> list[str]:
    return [
        f"{phase.acknowledgements['p99']:.1f} ms",
        f"{phase.joins['worst']:.0f} ms",
        f"{phase.server:.2f}",
        f"{phase.rude:.2f}",
    ]


def _quiet_cells(phase: Measured) -> list[str]:
    return [f"nobody ({phase.edits['count']:.0f} edits)", *_measured(phase), "", *_after(phase), "", "", _doubt(phase)]


def _cells(phase: Measured, quiet: Sequence[Measured]) -> list[str]:
    behaviour = BEHAVIOURS.get(phase.name)
    title = "all of the silent at once, until each is ended" if behaviour is None else behaviour.title
    times = [phase.edits[part] / statistics.mean(one.edits[part] for one in quiet) for part in ("p50", "p99")]
    verdict = "yes" if times[1] <= MOST else "**no**"
    doubts = [doubt for one in (phase, *quiet) if (doubt := _doubt(one))]
    grows = f"{phase.memory / 1e6:.0f} MB, {phase.memory_after / 1e6:.0f} afterwards"
    end = behaviour.end if behaviour is not None else f"{sum(phase.ended.values())} ended by the server"
    if behaviour is not None and not behaviour.silent and phase.ended:
        end += f"; here {', '.join(f'{limit} {count}' for limit, count in phase.ended.items())}"
    ratio = f"{times[0]:.1f} · {times[1]:.1f}"
    judged = f"not judged: {doubts[0]}" if doubts else verdict
    return [title, *_measured(phase), ratio, *_after(phase), grows, end, judged]


def _doubt(phase: Measured) -> str:
    return f"the core was shared ({phase.waited:.0%})" if phase.waited > _SHARED else ""
