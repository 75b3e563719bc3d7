"""``/metrics``, and its page in the documentation."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cowrite.brokers.local import LocalBroker
from cowrite.http.metrics import METRICS, exposition
from cowrite.testing.client import live_client
from http_api import Api, api, token

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "metrics.md"


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with api(demo=True) as started:
        yield started


def read(text: str) -> dict[tuple[str, str], float]:
    """By name and worker; without those that have a label of their own."""
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples if len(one.labels) == 1]
    return {(one.name, one.labels["worker"]): one.value for one in samples}


@pytest.mark.rule("WK31")
def test_every_metric_is_on_the_page() -> None:
    """With its kind and what it means, in the order in which they are told."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [(one.name, one.kind, one.text) for one in METRICS]


def test_names_say_what_they_are() -> None:
    """All begin with cowrite's, and counters alone end with what Prometheus calls them by."""
    assert all(re.fullmatch(r"cowrite_[a-z_]+", one.name) for one in METRICS)
    assert all(one.name.endswith("_total") == (one.kind == "counter") for one in METRICS)


@pytest.mark.rule("WK30")
async def test_figures_of_a_process(server: Api) -> None:
    """Sockets, documents and what went to the disk are counted."""
    ana = await server.connect("d", token("ana"))
    await ana.type("hello")
    async with live_client(f"{server.url.replace('http', 'ws', 1)}/yjs/d"):
        answer = await server.client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        figures = read(answer.text)
    wanted = {"sockets": 1, "documents": 1, "journal_groups_total": 1, "journal_entries_total": 1, "journal_failing": 0}
    assert {name: figures[f"cowrite_{name}", "1"] for name in wanted} == wanted
    assert figures["cowrite_cpu_seconds_total", "1"] > 0
    assert {worker for _, worker in figures} == {"1"}
    assert not any(name.startswith(("cowrite_broker", "cowrite_database_pool")) for name, _ in figures)


@dataclass
class Counters:
    sent: int
    dropped: int
    of_a_later_release: int = 1


class CountingBroker(LocalBroker):
    """A broker that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.counters = Counters(sent=3, dropped=0)


@pytest.mark.rule("WK32")
async def test_a_brokers_own_figures() -> None:
    """They are told under its name; what has no meaning here is passed over."""
    async with api(demo=True, broker=CountingBroker()) as server:
        figures = read((await server.client.get("/metrics")).text)
    told = {name.removeprefix("cowrite_broker_"): value for (name, _), value in figures.items() if "broker" in name}
    assert told == {"sent_total": 3, "dropped_total": 0, "connected": 0}


def test_figures_of_several_workers() -> None:
    """Each under its number, in one family; of a name that is not known here nothing is told."""
    text = exposition({2: {"cowrite_sockets": 5, "cowrite_news": 1}, 1: {"cowrite_sockets": 3}}).decode()
    assert read(text) == {("cowrite_sockets", "1"): 3, ("cowrite_sockets", "2"): 5}
    assert text.count("# TYPE") == 1
