"""Stores: where documents live. One module or package for each kind of database."""

from __future__ import annotations

from cowrite.stores.errors import StoreOutdated, StoreSetupError
from cowrite.stores.opening import open_store

__all__ = ["StoreOutdated", "StoreSetupError", "open_store"]
