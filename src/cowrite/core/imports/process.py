"""The server's side of a process that looks at one large update.

Theory of operation. To inspect 32 MB takes 13 s of CPU time and 700 MB, in an interpreter that others wait for meanwhile. So it
happens in a process of its own, with limits of both, which ends with it; the next one waits (:mod:`cowrite.core.imports.line`).
Its calls here block, and are made in a thread, all but :meth:`ImportProcess.kill`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from array import array
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Final

from cowrite.core.imports.frames import NO_MEMORY, Kind, PipeClosed, read_frame, write_frame
from cowrite.core.limits import Limits

_MODULE: Final = "cowrite.import_child"
_INHERITED: Final = (
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "LANG",
    "TMPDIR",
)
"""What it has of the environment: no secrets."""
_OUT_OF_TIME: Final = getattr(signal, "SIGXCPU", 24)
"""Windows has neither the limit nor the signal."""
_KILL: Final = getattr(signal, "SIGKILL", signal.SIGTERM)
_LATE: Final = 4
"""It may take so many times its CPU seconds on the clock on the wall."""
_ASIDE: Final = 64 << 10
"""How much more than four times the update an answer may be: of a client that takes 5 bytes of it, it has 16."""


class ImportRefused(Exception):
    """The update is not taken. ``limit``: the limit that it was more than, or None; ``fault``: the guard's word for it."""

    def __init__(self, reason: str, *, limit: str | None = None, fault: str | None = None, contradicts: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.limit = limit
        self.fault = fault
        self.contradicts = contradicts


class ImportUnavailable(Exception):
    """No process could be started."""


class ImportKilled(Exception):
    """:meth:`ImportProcess.kill` was called."""


class ImportProcess:
    """One process, for one update."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._waiting = threading.Lock()
        """One thread at a time waits for its end."""
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = self._late = False
        self._timer = threading.Timer(_LATE * limits.import_cpu_seconds, self._end_late)
        self._timer.daemon = True
        self._size = 0
        self._ending = False
        """Somebody waits for its end: its number may soon be another process's."""
        self.cpu_seconds = 0.0
        """What it has used, once it has ended; 0 where the system does not tell (Windows)."""

    def begin(self, update: bytes, state_vector: bytes) -> tuple[bool, dict[int, int]]:
        """Have the update inspected. Returns whether all of it can be taken, and from which clock of which clients on what the
        document holds has to be told (:meth:`compare`).

        Raises :class:`ImportRefused`, :class:`ImportUnavailable` and :class:`ImportKilled`, as the others do.
        """
        self._size = 4 * len(update) + _ASIDE
        self._start()
        self._tell(update)
        self._tell(state_vector)
        _, found = self._read(Kind.FOUND)
        asked = array("Q", found[1:])
        return bool(found[0]), dict(zip(asked[::2], asked[1::2], strict=True))

    def compare(self, held: bytes) -> None:
        """Tell what the document holds. What comes of it, :meth:`slices` raises."""
        self._tell(held)

    def slices(self) -> Iterator[bytes]:
        """Give the parts of the update, each of which needs only what the update needs and what those before it bring."""
        while (frame := self._read(Kind.SLICE, Kind.END))[0] is Kind.SLICE:
            yield frame[1]

    def kill(self) -> None:
        """End it, whatever it does. From any thread; idempotent."""
        with self._lock:
            self._killed = True
            self._kill()

    def close(self) -> None:
        """Let nothing be left of it, after :meth:`kill`."""
        self._timer.cancel()
        if self._process is not None:
            self._end()
            self._process.communicate()

    def _start(self) -> None:
        command = [sys.executable, "-P", "-m", _MODULE]
        # Whole seconds and bytes, as the system counts them.
        command += [str(max(1, round(self._limits.import_cpu_seconds))), str(self._limits.import_memory_bytes)]
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        with self._lock:
            if self._killed:
                raise ImportKilled
            try:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
                )
            except OSError as error:
                raise ImportUnavailable(str(error)) from error
        self._timer.start()

    @property
    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process is not None, "it has begun"
        assert self._process.stdin is not None, "it is a pipe"
        assert self._process.stdout is not None, "it is a pipe"
        return self._process.stdin, self._process.stdout

    def _tell(self, given: bytes) -> None:
        with suppress(PipeClosed):  # then there is an answer, or an end that tells why
            write_frame(self._pipes[0], Kind.GIVEN, given)

    def _read(self, *expected: Kind) -> tuple[Kind, bytes]:
        """The next frame but for refusals, which are raised."""
        try:
            kind, payload = read_frame(self._pipes[1], self._size)
        except PipeClosed:
            raise self._fate() from None
        if kind is Kind.HOSTILE:
            fault, _, reason = payload.decode(errors="replace").partition(":")
            raise ImportRefused(reason, fault=fault)
        if kind is Kind.CONTRADICTS:
            raise ImportRefused("it gives other content to something already here", contradicts=True)
        if kind is Kind.MEMORY:
            raise self._too_large()
        if kind not in expected:
            raise self._fate()
        return kind, payload

    def _fate(self) -> Exception:
        """What has become of a process that says nothing, or nothing that makes sense."""
        assert self._process is not None, "it has begun"
        with self._lock:
            killed, late = self._killed, self._late
            self._kill()
        code = self._end()
        if killed:
            return ImportKilled()
        if late or code == -_OUT_OF_TIME:
            seconds = self._limits.import_cpu_seconds
            return ImportRefused(f"looking at it takes more than {seconds:g} s of CPU time", limit="import_cpu_seconds")
        if code == NO_MEMORY:
            return self._too_large()
        return ImportRefused(f"the process that looked at it has ended ({code})", limit="import_crashed")

    def _too_large(self) -> ImportRefused:
        size = self._limits.import_memory_bytes >> 20
        return ImportRefused(f"looking at it takes more than {size} MB of memory", limit="import_memory_bytes")

    def _end_late(self) -> None:
        with self._lock:
            self._late = True
            self._kill()

    def _kill(self) -> None:
        if self._process is not None and not self._ending:
            # Not its own kill(): that may find that it has ended, and then nobody can ask what it has used.
            with suppress(OSError):  # on Windows, of one that has ended
                os.kill(self._process.pid, _KILL)

    def _end(self) -> int:
        """Wait for the end of what was killed. Returns what it ended with."""
        assert self._process is not None, "it has begun"
        with self._lock:
            self._ending = True
        with self._waiting:
            if self._process.returncode is None and (wait := getattr(os, "wait4", None)) is not None:
                _, status, used = wait(self._process.pid, 0)
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_seconds = used.ru_utime + used.ru_stime
        return self._process.wait()
