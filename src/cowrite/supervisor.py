"""``cowrite serve --workers N``: one process that serves nobody, and keeps N that do.

Theory of operation. The supervisor opens the port; its workers inherit it, and whichever is free accepts the next connection.
So a worker may die or be replaced and the port stays. Worker 1 is started alone: it makes or upgrades the database, and what is
wrong with the settings is said once. The supervisor itself has no database, no broker and no client, and hardly anything that
can break. What it says to its workers, and they to it, is in :mod:`cowrite.control`.

Workers share nothing but the port: what one commits the others find by the broker and the database, as processes on different
machines do.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Final

import structlog

from cowrite.control import MAX_LINE_BYTES, Assignment, Message, decode, encode
from cowrite.settings import Settings
from cowrite.startup import AWAY, StartError, listen, prepare_folder, ready_line

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
"""Seconds before a worker that died is started again; twice as long each time."""
_LASTING_SECONDS: Final = 30.0
"""A worker that has served so long before it died is started again as though it were the first time."""
_STOP_SECONDS: Final = 30.0
"""How long a worker may take to stop beyond the drain of its sockets."""
_FIGURES_SECONDS: Final = 1.0
"""How long a worker may take to tell its figures."""
_UNSUPPORTED: Final = "more than one worker needs Linux or macOS: set COWRITE_WORKERS to 1 or unset it"

_log = structlog.get_logger(__name__)


def supervise(settings: Settings, *, demo: bool, admin: str | None = None) -> int:
    """Serve with several workers until SIGTERM or SIGINT, and return the exit code: 0 when every worker's was.

    ``admin``: a token for the page of administrators, whose address is printed with it.

    A second signal ends all processes at once; SIGHUP replaces the workers. Raises :class:`StartError` for what stops them from
    starting.
    """
    if sys.platform == "win32":
        raise StartError(_UNSUPPORTED)
    if settings.database_file is not None:
        prepare_folder(settings.database_file.parent)
    sockets = listen(settings.host, settings.port)
    if settings.redis_url is None:
        _log.warning(
            "without COWRITE_REDIS_URL workers find one another's edits in the database, some times a second, "
            "and cursors stay within a worker",
            workers=settings.workers,
        )
    ready = ready_line(settings.host, sockets, demo=demo, admin=admin)
    code = asyncio.run(_Supervisor(settings, sockets, demo=demo, ready=ready).run())
    _log.info("stopped")
    return code


class _Worker:
    """One process."""

    def __init__(self, number: int, process: asyncio.subprocess.Process) -> None:
        self.number = number
        self.process = process
        self.ready = False
        self.told = asyncio.Event()
        """It is ready, or has ended."""
        self.problems: tuple[str, ...] = ()
        """Why it cannot start."""
        self.code = AWAY
        """The exit code that this means for all. One that was killed has said nothing: it may be better next time."""
        self.began = asyncio.get_running_loop().time()

    def say(self, message: Message) -> None:
        """Send it a message, unless it is being drained."""
        assert self.process.stdin is not None
        if not self.process.stdin.is_closing():
            self.process.stdin.write(encode(message))

    def drain(self) -> None:
        """Tell it to stop. Idempotent."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        if not self.ready:
            with suppress(ProcessLookupError):  # it listens only once it serves; before it can stop in order it opens nothing
                self.process.terminate()

    def kill(self) -> None:
        """End it at once. Idempotent."""
        with suppress(ProcessLookupError):
            self.process.kill()

    @property
    def lasted(self) -> float:
        """Seconds since its start."""
        return asyncio.get_running_loop().time() - self.began

    @property
    def end(self) -> str:
        """How it has ended."""
        code = self.process.returncode or 0
        return f"exit status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


