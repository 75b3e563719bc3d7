"""What an examination found, and how it is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text


class Level(StrEnum):
    """How serious it is."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing has to be done."""
    WARNING = "warning"
    """It works, and will hurt one day."""
    PROBLEM = "problem"
    """A server does not start like this, or does not do what it should."""


_SIGNS = {
    Level.OK: ("✓", "green"),
    Level.NOTE: ("·", "cyan"),
    Level.WARNING: ("!", "yellow"),
    Level.PROBLEM: ("✗", "bold red"),
}
_PLAIN = {Level.OK: "ok", Level.NOTE: "--", Level.WARNING: "!!", Level.PROBLEM: "XX"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    """What was looked at, in one or two words."""
    level: Level
    what: str
    """What was found, in a sentence without a full stop."""
    advice: str = ""
    """What to do, where there is something to do."""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"subject": self.subject, "level": self.level.value, "what": self.what, "advice": self.advice or None}


def of_line(subject: str, level: Level, line: object, *, behind: str = "; ") -> Finding:
    """From a line for people that says what is wrong and, behind ``behind``, what to do."""
    what, _, advice = str(line).rstrip(".").partition(behind)
    return Finding(subject, level, what, advice)


def worst(findings: Sequence[Finding]) -> Level:
    """The most serious level among them; ``ok`` for none."""
    order = list(Level)
    return max((finding.level for finding in findings), key=order.index, default=Level.OK)


def print_json(findings: Sequence[Finding], stream: TextIO) -> None:
    """One object, with ``status`` and ``checks``."""
    told = {"status": worst(findings).value, "checks": [finding.as_json() for finding in findings]}
    stream.write(f"{json.dumps(told, indent=2, ensure_ascii=False)}\n")


def print_table(findings: Sequence[Finding], stream: TextIO) -> None:
    """A line for each, with what to do below it, and a sum at the end."""
    console = Console(file=stream, highlight=False)
    signs = console.encoding.lower().startswith("utf")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column()
    for finding in findings:
        sign, style = _SIGNS[finding.level]
        said = Text(finding.what)
        if finding.advice:
            said.append(f"\n{'→' if signs else '->'} {finding.advice}", style=style)
        table.add_row(Text(sign if signs else _PLAIN[finding.level], style=style), Text(finding.subject), said)
    console.print(table)
    console.print(Text(f"\n{_sum(findings)}"))


def _sum(findings: Sequence[Finding]) -> str:
    problems, warnings = (sum(finding.level is level for finding in findings) for level in (Level.PROBLEM, Level.WARNING))
    if problems:
        return f"{_number(problems, 'problem')} to mend" + (f", and {_number(warnings, 'warning')}." if warnings else ".")
    return f"Ready, with {_number(warnings, 'warning')}." if warnings else "All is well."


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
