"""Who else is in the document, where, and what is told about oneself, in the form that Yjs editors know (y-protocols).

By custom a state has ``user`` (``name``, ``color``) and ``cursor`` (``anchor``, ``head``): bindings of editors draw carets from
it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import AwarenessUpdate

RENEW_SECONDS: Final = 15.0
"""How often one's own state is told again: others take for gone who was silent for 30 s."""
GONE_SECONDS: Final = 30.0

State = dict[str, Any]


@dataclass(slots=True)
class _Known:
    clock: int
    state: State | None
    heard: float


class Awareness:
    """Who is here. Nothing of it is kept by the server."""

    def __init__(self, client_id: int, now: Callable[[], float], tell: Callable[[AwarenessUpdate], None]) -> None:
        self.client_id = client_id
        """One's own Yjs client id."""
        self._now = now
        self._tell = tell
        self._others: dict[int, _Known] = {}
        self._own: State | None = None
        self._clock = 0
        self._told = 0.0

    @property
    def states(self) -> Mapping[int, State]:
        """The states of the others, by their Yjs client ids: as they are now, not to be changed."""
        return MappingProxyType({client: known.state for client, known in self._others.items() if known.state is not None})

    @property
    def own(self) -> State | None:
        """What is told about oneself; None: nothing, one is not seen."""
        return None if self._own is None else dict(self._own)

    def set(self, **fields: Any) -> None:
        """Tell the others something about oneself; what is not named stays, and what is None is taken back.

        Raises ``ValueError`` and ``TypeError`` for what is no JSON.
        """
        merged = {name: value for name, value in {**(self._own or {}), **fields}.items() if value is not None}
        json.dumps(merged, allow_nan=False)
        self._own = merged
        self._say()

    def clear(self) -> None:
        """Be seen no more."""
        if self._own is not None:
            self._own = None
            self._say()

    # ---- for the document --------------------------------------------------------------------------------------------

    def introduction(self) -> AwarenessUpdate | None:
        """One's own state, as news; None where there is none."""
        return None if self._own is None else self._next()

    def met(self, entries: Iterable[AwarenessEntry]) -> None:
        """States came. What is older than what is known is passed over, and so is what is no JSON object."""
        for entry in entries:
            if entry.client_id == self.client_id:
                self._met_oneself(entry)
                continue
            known = self._others.get(entry.client_id)
            clock = known.clock if known is not None else 0
            goes = entry.state is None and known is not None and known.state is not None
            if entry.clock > clock or (entry.clock == clock and goes):
                self._others[entry.client_id] = _Known(entry.clock, _read(entry.state), self._now())

    def tend(self) -> None:
        """Call this every few seconds: one's own state is told again in time, and who was silent for long is gone."""
        now = self._now()
        if self._own is not None and now - self._told >= RENEW_SECONDS:
            self._say()
        for known in self._others.values():
            if now - known.heard >= GONE_SECONDS:
                known.state = None

    def alone(self) -> None:
        """The connection is gone: nobody is seen, until told of again, with the same clock too."""
        self._others.clear()

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _met_oneself(self, entry: AwarenessEntry) -> None:
        # Somebody thinks that one is gone, or knows a later clock than one remembers: say what holds.
        if entry.clock > self._clock or (entry.state is None and self._own is not None and entry.clock == self._clock):
            self._clock = entry.clock
            self._say()

    def _say(self) -> None:
        self._tell(self._next())

    def _next(self) -> AwarenessUpdate:
        self._clock += 1
        self._told = self._now()
        state = None if self._own is None else json.dumps(self._own, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return AwarenessUpdate((AwarenessEntry(self.client_id, self._clock, state),))


def _read(state: str | None) -> State | None:
    try:
        read = json.loads(state) if state is not None else None
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None
