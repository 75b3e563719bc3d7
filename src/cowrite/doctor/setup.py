"""The settings themselves: what they hold, and what they do together."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cowrite.doctor.findings import Finding, Level
from cowrite.settings import ENV_FILE, Settings, unknown_names
from cowrite.startup import StartError, require_loopback
from cowrite.tracing import INSTALL, is_installed

_COLLECTOR: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Where OpenTelemetry's exporter looks, in this order."""
_DEFAULT_COLLECTOR: Final = "http://localhost:4318"


def settings_read() -> Iterator[Finding]:
    """Where they came from, and what was meant to be one and is none."""
    unknown = unknown_names()
    for line in unknown:
        yield Finding("settings", Level.WARNING, line, "correct the name, or remove it")
    if not unknown:
        where = (
            f"the environment and {ENV_FILE}" if Path(ENV_FILE).exists() else f"the environment; there is no {ENV_FILE} here"
        )
        yield Finding("settings", Level.OK, f"read from {where}")
    yield from _env_file_mode()


def _env_file_mode() -> Iterator[Finding]:
    try:
        mode = Path(ENV_FILE).stat().st_mode
    except OSError:
        return
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        yield Finding(
            "settings",
            Level.WARNING,
            f"{ENV_FILE} can be read by other users of this machine (mode {stat.S_IMODE(mode):04o})",
            f"chmod 600 {ENV_FILE}",
        )


def secret_given(settings: Settings, *, demo: bool) -> Iterator[Finding]:
    """Who can let users in."""
    keys = len(settings.keys)
    if keys > 1:
        yield Finding("secret", Level.NOTE, f"{keys} keys are accepted; new tokens are made with the first one")
    elif keys:
        yield Finding("secret", Level.OK, "COWRITE_SECRET is set")
    elif demo:
        yield Finding("secret", Level.NOTE, "none, and with --demo none is needed: everybody on this machine may write")
    else:
        yield Finding(
            "secret",
            Level.PROBLEM,
            "no secret is set, and without --demo a server does not start",
            'echo "COWRITE_SECRET=$(cowrite secret)" >> .env',
        )


def who_can_reach_it(settings: Settings, *, demo: bool) -> Iterator[Finding]:
    """From where it can be reached, and which pages may connect."""
    try:
        require_loopback(settings.host)
    except StartError as error:
        if demo:
            yield Finding("address", Level.PROBLEM, str(error))
            return
        what = f"{settings.host} can be reached from other machines"
        yield Finding("address", Level.NOTE, what, "end TLS in a proxy in front of it, and let nobody else reach the port")
    else:
        yield Finding("address", Level.OK, f"{settings.host} can be reached from this machine only, as behind a proxy")
    if "*" in settings.allowed_origins:
        what = "COWRITE_ALLOWED_ORIGINS is *: every web page may connect"
        yield Finding("origins", Level.WARNING, what, "name the origins of your application")
    elif settings.allowed_origins:
        yield Finding("origins", Level.OK, f"pages of {', '.join(settings.allowed_origins)} may connect")
    elif not demo:
        what = "only pages that this server itself serves may connect"
        yield Finding("origins", Level.NOTE, what, "set COWRITE_ALLOWED_ORIGINS if your application has another address")


def processes(settings: Settings, cores: int | None) -> Iterator[Finding]:
    """How many serve, and how they tell one another."""
    if settings.workers > 1 and settings.redis_url is None:
        yield Finding(
            "workers",
            Level.WARNING,
            f"{settings.workers} workers without Redis: edits of others come four times a second, cursors not at all",
            "set COWRITE_REDIS_URL",
        )
    elif cores is not None and settings.workers > cores:
        what = f"{settings.workers} workers, and {cores} processor cores"
        yield Finding("workers", Level.WARNING, what, f"COWRITE_WORKERS={cores} is enough")
    else:
        of = f" of {cores} cores" if cores is not None else ""
        yield Finding("workers", Level.OK, f"{settings.workers}{of}")


def tracing(settings: Settings) -> Iterator[Finding]:
    """Where traces go, by OpenTelemetry's own variables; nothing where neither they nor the setting are set."""
    variable = next((name for name in _COLLECTOR if os.environ.get(name)), None)
    if not settings.trace:
        if variable is not None:
            what = f"{variable} is set, and COWRITE_TRACE is not: nothing is traced"
            yield Finding("tracing", Level.NOTE, what, "set COWRITE_TRACE=true if that is not meant")
    elif not is_installed():
        yield Finding("tracing", Level.PROBLEM, "COWRITE_TRACE is true, and OpenTelemetry is not installed", INSTALL)
    else:
        address = urlsplit(os.environ[variable] if variable is not None else _DEFAULT_COLLECTOR)
        place = f"{address.scheme}://{address.netloc.rpartition('@')[2]}"  # without a password
        yield Finding("tracing", Level.OK, f"traces go to {place}")