class _Supervisor:
    def __init__(self, settings: Settings, sockets: list[socket.socket], *, demo: bool, ready: str) -> None:
        self._ready = ready
        self._settings = settings
        self._sockets = sockets
        self._demo = demo
        self._current: dict[int, _Worker] = {}
        """Those that serve, or are about to, by number."""
        self._living: set[_Worker] = set()
        """All that have not ended."""
        self._being_made = 0
        """How many processes are about to be among them."""
        self._pauses: dict[int, float] = {}
        self._restarts: Counter[int] = Counter()
        self._questions = itertools.count()
        self._asked: dict[int, dict[int, asyncio.Future[Message]]] = {}
        """By question: the workers that are asked for their figures, by number."""
        self._in_terminal = _has_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN  # nohup
        self._serving = False
        """All were ready once: from then on one that dies is started again."""
        self._stopping = False
        self._failed = False
        self._replacing: asyncio.Task[None] | None = None
        self._again = False
        """They are to be replaced once more."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()

    async def run(self) -> int:
        """Until all have ended. Raises :class:`StartError`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopped_by, number)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        try:
            await self._start()
        except StartError:
            self._stop()
            await self._over.wait()
            raise
        if not self._stopping:
            self._serving = True
            for worker in list(self._current.values()):
                if worker not in self._living:
                    self._bring_back(worker)  # it died while the others started
            print(self._ready, flush=True)
        await self._over.wait()
        return int(self._failed)

    async def _start(self) -> None:
        for numbers in ([1], range(2, self._settings.workers + 1)):
            await self._start_these(numbers)

    async def _start_these(self, numbers: Iterable[int]) -> None:
        started = []
        for number in numbers:
            if self._stopping:
                return
            try:
                worker = self._current[number] = await self._launch(number)
            except OSError as error:
                raise StartError(f"worker {number} cannot be started: {error.strerror}") from None
            started.append(worker)
        for worker in started:
            await worker.told.wait()
            if not (worker.ready or self._stopping):
                problems = worker.problems or (f"worker {worker.number} ended before it was ready ({worker.end})",)
                raise StartError(*problems, code=worker.code)

    async def _launch(self, number: int) -> _Worker:
        sockets = tuple(opened.fileno() for opened in self._sockets)  # they may be closed here while the process is made
        self._being_made += 1
        try:
            process = await asyncio.create_subprocess_exec(
                # -P: the folder where the server was started is no place for modules.
                # A group of its own: a terminal's Ctrl-C is for the supervisor.
                sys.executable, "-P", "-m", "cowrite.worker", process_group=0,
                stdin=PIPE, stdout=PIPE, limit=MAX_LINE_BYTES, pass_fds=sockets,
            )  # fmt: skip
            worker = _Worker(number, process)
            self._living.add(worker)
        finally:
            self._being_made -= 1
            if self._stopping:
                self._end_when_all_have()
        assert process.stdin is not None
        process.stdin.write(Assignment(number, self._settings, self._demo, sockets).line())
        self._run(self._attend(worker))
        if self._stopping:
            worker.drain()
        return worker

    async def _attend(self, worker: _Worker) -> None:
        """Listen to a worker until it has ended."""
        assert worker.process.stdout is not None
        with suppress(OSError):
            while line := await worker.process.stdout.readline():
                try:
                    self._hear(worker, decode(line))
                except ValueError:  # something that printed
                    _log.warning("worker printed", number=worker.number, line=line.decode(errors="replace"))
        await worker.process.wait()
        self._living.discard(worker)
        worker.told.set()
        self._ended(worker)

    def _hear(self, worker: _Worker, message: Message) -> None:
        match message:
            case {"ready": True}:
                worker.ready = True
                worker.told.set()
            case {"problems": [*problems], "code": int(code)}:
                worker.problems, worker.code = tuple(map(str, problems)), code
            case {"ask": question, "about": about}:
                self._run(self._collect(worker, question, about))
            case {"told": question, "figures": figures}:
                waiting = self._asked.get(question, {}).get(worker.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(figures)

    async def _collect(self, asking: _Worker, asked: int, about: object) -> None:
        """Ask all for their figures, or what else, and answer with those that come soon."""
        loop, question = asyncio.get_running_loop(), next(self._questions)
        there = {number: worker for number, worker in self._current.items() if worker.ready and worker in self._living}
        waiting = self._asked[question] = {number: loop.create_future() for number in there}
        for worker in there.values():
            worker.say({"tell": question, "about": about})
        if waiting:
            await asyncio.wait(waiting.values(), timeout=_FIGURES_SECONDS)
        del self._asked[question]
        figures = {
            # Of one that does not answer, or is not there, how often it has died: it may be dying again and again.
            number: {
                **(waiting[number].result() if number in waiting and waiting[number].done() else {}),
                "cowrite_worker_restarts_total": self._restarts[number],
            }
            for number in self._current
        }
        asking.say({"answer": asked, "figures": figures})

    # ---- one that has ended ------------------------------------------------------------------------------------------

    def _ended(self, worker: _Worker) -> None:
        if self._stopping:
            self._failed |= worker.ready and worker.process.returncode != 0
            self._end_when_all_have()
        elif self._serving and self._current[worker.number] is worker:
            self._bring_back(worker)
        elif worker.process.returncode and worker.ready and self._serving:
            _log.error("replaced worker did not end well", number=worker.number, end=worker.end)

    def _bring_back(self, worker: _Worker) -> None:
        """Nobody has told it to end."""
        number = worker.number
        pause = _FIRST_PAUSE if worker.lasted >= _LASTING_SECONDS else self._pauses.get(number, _FIRST_PAUSE)
        self._pauses[number] = min(2 * pause, _LONGEST_PAUSE)
        self._restarts[number] += 1
        log = _log.error if worker.process.returncode else _log.info
        log("worker ended; it is started again", number=number, end=worker.end, problems=worker.problems or None, after=pause)
        self._run(self._start_again(worker, pause))

    async def _start_again(self, worker: _Worker, pause: float) -> None:
        await asyncio.sleep(pause)
        if self._stopping or self._current[worker.number] is not worker:
            return
        try:
            started = await self._launch(worker.number)
        except OSError as error:  # no process or no memory left
            _log.error("worker not started; it is tried again", number=worker.number, reason=str(error))
            self._run(self._start_again(worker, _LONGEST_PAUSE))
            return
        if self._current[worker.number] is worker:
            self._current[worker.number] = started
        else:  # SIGHUP's successor was quicker
            await self._dismiss(started)

    # ---- replacing ---------------------------------------------------------------------------------------------------

    def _hang_up(self) -> None:
        """SIGHUP: somebody asks for new workers, or the terminal is gone in which the server was started."""
        if self._in_terminal and not _has_terminal():
            self._stop()
        else:
            self._replace()

    def _replace(self) -> None:
        if self._replacing is not None:
            self._again = True
        elif self._serving and not self._stopping:
            self._replacing = self._run(self._replace_all())

    async def _replace_all(self) -> None:
        try:
            _log.info("workers are replaced", workers=self._settings.workers)
            for number in range(1, self._settings.workers + 1):
                if not await self._replace_one(number):
                    return
            _log.info("workers were replaced", workers=self._settings.workers)
        finally:
            self._replacing = None
            if self._again:
                self._again = False
                self._replace()

    async def _replace_one(self, number: int) -> bool:
        """Start a successor, and then drain the worker, which is waited for. False: it stays."""
        if self._stopping:
            return False
        successor = None
        try:
            successor = await self._launch(number)
            await successor.told.wait()
            reason: object = successor.problems or successor.end
        except OSError as error:
            reason = str(error)
        if successor is None or not successor.ready:
            if not self._stopping:
                _log.error("worker not replaced: its successor did not start; the others stay", number=number, reason=reason)
            return False
        worker, self._current[number] = self._current[number], successor
        if successor not in self._living:
            self._bring_back(successor)  # it died before it had the place
        await self._dismiss(worker)
        return not self._stopping

    async def _dismiss(self, worker: _Worker) -> None:
        """Drain a worker that has no place any more, and wait for its end."""
        worker.drain()
        try:
            async with asyncio.timeout(self._stop_seconds):
                await worker.process.wait()
        except TimeoutError:
            _log.error("replaced worker does not end; it is killed", number=worker.number)
            worker.kill()

    # ---- stopping ----------------------------------------------------------------------------------------------------

    @property
    def _stop_seconds(self) -> float:
        return self._settings.drain_seconds + _STOP_SECONDS

    def _stopped_by(self, number: signal.Signals) -> None:
        """A first signal drains, a second one ends everything at once: what was acknowledged is stored."""
        if not self._stopping:
            self._stop()
            return
        for worker in self._living:
            worker.kill()
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)  # of SIGINT the loop makes a KeyboardInterrupt
        os.kill(os.getpid(), number)

    def _stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        for opened in self._sockets:
            opened.close()  # else who connects now would wait for an answer that nobody gives
        for worker in self._living:
            worker.drain()
        asyncio.get_running_loop().call_later(self._stop_seconds, self._kill)
        self._end_when_all_have()

    def _kill(self) -> None:
        for worker in self._living:
            _log.error("worker does not stop; it is killed", number=worker.number)
            worker.kill()

    def _end_when_all_have(self) -> None:
        if not self._living and not self._being_made:
            self._over.set()

    def _run(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
