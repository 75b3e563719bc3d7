"""All of it, in the order in which a server would meet it."""

from __future__ import annotations

import sys

from cowrite.doctor import machine, parts, setup
from cowrite.doctor.findings import Finding, Level, of_line, print_json, print_table, worst
from cowrite.log import configure
from cowrite.settings import Settings, SettingsError, load_settings


def diagnose(flags: dict[str, str | None], *, demo: bool, as_json: bool) -> int:
    """Look at everything, and tell. Returns the exit code: 0, or 1 where something is a problem."""
    import asyncio

    try:
        settings = load_settings(**flags)
    except SettingsError as error:
        findings = [of_line("settings", Level.PROBLEM, line) for line in error.problems]
    else:
        configure("critical", settings.log_format)  # that is none: what is found is told
        findings = [*_here(settings, demo=demo), *asyncio.run(_elsewhere(settings))]
    (print_json if as_json else print_table)(findings, sys.stdout)
    return 1 if worst(findings) is Level.PROBLEM else 0


def _here(settings: Settings, *, demo: bool) -> list[Finding]:
    return [
        *machine.interpreter(),
        *setup.settings_read(),
        *setup.secret_given(settings, demo=demo),
        *setup.who_can_reach_it(settings, demo=demo),
        *machine.port(settings),
        *setup.processes(settings, machine.cores()),
        *setup.tracing(settings),
        *machine.open_files(settings),
        *machine.folder(settings),
    ]


async def _elsewhere(settings: Settings) -> list[Finding]:
    return [
        *await parts.signing_keys(settings),
        *await parts.database(settings),
        *await parts.redis(settings),
        *await parts.webhooks(settings),
    ]
