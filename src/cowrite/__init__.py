"""Real-time collaboration server for Python: any Yjs editor connects unmodified, an acknowledged edit is on disk.

The application is made by one function of arguments::

    from cowrite import Settings, create_app
    app = create_app(Settings(secret=...))

``mount`` puts it into a FastAPI or Starlette application.
``transform_operations`` moves operations that were not answered yet over those of others, for clients that show them at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cowrite.app import create_app
    from cowrite.crdt.operations import OperationDraft
    from cowrite.crdt.transform import transform_operations
    from cowrite.embedding import mount
    from cowrite.settings import Settings

__all__ = ["OperationDraft", "Settings", "create_app", "mount", "transform_operations"]

_MODULES = {
    "OperationDraft": "cowrite.crdt.operations",
    "Settings": "cowrite.settings",
    "create_app": "cowrite.app",
    "mount": "cowrite.embedding",
    "transform_operations": "cowrite.crdt.transform",
}


def __getattr__(name: str) -> object:
    # Loaded when asked for: the command line must not wait for the web framework to say its version.
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
