"""What ends a load test before it has measured anything."""

from __future__ import annotations


class LoadError(Exception):
    """It cannot be measured. The message is for people: what happened, to which thing, and what to do."""


class PlanError(LoadError):
    """The plan makes no sense: nothing was tried."""
