"""Honest people beside rude ones: what do they notice, and what becomes of the rude?

    PYTHONPATH=tests python -m bench.rude [--only silence,crowd] [--seconds 6] [--short]
                                          [--json FILE] [--from FILE] [--into docs/reliability.md]

A real ``cowrite serve`` on SQLite with full durability, on core 0. On core 1 sixteen honest people type in four documents,
three times a second each, and every second somebody new comes in; it is measured how long an edit needs to another person's
screen, until it is acknowledged, and until a newcomer has the document. First beside nobody (*quiet*), then beside each of the
rude (``bench/rudeness/behaviours.py``) from their first connection until they have done what they do for ``--seconds``, then
quiet again. At last all who are silent are there together, until the server has ended each that it is to end.

The rude are processes of their own on core 1 that run only when nobody else wants it. Their share of it is told, and how late
the honest process itself was. What loopback does for a packet the kernel does at once, on the sender's time and core.

``--short`` tries everything out in seconds: few people, a server whose settings let it wait for seconds only, and no
figure means anything. Its exit code is 1 when something honest was lost or something rude was left.
"""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import uvloop

from bench.rudeness.behaviours import BEHAVIOURS
from bench.rudeness.crowd import Crowd
from bench.rudeness.honest import Honest
from bench.rudeness.network import Network, losable
from bench.rudeness.phases import TOGETHER, Measured, Phases
from bench.rudeness.results import Results
from bench.rudeness.served import Server, served
from bench.side_by_side import machine
from bench.side_by_side.documents import put_into
from bench.side_by_side.node import ROOT
from bench.side_by_side.servers import GENERATOR_CORE, on_core

LATEST = ROOT / ".cache" / "rude.json"
DOCUMENTS = ("minutes", "plan", "letter", "notes")


async def measure(server: Server, secret: str, names: Sequence[str], options: argparse.Namespace) -> list[Measured]:
    """Each behaviour, beside the same honest people, between two times of quiet."""
    honest = Honest(server.port, secret, DOCUMENTS[:2] if options.short else DOCUMENTS, people=2 if options.short else 4)
    town = {
        "address": "127.0.0.1",
        "port": server.port,
        "secret": secret,
        "honest": DOCUMENTS[:2] if options.short else DOCUMENTS,
        "few": options.short,
    }
    await honest.come()
    phases = Phases(server, honest, rate=3.0, seconds=options.seconds)
    with losable() as network:
        async with AsyncExitStack() as stack:
            crowd = await stack.enter_async_context(Crowd(town))
            gone = None if network is None else await stack.enter_async_context(Crowd(town, network))
            await honest.type(3.0, min(2.0, options.seconds))
            done = [await phases.quiet()]
            for name in names:
                if name in BEHAVIOURS and (BEHAVIOURS[name].frozen != "network" or gone is not None):
                    one = BEHAVIOURS[name]
                    whose = gone if one.frozen == "network" and gone is not None else crowd
                    done.append(await phases.beside(one, whose))
                    print(done[-1].line(), flush=True)
            if TOGETHER in names:
                done.append(await together(phases, town, network))
                print(done[-1].line(), flush=True)
            done.append(await phases.quiet())
    done[-1].problems += await honest.problems() + await phases.left()
    honest.leave()
    done[-1].problems += await phases.left(nobody=True)
    done[-1].problems += server.errors()
    return done


async def together(phases: Phases, town: dict[str, object], network: Network | None) -> Measured:
    """All who are silent, until each has met its end."""
    silent = [one for one in BEHAVIOURS.values() if one.silent and (one.frozen != "network" or network is not None)]
    async with AsyncExitStack() as stack:
        crowds = []
        for frozen in sorted({one.frozen for one in silent}):
            crowd = await stack.enter_async_context(Crowd(town, network if frozen == "network" else None))
            crowds.append((crowd, [one for one in silent if one.frozen == frozen]))
        return await phases.until_ended(crowds)


def run(names: Sequence[str], options: argparse.Namespace) -> Results:
    """With a server of its own."""
    secret = urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(served(folder, secret, impatient=options.short))
        stack.enter_context(on_core(GENERATOR_CORE))
        phases = uvloop.run(measure(server, secret, names, options))
    return Results(machine.description(others=False), options.seconds, [phases])


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the network and the server are put away
    known = [*BEHAVIOURS, TOGETHER]
    wanted = options.only.split(",") if options.only else known
    if options.short and not options.only:  # the silent are there together, which is short for all of them
        wanted = [name for name in known if name == TOGETHER or not BEHAVIOURS[name].silent]
    if unknown := [name for name in wanted if name not in known]:
        raise SystemExit(f"nobody is rude in this way: {', '.join(unknown)}; there are {', '.join(known)}")
    results = Results.read(options.earlier) if options.earlier else None
    if results is None or options.only:
        new = run([name for name in known if name in wanted], options)
        results = new if results is None else results.with_new(new)
    if options.json:
        results.write(options.json)
    text = results.table([*known])
    print(f"\n{text}")
    if options.into:
        put_into(options.into, "rude", text)
    return int(bool(results.problems()))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME,NAME", help=f"of {', '.join(BEHAVIOURS)}, {TOGETHER}")
    parser.add_argument("--seconds", type=float, help="how long each does what it does; 6, and 0.2 with --short")
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"write what was measured there; {LATEST.relative_to(ROOT)}")
    parser.add_argument(
        "--from", type=Path, dest="earlier", metavar="FILE", help="what --json wrote: only what --only names is measured, anew"
    )
    parser.add_argument("--into", type=Path, metavar="FILE", help="put the table into this document, in place of the old one")
    parser.add_argument("--short", action="store_true", help="only try it out")
    options = parser.parse_args(arguments)
    if options.short and (options.into or options.earlier):
        parser.error("figures of --short mean nothing: they go into no document, and beside no others")
    if options.into and options.only and not options.earlier:
        parser.error("--into would drop what --only leaves out: say with --from where the results of the others are")
    options.seconds = options.seconds or (0.2 if options.short else 6.0)
    options.json = options.json or (None if options.short else options.earlier or LATEST)
    return options


if __name__ == "__main__":
    sys.exit(main())
