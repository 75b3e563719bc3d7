"""A run for a person at a terminal, or for a program that reads its output."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Final

from cowrite.loadtest.errors import PlanError
from cowrite.loadtest.plan import Plan
from cowrite.loadtest.progress import watcher
from cowrite.loadtest.report.html import page
from cowrite.loadtest.report.model import Report
from cowrite.loadtest.report.table import print_report
from cowrite.loadtest.running import Listener, run

_INTERRUPTED: Final = 130


def execute(plan: Plan, *, json_file: str | None, html_file: str | None) -> int:
    """Run, and report; the exit code. Raises :class:`LoadError`."""
    for name in (json_file, html_file):
        if name is not None and name != "-":
            _check(name)
    watching = watcher(plan, quiet=json_file == "-")
    try:
        report = _loop_run(plan, watching)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted: what was measured until then is not reported\n")
        return _INTERRUPTED
    finally:
        watching.close()
    if json_file is not None:
        text = json.dumps(report.to_json(), indent=1) + "\n"
        if json_file == "-":
            sys.stdout.write(text)
        else:
            _write(json_file, text)
    if json_file != "-":
        print_report(report)
    if html_file is not None:
        _write(html_file, page(report))
    return 0 if report.ok else 1


def _loop_run(plan: Plan, listener: Listener) -> Report:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(run(plan, listener))
    return uvloop.run(run(plan, listener))


def _check(name: str) -> None:
    """Before anything is measured: that it can be written."""
    try:
        Path(name).open("a", encoding="utf-8").close()
    except OSError as error:
        raise PlanError(f"{name} cannot be written: {error.strerror}") from None


def _write(name: str, text: str) -> None:
    try:
        Path(name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise PlanError(f"{name} cannot be written: {error.strerror}") from None
