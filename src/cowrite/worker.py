"""One of the processes of ``cowrite serve --workers``: ``python -m cowrite.worker``, started by the supervisor alone.

It stops when its input ends or on SIGTERM, and a second time does not hurry it: a service manager sends SIGTERM to every
process of a service, and the supervisor tells the worker, too. What must end at once is killed by the supervisor.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socket import socket
from typing import Final

import structlog

from cowrite.control import MAX_LINE_BYTES, Assignment, Message, decode, encode
from cowrite.log import configure
from cowrite.runtime import Runtime, ToldByWorker
from cowrite.server import run_server
from cowrite.startup import WRONG, StartError

_INPUT, _OUTPUT = 0, 1
_ANSWER_SECONDS: Final = 2.0
_log = structlog.get_logger(__name__)


def main() -> int:
    """Serve until told to stop, and return the exit code."""
    try:
        assignment = Assignment.read(io.FileIO(_INPUT, closefd=False).readline())
    except ValueError as error:
        print(f"cowrite: a worker is started by cowrite serve --workers: {error}", file=sys.stderr)
        return WRONG
    settings = assignment.settings
    configure(settings.log_level, settings.log_format)
    structlog.contextvars.bind_contextvars(worker=assignment.number)
    try:
        return run_server(
            settings,
            [socket(fileno=number) for number in assignment.sockets],
            demo=assignment.demo,
            host=SupervisedHost(assignment.number),
        )
    except StartError as error:
        sys.stdout.buffer.write(encode({"problems": list(error.problems), "code": error.code}))
        sys.stdout.buffer.flush()
        return error.code


class SupervisedHost:
    """See :class:`cowrite.server.Host`: the supervisor starts and stops the process."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._stop: Callable[[], None]
        self._output: asyncio.WriteTransport
        self._listening: asyncio.Task[None]
        self._runtime: Runtime
        self._questions = itertools.count()
        self._asked: dict[int, asyncio.Future[ToldByWorker]] = {}

    @contextmanager
    def watch(self, stop: Callable[[], None]) -> Iterator[None]:
        self._stop = stop
        # A terminal sends these to all of its processes; what they mean is for the supervisor to say.
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: stop())
        yield

    async def began(self, runtime: Runtime) -> None:
        loop = asyncio.get_running_loop()
        self._output, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, io.FileIO(_OUTPUT, "w", closefd=False))
        reader = asyncio.StreamReader(MAX_LINE_BYTES)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), io.FileIO(_INPUT, closefd=False))
        self._runtime = runtime
        runtime.ask_all = self._ask_all
        self._say({"ready": True})
        self._listening = loop.create_task(self._listen(reader))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while line := await reader.readline():
                self._hear(decode(line))
        self._runtime.ask_all = None
        self._stop()

    def _hear(self, message: Message) -> None:
        match message:
            case {"tell": question, "about": about}:
                self._say({"told": question, "figures": self._runtime.told(about)})
            case {"answer": question, "figures": figures} if question in self._asked and not self._asked[question].done():
                self._asked[question].set_result({int(number): of_one for number, of_one in figures.items()})

    async def _ask_all(self, about: str | None) -> ToldByWorker:
        """By way of the supervisor; when that does not answer, its own alone."""
        question = next(self._questions)
        answer: asyncio.Future[ToldByWorker] = asyncio.get_running_loop().create_future()
        self._asked[question] = answer
        self._say({"ask": question, "about": about})
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            return {self._number: self._runtime.told(about)}
        finally:
            del self._asked[question]

    def _say(self, message: Message) -> None:
        self._output.write(encode(message))


if __name__ == "__main__":
    sys.exit(main())
