"""The report as a table on the terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.text import Text

from cowrite.loadtest.report.model import Report
from cowrite.loadtest.report.rows import headline, sections, verdict

_NAME_WIDTH: Final = 26


def print_report(report: Report, console: Console | None = None) -> None:
    """Print it: on a terminal with colours, else as plain text."""
    console = console or Console(highlight=False)
    console.print()
    console.print(f"{report.plan['url']}: {headline(report)}", style="bold", soft_wrap=True)
    for section in sections(report):
        console.print(f"\n{section.title}", style="bold", markup=False)
        for row in section.rows:
            line = Text(f"  {row.name:<{_NAME_WIDTH}}", style="dim").append(
                row.value, style="bold red" if row.bad else "not dim"
            )
            console.print(line.append(f"  {row.note}" if row.note else ""), soft_wrap=True)
    console.print()
    for problem in report.problems:
        console.print(f"lost: {problem}", style="red", markup=False, soft_wrap=True)
    for warning in report.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    console.print(verdict(report), style="bold green" if report.ok else "bold red")
