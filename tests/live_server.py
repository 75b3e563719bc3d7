"""A real server in the test's own event loop, on a free port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import uvicorn
from pydantic import SecretStr

from cowrite.app import create_app
from cowrite.core.ports import Broker
from cowrite.hooks import Hooks
from cowrite.runtime import Runtime
from cowrite.settings import Settings
from cowrite.startup import listen
from cowrite.stores.memory import memory_storage
from cowrite.testing.transport_contract import ServerOptions
from cowrite.tracing import TracerProvider
from cowrite.transports.http_head import http_protocol
from cowrite.transports.services import SocketTimes

_SECRET = SecretStr("A" * 43)


@dataclass(frozen=True, slots=True)
class LiveServer:
    url: str
    """``ws://127.0.0.1:{port}``"""
    runtime: Runtime


@cache
def _settings(allowed_origins: tuple[str, ...]) -> Settings:
    """They are read-only, and take as long to make as all else of an application."""
    return Settings(_env_file=None, secret=_SECRET, allowed_origins=allowed_origins)  # type: ignore[call-arg]


@asynccontextmanager
async def live_server(
    options: ServerOptions,
    *,
    picows: bool,
    times: SocketTimes | None = None,
    broker: Broker | None = None,
    hooks: Hooks | None = None,
    tracer_provider: TracerProvider | None = None,
) -> AsyncIterator[LiveServer]:
    """Serve by picows, or by plain ASGI under uvicorn's own WebSockets."""
    # In a thread: it looks at the file system.
    app = await asyncio.to_thread(
        create_app,
        _settings(options.allowed_origins),
        demo=options.demo,
        storage=options.storage if options.storage is not None else memory_storage(),
        authorize=options.authorize,
        broker=broker,
        limits=options.limits,
        times=times,
        hooks=hooks,
        tracer_provider=tracer_provider,
    )
    runtime: Runtime = app.state.cowrite
    ws: Any = "none" if picows else "websockets-sansio"
    http: Any = http_protocol(runtime.serving, options.limits) if picows else "auto"
    config = uvicorn.Config(app, http=http, ws=ws, ws_max_size=64 << 20, lifespan="on", log_config=None, access_log=False)
    async with serving(config, runtime) as url:
        yield LiveServer(url.replace("http", "ws", 1), runtime)


@asynccontextmanager
async def serving(config: uvicorn.Config, runtime: Runtime) -> AsyncIterator[str]:
    """Serve while the block runs, at the address that it is given."""
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    sockets = listen("127.0.0.1", 0)
    # Not server.serve(): it takes the signals, and some tenths of a second to stop.
    await server.startup(sockets)
    try:
        yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    finally:
        for listener in server.servers:
            listener.close()
        runtime.refuse_connections()
        while server.server_state.connections:
            for connection in list(server.server_state.connections):
                connection.shutdown()
            await asyncio.sleep(0.005)
        await server.lifespan.shutdown()
