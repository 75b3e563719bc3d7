"""What ends a load test before it has measured anything."""

from __future__ import annotations

from typing import Final

BRING_A_TOKEN: Final = "; give a --token of the server, or its --secret to make some"
"""What to do about a server that lets nobody in."""


class LoadError(Exception):
    """It cannot be measured. The message is for people: what happened, to which thing, and what to do."""


class PlanError(LoadError):
    """The plan makes no sense: nothing was tried."""
