"""Why a socket was closed. One table for server, clients and docs; ``spec/close_codes.json`` is the same table.

The number alone says whether to come back: 4400 to 4499 means that trying again changes nothing, every other code that the
client may reconnect. y-websocket from 3.1 obeys that range, older clients reconnect in any case.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

MAX_REASON_BYTES = 123
"""A WebSocket close frame carries 125 bytes, two of them the code (RFC 6455, 5.5)."""


class CloseCode(IntEnum):
    """A code with its ``meaning``: one sentence for people. ``name`` in lower case is its name elsewhere."""

    meaning: str

    def __new__(cls, number: int, meaning: str = "") -> CloseCode:
        code = int.__new__(cls, number)
        code._value_ = number
        code.meaning = meaning
        return code

    NORMAL = 1000, "The conversation is over; connect again when there is something to say."
    GOING_AWAY = 1001, "The server is shutting down; connect again, another may answer."
    SERVICE_RESTART = 1012, "The server is restarting; connect again in a moment."
    RESET_CONNECTION = 4205, "Too much at once, or messages that no client sends; only at /hocuspocus. Connect again."
    MALFORMED_FRAME = 4400, "A message could not be read: it is not the protocol of this address."
    UNAUTHORIZED = 4401, "No valid token came with the connection."
    FORBIDDEN = 4403, "The token is valid, and gives no access to this document."
    BAD_DOCUMENT_ID = 4404, "The address does not name a document that can exist."
    CONNECTION_TIMEOUT = 4408, "Nothing was heard for too long; only at /hocuspocus, whose clients come back all the same."
    CONTRADICTING_CONTENT = 4409, "The update gives other content to what is already stored; start a new Doc and sync again."
    DOCUMENT_DELETED = 4410, "The document was deleted."
    MESSAGE_TOO_LARGE = 4413, "A message is larger than the server takes."
    HOSTILE_UPDATE = 4422, "An update has a structure that no editor makes, and was refused."
    EDIT_NOT_KEPT = 4424, "The client holds an edit that was shown and then could not be kept; start a new Doc and sync again."
    INTERNAL_ERROR = 4500, "The server failed; connect again."
    STORE_UNAVAILABLE = 4503, "The document's storage cannot be reached now; connect again later."
    MISSING_DEPENDENCIES = 4504, "An update builds on others that did not arrive in time; reconnect and sync."
    DOCUMENT_REBUILT = 4505, "The document was rebuilt without something already shown; reconnect and sync."
    NEW_EPOCH = 4506, "The document's history was replaced; reconnect and sync."
    IDLE = 4508, "Nothing was heard for too long; connect again when needed."
    TOO_FAST = 4529, "Messages came faster than the server takes them; connect again and slow down."

    @property
    def reconnect(self) -> bool:
        """Whether a client should try again (with growing delays)."""
        return not 4400 <= self <= 4499


def close_code_table() -> list[dict[str, Any]]:
    """Give the table as JSON values, ordered by number: what ``spec/close_codes.json`` holds."""
    return [
        {"number": int(code), "name": code.name.lower(), "reconnect": code.reconnect, "meaning": code.meaning}
        for code in sorted(CloseCode)
    ]


def cut_reason(reason: str) -> str:
    """Make a reason fit into a close frame: at most 123 bytes of UTF-8, cut between characters and then ending in "…".

    Lone surrogates become "?". Never raises.
    """
    raw = reason.encode(errors="replace")
    if len(raw) <= MAX_REASON_BYTES:
        return raw.decode()
    mark = "…"
    return raw[: MAX_REASON_BYTES - len(mark.encode())].decode(errors="ignore") + mark
