"""Runs against a real server, small ones. It wants tokens, so that every run also shows that they are made."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from cowrite import cli
from cowrite.loadtest import LoadError, Plan, Protocol, Report, run
from cowrite.loadtest.edits import TOKEN
from cowrite.loadtest.meter import Second
from cowrite.loadtest.running import Silent
from cowrite.loadtest.server_figures import Sample
from cowrite.tokens import generate_secret, issue
from demo_server import DemoServer
from lossy_relay import lossy_relay
from timing import MS

SECRET = generate_secret()
EVERYTHING = dict.fromkeys(Protocol, 1.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    with DemoServer(tmp_path_factory.mktemp("server"), demo=False, COWRITE_SECRET=SECRET) as one:
        yield one
        one.stop()
    assert one.errors() == []


def plan(url: str, **more: Any) -> Plan:
    """A short one."""
    known: dict[str, Any] = {"people": 10, "typing": 3, "rate": 10, "seconds": 0.5, "warm_up": 0.1, "settle": 20_000 * MS}
    return Plan(url=url, **({"secret": SECRET} | known | more))


def go(work: Coroutine[Any, Any, Report]) -> Report:
    """On a loop without the debug mode, in which the generator would be slower than the server."""
    with asyncio.Runner(debug=False) as runner:
        return runner.run(work)


def websocket(server: DemoServer, path: str) -> str:
    return server.url.replace("http", "ws", 1) + path


def all_arrived(report: Report, others: int = 9) -> None:
    told = report.delivery
    assert report.problems == ()
    assert report.ok
    assert told.edits > 0
    assert told.delivered == told.expected == others * told.edits
    assert (told.undelivered, told.duplicated, report.refused_edits) == (0, 0, 0)
    assert told.latency is not None
    assert told.latency.count == told.delivered  # everybody is sampled


@pytest.mark.rule("LG1")
@pytest.mark.rule("LG3")
@pytest.mark.rule("LG12")
@pytest.mark.parametrize("protocol", Protocol)
def test_each_protocol(server: DemoServer, protocol: Protocol) -> None:
    """All edits reach everybody else, and are acknowledged; cursors have an age."""
    report = go(run(plan(server.url, protocols={protocol: 1.0}, cursors=3)))
    all_arrived(report)
    assert report.acknowledgement is not None
    assert report.acknowledgement.count == report.delivery.edits
    assert report.cursors is not None
    assert report.cursors.age is not None
    assert report.joining.people == 10


@pytest.mark.rule("LG1")
@pytest.mark.rule("LG5")
@pytest.mark.rule("LG7")
@pytest.mark.rule("LG8")
@pytest.mark.rule("LG9")
@pytest.mark.rule("LG10")
def test_a_mix_in_a_document_with_text_from_two_processes_with_a_storm(server: DemoServer) -> None:
    """Who comes in the middle has everything, all replicas are equal, and the text is there with nothing torn apart."""
    chosen = plan(
        server.url, protocols=EVERYTHING, document_bytes=300_000, join_storm=6, prefix="mixed", typing=10, rate=4, processes=2
    )
    report = go(run(chosen))
    all_arrived(report)
    assert len(report.generator_core_percent) == 2
    assert report.storm is not None
    assert report.storm.each is not None
    assert report.storm.each.count == 6
    assert report.replicas is not None
    assert (report.replicas.replicas, report.replicas.different) == (4, ())
    assert report.server is not None
    assert report.server.source == "metrics"
    assert report.server.cpu_us_per_delivery is not None
    text = read(server, "mixed-0")
    assert len(TOKEN.sub(b"", text)) == 300_000
    assert len(TOKEN.findall(text)) >= report.delivery.edits


@pytest.mark.rule("LG2")
@pytest.mark.rule("LG10")
@pytest.mark.rule("LG12")
@pytest.mark.rule("LG19")
def test_a_server_of_which_only_the_protocol_is_known(server: DemoServer) -> None:
    """It acknowledges nothing; what its process uses is asked of the system. All come with one token."""
    token = issue(SECRET, sub="load", documents={"*": "write"})
    report = go(run(plan(websocket(server, "yjs"), server_pid=server.pid, secret=None, token=token, join_storm=2)))
    all_arrived(report)
    assert report.acknowledgement is None
    assert report.server is not None
    assert (report.server.source, report.server.loop_lag_max_ms) == ("process", None)
    assert report.server.memory_before_bytes > 10e6
    assert report.storm is not None
    assert report.storm.memory_before_bytes is not None
    assert report.storm.memory_before_bytes > 10e6


@pytest.fixture
def cowrite_load(
    server: DemoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[object, str, str]]:
    """The command line in this process: ``cowrite_load("--people", "5") -> (exit code, stdout, stderr)``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COWRITE_SECRET", SECRET)
    short = ["--people", "5", "--typing", "2", "--rate", "10", "--seconds", "0.5", "--warm-up", "0.1"]

    def load(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["cowrite", "load", server.url, *short, *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        written = capsys.readouterr()
        return caught.value.code, written.out, written.err

    return load


@pytest.mark.rule("LG11")
@pytest.mark.rule("LG16")
def test_json_alone(cowrite_load: Callable[..., tuple[object, str, str]]) -> None:
    """The report, and nothing else."""
    code, out, err = cowrite_load("--json", "-")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert (report["version"], report["ok"], report["delivery"]["undelivered"]) == (1, True, 0)
    assert report["delivery"]["delivered"] == 4 * report["delivery"]["edits"] > 0
    assert SECRET not in out


@pytest.mark.rule("LG11")
@pytest.mark.rule("LG16")
def test_for_a_person(cowrite_load: Callable[..., tuple[object, str, str]], tmp_path: Path) -> None:
    """A table, files on the side, and a line a second on stderr."""
    code, out, err = cowrite_load("--html", "a.html", "--json", "a.json")
    assert code == 0
    assert re.search(r"undelivered +0  must be 0\n", out)
    assert out.endswith("everything arrived\n")
    assert re.search(r"measuring +1 of 0.5 s  [\d,]+ deliveries, p50 [\d.]+, p99 [\d.]+ ms, server", err)
    assert json.loads((tmp_path / "a.json").read_text())["ok"]
    assert "everything arrived" in (tmp_path / "a.html").read_text()


@pytest.mark.rule("LG11")
@pytest.mark.parametrize("option", ["--json", "--html"])
def test_a_file_that_cannot_be_written(cowrite_load: Callable[..., tuple[object, str, str]], option: str) -> None:
    """It is told before anybody comes."""
    code, out, err = cowrite_load(option, "nowhere/a.file")
    assert (code, out) == (2, "")
    assert "nowhere/a.file cannot be written: No such file or directory" in err
    assert "come in" not in err


@pytest.mark.rule("LG4")
@pytest.mark.rule("LG5")
def test_one_frame_that_is_lost_is_found(server: DemoServer) -> None:
    """As many deliveries as there were edits in it; and the replica that did not get it is another one."""
    edits: list[int] = []
    which = 4  # the first ones were typed before it counts

    def loses(message: bytes) -> bool:
        if message[:2] == b"\x00\x02" and (found := TOKEN.findall(message)):
            edits.append(len(found))
            return len(edits) == which + 1
        return False

    async def through() -> Report:
        async with lossy_relay(websocket(server, "yjs"), loses) as url:
            # One who types and one who reads.
            return await run(plan(url, people=2, typing=1, rate=20, warm_up=0, settle=0.3, replicas=2))

    report = go(through())
    assert report.delivery.undelivered == edits[which] == report.delivery.expected - report.delivery.delivered
    assert report.replicas is not None
    assert len(report.replicas.different) == 1
    assert not report.ok


@pytest.mark.rule("LG4")
def test_a_connection_that_is_lost_is_told(server: DemoServer) -> None:
    """The server goes away in the middle of it."""
    seen = 0

    def loses(message: bytes) -> bool:
        nonlocal seen
        seen += bool(message[:2] == b"\x00\x02" and TOKEN.search(message))
        if seen == 3:
            raise ConnectionError
        return False

    async def through() -> Report:
        async with lossy_relay(websocket(server, "yjs"), loses) as url:
            return await run(plan(url, people=2, typing=1, rate=20, warm_up=0, settle=0.3))

    report = go(through())
    assert not report.ok
    assert report.delivery.undelivered > 0
    assert report.problems[0].startswith("1 times: the server closed it with 1011")


@pytest.mark.rule("LG4")
def test_a_server_that_dies_does_not_take_the_report_with_it(tmp_path: Path) -> None:
    """It says what had arrived, who was cut off, and that there is nothing to be told of the server."""
    with DemoServer(tmp_path) as dying:

        class Killer(Silent):
            def second(self, second: Second, server: Sample | None) -> None:
                if second.at == 0:
                    os.kill(dying.pid, signal.SIGKILL)

        report = go(run(plan(dying.url, secret=None, people=3, seconds=2, settle=0.1), Killer()))
    assert not report.ok
    assert report.delivery.delivered > 0
    assert [problem.partition(":")[0] for problem in report.problems] == ["3 times"]
    assert report.server is None
    assert any("it could not be looked at: nobody answers at" in warning for warning in report.warnings)


@pytest.mark.rule("LG13")
@pytest.mark.parametrize(
    ("address", "says"),
    [
        (lambda _: "http://127.0.0.1:1", "is the server running there"),
        (lambda _: "ws://127.0.0.1:1", "nobody listens at ws://127.0.0.1:1: start the server"),
        (lambda server: websocket(server, "nothing"), "no such address"),
        (lambda server: f"{server.url}openapi.json", "is it a cowrite server"),
    ],
)
def test_nobody_there(server: DemoServer, address: Callable[[DemoServer], str], says: str) -> None:
    """No server, or another one, or another protocol."""
    with pytest.raises(LoadError, match=says):
        go(run(plan(address(server), people=3, typing=1)))


@pytest.mark.rule("LG13")
@pytest.mark.parametrize("protocol", Protocol)
def test_nobody_is_let_in(server: DemoServer, protocol: Protocol) -> None:
    """It is said what to bring."""
    with pytest.raises(LoadError, match="give a --token of the server, or its --secret"):
        go(run(plan(server.url, people=3, typing=1, protocols={protocol: 1.0}, secret=None, token="none")))


@pytest.mark.rule("LG1")
@pytest.mark.rule("LG13")
def test_addresses_to_come_from(server: DemoServer) -> None:
    """Everybody comes from the one that was given; one of another machine is refused before anything is begun."""
    all_arrived(go(run(plan(server.url, protocols=EVERYTHING, sources=("127.0.0.1",), seconds=0.3))))
    with pytest.raises(LoadError, match=r"--source 192\.0\.2\.1 is no address of this machine"):
        go(run(plan(server.url, sources=("192.0.2.1",))))


@pytest.mark.rule("LG13")
def test_a_process_that_is_not_there(server: DemoServer) -> None:
    with pytest.raises(LoadError, match="there is no process 4194305"):
        go(run(plan(server.url, server_pid=4_194_305)))


def read(server: DemoServer, document: str) -> bytes:
    """The text of a document."""
    token = issue(SECRET, sub="reader", documents={"*": "read"})
    request = urllib.request.Request(
        f"{server.url}api/v2/documents/{document}", headers={"Authorization": f"Bearer {token}", "Accept": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        parts = json.load(answer)["content"]["body"]
    return (parts if isinstance(parts, str) else "".join(part["insert"] for part in parts["$text"])).encode()
