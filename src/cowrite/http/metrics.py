"""``/metrics``: what a server counts and measures of itself, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

Figures: TypeAlias = Mapping[str, float]
"""By name of the metric, those of one process. What a process does not have is left out."""
ByWorker: TypeAlias = Mapping[int, Figures]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a metric is. The same table for people is docs/reference/metrics.md."""

    name: str
    kind: Literal["gauge", "counter"]
    text: str
    label: str | None = None
    """It has one figure for each value of this label: their names are the metric's, a colon, and the value."""


METRICS: Final = (
    Meaning("cowrite_start_time_seconds", "gauge", "When the process began, in seconds since 1970."),
    Meaning("cowrite_worker_restarts_total", "counter", "How often this worker has died and was started again."),
    Meaning("cowrite_draining", "gauge", "1: the process is stopping and takes nobody in."),
    Meaning("cowrite_cpu_seconds_total", "counter", "CPU time of the process."),
    Meaning("cowrite_memory_bytes", "gauge", "Resident memory of the process (Linux)."),
    Meaning("cowrite_loop_lag_seconds", "gauge", "By how much the event loop is late, averaged over the last seconds."),
    Meaning("cowrite_sockets", "gauge", "WebSockets that are open."),
    Meaning("cowrite_refused_total", "counter", "What was more than a limit, by the limit or the code.", "limit"),
    Meaning("cowrite_hostile_updates_total", "counter", "Updates that no editor makes, by what is wrong with them.", "reason"),
    Meaning("cowrite_documents", "gauge", "Documents that are open."),
    Meaning("cowrite_people", "gauge", "Users who are in a document by this process."),
    Meaning("cowrite_pending_updates", "gauge", "Updates that were taken from editors and are not stored yet."),
    Meaning("cowrite_pending_bytes", "gauge", "The bytes of these."),
    Meaning("cowrite_journal_groups_total", "counter", "Transactions that have brought something into the log."),
    Meaning("cowrite_journal_entries_total", "counter", "Entries that these have brought."),
    Meaning("cowrite_edits_per_second", "gauge", "Entries committed each second, over the last minute."),
    Meaning(
        "cowrite_commit_seconds", "gauge", "What so large a share of the last minute's transactions took at most.", "quantile"
    ),
    Meaning("cowrite_database_failing", "gauge", "1: the database cannot be read or written."),
    Meaning("cowrite_journal_failing", "gauge", "1: the database cannot be written; edits wait in memory."),
    Meaning(
        "cowrite_journal_failing_documents", "gauge", "Documents that cannot be stored although the database can be written."
    ),
    Meaning("cowrite_damaged_documents", "gauge", "Documents that were found damaged in the database, and are only read."),
    Meaning("cowrite_presence_degraded", "gauge", "1: presence is not kept where the settings say."),
    Meaning("cowrite_hooks_waiting", "gauge", "What hooks are not told yet."),
    Meaning("cowrite_hooks_failed_total", "counter", "Calls of hooks that have raised, or took too long."),
    Meaning("cowrite_hooks_left_out_total", "counter", "What hooks were not told because too much waited."),
    Meaning("cowrite_webhooks_delivered_total", "counter", "Webhooks that were received."),
    Meaning("cowrite_webhooks_failed_total", "counter", "Attempts to send a webhook that failed."),
    Meaning("cowrite_webhooks_dead_total", "counter", "Webhooks that were given up."),
    Meaning("cowrite_webhooks_stopped", "gauge", "1: the receiver has said that it is gone (410), and nothing is sent to it."),
    Meaning(
        "cowrite_webhooks_oldest_seconds",
        "gauge",
        "For how long the oldest webhook has waited that was made and not received, at the last look.",
    ),
    Meaning("cowrite_broker_connected", "gauge", "1: news reaches other processes by the broker now."),
    Meaning("cowrite_broker_contacts_total", "counter", "How often contact with the broker was made."),
    Meaning("cowrite_broker_sent_total", "counter", "Messages that were given to the broker."),
    Meaning("cowrite_broker_sent_bytes_total", "counter", "The bytes of these."),
    Meaning("cowrite_broker_received_total", "counter", "Messages of other processes that came by the broker."),
    Meaning("cowrite_broker_received_bytes_total", "counter", "The bytes of these."),
    Meaning("cowrite_broker_own_total", "counter", "Messages of this process that came back."),
    Meaning(
        "cowrite_broker_dropped_total", "counter", "Messages that could not be sent; others read the database in their place."
    ),
    Meaning(
        "cowrite_broker_undecodable_total", "counter", "Messages that could not be read; the database was, in their place."
    ),
    Meaning("cowrite_database_pool_size", "gauge", "Connections to the database server that there may be."),
    Meaning("cowrite_database_pool_in_use", "gauge", "How many of them are at work."),
    Meaning("cowrite_database_pool_waits_total", "counter", "How often work had to wait for a connection."),
    Meaning("cowrite_database_pool_waited_seconds_total", "counter", "How long it waited, in all."),
)
_WORKER: Final = "worker"
_TOTAL: Final = "_total"


def exposition(figures: ByWorker) -> bytes:
    """The text. Figures that have no meaning here are left out: a worker of another release may have told them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(figures))
    return generate_latest(registry)


class _Collector:
    def __init__(self, figures: ByWorker) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        for meaning in METRICS:
            family = _family(meaning)
            for worker, figures in sorted(self._figures.items()):
                if meaning.label is not None:
                    for name in sorted(name for name in figures if name.startswith(f"{meaning.name}:")):
                        family.add_metric([str(worker), name.partition(":")[2]], figures[name])
                elif meaning.name in figures:
                    family.add_metric([str(worker)], figures[meaning.name])
            if family.samples:
                yield family


def _family(meaning: Meaning) -> GaugeMetricFamily | CounterMetricFamily:
    labels = [_WORKER] if meaning.label is None else [_WORKER, meaning.label]
    if meaning.kind == "counter":
        return CounterMetricFamily(meaning.name.removesuffix(_TOTAL), meaning.text, labels=labels)
    return GaugeMetricFamily(meaning.name, meaning.text, labels=labels)


def metrics_routes(figures: Callable[[], Awaitable[ByWorker]]) -> APIRouter:
    """``/metrics``."""
    routes = APIRouter(tags=["operating"])

    @routes.get("/metrics", summary="Figures for Prometheus, of all workers", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return Response(exposition(await figures()), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return routes
