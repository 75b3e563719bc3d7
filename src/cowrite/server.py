"""cowrite's own server: uvicorn and picows on one port, from the listening socket to the last commit."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Final, Protocol

import structlog
import uvicorn

from cowrite.app import create_app
from cowrite.brokers.errors import BrokerSetupError
from cowrite.brokers.opening import open_broker
from cowrite.collecting import collect_seldom, collect_when_quiet, give_back_large_blocks, take_turns_soon
from cowrite.composition import open_database
from cowrite.core.clock import SystemClock
from cowrite.runtime import Runtime
from cowrite.settings import Settings
from cowrite.startup import AWAY, WRONG, StartError, allow_open_files, listen, prepare_folder, ready_line
from cowrite.stores.errors import StoreAway, StoreSetupError
from cowrite.tracing import TracerProvider, TracingMissing
from cowrite.tracing.sending import sending
from cowrite.transports.http_head import http_protocol
from cowrite.transports.websocket import is_websocket

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_CONNECTIONS_CLOSE_SECONDS: Final = 8
"""How long a shutdown waits for connections to end. A close handshake is cut before."""
_NOT_STORED: Final = 1
"""The exit code when edits were left behind that nobody was told to be stored."""

_log = structlog.get_logger(__name__)


class Host(Protocol):
    """Who has started this process, and stops it."""

    def watch(self, stop: Callable[[], None]) -> AbstractContextManager[None]:
        """While the block runs, ``stop`` is called when the server is to stop; more than once does no harm."""
        ...

    async def began(self, runtime: Runtime) -> None:
        """It serves now."""
        ...


def serve(settings: Settings, *, demo: bool, admin: str | None = None) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit code. A second signal ends the process at once.

    ``admin``: a token for the page of administrators, whose address is printed with it.
    Raises :class:`StartError` for what stops it from starting: the data folder, the port, the database.
    """
    if settings.database_file is not None:
        prepare_folder(settings.database_file.parent)
    sockets = listen(settings.host, settings.port)
    ready = ready_line(settings.host, sockets, demo=demo, admin=admin)
    return run_server(settings, sockets, demo=demo, host=LoneHost(ready))


def run_server(
    settings: Settings,
    sockets: list[socket.socket],
    *,
    demo: bool,
    host: Host,
) -> int:
    """Serve on these sockets, which are closed in the end, until the host says stop.

    Returns the exit code: 0, or 1 when edits were left that could not be stored, and that nobody was told to be.
    Raises :class:`StartError`.
    """
    try:
        with sending(wanted=settings.trace) as provider, asyncio.Runner(loop_factory=_loop_factory()) as runner:
            stored = runner.run(_serve(settings, sockets, demo=demo, host=host, provider=provider))
    except TracingMissing as missing:
        raise StartError(str(missing)) from None
    finally:
        for opened in sockets:
            opened.close()
    _log.info("stopped")
    return 0 if stored else _NOT_STORED


async def _serve(
    settings: Settings, sockets: list[socket.socket], *, demo: bool, host: Host, provider: TracerProvider | None
) -> bool:
    if (problem := allow_open_files(settings.max_connections)) is not None:
        _log.warning("too few open files", reason=problem)
    try:
        storage = await open_database(settings)
    except StoreSetupError as error:
        raise StartError(str(error), code=AWAY if isinstance(error, StoreAway) else WRONG) from None
    try:
        broker = await open_broker(settings.redis_url)
    except BrokerSetupError as error:
        await storage.close()
        raise StartError(str(error)) from None
    app = create_app(settings, demo=demo, storage=storage, broker=broker, tracer_provider=provider)
    runtime: Runtime = app.state.cowrite
    config = uvicorn.Config(
        app,
        http=http_protocol(runtime.serving, runtime.limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_CONNECTIONS_CLOSE_SECONDS,
    )
    await _Server(config, runtime, host, settings.drain_seconds).serve(sockets)
    return runtime.left_behind == 0


class LoneHost:
    """A person or a service manager: signals, and one line when it serves."""

    def __init__(self, ready: str) -> None:
        self._ready = ready

    @contextmanager
    def watch(self, stop: Callable[[], None]) -> Iterator[None]:
        # Not uvicorn's own: it raises the signal again at the end, so that a tidy stop would look like a crash.
        def told(number: int, frame: object) -> None:
            stop()
            for other in _SIGNALS:
                signal.signal(other, signal.SIG_DFL)

        before = {number: signal.signal(number, told) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def began(self, runtime: Runtime) -> None:
        sys.stdout.write(f"{self._ready}\n")
        sys.stdout.flush()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, runtime: Runtime, host: Host, drain_seconds: float) -> None:
        super().__init__(config)
        self._runtime = runtime
        self._host = host
        self._drain_seconds = drain_seconds
        self._collecting: asyncio.Task[None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:  # uvicorn's, with a code of its own
            raise StartError(
                "the server has not started, and the log says why: what it had opened has failed", code=AWAY
            ) from None
        collect_seldom()
        give_back_large_blocks()
        take_turns_soon()
        self._collecting = asyncio.get_running_loop().create_task(collect_when_quiet(SystemClock()))
        await self._host.began(self._runtime)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._collecting.cancel()
        self._runtime.begin_drain()
        for server in self.servers:
            server.close()
        for opened in sockets or ():
            opened.close()  # another worker takes who comes now
        for connection in list(self.server_state.connections):
            # An HTTP connection ends with the answer that is under way; its client's next request goes elsewhere.
            if not is_websocket(connection):
                connection.shutdown()
        await self._runtime.send_away(self._drain_seconds)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with self._host.watch(self._stop):
            yield

    def _stop(self) -> None:
        self.should_exit = True


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


if TYPE_CHECKING:
    _: type[Host] = LoneHost
