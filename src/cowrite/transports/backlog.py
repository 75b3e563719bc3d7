"""The frames of one socket that wait, and the memory they are counted with: one owner of both, neither outlives the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from cowrite.core.incoming import SMALL_BYTES, Incoming, Share

FRAME_OVERHEAD: Final = 64
"""Bytes that a waiting frame costs beyond its own, so that many tiny ones count, too."""


class Backlog:
    """A queue. Whoever has changed it calls :meth:`count`, or :meth:`clear` at the end: then what is counted is what waits."""

    __slots__ = ("_frames", "_incoming", "_share", "size", "small_size")

    def __init__(self, incoming: Incoming) -> None:
        self.size = 0
        """Bytes of all that waits, overhead included."""
        self.small_size = 0
        """Of these, those of frames that are not counted one by one (:data:`SMALL_BYTES`)."""
        self._incoming = incoming
        self._frames: deque[bytes] | None = None
        """Made when something waits: most sockets are idle, and an empty one is large."""
        self._share: Share | None = None
        """Made when it is much."""

    def __bool__(self) -> bool:
        return bool(self._frames)

    def append(self, frame: bytes) -> None:
        """The next frame."""
        self._made().append(frame)
        self._add(frame, 1)

    def put_first(self, frames: Iterable[bytes]) -> None:
        """Frames that came before those that wait."""
        for frame in reversed(list(frames)):
            self._made().appendleft(frame)
            self._add(frame, 1)

    def pop(self) -> bytes:
        """The first frame; it waits no more."""
        assert self._frames, "ask before whether something waits"
        frame = self._frames.popleft()
        self._add(frame, -1)
        return frame

    def count(self, user: str) -> bool:
        """Hold what waits now, of this user, with all else that has come and is not taken. False: there is no room for it."""
        if not self._frames:
            self.clear()  # what waits next may be somebody's who is known
            return True
        if self._share is None:
            if self.size <= SMALL_BYTES:
                return True
            self._share = self._incoming.share(user)
        return self._share.hold(self.size)

    def clear(self) -> None:
        """Nothing waits any more, whoever wanted it. Idempotent."""
        self._frames = None
        self.size = self.small_size = 0
        if self._share is not None:
            self._share.release()
            self._share = None

    def _add(self, frame: bytes, sign: int) -> None:
        size = sign * (len(frame) + FRAME_OVERHEAD)
        self.size += size
        if len(frame) <= SMALL_BYTES:
            self.small_size += size

    def _made(self) -> deque[bytes]:
        if self._frames is None:
            self._frames = deque()
        return self._frames
