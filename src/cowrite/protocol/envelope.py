"""Several messages in one body, where no socket keeps them apart: each behind its length, a variable-length integer of lib0."""

from __future__ import annotations

from collections.abc import Iterable

from cowrite.protocol.lib0 import MalformedFrame, read_bytes, write_varuint

MAX_MESSAGES = 10_000


def seal(messages: Iterable[bytes]) -> bytes:
    """Write messages into one body. None at all give an empty one."""
    parts = []
    for message in messages:
        parts += [write_varuint(len(message)), message]
    return b"".join(parts)


def unseal(body: bytes, *, max_messages: int = MAX_MESSAGES) -> list[bytes]:
    """Read the messages of a body; what is in them is not looked at.

    Raises :class:`MalformedFrame` when it ends within one, and for more than ``max_messages``.
    """
    messages: list[bytes] = []
    at = 0
    while at < len(body):
        if len(messages) == max_messages:
            raise MalformedFrame(f"more than {max_messages} messages", at)
        message, at = read_bytes(body, at)
        messages.append(message)
    return messages
