"""Whether something that is done again and again fails, told once when it begins and once when it is over."""

from __future__ import annotations

from typing import Final

from structlog.typing import FilteringBoundLogger

_FAILURES: Final = 2
"""So many in a row are no accident any more."""


class Outage:
    """Counts the failures in a row of one thing."""

    def __init__(self, log: FilteringBoundLogger, what: str) -> None:
        """``what``: for the log, what is done again and again, such as ``heads``."""
        self._log = log
        self._what = what
        self._failures = 0

    @property
    def failing(self) -> bool:
        """It failed the last times, not once only."""
        return self._failures >= _FAILURES

    def failed(self, error: Exception) -> None:
        """It has failed. The first time in a row is logged."""
        self._failures += 1
        if self._failures == 1:
            self._log.warning(f"{self._what} not read; they are read again until it works", reason=str(error))

    def worked(self) -> None:
        """It has not."""
        if self._failures:
            self._log.info(f"{self._what} can be read again", failures=self._failures)
            self._failures = 0
