"""cowrite's own server: uvicorn and picows on one port, from the listening socket to the last commit."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
import uvicorn

from cowrite.app import Runtime, create_app
from cowrite.composition import database_url
from cowrite.settings import Settings
from cowrite.startup import StartError, listen, prepare_folder
from cowrite.stores.errors import StoreSetupError
from cowrite.stores.opening import open_store
from cowrite.transports.websocket import picows_protocol

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_CONNECTIONS_CLOSE_SECONDS: Final = 8
"""How long a shutdown waits for connections to end. A close handshake is cut before."""
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}

_log = structlog.get_logger(__name__)


def serve(settings: Settings, *, demo: bool) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit code. A second signal ends the process at once.

    Raises :class:`StartError` for what stops it from starting: the data folder, the port, the database.
    """
    prepare_folder(settings.database_file.parent)
    sockets = listen(settings.host, settings.port)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings, sockets, demo=demo))
    finally:
        for opened in sockets:
            opened.close()
    _log.info("stopped")
    return 0


async def _serve(settings: Settings, sockets: list[socket.socket], *, demo: bool) -> None:
    try:
        storage = await open_store(database_url(settings))
    except StoreSetupError as error:
        raise StartError(str(error)) from None
    runtime: Runtime
    app = create_app(settings, demo=demo, storage=storage)
    runtime = app.state.cowrite
    config = uvicorn.Config(
        app,
        http="httptools",
        ws=picows_protocol(runtime.serving),
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_CONNECTIONS_CLOSE_SECONDS,
    )
    await _Server(config, runtime, _ready(_url(settings.host, sockets), demo=demo)).serve(sockets)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, runtime: Runtime, ready: str) -> None:
        super().__init__(config)
        self._runtime = runtime
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what is here now stays: the collector need not look at it again and again
        sys.stdout.write(f"{self._ready}\n")
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._runtime.refuse_connections()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Not uvicorn's own: it raises the signal again at the end, so that a tidy stop would look like a crash.
        def stop(number: int, frame: object) -> None:
            self.should_exit = True
            for other in _SIGNALS:
                signal.signal(other, signal.SIG_DFL)

        before = {number: signal.signal(number, stop) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


def _ready(url: str, *, demo: bool) -> str:
    if demo:
        return f"cowrite is ready at {url}"
    return f"cowrite is ready: editors at {url.replace('http', 'ws', 1)}yjs/{{document_id}}, HTTP at {url}docs"


def _url(host: str, sockets: list[socket.socket]) -> str:
    name = _EVERYWHERE.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{sockets[0].getsockname()[1]}/"
