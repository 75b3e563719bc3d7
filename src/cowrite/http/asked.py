"""What routes depend on that are made once for all applications of a process."""

from __future__ import annotations

from starlette.requests import Request

from cowrite.http.backend import Backend, backend_of


def backend_asked(request: Request) -> Backend:
    """The parts of the application that is asked. Raises 503 ``draining``."""
    return backend_of(request.app.state.cowrite_backend)()
