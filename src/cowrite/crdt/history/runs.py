"""Runs of a diff: neighbours that changed alike, by one author with no long pauses, are one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from cowrite.crdt.history.attribution import NOBODY, Attribution, Span
from cowrite.crdt.values import Json

NOTHING_MORE: Final[dict[str, Json]] = {}
"""Of a run that says nothing but its content."""


class Runs:
    """Makes the runs of one list. ``name`` is that of their content: ``text``, a string, or ``values``, a list."""

    def __init__(self, attribution: Attribution, name: str) -> None:
        self._attribution = attribution
        self._name = name
        self._made: list[dict[str, Json]] = []
        self._content: list[Json] = []  # of the open run: a long text is put together once
        self._more: Json = None  # what else the open run says; None when it cannot be gone on with
        self._number = self._restored = NOBODY

    def joined(self, spans: Sequence[Span]) -> Sequence[Span]:
        """Return spans of one piece, with those together that will be one run."""
        if len(spans) == 1:
            return spans
        joined: list[Span] = []
        for start, end, number, restored in spans:
            if joined and restored == joined[-1][3] and self._goes_on(joined[-1][2], number):
                joined[-1] = (joined[-1][0], end, max(number, joined[-1][2]), restored)
            else:
                joined.append((start, end, number, restored))
        return joined

    def add(self, change: str, content: Json, more: dict[str, Json], number: int, restored: int) -> None:
        """Add content that ``change`` happened to, in the entry of that number (see :class:`Attribution`)."""
        alike = self._more is not None and self._made[-1]["change"] == change and same(self._more, more)
        if not (alike and restored == self._restored and self._goes_on(self._number, number)):
            self._open(change, {self._name: None, **more}, number, restored)
            self._more = more
        elif number > self._number:
            self._number = number
        self._content += content if self._name == "values" else [content]

    def keep(self, content: str) -> None:
        """Add text that has stayed and has no attributes."""
        if self._more is NOTHING_MORE and self._made[-1]["change"] == "equal":
            self._content.append(content)
        else:
            self.add("equal", content, NOTHING_MORE, NOBODY, NOBODY)

    def add_single(self, change: str, content: dict[str, Json], span: Span) -> None:
        """Add what is no run: it stands alone."""
        self._open(change, content, *span[2:])

    def finish(self) -> list[dict[str, Json]]:
        """Return the runs. Nothing can be added any more."""
        self._close()
        return self._made

    def _open(self, change: str, content: dict[str, Json], number: int, restored: int) -> None:
        self._close()
        self._made.append({"change": change, **content})
        self._number, self._restored = number, restored

    def _close(self) -> None:
        if self._made and self._made[-1]["change"] != "equal":
            self._attribution.sign(self._made[-1], self._number)
            if self._restored != NOBODY:
                self._attribution.sign(self._made[-1].setdefault("restored", {}), self._restored)
        if self._more is not None:
            self._made[-1][self._name] = self._content if self._name == "values" else "".join(self._content)
            self._content = []
            self._more = None

    def _goes_on(self, number: int, other: int) -> bool:
        return number == other or self._attribution.goes_on(number, other)


def same(value: Json, other: Json) -> bool:
    """Tell whether two JSON values are the same: 1 and true are not."""
    if value is other:
        return True
    if value != other:
        return False
    return type(value) is type(other) if not value else json.dumps(value, sort_keys=True) == json.dumps(other, sort_keys=True)
