"""The command ``cowrite load``, and its reports of known figures."""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from cowrite import cli
from cowrite.load_command import load
from cowrite.loadtest import LoadError, Plan
from cowrite.loadtest.histogram import Histogram
from cowrite.loadtest.meter import Meter, second_to_json
from cowrite.loadtest.open_files import allow_sockets
from cowrite.loadtest.report.aggregation import Course, Moments, gather
from cowrite.loadtest.report.html import page
from cowrite.loadtest.report.model import Report
from cowrite.loadtest.report.table import print_report
from cowrite.loadtest.server_figures import ProcessSource, Sample

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.rule("LG13")
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["http://127.0.0.1:1"], 1, "nobody answers at http://127.0.0.1:1/metrics"),
        (["--mix", "yjs=1,mail=2"], 2, "'mail' is no protocol; there are yjs, hocuspocus, json, poll"),
        (["--secret", "short"], 2, "no token can be made with that secret"),
    ],
)
def test_wrong_options(
    arguments: list[str], code: int, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, and what to do."""
    monkeypatch.setattr(sys, "argv", ["cowrite", "load", *arguments, "--json", "-"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    written = capsys.readouterr()
    assert (caught.value.code, written.out) == (code, "")
    assert written.err.startswith("cowrite: ")
    assert says in written.err
    assert written.err.count("\n") == 1


def outcome(**more: Any) -> dict[str, Any]:
    """What a process tells that has seen three edits at two others, after 10, 20 and 30 ms."""
    meter = Meter()
    meter.latencies += [10.0, 20.0, 30.0]
    meter.deliveries = 6
    meter.tick(0)
    meter.latencies += [20.0]
    meter.tick(1)
    empty = Histogram().to_json()
    told: dict[str, Any] = {"edits": 3, "delivered": 6, "expected": 6, "missing": 0, "twice": 0, "sampled": 1, "missed": 0}
    told |= {"lateness": empty, "cursors_sent": 0, "cursors_received": 0, "refused": 0, "acknowledgement": empty, "age": empty}
    told |= {"latency": meter.latency.to_json(), "during_storm": empty, "storm": None, "problems": [], "core_percent": 20.0}
    told |= {"seconds": [second_to_json(second) for second in meter.seconds.values()], "replicas": {"a": ["x", "x"]}}
    return told | more


def gathered(*outcomes: dict[str, Any], **more: Any) -> Report:
    """The report of a known run of two seconds: the server used 30 ms for it, 20 of them while it was measured."""
    samples = [Sample(at, cpu, memory, lag) for at, cpu, memory, lag in KNOWN]
    joins = Histogram()
    joins.add([5.0, 6.0, 7.0])
    known: dict[str, Any] = {"url": "http://h", "people": 3, "token": "the-token"}
    plan = Plan(**(known | more))
    course = Course("2026-11-28T20:00:00+00:00", 100.0, 102.0, joins, 1.5, "metrics", Moments(*samples), samples)
    return gather(plan, course, outcomes)


KNOWN = [(90, 1.0, 10e6, 0.5), (99, 1.5, 13e6, 0.5), (100, 2.0, 13e6, 1.0), (102, 2.02, 14e6, 3.0), (103, 2.03, 14e6, 2.0)]


@pytest.mark.rule("LG6")
@pytest.mark.rule("LG10")
def test_the_figures_of_a_known_run() -> None:
    report = gathered(outcome())
    assert report.ok
    assert (report.delivery.edits, report.delivery.delivered, report.delivery.per_second) == (3, 6, 3.0)
    assert report.delivery.latency is not None
    assert report.delivery.latency.p50 == pytest.approx(20, rel=0.01)
    assert (report.delivery.latency.count, report.delivery.latency.max) == (4, 30.0)
    assert report.joining.opens_per_second == 2.0
    assert report.server is not None
    assert report.server.cpu_us_per_delivery == pytest.approx(30_000 / 6)
    assert report.server.cpu_us_per_edit == pytest.approx(30_000 / 3)
    assert report.server.core_percent == pytest.approx(1)
    assert (report.server.bytes_per_socket, report.server.memory_peak_bytes) == (1e6, 14e6)
    assert (report.server.loop_lag_mean_ms, report.server.loop_lag_max_ms) == (2.0, 3.0)
    assert [second.at for second in report.timeline] == [0, 1]
    assert [second.deliveries for second in report.timeline] == [6, 0]
    assert "the-token" not in json.dumps(report.to_json())


@pytest.mark.rule("LG4")
@pytest.mark.rule("LG5")
@pytest.mark.rule("LG15")
def test_what_makes_a_run_bad() -> None:
    """And what is only worth a word."""
    for wrong in ({"missing": 1}, {"refused": 1}, {"problems": ["1 times: gone"]}, {"replicas": {"a": ["x", "y"]}}):
        assert not gathered(outcome(**wrong)).ok, wrong
    assert not gathered(outcome(), outcome(replicas={"a": ["z"]})).ok
    busy = gathered(outcome(core_percent=70.0, missed=3, twice=2), outcome())
    assert busy.ok
    assert [text.split(":")[0] for text in busy.warnings] == [
        "the generator used 70 % of a core",
        "3 edits could not be made when they were due",
        "2 edits came more than once to somebody",
    ]
    assert gathered(outcome(core_percent=69.9)).warnings == ()


def storm() -> dict[str, Any]:
    """Of three people."""
    joins = Histogram()
    joins.add([100.0, 200.0, 300.0])
    return {"joins": joins.to_json(), "began": 1.0, "ended": 1.3, "compared": 2}


@pytest.mark.rule("LG11")
@pytest.mark.parametrize("empty", [False, True])
def test_the_page_is_well_formed_and_loads_nothing(*, empty: bool) -> None:
    """With everything in it, and with nothing to plot; and what comes from outside is escaped."""
    told = outcome(latency=Histogram().to_json(), seconds=[], problems=["1 times: <b>&"]) if empty else outcome(storm=storm())
    text = page(gathered(told, url="http://h/<x>", cursors=1))
    tree = ElementTree.fromstring(text.partition("\n")[2])
    assert {element.tag for element in tree.iter()} & {"script", "link", "img", "iframe"} == set()
    assert re.findall(r"(?:src|href)=|url\(|@import", text) == []
    plots = list(tree.iter("svg"))
    assert len(plots) == (0 if empty else 5)
    assert all(plot.get("aria-label") for plot in plots)


@pytest.mark.rule("LG11")
def test_the_table() -> None:
    """What went wrong is said last."""
    written = io.StringIO()
    print_report(gathered(outcome(missing=2, problems=["2 times: gone [x]"], storm=storm())), Console(file=written, width=60))
    lines = written.getvalue().splitlines()
    assert lines[-1] == "2 of 6 deliveries did not arrive"
    assert "lost: 2 times: gone [x]" in lines
    assert "  all have the state after  0.30 s" in lines


@pytest.mark.rule("LG11")
def test_the_page_of_options_and_keys() -> None:
    """It has all of both, and no others."""
    text = (ROOT / "docs" / "reference" / "load.md").read_text()
    told = set(re.findall(r"^\| `--([a-z-]+)", text, re.MULTILINE)) | {"token", "secret", "demo"}
    assert told == {name.replace("_", "-") for name in inspect.signature(load).parameters} - {"url"}
    keys = text.partition("## JSON")[2].partition("##")[0]
    durations = outcome()["latency"]
    report = gathered(outcome(storm=storm(), acknowledgement=durations, lateness=durations), cursors=1).to_json()
    parts = [report, *(value for value in report.values() if isinstance(value, dict)), report["timeline"][0]]
    named = {key for part in parts if part is not report["plan"] for key in part}
    assert {key for key in named if f"`{key}`" not in keys} == set()


@pytest.mark.rule("LG14")
def test_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as it may; where that is not enough it is said before anything is begun."""
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 5000))
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.append(wanted))
    plan = Plan(url="http://h", people=900)
    allow_sockets(plan)
    allow_sockets(replace(plan, people=2000))
    assert limits == [(2100, 5000)]
    with pytest.raises(LoadError, match="6000 people need 6100 open files in each process, and 5000 are allowed"):
        allow_sockets(replace(plan, people=6000))


@pytest.mark.rule("LG10")
def test_without_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what to install."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(LoadError, match=r"pip install 'cowrite\[load\]'"):
        ProcessSource(os.getpid(), None)
