"""The figures of one process, read from its parts. What each means is in :mod:`cowrite.http.metrics`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Final

from cowrite.composition import Parts
from cowrite.http.metrics import METRICS, Figures

_STARTED: Final = time.time()


def figures_of(parts: Parts) -> Figures:
    """What there is now.

    A broker that counts has ``counters``, and a storage on a server has ``pool()``: their fields are metrics of the same names
    behind ``cowrite_broker_`` and ``cowrite_database_pool_``. Of a part that has none nothing is told.
    """
    load, journal = parts.services.load, parts.journal
    figures: dict[str, float] = {
        "cowrite_start_time_seconds": _STARTED,
        "cowrite_draining": load.draining,
        "cowrite_cpu_seconds_total": time.process_time(),
        "cowrite_loop_lag_seconds": load.lag,
        "cowrite_sockets": len(parts.services.connections),
        "cowrite_documents": len(parts.registry),
        "cowrite_people": len(_people(parts)),
        "cowrite_pending_updates": parts.backlog.updates,
        "cowrite_pending_bytes": parts.backlog.bytes,
        "cowrite_journal_groups_total": journal.groups,
        "cowrite_journal_entries_total": journal.entries,
        "cowrite_edits_per_second": journal.recent.per_second(),
        "cowrite_database_failing": parts.store_failing,
        "cowrite_journal_failing": journal.failing_since is not None,
        "cowrite_journal_failing_documents": len(journal.failing_documents),
        "cowrite_damaged_documents": len(parts.registry.damaged),
        "cowrite_presence_degraded": parts.presence.degraded,
    }
    if parts.webhooks is not None:
        figures["cowrite_webhooks_delivered_total"] = parts.webhooks.delivered
        figures["cowrite_webhooks_failed_total"] = parts.webhooks.failed
        figures["cowrite_webhooks_dead_total"] = parts.webhooks.dead
        figures["cowrite_webhooks_stopped"] = parts.webhooks.stopped
        figures["cowrite_webhooks_oldest_seconds"] = parts.webhooks.oldest or 0.0
    if parts.hooks is not None:
        figures["cowrite_hooks_waiting"] = parts.hooks.waiting
        figures["cowrite_hooks_failed_total"] = parts.hooks.failed
        figures["cowrite_hooks_left_out_total"] = parts.hooks.left_out
    if (memory := _resident_bytes()) is not None:
        figures["cowrite_memory_bytes"] = memory
    for share in (0.5, 0.95):
        if (seconds := journal.recent.quantile(share)) is not None:
            figures[f"cowrite_commit_seconds:{share}"] = seconds
    figures.update({f"cowrite_refused_total:{limit}": count for limit, count in parts.services.excess.counts.items()})
    figures.update({f"cowrite_hostile_updates_total:{fault}": count for fault, count in parts.services.excess.faults.items()})
    counters, pool = getattr(parts.broker, "counters", None), getattr(parts.storage, "pool", None)
    if counters is not None:
        figures["cowrite_broker_connected"] = parts.broker.reaches_others
        figures.update(_fields("cowrite_broker_", counters))
    if pool is not None:
        figures.update(_fields("cowrite_database_pool_", pool()))
    return {name: float(value) for name, value in figures.items()}


def _people(parts: Parts) -> set[str]:
    """The users whose sessions this process answers for."""
    process = parts.presence.process
    return {one.user_id for room in parts.registry.rooms for one in room.presence.writable if one.process == process}


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


def _fields(prefix: str, told: object) -> Iterator[tuple[str, float]]:
    for meaning in METRICS:
        field = meaning.name.removeprefix(prefix).removesuffix("_total")
        if meaning.name.startswith(prefix) and hasattr(told, field):
            yield meaning.name, getattr(told, field)
