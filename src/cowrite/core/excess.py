"""What was more than a limit, counted by which: every refusal of that kind has a word, and here is its number."""

from __future__ import annotations

from collections import Counter
from typing import Final

from cowrite.core.clock import SystemClock
from cowrite.core.errors import PeerError
from cowrite.core.ports import Clock
from cowrite.core.seldom import Seldom
from cowrite.protocol.close_codes import CloseCode

LIMITS: Final = frozenset(
    (
        *(
            "address_sockets",
            "arrival_seconds",
            "authenticate_seconds",
            "connections",
            "head_bytes",
            "head_seconds",
            "hello_seconds",
            "incoming_bytes",
            "leaving_bytes",
            "leaving_late",
            "session_sockets",
            "stranger_messages",
            "user_sockets",
        ),
        *("message_too_large", "missing_dependencies", "idle", "connection_timeout", "reset_connection", "too_fast"),
        *("hostile_update", "contradicting_content", "document_deleted", "edit_not_kept"),
        *("cpu_share", "rate_messages", "rate_bytes"),
        "foreign_client",
        *("import_cpu_seconds", "import_memory_bytes", "import_crashed"),
        *(
            "too_large",
            "document_full",
            "too_many_nodes",
            "too_many_documents",
            "too_many_sessions",
            "presence_full",
            "overloaded",
        ),
    )
)
"""Those that are counted: limits by their names where one has a code of its own, else the codes; content under a Yjs client id
of another user; and what the guard refuses."""

FAULTS: Final = frozenset(
    (
        *("any", "clients", "clock", "conflicts", "content", "count", "cycle", "delete_order", "delete_ranges", "depth"),
        *("duplicate", "empty_struct", "flags", "future", "half_character", "joins", "json", "legacy_json", "levels"),
        *("long_name", "neighbours", "no_entry", "parent", "roots", "structs", "trailing", "truncated", "type", "types"),
        *("utf8", "varint", "waits"),
        "engine",
    )
)
"""The guard's words for what is wrong with an update, and one for what the engine broke on."""

_LIMIT_OF: Final = {"request_timeout": "arrival_seconds"}
"""Of codes that only one limit has."""


class Excess:
    """The counts of one process, and the lines of its log about what it refuses."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(sorted(LIMITS), 0))
        self.faults: Counter[str] = Counter(dict.fromkeys(sorted(FAULTS), 0))
        """Updates that were refused for what they are, by the guard's word for it."""
        self.log = Seldom(clock if clock is not None else SystemClock())

    def count(self, limit: str) -> None:
        """Something was refused with this code, or because of this limit. Other codes are not about limits: nothing happens."""
        limit = _LIMIT_OF.get(limit, limit)
        if limit in LIMITS:
            self.counts[limit] += 1

    def refused(self, error: Exception) -> None:
        """This ends a connection or a request: counts what was wrong with an update, where that is why."""
        if isinstance(error, PeerError) and error.fault is not None:
            self.faults[error.fault] += 1

    def closed(self, code: int) -> None:
        """A connection was closed by the server with this code."""
        if code in _CLOSES:
            self.counts[_CLOSES[code]] += 1


_CLOSES: Final = {int(code): code.name.lower() for code in CloseCode if code.name.lower() in LIMITS}
