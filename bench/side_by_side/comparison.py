"""What has been measured so far, as JSON: what was interrupted is not lost, and one scenario can be measured anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from bench.side_by_side.doubts import counted
from bench.side_by_side.loads import Run
from bench.side_by_side.targets import Results

Runs = dict[str, list[Run]]
"""By server."""


class OtherConditions(Exception):
    """Earlier results cannot stand in a table with new ones; the message says why."""


@dataclass(slots=True)
class Comparison:
    """The runs of each scenario, and what is the same for all of them."""

    machine: list[str]
    """What they were measured on and with, in lines for people."""
    runs: int
    """How many were asked for, of each scenario with each server."""
    seconds: float
    scenarios: dict[str, Runs] = field(default_factory=dict)

    def results(self, scenario: str) -> Results:
        """The figures of those runs that count."""
        return {server: counted([one.figures for one in runs], self.runs) for server, runs in self.scenarios[scenario].items()}

    def write(self, path: Path) -> None:
        """Put all of it there, in place of what was there before."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.new")
        new.write_text(json.dumps(asdict(self), indent=1))
        new.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """What :meth:`write` has put there. Raises ``OSError``, and :class:`OtherConditions` when it is something else."""
        try:
            told = json.loads(path.read_text())
            scenarios = {
                name: {server: [_run(one) for one in runs] for server, runs in servers.items()}
                for name, servers in told["scenarios"].items()
            }
            return cls(list(told["machine"]), int(told["runs"]), float(told["seconds"]), scenarios)
        except (ValueError, LookupError, TypeError, AttributeError):
            raise OtherConditions(f"{path} has no results of bench.compare: give a file that --json has written") from None

    def stands_beside(self, new: Comparison, name: str) -> None:
        """Scenarios that are measured anew can replace those in here. Raises :class:`OtherConditions` with all that differs."""
        differs = [
            f"there: {before}; here: {now}" for before, now in zip(self.machine, new.machine, strict=False) if before != now
        ]
        if (self.runs, self.seconds) != (new.runs, new.seconds):
            differs.append(f"there: {self.runs} runs of {self.seconds:g} s; here: {new.runs} of {new.seconds:g} s")
        if differs:
            raise OtherConditions(
                f"{name} was measured under other conditions, and one table cannot have both: measure all anew, or go back to"
                f" those ({'; '.join(differs)})"
            )


def _run(told: Mapping[str, Any]) -> Run:
    return Run(dict(told["figures"]), tuple(told["remarks"]), told["report"])
