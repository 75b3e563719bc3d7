"""Lines of the log that others cause, as often as they like: each kind is told once a minute of one thing, with its number.

Whoever knocks a thousand times a second would fill the disk, and nobody would find anything else in the log. So the first line
of a kind comes at once, those of the next minute are counted, and at its end there is one more that has their number. With
``debug`` each of them is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from structlog.typing import FilteringBoundLogger

from cowrite.core.ports import Clock

MINUTE: Final = 60.0
"""Seconds."""
MAX_KEYS: Final = 1000
"""Things of which lines are counted apart. Others are counted together: who makes up a thousand names is not told of each."""

Level = Literal["info", "warning", "error"]


@dataclass(slots=True)
class _Silence:
    """What is not told since the last line of a kind, about one thing."""

    times: int = 0
    fields: dict[str, Any] = field(default_factory=dict)
    """Those of the last."""


class Seldom:
    """See the module's docstring. It runs in the event loop's thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._silent: dict[tuple[str, str], _Silence] = {}

    def say(self, log: FilteringBoundLogger, level: Level, event: str, of: str, **fields: Any) -> None:
        """Something has happened. ``of``: to what, such as a document or a user; lines about others do not wait for it."""
        key = (event, of)
        if key not in self._silent and len(self._silent) >= MAX_KEYS:
            key = (event, "")
        silence = self._silent.get(key)
        if silence is None:
            getattr(log, level)(event, **fields)
            self._begin(log, level, key)
            return
        silence.times += 1
        silence.fields = fields
        log.debug(event, **fields)

    def _begin(self, log: FilteringBoundLogger, level: Level, key: tuple[str, str]) -> None:
        self._silent[key] = _Silence()
        self._clock.call_later(MINUTE, lambda: self._end(log, level, key))

    def _end(self, log: FilteringBoundLogger, level: Level, key: tuple[str, str]) -> None:
        silence = self._silent.pop(key)
        if silence.times:
            getattr(log, level)(key[0], **silence.fields, times=silence.times)
            self._begin(log, level, key)
