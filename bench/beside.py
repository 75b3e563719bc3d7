"""What comes beside the edits: what one costs the server without anything else, with a hook, with a webhook, while somebody
looks at the page for administrators, and when it is traced.

    python -m bench.beside [--only none,hook,webhook,admin,traced,sampled] [--rounds 3] [--documents 20] [--people 5]
                           [--typing 5] [--rate 2] [--seconds 4] [--keep FILE]

Each run starts ``cowrite serve --demo`` anew, on SQLite, on core 0, and loads it from core 1; in a round each case has its
turn. ``hook``: ``committed`` and ``changed`` of an application's. ``webhook``: to a receiver on this machine. ``admin``: what
the page asks for, once a second instead of every two. ``traced``: each edit, sent to a collector on this machine; ``sampled``:
one of a hundred. ``--keep``: a file to which the figures of each run are added; what it has from earlier rounds counts, too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil

from bench.fanout import free_port, served
from cowrite.loadtest import Plan
from cowrite.loadtest.command import execute
from cowrite.tokens import generate_secret, issue

_WEBHOOK_SECRET = "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
_ASKED = ("overview", "documents")
_HOOKED = """
import functools, sys
from cowrite import app, cli, server
from cowrite.hooks import Hooks

class Counting(Hooks):
    entries = 0
    async def committed(self, event):
        self.entries += 1
    async def changed(self, event):
        self.entries += 1

server.create_app = functools.partial(app.create_app, hooks=Counting())
sys.argv = ["cowrite", "serve", "--demo"]
cli.main()
"""

Around = Callable[[int], contextlib.AbstractContextManager[object]]
"""What goes on beside a run on a server at that port."""


@contextlib.contextmanager
def taking() -> Iterator[str]:
    """A receiver of whatever is posted: its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def looking(port: int, token: str) -> Iterator[None]:
    """Somebody looks at the page for administrators."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(1.0):
            for asked in _ASKED:
                address = f"http://127.0.0.1:{port}/api/v2/admin/{asked}"
                request = urllib.request.Request(address, headers={"authorization": f"Bearer {token}"})
                with urllib.request.urlopen(request, timeout=10) as answer:
                    answer.read()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def case(name: str) -> Iterator[tuple[Mapping[str, str], list[str], Around]]:
    """The settings, the program's arguments, and what goes on beside."""
    command = [str(Path(sys.executable).with_name("cowrite")), "serve", "--demo"]

    def nothing(_: int) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    match name:
        case "hook":
            yield {}, [sys.executable, "-c", _HOOKED], nothing
        case "webhook":
            with taking() as address:
                yield {"COWRITE_WEBHOOK_URL": address, "COWRITE_WEBHOOK_SECRET": _WEBHOOK_SECRET}, command, nothing
        case "admin":
            secret = generate_secret()
            token = issue(secret, sub="root", documents={"*": "admin"})
            yield {"COWRITE_SECRET": secret}, command, lambda port: looking(port, token)
        case "traced" | "sampled":
            share = "1" if name == "traced" else "0.01"
            with taking() as address:
                sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": share}
                yield {"COWRITE_TRACE": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": address} | sampler, command, nothing
        case _:
            yield {}, command, nothing


CASES = ("none", "hook", "webhook", "admin", "traced", "sampled")


def run(name: str, plan: Plan) -> float:
    """Microseconds of the server's CPU for an edit. Raises ``SystemExit`` for a load that did not arrive."""
    with case(name) as (settings, command, around), tempfile.TemporaryDirectory() as folder:
        place, port = Path(folder), free_port()
        with served(port, place / "data", dict(settings), place / "log", command=command) as process:
            if (os.cpu_count() or 1) >= 2:
                psutil.Process(process.pid).cpu_affinity([0])
                psutil.Process().cpu_affinity([1])
            with around(port):
                chosen = replace(plan, url=f"http://127.0.0.1:{port}", server_pid=process.pid)
                code = execute(chosen, json_file=str(place / "report"), html_file=None)
        report = json.loads((place / "report").read_text())
    if code or not report["ok"]:
        raise SystemExit(f"{name}: {report['problems']}, {report['delivery']['undelivered']} undelivered")
    return float(report["server"]["cpu_us_per_edit"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--documents", type=int, default=20)
    parser.add_argument("--people", type=int, default=5)
    parser.add_argument("--typing", type=int, help="how many of them type; all, if it is not said")
    parser.add_argument("--rate", type=float, default=2.0, help="edits of each of these in a second")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--keep", type=Path)
    told = parser.parse_args()
    plan = Plan(
        url="http://127.0.0.1",
        documents=told.documents,
        people=told.people,
        typing=told.typing,
        rate=told.rate,
        seconds=told.seconds,
        warm_up=1.0,
    )
    found: dict[str, list[float]] = {}
    if told.keep is not None and told.keep.exists():
        found = json.loads(told.keep.read_text())
    for _ in range(told.rounds):
        for name in told.only.split(","):
            found.setdefault(name, []).append(run(name, plan))
            if told.keep is not None:
                told.keep.write_text(json.dumps(found))
    for name, figures in found.items():
        shown = f"{statistics.median(figures):.0f} ({min(figures):.0f} to {max(figures):.0f})"
        print(f"{name}: {shown} µs of CPU for an edit, median (range) of {len(figures)}")


if __name__ == "__main__":
    main()
