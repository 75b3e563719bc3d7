"""cowrite inside another ASGI application, in its process and at a path of its own.

Starlette and FastAPI do not run the lifespan of what is mounted (https://www.starlette.io/lifespan/), and without it nothing is
opened and nothing is stored at the end; :func:`mount` sees to both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette


def mount(host: Starlette, path: str, app: FastAPI) -> None:
    """Serve ``app``, which :func:`cowrite.create_app` has made, below ``path`` of a FastAPI or Starlette application.

    Call it before the host starts. It starts after what the host's own lifespan opens and ends before that is closed: who may
    do what is still asked while the last edits are stored. Addresses are those of a server of its own behind ``path``:
    ``ws://…/collab/yjs/{document}``, ``/collab/api/v2/…``; ``/collab/healthz`` says how it is.
    """
    around = host.router.lifespan_context

    @asynccontextmanager
    async def lifespan(started: Any) -> AsyncIterator[Mapping[str, Any] | None]:
        async with around(started) as state, app.router.lifespan_context(app):
            yield state

    # Its type is that of a lifespan without or of one with state; this one has what the host's has.
    host.router.lifespan_context = lifespan  # type: ignore[assignment]
    host.mount(path, app)
