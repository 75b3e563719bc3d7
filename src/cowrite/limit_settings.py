"""The limits as settings: ``COWRITE_LIMIT_UPDATE_BYTES`` is ``Limits.update_bytes``, within bounds that keep a server whole.

They have no flags, and their table for people is docs/reference/limits.md.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from cowrite.core.limits import Limits

LIMIT: Final = "limit_"
_KIB, _MIB = 1 << 10, 1 << 20
_DEFAULTS: Final = Limits()
_ORDERED: Final = (
    ("sync_bytes", "incoming_bytes"),
    ("source_bytes", "incoming_bytes"),
    ("update_bytes", "sync_bytes"),
    ("sync_bytes", "burst_bytes"),
    ("pending_document_bytes", "pending_process_bytes"),
    ("pending_document_updates", "pending_process_updates"),
)
"""Of each pair the first is no more than the second."""


def _limit(name: str, least: float, most: float) -> Any:
    default = getattr(_DEFAULTS, name)
    kind = "a whole number" if isinstance(default, int) else "a number"
    takes = f"{kind} from {least:.15g} to {most:.15g}"
    return Field(default, ge=least, le=most, allow_inf_nan=False, json_schema_extra={"takes": takes})


def is_limit(setting: str) -> bool:
    """Whether a setting is a limit."""
    return setting.startswith(LIMIT)


class LimitSettings(BaseSettings):
    """One field for each of :class:`Limits`."""

    limit_update_bytes: int = _limit("update_bytes", _KIB, 64 * _MIB)
    limit_sync_bytes: int = _limit("sync_bytes", 64 * _KIB, 256 * _MIB)
    limit_document_bytes: int = _limit("document_bytes", 0, 16_384 * _MIB)
    limit_import_bytes: int = _limit("import_bytes", 64 * _KIB, 256 * _MIB)
    limit_import_cpu_seconds: float = _limit("import_cpu_seconds", 1, 600)
    limit_import_memory_bytes: int = _limit("import_memory_bytes", 512 * _MIB, 16_384 * _MIB)
    limit_source_bytes: int = _limit("source_bytes", _KIB, 32 * _MIB)
    limit_source_nodes: int = _limit("source_nodes", 100, 50_000)
    limit_incoming_bytes: int = _limit("incoming_bytes", _MIB, 16_384 * _MIB)
    limit_leaving_bytes: int = _limit("leaving_bytes", _MIB, 16_384 * _MIB)
    limit_arrival_seconds: float = _limit("arrival_seconds", 1, 3600)
    limit_arrival_bytes: int = _limit("arrival_bytes", 64, _MIB)
    limit_pending_document_bytes: int = _limit("pending_document_bytes", 64 * _KIB, 1024 * _MIB)
    limit_pending_process_bytes: int = _limit("pending_process_bytes", 64 * _KIB, 16_384 * _MIB)
    limit_pending_document_updates: int = _limit("pending_document_updates", 100, 10_000_000)
    limit_pending_process_updates: int = _limit("pending_process_updates", 100, 10_000_000)
    limit_held_updates: int = _limit("held_updates", 1, 10_000)
    limit_held_bytes: int = _limit("held_bytes", _KIB, 64 * _MIB)
    limit_held_seconds: float = _limit("held_seconds", 1, 300)
    limit_ask_again_seconds: float = _limit("ask_again_seconds", 0.1, 60)
    limit_submission_seconds: float = _limit("submission_seconds", 0.1, 60)
    limit_group_updates: int = _limit("group_updates", 1, 10_000)
    limit_group_bytes: int = _limit("group_bytes", 64 * _KIB, 64 * _MIB)
    limit_presence_sessions: int = _limit("presence_sessions", 1, 10_000)
    limit_presence_bytes: int = _limit("presence_bytes", 16 * _KIB, 64 * _MIB)
    limit_loss_grace_seconds: float = _limit("loss_grace_seconds", 0, 60)
    limit_keepalive_seconds: float = _limit("keepalive_seconds", 1, 29)
    limit_idle_seconds: float = _limit("idle_seconds", 4, 86_400)
    limit_hocuspocus_idle_seconds: float = _limit("hocuspocus_idle_seconds", 4, 86_400)
    limit_hello_seconds: float = _limit("hello_seconds", 0.1, 300)
    limit_stranger_messages: int = _limit("stranger_messages", 100, 1_000_000)
    limit_cpu_share: float = _limit("cpu_share", 0.01, 1)
    limit_cpu_burst_seconds: float = _limit("cpu_burst_seconds", 0.05, 60)
    limit_rate_messages: int = _limit("rate_messages", 1, 1_000_000)
    limit_burst_messages: int = _limit("burst_messages", 1, 10_000_000)
    limit_rate_bytes: int = _limit("rate_bytes", _KIB, 1024 * _MIB)
    limit_burst_bytes: int = _limit("burst_bytes", 64 * _KIB, 16_384 * _MIB)
    limit_late_seconds: float = _limit("late_seconds", 1, 600)
    limit_head_bytes: int = _limit("head_bytes", 8 << 10, 1 << 20)
    limit_head_seconds: float = _limit("head_seconds", 1, 300)
    limit_authenticate_seconds: float = _limit("authenticate_seconds", 0.1, 300)
    limit_address_sockets: int = _limit("address_sockets", 1, 1_000_000)
    limit_user_sockets: int = _limit("user_sockets", 1, 1_000_000)
    limit_session_sockets: int = _limit("session_sockets", 1, 1_000_000)
    limit_documents_per_socket: int = _limit("documents_per_socket", 1, 10_000)
    limit_eviction_seconds: float = _limit("eviction_seconds", 0, 86_400)

    @model_validator(mode="after")
    def _limits_in_order(self) -> LimitSettings:
        limits = self.limits
        for smaller, larger in _ORDERED:
            if getattr(limits, smaller) > getattr(limits, larger):
                names = [f"COWRITE_LIMIT_{name.upper()}" for name in (smaller, larger)]
                raise ValueError(f"{names[0]} is {getattr(limits, smaller)}, more than {names[1]} ({getattr(limits, larger)})")
        return self

    @property
    def limits(self) -> Limits:
        """All of them together."""
        return Limits(**{field.name: getattr(self, f"{LIMIT}{field.name}") for field in dataclasses.fields(Limits)})
