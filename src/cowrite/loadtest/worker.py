"""The program of another process that makes load: commands come as lines of JSON, and each is answered with one.

The end of its input tells it to leave, so that it does not outlive who started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from typing import Any, Final

from cowrite.loadtest.errors import LoadError
from cowrite.loadtest.generator import Generator
from cowrite.loadtest.meter import Second, second_to_json
from cowrite.loadtest.open_files import allow_sockets
from cowrite.loadtest.plan import plan_from_json

_LONGEST_LINE: Final = 64 << 20


def main() -> None:
    """Run until the input ends."""
    # Ctrl-C reaches all processes of the terminal; who started this one ends its input then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve())
    else:
        uvloop.run(_serve())


async def _serve() -> None:
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    first = json.loads(await reader.readline())
    plan = plan_from_json(first["plan"])
    try:
        allow_sockets(plan)
    except LoadError as error:
        _say({"error": str(error)})
        return
    part = Generator(plan, first["part"])
    _say({"ready": True})
    commands: asyncio.Queue[bytes] = asyncio.Queue()
    obeying = asyncio.create_task(_obey(part, commands))
    obeying.add_done_callback(lambda _: reader.feed_eof())  # what is wrong in here ends the process
    # Its input is read while it works, too: at the end of it the work is over.
    while line := await reader.readline():
        commands.put_nowait(line)
    obeying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await obeying
    await part.close()


async def _obey(part: Generator, commands: asyncio.Queue[bytes]) -> None:
    while True:
        try:
            _say(await _do(part, json.loads(await commands.get())))
        except LoadError as error:
            _say({"error": str(error)})


async def _do(part: Generator, command: dict[str, Any]) -> Any:
    if command["do"] == "arrive":
        return (await part.arrive()).to_json()
    if command["do"] == "work":

        def told(second: Second) -> None:
            _say({"second": second_to_json(second)})

        return {"typed": dict(await part.work(command["since"], command["until"], told))}
    typed = {document: (count, total) for document, (count, total) in command["typed"].items()}
    return await part.settle(typed, command["seconds"])


def _say(message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
