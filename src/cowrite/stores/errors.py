"""What can be wrong before a store is open."""

from __future__ import annotations


class StoreSetupError(Exception):
    """The database that the settings name cannot be used. The message is one line for people: what is wrong, and what to do."""


class StoreAway(StoreSetupError):
    """The database cannot be reached now; it may be so later, with the same settings."""


class StoreOutdated(StoreSetupError):
    """The database's tables are older than this program, and it was told not to change them."""
