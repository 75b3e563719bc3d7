"""A text that others edit, too, and into which a program writes as it gets something to write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Final

from cowrite.crdt.editing.text import Anchor, EditableText

__all__ = ["STREAM_SECONDS", "Anchor", "Text"]

STREAM_SECONDS: Final = 0.05
"""What a stream brings within this time is one edit."""


class Text(EditableText):
    """A text of a live document."""

    async def stream(self, where: int | Anchor, pieces: AsyncIterable[str]) -> Anchor:
        """Insert what comes, as it comes, and return an anchor behind it: what a language model says, say.

        The first piece is there at once; what comes within 50 ms after it follows as one edit, and so on. Others may edit
        meanwhile, before, behind and in the middle of it. What has come is in the text, whatever ends this: an exception of
        ``pieces``, a cancellation. Raises what :meth:`insert` raises, before the next piece is asked for.
        """
        writer = _Writer(self, where if isinstance(where, Anchor) else self.anchor(where))
        try:
            async for piece in pieces:
                writer.write(piece)
        finally:
            writer.finish()
        writer.check()
        return writer.anchor


class _Writer:
    """Writes pieces at an anchor, not more often than once in some time."""

    def __init__(self, text: Text, anchor: Anchor) -> None:
        self.anchor = anchor
        self._text = text
        self._waiting: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._failure: Exception | None = None

    def write(self, piece: str) -> None:
        """Write now, or with what comes next. Raises what an earlier piece has met."""
        self.check()
        if piece:
            self._waiting.append(piece)
            if self._timer is None:
                self._turn()
                self.check()

    def finish(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
        self._insert()

    def check(self) -> None:
        """Raise what has gone wrong meanwhile."""
        if self._failure is not None:
            raise self._failure

    def _turn(self) -> None:
        self._timer = None
        if self._waiting:
            self._insert()
            self._timer = asyncio.get_running_loop().call_later(STREAM_SECONDS, self._turn)

    def _insert(self) -> None:
        text = "".join(self._waiting)
        self._waiting.clear()
        if self._failure is None:
            try:
                self._text.insert(self.anchor, text)
            except Exception as failure:
                # It is raised where the pieces are asked for, and not in a timer, where nobody would hear of it.
                self._failure = failure
