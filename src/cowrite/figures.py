"""The figures of one process, read from its parts. What each means is in :mod:`cowrite.http.metrics`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Final

from cowrite.composition import Parts
from cowrite.core.ports import Broker
from cowrite.http.metrics import METRICS, Figures

_STARTED: Final = time.time()
_KNOWN: Final = {meaning.name for meaning in METRICS}


def figures_of(parts: Parts, broker: Broker) -> Figures:
    """What there is now.

    A broker and a storage have figures of their own by a method ``figures()``, with the names of the metrics without
    ``cowrite_broker_``, ``cowrite_database_`` and ``_total``; those that have none say nothing.
    """
    load, journal = parts.services.load, parts.journal
    figures: dict[str, float] = {
        "cowrite_start_time_seconds": _STARTED,
        "cowrite_draining": load.draining,
        "cowrite_cpu_seconds_total": time.process_time(),
        "cowrite_loop_lag_seconds": load.lag,
        "cowrite_sockets": len(parts.services.connections),
        "cowrite_documents": len(parts.registry),
        "cowrite_pending_updates": parts.backlog.updates,
        "cowrite_pending_bytes": parts.backlog.bytes,
        "cowrite_journal_groups_total": journal.groups,
        "cowrite_journal_entries_total": journal.entries,
        "cowrite_journal_failing": journal.failing_since is not None,
        "cowrite_journal_failing_documents": len(journal.failing_documents),
        "cowrite_presence_degraded": parts.presence.degraded,
    }
    if (memory := _resident_bytes()) is not None:
        figures["cowrite_memory_bytes"] = memory
    if told := dict(_of("cowrite_broker_", broker)):
        figures.update(told, cowrite_broker_connected=broker.reaches_others)
    figures.update(_of("cowrite_database_", parts.storage))
    return {name: float(value) for name, value in figures.items()}


def _resident_bytes() -> int | None:
    """None where the system does not say it this way."""
    try:
        opened = os.open("/proc/self/statm", os.O_RDONLY)
    except OSError:
        return None
    try:
        return int(os.pread(opened, 200, 0).split()[1]) * os.sysconf("SC_PAGESIZE")
    finally:
        os.close(opened)


def _of(prefix: str, part: object) -> Iterator[tuple[str, float]]:
    told = getattr(part, "figures", None)
    for name, value in told().items() if told is not None else ():
        yield next(full for full in (f"{prefix}{name}", f"{prefix}{name}_total") if full in _KNOWN), value
